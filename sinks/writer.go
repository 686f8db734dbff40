package sinks

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// NewWriter returns a sink that writes records to w, such as the standard
// output. Its ID is "stdout". What w took counts. Writes are one at a time; one
// that blocks is not ended by the context. An error of w is permanent: what was
// half written cannot be taken back.
func NewWriter(w io.Writer) Sink {
	return &writer{w: w}
}

type writer struct {
	mu sync.Mutex
	w  io.Writer
}

var _ Sink = (*writer)(nil)

func (*writer) ID() string     { return "stdout" }
func (*writer) MaxRecord() int { return 0 }

func (s *writer) Open(ctx context.Context) (Session, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("write records: %w", context.Cause(ctx))
	}
	return &writerSession{sink: s}, nil
}

func (*writer) Check(context.Context) (Report, error) {
	return Report{Proves: "that the system took it"}, nil
}

type writerSession struct {
	sink *writer
	over atomic.Bool
}

func (s *writerSession) Send(ctx context.Context, b Batch) ([]Refused, error) {
	err := s.send(ctx, b)
	if err != nil {
		s.over.Store(true)
	}
	return nil, err
}

func (s *writerSession) send(ctx context.Context, b Batch) error {
	if err := b.check(); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	if len(b.Lines) == 0 {
		return nil
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	n, err := s.sink.w.Write(b.Lines)
	if err == nil && n < len(b.Lines) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return &PermanentError{Err: fmt.Errorf("write records: %w", err)}
	}
	return nil
}

func (s *writerSession) usable(ctx context.Context) error {
	switch {
	case s.over.Load():
		return fmt.Errorf("write records: %w", errOver)
	case ctx.Err() != nil:
		return fmt.Errorf("write records: %w", context.Cause(ctx))
	}
	return nil
}

func (s *writerSession) Confirm(ctx context.Context) error {
	err := s.usable(ctx)
	s.over.Store(true)
	return err
}

func (s *writerSession) Failed() <-chan struct{} { return nil }
func (s *writerSession) Abort()                  { s.over.Store(true) }
