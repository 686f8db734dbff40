package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dls/sinks"
)

// lane is one stream's way to a server.
type lane struct {
	to    *server
	bare  bool // lines of CEF go without their syslog prefix
	limit int  // the most pages of a session that takes this stream's, 0 for no limit
	alone int  // how often a page failed that had a session to itself
}

// maxAlone is how often in a row a page that has a session to itself may fail, while the
// server stands, until it is the page that is to blame. That a server which fails
// sessions at random does it so often is unlikely.
const maxAlone = 5

// suspect notes that a session of so many pages failed though its server stands: this
// stream's page may be to blame. It tells whether fewer pages are under suspicion than
// before.
func (l *lane) suspect(pages int) (fewer bool) {
	if l.limit == 0 || pages < l.limit {
		l.limit = pages
	}
	before := l.limit
	l.limit = max(l.limit/2, 1)
	if pages == 1 {
		l.alone++
	}
	return l.limit < before
}

// lane is the error of a lane.
func (s *stream) lane(l *lane, err error) error {
	if session, ok := errors.AsType[*sinks.SessionError](err); ok {
		return &laneError{l, session}
	}
	return err
}

// recover decides about a session that failed: it waits until its server may take
// pages again and returns nil, or returns why the stream fails.
func (s *stream) recover(ctx context.Context, failed *laneError) error {
	if ctx.Err() != nil {
		return failed
	}
	if _, final := errors.AsType[*sinks.PermanentError](failed); final {
		return failed
	}
	lane := failed.lane
	if n := failed.session.Pages; n > 0 && !failed.session.Down {
		if lane.suspect(n) {
			s.backoff.Progress()
		}
		if lane.alone >= maxAlone && !lane.to.fickle.Load() {
			return fmt.Errorf("%w (the receiver stands, and refused this page %d times)", failed, maxAlone)
		}
	}
	if failed.session.Down && lane.to.givenUp.Load() {
		return failed // another stream has waited for it long enough
	}
	s.lastErr = failed
	s.run.line.quit(s) // it needs no slot meanwhile
	defer s.run.line.join(s)
	took := time.Duration(0)
	for {
		wait, ok := s.backoff.Failed(took)
		if !ok {
			if failed.session.Down {
				lane.to.givenUp.Store(true)
			}
			return s.backoff.Exhausted(failed)
		}
		s.result.Retries++
		s.run.log.Info("trying again", "stream", s.result.Name(), "in", wait.Round(time.Millisecond), "because", failed)
		if err := s.rest(ctx, wait); err != nil {
			return err
		}
		asked := time.Now()
		err := lane.to.group.Ready(s.run.late)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		took = time.Since(asked)
		if session, ok := errors.AsType[*sinks.SessionError](err); ok {
			failed = &laneError{lane, session}
		}
	}
}

// laneError is a session that failed on the way to a server.
type laneError struct {
	lane    *lane
	session *sinks.SessionError
}

func (e *laneError) Error() string { return e.session.Error() }

// Unwrap returns the session's error.
func (e *laneError) Unwrap() error { return &sinkError{e.session} }

// sinkError is an error of a sink: what it has in common with those of a disk is a
// number.
type sinkError struct{ error }

func (e *sinkError) Unwrap() error { return e.error }
