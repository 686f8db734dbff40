package sinks

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// What only repeats the operation and address is taken off an error; what says more, or
// is asked for by its type, stays.
func TestBare(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}}
	permanent := &PermanentError{Err: errors.New("x"), Hint: "y"}
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"of the net package", reset, syscall.ECONNRESET},
		{"marked by crypto/tls", silent{reset}, syscall.ECONNRESET},
		{"permanent", permanent, permanent},
		{"with words of its own", errClosedEarly, errClosedEarly},
	} {
		if got := bare(tt.err); got != tt.want {
			t.Errorf("%s: %#v, want %#v", tt.name, got, tt.want)
		}
	}
}

// silent adds nothing to an error.
type silent struct{ error }

func (e silent) Unwrap() error { return e.error }
