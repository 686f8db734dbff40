package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"syscall"
	"time"

	"dls/job/report"
)

// lastResort is how long after a signal the program ends whatever it waits for:
// deliveries under way have had their grace, and the dead-man switch its call.
const lastResort = 8 * time.Second

// await returns what the work returns. Once it is interrupted and does not end, it
// is left behind: it waits for a file or a disk that does not answer, which nothing
// can end but the end of the process. What counts is on the disk already.
func await(ctx context.Context, stderr io.Writer, work func() int) int {
	done := make(chan int, 1)
	go func() { done <- work() }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
	}
	select {
	case code := <-done:
		return code
	case <-time.After(lastResort):
	}
	told := make(chan struct{})
	go func() { // it may be stderr that does not answer
		defer close(told)
		slog.New(report.NewConsole(stderr, slog.LevelInfo)).Error(context.Cause(ctx).Error()+"; a file or a disk does not answer, and is not waited for", "hint", "the next run goes on from what was noted")
	}()
	select {
	case <-told:
	case <-time.After(time.Second):
	}
	if s, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok {
		return exitSignal + int(s.signal.(syscall.Signal))
	}
	return exitNone
}
