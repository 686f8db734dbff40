package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever waits for a file, a signal ends the program.
func TestAwait(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		want  int
		took  time.Duration
	}{
		{"ends on its own", time.Second, 7, time.Second},
		{"ends in its grace", 5 * time.Second, 7, 5 * time.Second},
		{"does not end", time.Hour, 128 + 15, 2*time.Second + lastResort},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(2*time.Second, func() { cancel(&interrupted{syscall.SIGTERM}) })
				var stderr bytes.Buffer
				code := await(ctx, &stderr, func() int { time.Sleep(tt.takes); return 7 })
				if took := time.Since(began); code != tt.want || took != tt.took {
					t.Errorf("code %d after %v, want %d after %v", code, took, tt.want, tt.took)
				}
				if told := strings.Contains(stderr.String(), "; a file or a disk does not answer"); told != (code != 7) {
					t.Errorf("stderr: %q", stderr.String())
				}
				time.Sleep(time.Until(began.Add(tt.takes))) // for what was left behind
			})
		})
	}
}

// A signal that comes twice at once ends the run, and one that comes again the process.
func TestHeed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after []time.Duration // the first signal
		exits int             // the code, or 0
	}{
		{"one", nil, 0},
		{"an echo", []time.Duration{time.Millisecond, echo - 1}, 0},
		{"again", []time.Duration{time.Millisecond, echo}, 128 + 15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				signals := make(chan os.Signal, 2)
				code := 0
				go heed(signals, cancel, func(n int) { code = n })
				signals <- syscall.SIGTERM
				synctest.Wait()
				if _, ok := errors.AsType[*interrupted](context.Cause(ctx)); !ok {
					t.Errorf("the first signal: %v", context.Cause(ctx))
				}
				began := time.Now()
				for _, after := range tt.after {
					time.Sleep(time.Until(began.Add(after)))
					signals <- syscall.SIGTERM
				}
				synctest.Wait()
				if code != tt.exits {
					t.Errorf("exit code %d, want %d", code, tt.exits)
				}
				close(signals)
			})
		})
	}
}
