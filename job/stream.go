package job

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"dls/cef"
	"dls/job/duo"
	"dls/job/endpoint"
	"dls/job/record"
	"dls/sinks"
	"dls/state"
)

// share is how many pages a stream may deliver in one turn while others wait.
const share = 4

// looked is how often the end of a window without news is noted: seldom, so that
// an idle run writes nothing.
const looked = 24 * time.Hour

// stream is one endpoint of one account. It is worked on in turns, by one worker
// at a time; between turns it holds no page.
type stream struct {
	run   *run
	row   *endpoint.Endpoint
	id    state.ID
	host  string         // the API host on which the account lives
	extra []record.Extra // the members that duologsync adds
	sinks []sinks.Sink   // all must confirm

	from    *takeover    // duologsync's checkpoint, until the stream has one of its own
	fields  []string     // the members of a record that are looked at: ids, then times
	mapping *cef.Mapping // nil where lines are JSON

	cp      *state.Checkpoint // nil until the first turn
	seen    map[state.Key]int // how many records of each key are delivered
	place   place             // where the next page begins
	held    bool              // records came out of order: the checkpoint waits for the end of the segment
	high    int64             // the latest record delivered
	fails   patience
	trouble error // the last failure, until a page is answered
	pace    pace
	result  Result

	retries, oversize atomic.Int64 // part of result; deliveries to several servers count at once
}

// turn works on the stream until its window is drained, it has to wait for Duo,
// or it has had its share while others wait. It tells whether the stream is done,
// and if not, how long to leave it alone.
func (s *stream) turn(ctx context.Context, d *desk) (done bool, wait time.Duration) {
	began := time.Now()
	defer func() { s.result.Duration += time.Since(began) }()
	err := context.Cause(ctx)
	if err == nil && s.cp == nil {
		err = s.open()
	}
	if err == nil && !s.place.end() {
		err = s.work(ctx, d)
	}
	if p, ok := errors.AsType[*pause](err); ok {
		return false, p.wait
	}
	if err != nil && ctx.Err() != nil {
		err = s.cut(context.Cause(ctx), err)
	}
	s.result.Err = err
	s.result.Retries += int(s.retries.Load())
	s.result.Oversize = int(s.oversize.Load())
	s.cp, s.seen = nil, nil
	s.run.opts.Progress.finished(s)
	return true, 0
}

// cut is the error of a stream that the end of the run cut short. It does not
// hide what the stream was struggling with.
func (s *stream) cut(cause, err error) error {
	if errors.Is(err, cause) || errors.Is(err, context.Canceled) {
		err = s.trouble
	}
	if err == nil {
		return cause
	}
	return fmt.Errorf("%w; before that: %v", cause, err)
}

// pause ends a turn before the stream is done.
type pause struct{ wait time.Duration }

func (p *pause) Error() string { return "paused" }

// errHost is a child account of which Duo tells no API host.
var errHost = errors.New("no API host: Duo's list of child accounts names none for it")

// open reads the checkpoint and lays out the window.
func (s *stream) open() error {
	if s.host == "" {
		return errHost
	}
	cp, err := s.run.load(s.id)
	if err == nil && cp == nil {
		cp, err = s.inherit()
	}
	if err == nil && cp == nil {
		cp, err = s.begin()
	}
	if err != nil {
		return err
	}
	s.seen = make(map[state.Key]int, len(cp.Delivered))
	for _, m := range cp.Delivered {
		s.seen[m.Key] = m.Count
	}
	s.cp, s.high = cp, cp.Until
	s.result.Until = time.UnixMilli(cp.Until).UTC()
	s.place, err = s.window()
	return err
}

// begin makes the checkpoint of a stream that has none. It is saved before
// anything is fetched, so that the window begins where it was first meant to,
// however many runs it takes to deliver the first page.
func (s *stream) begin() (*state.Checkpoint, error) {
	from := max(s.run.start.Add(-s.run.cfg.Offset).UnixMilli(), s.run.oldest())
	from -= from % s.unit()
	cp := &state.Checkpoint{From: from, Until: from}
	return cp, s.run.save(s.id, cp)
}

// unit is the unit of the endpoint's mintime, in milliseconds.
func (s *stream) unit() int64 { return s.row.AskUnit.Duration().Milliseconds() }

// work fetches, delivers and confirms page after page, at the pace that Duo
// allows. While a page is being delivered the next one is fetched, never more.
func (s *stream) work(ctx context.Context, d *desk) error {
	if wait := s.early(); wait > 0 {
		return &pause{wait}
	}
	ctx, cancel := context.WithCancel(ctx)
	fetched := s.fetch(ctx, d, s.place)
	// The desk is another stream's when the turn ends: leave no fetch behind.
	defer func() { cancel(); fetched() }()
	for n := 1; ; n++ {
		page, err := fetched()
		if err != nil {
			return s.stumble(err)
		}
		s.result.Pages++
		s.pace.answered(time.Now())
		s.fails, s.trouble = patience{}, nil
		if s.from != nil {
			if err := s.from.verify(s, page); err != nil {
				return err
			}
		}
		after, err := s.after(s.place, page)
		if err != nil {
			return err
		}
		yield := s.early() > 0 || n >= share && s.run.queue.crowded()
		if !after.end() && !yield {
			fetched = s.fetch(ctx, d, after)
		}
		fresh := s.sift(d, page)
		next := s.next(page, d.marks, after)
		settle := next.draft(s)
		if err := settle(s.deliver(ctx, page.lines)); err != nil {
			return err
		}
		s.take(next, d.marks, fresh)
		if s.place.end() {
			return nil
		}
		if yield {
			return &pause{s.early()}
		}
	}
}

