package job

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"dls/cef"
	"dls/job/duo"
	"dls/job/legacy"
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
	row   *duo.Endpoint
	id    state.ID
	host  string         // the API host on which the account lives
	extra []record.Extra // the members that duologsync adds
	sinks []sinks.Sink   // all must confirm

	from    *legacy.Takeover // duologsync's checkpoint, until the stream has one of its own
	fields  []string         // the members of a record that are looked at: ids, then times
	mapping *cef.Mapping     // nil where lines are JSON

	cp      *state.Checkpoint // nil until the first turn
	seen    map[state.Key]int // how many records of each key are delivered, or in the page under way
	place   place             // where the next page begins
	held    bool              // records came out of order: the checkpoint waits for the end of the segment
	high    int64             // the latest record delivered
	fresh   bool              // cp is not saved yet: it waits for Duo's first answer
	began   time.Time         // when the first turn did
	odd     int               // how many new records told no time that could be theirs
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
	if s.began.IsZero() {
		s.began = time.Now()
	}
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
	s.result.Duration = time.Since(s.began)
	s.result.Retries += int(s.retries.Load())
	s.result.Oversize = int(s.oversize.Load())
	if s.odd > 0 {
		s.run.log.Warn(counted(s.odd, "new record tells", "new records tell")+" no time, or one outside the time asked for, and cannot move the checkpoint", "stream", s.result.Name())
	}
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
	} else if err == nil && s.run.cfg.Checkpointing {
		err = legacy.Newer(s.run.dir, s.id, time.UnixMilli(max(cp.Until, cp.Looked)), s.run.start)
	}
	if err != nil {
		return err
	}
	if cp == nil {
		cp = s.begin()
	}
	s.seen = make(map[state.Key]int, len(cp.Delivered))
	for _, m := range cp.Delivered {
		s.seen[m.Key] = m.Count
	}
	s.cp, s.high = cp, cp.Until
	if !s.fresh {
		s.result.Until = time.UnixMilli(cp.Until).UTC()
	}
	if s.place, err = s.window(); err == nil && s.place.end() {
		err = s.settle() // there is nothing to ask Duo for
	}
	return err
}

// begin makes the checkpoint of a stream that has none. It is saved before
// anything is delivered, so that the window begins where it was first meant to,
// however many runs it takes to deliver the first page; but not before Duo has
// answered, which it does only where the clock is right.
func (s *stream) begin() *state.Checkpoint {
	from := max(s.run.start.Add(-s.run.cfg.Offset).UnixMilli(), s.run.oldest())
	from -= from % s.unit()
	s.fresh = true
	return &state.Checkpoint{From: from, Until: from}
}

// settle saves the checkpoint of a stream that had none.
func (s *stream) settle() error {
	if !s.fresh {
		return nil
	}
	s.fresh = false
	return s.run.save(s.id, s.cp)
}

// unit is the unit of the endpoint's mintime, in milliseconds.
func (s *stream) unit() int64 { return s.row.AskUnit.Duration().Milliseconds() }

// work fetches, delivers and confirms page after page, at the pace that Duo
// allows. While a page is being worked on the next one is fetched, never more.
func (s *stream) work(ctx context.Context, d *desk) error {
	if wait := s.early(); wait > 0 {
		return &pause{wait}
	}
	ctx, cancel := context.WithCancel(ctx)
	fetched := s.fetch(ctx, d, s.place)
	// The desk is another stream's when the turn ends: leave no fetch behind.
	defer func() { cancel(); fetched() }()
	page := &d.page
	for n := 1; ; n++ {
		answer, err := fetched()
		if err != nil {
			return s.stumble(ctx, err)
		}
		paced := s.pace
		s.pace.answered(time.Now())
		// Not early: patience is at an end only if the answer cannot be read, either.
		yield := s.pace.wait(time.Now(), s.run.cfg.Timeout) > 0 || n >= share && s.run.queue.crowded()
		foreseen, asked := s.foresee(answer)
		asked = asked && !yield
		if asked {
			fetched = s.fetch(ctx, d, foreseen)
		}
		if err := page.read(s, answer); err != nil {
			s.pace = paced // it was no answer
			return s.stumble(ctx, err)
		}
		s.result.Pages++
		s.fails, s.trouble = patience{}, nil
		s.reached(s.place, answer.mintime)
		if err := s.settle(); err != nil {
			return err
		}
		if s.from != nil {
			if again, err := s.verify(page); err != nil {
				return err
			} else if again {
				return &pause{s.early()}
			}
		}
		after, stuck := s.after(s.place, page)
		switch {
		case stuck != nil:
			after = s.place
		case asked:
			yield = !after.same(foreseen) // and what was asked for is left where it is
		case !after.end() && !yield:
			fetched = s.fetch(ctx, d, after)
		}
		fresh := s.sift(d, page)
		if stuck != nil && 0 <= page.begins() && page.begins() < s.cp.Known {
			return stuck // the page shows again what is delivered and no longer remembered
		}
		next := s.advance(page, d.marks, after)
		conclude, err := next.draft(s)
		if err != nil {
			return err
		}
		if err := conclude(s.deliver(ctx, page.lines)); err != nil {
			return err
		}
		s.take(next, fresh)
		if stuck != nil {
			return stuck
		}
		if s.place.end() {
			return nil
		}
		if yield {
			return &pause{s.early()}
		}
	}
}

