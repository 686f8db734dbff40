package sinks_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"dls/sinks"

	"golang.org/x/sys/unix"
)

// inNetwork runs a test in a process with a network of its own, whose loopback
// interface it can take down. It returns false in the process that started it.
func inNetwork(t *testing.T) bool {
	t.Helper()
	const mark = "DLS_TEST_NETWORK"
	if os.Getenv(mark) != "" {
		loopback(t, true)
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
	}
	return false
}

// loopback takes the interface lo up or down.
func loopback(t *testing.T, up bool) {
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

// A network that breaks once the connection stands takes the page, whether or not
// the connection was held open before, and whatever the system tells.
func TestNetworkCut(t *testing.T) {
	if !inNetwork(t) {
		return
	}
	for _, settle := range []time.Duration{0, 10 * time.Millisecond} {
		for _, tr := range streams(t) {
			t.Run(tr.name+", settle "+settle.String(), func(t *testing.T) {
				s, r := tr.start(t, nil, func(o *sinks.Options) {
					impatient(o)
					o.Settle = settle
				})
				lines := page("a", 20, 200)
				session, err := s.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer session.Abort()
				loopback(t, false)
				_, err = session.Send(t.Context(), sinks.Batch{Lines: lines})
				if err == nil {
					err = session.Confirm(t.Context())
				}
				if err == nil || sinks.Hint(err) == "" {
					t.Errorf("error %v, hint %q; %d lines received", err, sinks.Hint(err), len(r.Lines()))
				}
				loopback(t, true)
				if err := deliver(t.Context(), s, lines); err != nil || !hasAll(r.Lines(), lines) {
					t.Errorf("once the network is back: error %v", err)
				}
			})
		}
	}
}
