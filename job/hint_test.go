package job_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"dls/job"
	"dls/job/duo"
	"dls/sinks"
	"dls/state"
	"dls/state/statetest"
)

// writerFunc is a standard output.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A hint speaks of the checkpoint directory only where that is what failed.
func TestHintNamesTheRightPlace(t *testing.T) {
	const room, writable = "make room on the disk", "make dls_settings.checkpointing.directory writable"
	for _, tt := range []struct {
		name string
		err  error
		want string // how it begins
	}{
		{"full checkpoint directory", saving(t, syscall.ENOSPC), room},
		{"read-only checkpoint directory", saving(t, syscall.EROFS), writable},
		{"checkpoint directory of others", saving(t, syscall.EACCES), writable},
		{"full standard output", delivering(t, syscall.ENOSPC), ""},
		{"closed standard output", delivering(t, syscall.EPERM), ""},
		{"call that a firewall refuses", &duo.CallError{Err: syscall.EPERM}, "check that this machine reaches account.hostname"},
		{"authority of others", &job.SetupError{Err: fmt.Errorf("dls_settings.api.ca_filepath: %w", &fs.PathError{Op: "open", Path: "/etc/dls/ca.pem", Err: syscall.EACCES})},
			`check the permissions of "/etc/dls/ca.pem"`},
		{"authority that is not there", &job.SetupError{Err: &fs.PathError{Op: "open", Path: "ca.pem", Err: syscall.ENOENT}}, "create it, or correct the path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := job.Hint(tt.err); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("hint %q for %v, want %q", got, tt.err, tt.want)
			}
		})
	}
}

// saving is the error of a checkpoint that cannot be written.
func saving(t *testing.T, cause error) error {
	t.Helper()
	path := t.TempDir()
	dir, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	statetest.Break(path, func(string) error { return cause })
	defer statetest.Break(path, nil)
	return dir.Save(state.ID{Endpoint: "auth"}, &state.Checkpoint{})
}

// deliver sends one record in a session of its own.
func deliver(ctx context.Context, sink sinks.Sink) error {
	session, err := sink.Open(ctx)
	if err != nil {
		return err
	}
	defer session.Abort()
	if _, err := session.Send(ctx, sinks.Batch{Lines: []byte("{}\n")}); err != nil {
		return err
	}
	return session.Confirm(ctx)
}

// delivering is the error of a standard output that takes no records.
func delivering(t *testing.T, cause error) error {
	t.Helper()
	out := writerFunc(func([]byte) (int, error) {
		return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: cause}
	})
	err := deliver(t.Context(), sinks.NewWriter(out))
	if !errors.Is(err, cause) {
		t.Fatalf("error %v, want %v", err, cause)
	}
	return err
}

// A pull into a full disk says so, and nothing of checkpoints.
func TestPullIntoFullDisk(t *testing.T) {
	w, _ := newWorld(t)
	w.fill(parent, 3, time.Now().Add(-time.Hour), 1)
	full := &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	sum, err := job.Pull(t.Context(), w.config(), job.PullOptions{
		Options: w.options(), Since: time.Now().Add(-2 * time.Hour),
		Out: writerFunc(func([]byte) (int, error) { return 0, full }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(sum.Failed()) == 0 {
		t.Fatal("no stream failed")
	}
	for _, r := range sum.Failed() {
		if !errors.Is(r.Err, syscall.ENOSPC) || r.Hint() != "" {
			t.Errorf("%s: error %v, hint %q", r.Name(), r.Err, r.Hint())
		}
	}
}