// foresee tells where the next page begins before the one that came is read, so
// that Duo has work meanwhile. ok is false where it cannot be told, where there may
// be no next page, and where a call could turn out to be in vain.
func (s *stream) foresee(a *answer) (p place, ok bool) {
	if s.row.Cursor != duo.NextOffset || s.from != nil {
		return place{}, false
	}
	next, total := duo.Foresee(s.row, a.body)
	p = s.place
	p.cursor = next
	return p, next != "" && next != s.place.cursor && s.place.read+s.row.Limit < total
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

// fetch asks for the page at p and returns a function that waits for the answer.
// It lies on the desk until the next but one is fetched.
func (s *stream) fetch(ctx context.Context, d *desk, p place) (wait func() (*answer, error)) {
	a := d.answer()
	a.mintime, a.sought = s.mintime(p), ""
	if s.from != nil {
		a.sought = s.from.ID
	}
	params := s.params(p, a.mintime)
	s.pace.call(time.Now())
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		var body []byte
		if body, err = s.run.client.Get(ctx, s.host, s.row.Path, params, a.body); err == nil {
			a.body = body // else its memory is kept for the next try
		}
	}()
	return func() (*answer, error) { <-done; return a, err }
}

// stumble tells what to do about a page that could not be had: pause and try
// again, or, when it is hopeless or has gone on for too long, fail.
func (s *stream) stumble(ctx context.Context, err error) error {
	if ctx.Err() != nil || !duo.Temporary(err) {
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

// sift takes the lines of records that are delivered already, or stand earlier in
// the page, out of it, puts the marks of the others on the desk, and counts these.
// They are seen from now on: if their delivery fails, so does the stream.
func (s *stream) sift(d *desk, page *page) (fresh int) {
	d.marks = d.marks[:0]
	clear(d.count)
	segment := s.place.todo[0]
	// Where Duo found a record and its text tells no time, or another, all that can
	// be said is that it is no later than the last one of the page.
	last := min(s.high, segment.max)
	for i := range page.entries {
		e := &page.entries[i]
		if e.odd = e.at < segment.min || e.at > segment.max; !e.odd {
			last = max(last, e.at)
		}
	}
	at, start, kept, fetched := int64(-1), 0, 0, 0
	for i := range page.entries {
		e := &page.entries[i]
		line := page.lines[start:e.end]
		moved := start > kept // lines before this one were taken out
		start = e.end
		if e.at > segment.max && s.row.Cursor == duo.Mintime {
			continue // without a maxtime Duo shows what is newer than the window, too
		}
		switch {
		case e.odd:
			at = last
		case s.row.Unordered:
			at = e.at
		default:
			// A mark is kept for as long as Duo may show its record again: a text that
			// reads earlier than the record before it is not believed.
			at = max(at, e.at)
		}
		fetched++
		count := 1
		if e.counted {
			d.count[e.key]++
			count = d.count[e.key]
		}
		if count <= s.seen[e.key] {
			continue
		}
		s.seen[e.key] = count
		fresh++
		if e.odd {
			s.odd++
		}
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
	changed bool // the checkpoint is to be written
	held    bool
	high    int64
	place   place
}

// advance returns the move that a page makes, with the marks of its new records
// and the place after it. It changes cp and seen at once, ahead of the delivery: an
// error from here on must end the stream, and what is on disk counts.
func (s *stream) advance(page *page, marks []state.Mark, after place) move {
	cp, m := s.cp, move{changed: len(marks) > 0 || s.from != nil, high: s.high, place: after}
	cp.Add(marks)
	for _, mark := range marks {
		m.high = max(m.high, mark.At)
	}
	switch {
	case s.row.Unordered || !page.ascending():
		m.held = true
	default:
		// What follows a page that was out of order may be in order again.
		m.held = s.held && page.begins() < s.high
	}
	if drained := len(after.todo) < len(s.place.todo); drained {
		m.held = false
		if s.place.todo[0].reread {
			cp.Reread, m.changed = s.place.todo[0].resume, true
		}
	}
	if !m.held && m.high > cp.Until {
		cp.Until, m.changed = m.high, true
		for _, mark := range cp.Forget(cp.Until - s.run.cfg.Overlap.Milliseconds()) {
			delete(s.seen, mark.Key)
		}
	}
	if after.end() && (m.changed || s.run.end-cp.Looked > looked.Milliseconds()) {
		cp.Looked, m.changed = s.run.end, true
	}
	return m
}

// draft begins to write the checkpoint of the move, if it has to be written. Of
// the first page of a run it waits for that: a full disk shows before anything is
// sent.
func (m *move) draft(s *stream) (conclude func(delivered error) error, err error) {
	if !m.changed {
		return func(delivered error) error { return delivered }, nil
	}
	return s.run.draft(s.id, s.cp, s.result.Delivered == 0)
}

// take makes the move: the page is delivered, and the checkpoint says so.
func (s *stream) take(m move, fresh int) {
	s.held, s.high, s.place = m.held, m.high, m.place
	if s.from != nil {
		s.from.Done(s.run.log.With("stream", s.result.Name()))
		s.from = nil
	}
	s.result.Delivered += fresh
	s.result.Until = time.UnixMilli(s.cp.Until).UTC()
	s.run.opts.Progress.delivered(s, fresh, s.high)
}
