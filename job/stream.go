package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dls/job/duo"
	"dls/job/feed"
	"dls/job/legacy"
	"dls/job/retry"
	"dls/job/window"
	"dls/state"
)

// stream is one endpoint of one account. One goroutine works on it and owns all of
// it.
type stream struct {
	run      *run
	endpoint *duo.Endpoint
	id       state.ID
	servers  []int   // that it is mapped to, by their index in the configuration
	host     string  // the API host on which the account lives
	wrong    error   // why the account cannot be read, or nil
	lines    *lines  // writes its records as lines
	lanes    []*lane // the ways to the servers: all must confirm

	basis
	underway
	outcome
}

// basis is what counts of a stream, and where that comes from.
type basis struct {
	cp       *state.Checkpoint // what counts; nil until it is loaded
	fresh    bool              // cp is not saved yet: it waits for Duo's first answer
	kept     bool              // the store has a checkpoint
	from     *legacy.Takeover  // duologsync's checkpoint, until the stream has one of its own
	verified bool              // Duo's first page bears from out
}

// underway is what a stream works with while it is worked on.
type underway struct {
	began   time.Time // when its first turn did
	feed    *feed.Feed
	backoff retry.Backoff  // of sessions
	slot    *slot          // what a worker works with, while the stream has one
	pages   int            // since it has
	reading *state.Reading // what Duo shows of the window, against what is delivered
	flight  flight
	lastErr error // the last failure, until there is progress
}

// outcome is what is told of a stream.
type outcome struct {
	result Result
	stats  feed.Stats
	ledger state.Ledger // what is known of it when the stream is done: since when, and its audit
	gap    window.Gap   // what Duo no longer keeps
	warned map[string]bool
}

// work reads the stream's window to its end, and tells what became of it.
func (s *stream) work(ctx context.Context, slot *slot) {
	s.began = time.Now()
	s.hold(slot)
	err := context.Cause(ctx)
	for err == nil {
		err = s.read(ctx)
		if errors.Is(err, errElsewhere) {
			err = nil
			continue
		}
		failed, again := errors.AsType[*laneError](err)
		if !again {
			break
		}
		// What the failed session carried, and what came after it, is sent again.
		err = s.recover(ctx, failed)
	}
	s.feed.Close()
	s.release()
	if err != nil && ctx.Err() != nil {
		err = s.cut(context.Cause(ctx), err)
	}
	s.result.Err = err
	s.result.Duration = time.Since(s.began)
	s.result.Pages, s.result.Limited = s.stats.Pages, s.stats.Limited
	s.result.Retries += s.stats.Retries
	s.conclude()
	if s.cp != nil {
		s.ledger = state.Ledger{Since: s.cp.Ledger.Since, Pass: s.cp.Ledger.Pass}
		s.result.Audited, s.result.Missing = s.ledger.Pass.Last()
	}
	s.done()
	s.run.opts.Progress.finished(s)
}

// read reads the window from what counts up to its end, and returns when all that was
// fetched is confirmed and the checkpoint says so. A *laneError is a session that
// failed: what counts by then is in cp, and reading can begin again.
func (s *stream) read(ctx context.Context) error {
	w, err := s.open()
	if err != nil {
		return err
	}
	s.reading = state.NewReading(&s.cp.Delivered)
	defer s.flight.drop()
	if !w.Done() {
		err = s.standing()
	}
	for !w.Done() && err == nil {
		err = s.next(ctx, w)
	}
	s.release()
	// Whatever ended the reading: what older sessions confirm counts.
	settled := s.settle()
	_, cut := errors.AsType[*laneError](err)
	_, failed := errors.AsType[*laneError](settled)
	if settled != nil && (err == nil || cut || !failed) {
		return settled
	}
	return err
}

// standing returns a *laneError where a server of the stream is known to be down, and
// still is: nothing is fetched for it, and no slot taken. A stream that has no
// checkpoint yet goes on until it has one.
func (s *stream) standing() error {
	for _, l := range s.lanes {
		if s.fresh || !l.to.group.Down() {
			continue
		}
		s.release()
		if err := l.to.group.Ready(s.run.late); err != nil {
			return s.lane(l, err)
		}
	}
	return nil
}

// next takes one page the whole way: fetch, dedupe, encode, deliver, commit. Encoding
// goes along with fetching, since an answer is taken apart once; and what is committed
// is what sessions have confirmed by now.
func (s *stream) next(ctx context.Context, w *window.Window) error {
	if err := s.turn(ctx); err != nil {
		return err
	}
	s.slot.trim(s.lines)
	meta, err := s.feed.Next(ctx, func() window.Call { return w.Call(time.Now()) }, s)
	if old, ok := errors.AsType[*feed.TooOldError](err); ok && w.TooOld() {
		s.lastErr = old
		return nil
	}
	if err == nil {
		err = s.heard()
	}
	if err != nil {
		return err
	}
	page := s.dedupe(w, meta)
	step := w.Advance(page.facts, time.Now())
	s.warn(w, step)
	if errors.Is(step.Err, window.ErrForgotten) {
		return step.Err
	}
	if err := s.deliver(page, w.Progress(), step.Changed); err != nil {
		return err
	}
	if err := s.commit(); err != nil {
		return err
	}
	return step.Err
}

// cut is the error of a stream that the end of the run cut short. It does not
// hide what the stream was struggling with.
func (s *stream) cut(cause, err error) error {
	if errors.Is(err, cause) || errors.Is(err, context.Canceled) {
		err = s.lastErr
	}
	if err == nil {
		return cause
	}
	return fmt.Errorf("%w; before that: %v", cause, err)
}
