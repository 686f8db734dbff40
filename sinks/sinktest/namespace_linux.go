package sinktest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// InNetwork runs a test in a process with a network of its own, whose loopback
// interface [Loopback] can take down. It returns false in the process that started it,
// and skips the test there where no such network can be had.
func InNetwork(t *testing.T) bool {
	t.Helper()
	const mark = "DLS_TEST_NETWORK"
	if os.Getenv(mark) != "" {
		Loopback(t, true)
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skip("no network of its own can be made here: ", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.Bytes())
	} else if bytes.Contains(out.Bytes(), []byte("--- SKIP: "+t.Name())) {
		t.Skipf("in a network of its own:\n%s", out.Bytes())
	}
	return false
}

// Loopback takes the interface lo of a network of the test's own up or down.
func Loopback(t *testing.T, up bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	if up {
		lo.SetUint16(unix.IFF_UP)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skip("the loopback interface cannot be set here: ", err)
		}
		t.Fatal(err)
	}
}
