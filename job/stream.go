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
	"dls/sinks"
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

	cp    *state.Checkpoint // what counts; nil until it is loaded
	fresh bool              // cp is not saved yet: it waits for Duo's first answer
	kept  bool              // the store has a checkpoint
	from  *legacy.Takeover  // duologsync's checkpoint, until the stream has one of its own

	verified bool // Duo's first page bears from out
	feed     *feed.Feed
	backoff  retry.Backoff  // of sessions
	slot     *slot          // what a worker works with, while the stream has one
	pages    int            // since it has
	reading  *state.Reading // what Duo shows of the window, against what is delivered
	flight   flight
	lastErr  error // the last failure, until there is progress

	began  time.Time    // when the stream's turn did
	ledger state.Ledger // what is known of it when the stream is done: since when, and its audit
	warned map[string]bool
	gap    window.Gap // what Duo no longer keeps
	stats  feed.Stats
	result Result
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
		if s.fresh || !l.group.Down() {
			continue
		}
		s.release()
		if err := l.group.Ready(s.run.late); err != nil {
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
	meta, err := s.feed.Next(ctx, w.Call(time.Now()), s)
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

// open loads what counts, once, and lays out the window that it leaves to be read.
func (s *stream) open() (*window.Window, error) {
	if s.wrong != nil {
		return nil, s.wrong
	}
	if s.cp == nil {
		cp, err := s.run.load(s.id)
		if err == nil && cp == nil {
			cp, err = s.inherit()
		} else if err == nil {
			err = s.newer(cp)
		}
		if err != nil {
			return nil, err
		}
		if s.kept = cp != nil && s.from == nil; cp == nil {
			if err := s.absent(); err != nil {
				return nil, err
			}
			cp = s.begin()
		}
		s.cp = cp
		if !s.fresh {
			s.result.Until = time.UnixMilli(cp.DeliveredUntil).UTC()
		}
	}
	s.lines.delivered = &s.cp.Delivered
	s.cp.Ledger.Begin(s.cp.DeliveredUntil)
	w, err := window.Open(s.rules(), s.cp, s.run.start, s.run.end, s.run.cfg.Overlap)
	if err == nil && w.Done() {
		err = s.first() // there is nothing to ask Duo for
	}
	return w, err
}

// begin makes the checkpoint of a stream that has none. It is saved before
// anything is delivered, so that the window begins where it was first meant to,
// however many runs it takes to deliver the first page; but not before Duo has
// answered, which it does only where the clock is right.
func (s *stream) begin() *state.Checkpoint {
	from := max(s.run.start.Add(-s.run.cfg.Offset).UnixMilli(), window.Oldest(s.run.start))
	if s.run.since != nil {
		from, _ = s.run.since(s)
	}
	from -= from % s.unit()
	s.fresh = true
	return &state.Checkpoint{Progress: state.Progress{Began: from, DeliveredUntil: from}}
}

// heard is called when Duo has answered: the checkpoint of a stream that had none is
// saved, and that of duologsync is held against what Duo shows.
func (s *stream) heard() error {
	if err := s.first(); err != nil {
		return err
	}
	return s.verify(s.slot.page.sought)
}

// first saves the checkpoint of a stream that had none.
func (s *stream) first() error {
	if !s.fresh {
		return nil
	}
	s.fresh = false
	return s.save(false)
}

// unit is the unit of the endpoint's mintime, in milliseconds.
func (s *stream) unit() int64 { return s.endpoint.AskUnit.Duration().Milliseconds() }

// rules are what the endpoint's row says of its paging.
func (s *stream) rules() window.Rules {
	r := window.Rules{Unit: s.unit(), Limit: s.endpoint.Limit}
	switch s.endpoint.Cursor {
	case duo.Offset:
		r.Paging = window.Opaque
	case duo.Mintime:
		r.Paging = window.Earliest
	}
	return r
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
		if _, fickle := s.run.fickle.Load(lane.server); lane.alone >= maxAlone && !fickle {
			return fmt.Errorf("%w (the receiver stands, and refused this page %d times)", failed, maxAlone)
		}
	}
	if failed.session.Down && s.run.gaveUp(lane.server) {
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
				s.run.giveUp(lane.server)
			}
			return s.backoff.Exhausted(failed)
		}
		s.result.Retries++
		s.run.log.Info("trying again", "stream", s.result.Name(), "in", wait.Round(time.Millisecond), "because", failed)
		if err := s.rest(ctx, wait); err != nil {
			return err
		}
		asked := time.Now()
		err := lane.group.Ready(s.run.late)
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

// warn tells the user, once, what a page has shown.
func (s *stream) warn(w *window.Window, step window.Step) {
	if g := w.Gap(); g != (window.Gap{}) {
		s.gap = g
	}
	if step.NoCursor {
		s.once("cursor", "Duo's answer has no cursor that can be used: going on by the times that its records tell")
	}
	if step.SteppedOver != 0 {
		s.run.log.Warn(fmt.Sprintf("more records than Duo shows lie in the second %s, and Duo shows no others of it: going on with the next second",
			text(step.SteppedOver)), "stream", s.result.Name())
	}
}

// conclude warns of what can be said in one line when the stream is done.
func (s *stream) conclude() {
	if s.gap != (window.Gap{}) {
		some := map[bool]string{true: "some of "}[s.gap.Partly]
		s.run.log.Warn(fmt.Sprintf("Duo keeps records for 180 days: %sthose from %s to %s can no longer be had", some, text(s.gap.From), text(s.gap.To)), "stream", s.result.Name())
	}
	if n := s.result.Untimed; n > 0 && s.run.collect == nil { // an audit moves none
		s.run.log.Warn(counted(n, "new record tells", "new records tell")+" no time, or one outside the time asked for, and cannot move the checkpoint", "stream", s.result.Name())
	}
}

// once logs a warning of its kind once a run.
func (s *stream) once(kind, msg string) {
	if s.warned == nil {
		s.warned = map[string]bool{}
	}
	if !s.warned[kind] {
		s.warned[kind] = true
		s.run.log.Warn(msg, "stream", s.result.Name())
	}
}

// text writes a time in milliseconds since the epoch for people.
func text(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
