package sinks_test

import (
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"dls/sinks"
)

// tells is whether the system, as the tests are built, tells what of a
// connection is acknowledged. Tests of what counts where it does not have to say
// so; none may pass because a check of the kernel was lost.
var tells = !portable && slices.Contains([]string{"linux", "darwin", "freebsd", "openbsd", "windows"}, runtime.GOOS)

// pair returns the two ends of a connection of the loopback interface.
func pair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialed.Close(); accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// What the kernel says of a connection whose end is acknowledged, and of one
// whose peer takes nothing.
func TestKernelTells(t *testing.T) {
	t.Run("acknowledged", func(t *testing.T) {
		ours, theirs := pair(t)
		if _, err := ours.Write([]byte("a\n")); err != nil {
			t.Fatal(err)
		}
		if err := ours.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, theirs); err != nil { // so all of ours has come
			t.Fatal(err)
		}
		known, all, err := sinks.Tells(ours)
		for ; tells && !all && err == nil; known, all, err = sinks.Tells(ours) {
			runtime.Gosched() // the acknowledgement is on its way
		}
		if err != nil || known != tells || all != tells {
			t.Errorf("known: %t, acknowledged: %t, error %v; want %t", known, all, err, tells)
		}
		theirs.Close()
		if _, err := io.Copy(io.Discard, ours); err != nil {
			t.Fatal(err)
		}
		if _, all, err := sinks.Tells(ours); err != nil || all != tells {
			t.Errorf("closed: acknowledged: %t, error %v", all, err)
		}
	})
	t.Run("not acknowledged", func(t *testing.T) {
		ours, theirs := pair(t)
		theirs.SetReadBuffer(4 << 10)
		for taken := 1; taken > 0; { // until both systems' buffers are full
			ours.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			taken, _ = ours.Write(flood())
		}
		ours.CloseWrite()
		if known, all, err := sinks.Tells(ours); err != nil || known != tells || all {
			t.Errorf("known: %t, acknowledged: %t, error %v", known, all, err)
		}
	})
}
