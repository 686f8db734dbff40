package sinks

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// NewWriter returns a sink that writes records to w, such as the standard
// output. Its ID is "stdout". A delivery is confirmed when w took all of it.
// Writes are one at a time; one that blocks is not ended by the context. An
// error of w is permanent: what was half written cannot be taken back.
func NewWriter(w io.Writer) Sink {
	return &writer{w: w}
}

type writer struct {
	mu sync.Mutex
	w  io.Writer
}

var _ Sink = (*writer)(nil)

func (*writer) ID() string { return "stdout" }

func (s *writer) Deliver(ctx context.Context, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if err := checkLines(lines); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return fmt.Errorf("write records: %w", context.Cause(ctx))
	}
	n, err := s.w.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &PermanentError{Err: fmt.Errorf("write records: %w", err)}
	}
	return nil
}

func (*writer) Check(context.Context) (Report, error) { return Report{}, nil }
