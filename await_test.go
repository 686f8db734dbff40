package main

import (
	"bytes"
	"context"
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
