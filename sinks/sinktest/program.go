package sinktest

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Program is a program of the system, such as a proxy or a receiver, that a test
// runs. It is killed at the end of the test, which then shows what it printed if
// it has failed.
type Program struct {
	cmd    *exec.Cmd
	output bytes.Buffer // of cmd, once it has ended
	once   sync.Once
}

// Start starts a program in the foreground, which is to listen at a port of
// 127.0.0.1, and waits until it does. It skips the test, by name, where the
// program is not installed.
func Start(t testing.TB, port int, name string, args ...string) *Program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip(name + " is not installed")
	}
	p := &Program{cmd: exec.Command(path, args...)}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = &p.output, &p.output, t.TempDir()
	p.cmd.WaitDelay = time.Second // its children may hold its output open
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.output.Bytes())
		}
	})
	deadline := time.After(longest)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			c.Close()
			return p
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s does not listen at port %d", name, port)
		}
	}
}

// Signal sends a signal.
func (p *Program) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kill kills the program and waits for its end.
func (p *Program) Kill() {
	p.once.Do(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
}
