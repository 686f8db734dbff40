package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"dls/sinks"
)

// deliver sends the lines to each of the stream's servers and returns nil when
// all have confirmed them.
func (s *stream) deliver(ctx context.Context, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	s.result.Bytes += int64(len(lines))
	if len(s.sinks) == 1 {
		return s.deliverTo(ctx, s.sinks[0], lines)
	}
	// A server that is down must not make the others get the page in every run.
	for _, sink := range s.sinks {
		if err := s.reach(ctx, sink); err != nil {
			return err
		}
	}
	var g errgroup.Group
	for _, sink := range s.sinks {
		g.Go(func() error { return s.deliverTo(ctx, sink, lines) })
	}
	return g.Wait()
}

// reach makes sure, once in a run, that a server can be reached.
func (s *stream) reach(ctx context.Context, sink sinks.Sink) error {
	if _, proven := s.run.proven.Load(sink); proven {
		return nil
	}
	err := s.insist(ctx, sink, func() error {
		_, err := sink.Check(ctx)
		return fault(err)
	})
	if err == nil {
		s.run.proven.Store(sink, true)
	}
	return err
}

// deliverTo sends the lines to one server.
func (s *stream) deliverTo(ctx context.Context, sink sinks.Sink, lines []byte) error {
	// A page under way when the run is told to stop may still be confirmed.
	late, cancel := grace(ctx, s.run.opts.Grace)
	defer cancel()
	return s.insist(ctx, sink, func() error {
		refused, err := sinks.Deliver(late, sink, sinks.Batch{Lines: lines})
		if len(refused) > 0 {
			return s.keep(lines, refused)
		}
		return fault(err)
	})
}

// insist tries again and again while that may help: a receiver that restarts
// does not fail the run. Once a stream has given a server up, the others of the
// run try once.
func (s *stream) insist(ctx context.Context, sink sinks.Sink, try func() error) error {
	limit := s.run.opts.RetryFor
	if _, down := s.run.down.Load(sink); down {
		limit = 0
	}
	err := persist(ctx, limit, try, func(err error) bool {
		_, final := errors.AsType[*sinks.PermanentError](err)
		_, kept := errors.AsType[*keepError](err)
		return !final && !kept
	}, func(wait time.Duration, err error) {
		s.retries.Add(1)
		s.run.log.Info("trying again", "stream", s.result.Name(), "in", wait.Round(time.Millisecond), "because", err)
	})
	if err != nil && ctx.Err() == nil {
		s.run.down.Store(sink, true)
	}
	return err
}

// sinkError is an error of a sink: what it has in common with those of a disk is a
// number.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }

func fault(err error) error {
	if err == nil {
		return nil
	}
	return &sinkError{err}
}

// keepError is a record that could neither be sent nor kept.
type keepError struct{ error }

func (e *keepError) Unwrap() error { return e.error }

// keep writes records that no datagram can hold to a file in the checkpoint
// directory, as duologsync does.
func (s *stream) keep(lines []byte, refused []sinks.Refused) error {
	records := bytes.SplitAfter(lines, []byte("\n"))
	var kept []byte
	for _, r := range refused {
		kept = append(kept, records[r.Index]...)
	}
	name := s.row.Name + "_udp_failed_ingestion_logs.txt"
	if err := s.run.dir.Append(name, kept); err != nil {
		return &keepError{fmt.Errorf("keep records too long for a datagram: %w", err)}
	}
	s.oversize.Add(int64(len(refused)))
	what := counted(len(refused), "record is too long for a datagram; it is", "records are too long for a datagram; they are")
	s.run.log.Warn(fmt.Sprintf("%s in %q", what, s.run.dir.Path(name)), "stream", s.result.Name())
	return nil
}

// grace returns a context that ends d after ctx does.
func grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(late, func() { t.Stop() })
	})
	return late, func() { stop(); cancel(nil) }
}