// early tells how long it is too early for the next call.
func (s *stream) early() time.Duration {
	wait := s.pace.wait(time.Now(), s.run.cfg.Timeout)
	if s.fails.fails > 0 {
		// The last try comes when patience is at an end.
		wait = min(wait, s.run.opts.RetryFor-time.Since(s.fails.since))
	}
	return wait
}

// fetch asks for the page at p and returns a function that waits for it. The
// page lies on the desk until the next but one is fetched.
func (s *stream) fetch(ctx context.Context, d *desk, p place) (wait func() (*sheet, error)) {
	page := d.sheet()
	s.pace.call(time.Now())
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = page.fetch(ctx, s, p)
	}()
	return func() (*sheet, error) { <-done; return page, err }
}

// stumble tells what to do about a page that could not be had: pause and try
// again, or, when it is hopeless or has gone on for too long, fail.
func (s *stream) stumble(err error) error {
	if !duo.Temporary(err) {
		return err
	}
	s.trouble = err
	wait, ok := s.fails.next(s.run.opts.RetryFor, time.Second, time.Minute)
	if api, _ := errors.AsType[*duo.APIError](err); api != nil && api.Limited() {
		s.result.Limited++
		s.pace.refused(time.Now(), api.RetryAfter)
		wait = s.early()
	}
	if !ok {
		return exhausted(s.run.opts.RetryFor, err)
	}
	s.result.Retries++
	s.run.log.Info("trying again", "stream", s.result.Name(), "in", wait.Round(time.Millisecond), "because", err)
	return &pause{wait}
}

// sift takes the lines of records that are delivered already out of the page,
// puts the marks of the others on the desk, and counts these.
func (s *stream) sift(d *desk, page *sheet) (fresh int) {
	d.marks = d.marks[:0]
	clear(d.count)
	at, start, kept, fetched := s.cp.Until, 0, 0, 0
	for i := range page.entries {
		e := &page.entries[i]
		line := page.lines[start:e.end]
		moved := start > kept // lines before this one were taken out
		start = e.end
		if e.at < 0 {
			e.at = at // the best that can be said of a record without a time
		}
		at = e.at
		if at > s.place.todo[0].max {
			// Only an endpoint without maxtime shows what is newer than the window.
			continue
		}
		fetched++
		d.count[e.key]++
		count := d.count[e.key]
		if count > 1 && len(s.row.ID) > 0 {
			continue // the page shows the record twice
		}
		if count <= s.seen[e.key] {
			continue
		}
		fresh++
		if moved {
			copy(page.lines[kept:], line)
		}
		kept += len(line)
		d.mark(state.Mark{At: at, Key: e.key, Count: count})
	}
	page.lines = page.lines[:kept]
	s.result.Fetched += fetched
	s.result.Already += fetched - fresh
	return fresh
}

// move is what a page makes of a stream when it is delivered.
type move struct {
	cp      *state.Checkpoint
	changed bool         // cp is to be written
	gone    []state.Mark // what cp no longer remembers
	held    bool
	high    int64
	place   place
}

// next is the move that a page makes, with the marks of its new records and the
// place after it.
func (s *stream) next(page *sheet, marks []state.Mark, after place) move {
	m := move{cp: s.cp.Clone(), changed: len(marks) > 0 || s.from != nil, high: s.high, place: after}
	m.cp.Add(marks)
	for _, mark := range marks {
		m.high = max(m.high, mark.At)
	}
	m.held = s.held || s.row.Unordered || !page.ascending()
	if drained := len(after.todo) < len(s.place.todo); drained {
		m.held = false
		if s.place.todo[0].reread {
			m.cp.Reread, m.changed = s.place.todo[0].resume, true
		}
	}
	if !m.held && m.high > m.cp.Until {
		m.cp.Until, m.changed = m.high, true
		m.gone = m.cp.Forget(m.cp.Until - s.run.cfg.Overlap.Milliseconds())
	}
	if after.end() && (m.changed || s.run.end-m.cp.Looked > looked.Milliseconds()) {
		m.cp.Looked, m.changed = s.run.end, true
	}
	return m
}

// draft begins to write the checkpoint of the move, if it has to be written.
func (m *move) draft(s *stream) (settle func(delivered error) error) {
	if !m.changed {
		return func(delivered error) error { return delivered }
	}
	return s.run.draft(s.id, m.cp)
}

// take makes the move: the page is delivered, and the checkpoint says so.
func (s *stream) take(m move, marks []state.Mark, fresh int) {
	for _, mark := range marks {
		s.seen[mark.Key] = mark.Count
	}
	for _, mark := range m.gone {
		delete(s.seen, mark.Key)
	}
	s.cp, s.held, s.high, s.place = m.cp, m.held, m.high, m.place
	if s.from != nil {
		s.from.done(s)
		s.from = nil
	}
	s.result.Delivered += fresh
	s.result.Until = time.UnixMilli(s.cp.Until).UTC()
	s.run.opts.Progress.delivered(s, fresh, s.high)
}
