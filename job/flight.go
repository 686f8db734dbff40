package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dls/job/config"
	"dls/sinks"
	"dls/state"
)

// flight is the pages of a stream that were handed over to sessions and do not count
// yet, in order. A page counts only when those before it do.
type flight struct {
	pages  []sent
	staged state.Staged // the checkpoint with the first page of the run alone, or nil
	tokens []func()     // tell the servers that no page is on its way any more
}

// sent is a page that was handed over: what it makes of the checkpoint once it counts.
type sent struct {
	receipts []receipt
	progress state.Progress
	marks    []state.Mark
	tally    state.Tally
	write    bool // the checkpoint is to be written
	kept     []kept
	untimed  int
	changed  int
	bytes    int
	longest  int
}

// receipt is what a session gave for a page.
type receipt struct {
	sinks.Receipt
	lane *lane
}

// kept is the records of a page that one server does not take.
type kept struct {
	lane    *lane
	records [][]byte
	reason  string // why, where the server says so
}

// drop forgets all pages that do not count: they are sent again.
func (f *flight) drop() {
	f.pages = nil
	f.unstage()
	f.land()
}

func (f *flight) unstage() {
	if f.staged != nil {
		f.staged.Discard()
		f.staged = nil
	}
}

// land tells the servers that no page is on its way.
func (f *flight) land() {
	for _, done := range f.tokens {
		done()
	}
	f.tokens = nil
}

// undecided is the session that the first page which does not count waits for, or
// nil.
func (f *flight) undecided() <-chan struct{} {
	for _, p := range f.pages {
		for _, r := range p.receipts {
			select {
			case <-r.Done():
			default:
				return r.Done()
			}
		}
	}
	return nil
}

// decided returns how many pages, from the first on, count, and why the one after them
// does not, if that is known.
func (f *flight) decided() (n int, failed *laneError) {
	for _, p := range f.pages {
		for _, r := range p.receipts {
			select {
			case <-r.Done():
			default:
				return n, nil
			}
		}
		for _, r := range p.receipts {
			if err := r.Err(); err != nil {
				return n, &laneError{r.lane, err}
			}
		}
		n++
	}
	return n, nil
}

// lane is one stream's way to a server.
type lane struct {
	server int // its index in the configuration
	group  *sinks.Group
	bare   bool // lines of CEF go without their syslog prefix
	limit  int  // the most pages of a session that takes this stream's, 0 for no limit
	alone  int  // how often a page failed that had a session to itself
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

// keepError is a record that could neither be sent nor kept.
type keepError struct{ error }

func (e *keepError) Unwrap() error { return e.error }

// deliver hands the page over to a session of each of the stream's servers. What is
// confirmed, and when, shows in commit.
func (s *stream) deliver(page *page, next state.Progress, write bool) error {
	sent := sent{
		progress: next, marks: slices.Clone(page.marks), tally: page.tally, write: write || len(page.marks) > 0 || s.from != nil,
		untimed: page.untimed, changed: page.changed, bytes: len(page.bytes), longest: page.longest,
	}
	if s.run.collect != nil {
		if err := s.run.collect(s, page); err != nil {
			return err
		}
	} else if len(page.bytes) > 0 {
		if err := s.ready(sent); err != nil {
			return err
		}
		if err := s.send(page, &sent); err != nil {
			return err
		}
	}
	s.flight.pages = append(s.flight.pages, sent)
	if slices.ContainsFunc(s.lanes, func(l *lane) bool { return l.limit > 0 }) {
		s.release()       // others of its lot need the slot to get into the same session
		return s.settle() // a page under suspicion goes alone
	}
	return nil
}

// ready makes sure, before a stream's first page of a run is sent, that the checkpoint
// can be written, and that a page for several servers reaches all of them.
func (s *stream) ready(first sent) error {
	if s.result.Delivered > 0 || len(s.flight.pages) > 0 || s.flight.staged != nil {
		return nil
	}
	if s.run.saves() {
		staged, err := s.run.store.Stage(s.id, s.cp.With(first.progress, first.marks, first.tally, s.since(first.progress)))
		if err != nil {
			return err
		}
		s.flight.staged = staged
	}
	if len(s.lanes) > 1 {
		for _, l := range s.lanes {
			if err := l.group.Prove(s.run.late); err != nil {
				return s.lane(l, err)
			}
		}
	}
	return nil
}

// send sends the page to each server and fills in the receipts.
func (s *stream) send(page *page, sent *sent) error {
	sent.receipts = make([]receipt, len(s.lanes))
	out := make([]kept, len(s.lanes))
	one := func(i int) error {
		l := s.lanes[i]
		batch := sinks.Batch{Endpoint: s.endpoint.Name, Lines: page.bytes, Times: page.times}
		out[i].lane = l
		if l.bare {
			batch = bare(batch)
		}
		batch, out[i].records = fit(batch, l.group.Sink().MaxRecord())
		refused, r, err := l.group.Send(s.run.late, batch, l.limit)
		if err != nil {
			return s.lane(l, err)
		}
		for _, r := range refused {
			out[i].records = append(out[i].records, bytes.Clone(lineAt(batch.Lines, r.Index)))
			out[i].reason = r.Reason
		}
		sent.receipts[i] = receipt{r, l}
		return nil
	}
	var g errgroup.Group
	for i := range s.lanes[1:] {
		g.Go(func() error { return one(i + 1) })
	}
	err := one(0)
	if other := g.Wait(); err == nil {
		err = other
	}
	for _, k := range out {
		if len(k.records) > 0 {
			sent.kept = append(sent.kept, k)
		}
	}
	return err
}

// lane is the error of a lane.
func (s *stream) lane(l *lane, err error) error {
	if session, ok := errors.AsType[*sinks.SessionError](err); ok {
		return &laneError{l, session}
	}
	return err
}

// fit takes the records that are longer than most out of a batch; 0 is no limit.
func fit(b sinks.Batch, most int) (fitting sinks.Batch, long [][]byte) {
	if most <= 0 {
		return b, nil
	}
	i := 0
	for line := range bytes.Lines(b.Lines) {
		if len(line)-1 > most {
			long = append(long, bytes.Clone(line))
		}
	}
	if long == nil {
		return b, nil
	}
	fitting = sinks.Batch{Endpoint: b.Endpoint}
	for line := range bytes.Lines(b.Lines) {
		if len(line)-1 <= most {
			fitting.Lines = append(fitting.Lines, line...)
			if b.Times != nil {
				fitting.Times = append(fitting.Times, b.Times[i])
			}
		}
		i++
	}
	return fitting, long
}

// lineAt is the line of an index.
func lineAt(lines []byte, index int) []byte {
	for line := range bytes.Lines(lines) {
		if index == 0 {
			return line
		}
		index--
	}
	return nil
}

// settle waits until all that was handed over is decided, and commits it.
func (s *stream) settle() error {
	s.flight.land()
	for {
		undecided := s.flight.undecided() // before the commit: what is decided after it waits for the next
		if err := s.commit(); err != nil {
			return err
		}
		if undecided == nil {
			return nil
		}
		<-undecided // every session ends, at the latest with the run
	}
}

// commit makes count what is confirmed by now, as far as it is an unbroken row of
// pages. A *laneError is a session that failed: what it carried, and what came after,
// must be sent again.
func (s *stream) commit() error {
	n, failed := s.flight.decided()
	if n > 0 {
		for i := range n {
			if err := s.keep(&s.flight.pages[i]); err != nil {
				return err
			}
		}
		// They are counted once, whatever becomes of the checkpoint.
		pages := slices.Clone(s.flight.pages[:n])
		s.flight.pages = slices.Delete(s.flight.pages, 0, n)
		if err := s.count(pages, n == 1); err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	return nil
}

// count makes the pages count: they are part of the checkpoint from now on.
func (s *stream) count(pages []sent, one bool) error {
	fresh, write := 0, false
	for _, p := range pages {
		fresh += len(p.marks)
		write = write || p.write
	}
	// One after the other: what is delivered would else hold the marks of all of them.
	for _, p := range pages {
		s.cp.Delivered.Add(p.marks)
		s.cp.Ledger.Add(p.tally)
		s.result.Changed += p.changed
		s.result.Untimed += p.untimed
		s.result.Bytes += int64(p.bytes)
		s.result.Longest = max(s.result.Longest, p.longest)
		s.cp.Progress = p.progress
		forgotten := s.cp.Delivered.Forget(s.since(p.progress))
		if s.reading != nil {
			s.reading.Forget(forgotten)
		}
	}
	if forgotten := s.cp.Fit(); forgotten != nil {
		s.once("fit", fmt.Sprintf("more records lie in the overlap than a checkpoint remembers: late ones are found from %s on only", text(s.cp.Delivered.RememberedSince())))
		if s.reading != nil {
			s.reading.Forget(forgotten)
		}
	}
	if write {
		if err := s.save(one); err != nil {
			return err
		}
	}
	s.retire()
	s.progressed(fresh)
	return nil
}

// progressed notes that pages count.
func (s *stream) progressed(fresh int) {
	s.lastErr = nil
	if s.feed != nil { // a page that an audit sends again comes from a file
		s.feed.Backoff.Progress()
	}
	if fresh > 0 { // what is known already is no progress: it goes to no server
		s.backoff.Progress()
		for _, l := range s.lanes {
			if l.alone > 0 {
				s.run.fickle.Store(l.server, true)
			}
			l.limit, l.alone = 0, 0
		}
	}
	s.result.Delivered += fresh
	s.result.Until = time.UnixMilli(s.cp.DeliveredUntil).UTC()
	s.run.opts.Progress.delivered(s, fresh, s.cp.DeliveredUntil)
}

// save writes the checkpoint. staged tells that the one that was staged is the one.
func (s *stream) save(staged bool) error {
	if !s.run.saves() {
		return nil
	}
	file := s.flight.staged
	s.flight.staged = nil
	if file != nil && !staged {
		file.Discard()
		file = nil
	}
	if file == nil {
		s.book()
		var err error
		if file, err = s.run.store.Stage(s.id, s.cp); err != nil {
			return err
		}
	}
	err := s.run.commits.commit(file)
	s.kept = s.kept || err == nil
	return err
}

// book puts the hours that are over into the stream's ledger; the checkpoint that is saved
// next makes them count. What cannot be written stays in the checkpoint.
func (s *stream) book() {
	before := s.cp.DeliveredUntil - time.Hour.Milliseconds()
	if s.run.cfg.Audit {
		before = math.MaxInt64 // single records' prints are too many for a checkpoint
	}
	lost, err := s.cp.Ledger.Close(s.run.store, s.id, before)
	switch {
	case err != nil:
		s.once("ledger", err.Error()+"; the checkpoint holds what the ledger would")
	case lost != 0:
		s.once("ledger", fmt.Sprintf("the ledger %q was lost or is another's: dls audit without files knows from %s on only", s.run.store.Path(s.id.LedgerFile()), text(lost)))
	}
}

// keep writes records that a server does not take to a file in the checkpoint
// directory, once.
func (s *stream) keep(p *sent) error {
	for ; len(p.kept) > 0; p.kept = p.kept[1:] {
		k := p.kept[0]
		n := len(k.records)
		if s.run.store == nil {
			return &keepError{fmt.Errorf("the server does not take %s, and there is no checkpoint directory to keep what it does not take", counted(n, "record", "records"))}
		}
		name, datagrams := s.endpoint.Name+"_oversize.ndjson", s.run.cfg.Servers[k.lane.server].Protocol == config.UDP
		what := counted(n, "record is longer than the server takes; it is", "records are longer than the server takes; they are")
		if k.reason != "" {
			what = counted(n, "record that the server does not take", "records that the server does not take") + fmt.Sprintf(" (%s)", k.reason) + map[bool]string{true: " is", false: " are"}[n == 1]
		}
		if datagrams {
			name = s.endpoint.Name + "_udp_failed_ingestion_logs.txt"
			what = counted(n, "record is too long for a datagram; it is", "records are too long for a datagram; they are")
		}
		if err := s.run.store.Append(name, bytes.Join(k.records, nil)); err != nil {
			return &keepError{fmt.Errorf("keep records that the server does not take: %w", err)}
		}
		s.result.Oversize += n
		s.result.Kept = s.result.Kept || !datagrams
		s.run.log.Warn(fmt.Sprintf("%s in %q", what, s.run.store.Path(name)), "stream", s.result.Name())
	}
	return nil
}

// share is how many pages a stream delivers before it lets others have its slot.
const share = 4

// turn makes sure that the stream has a slot, and tells its servers that a page is on
// its way. After some pages it lets others have the slot.
func (s *stream) turn(ctx context.Context) error {
	if s.slot != nil && s.feed.Last {
		s.release()
	}
	if s.slot == nil {
		s.flight.land()
		slot, err := s.run.line.wait(ctx, s)
		if err != nil {
			return err
		}
		s.hold(slot)
	}
	s.pages++
	s.feed.Last = s.pages >= share && s.run.line.crowded()
	s.expect()
	return nil
}

// hold takes a slot, release gives it back.
func (s *stream) hold(slot *slot) {
	s.slot, s.feed.Buffers, s.pages = slot, &slot.Buffers, 0
	slot.page.use(s.lines)
}

func (s *stream) release() {
	if s.slot != nil {
		s.feed.Close()
		s.feed.Buffers = nil
		slot := s.slot
		s.slot = nil
		s.run.line.leave(slot)
	}
}

// Sleep and Await implement [feed.Waiter]: what is confirmed meanwhile is committed.
// Sleep lets others have the slot.
func (s *stream) Sleep(ctx context.Context, d time.Duration) error {
	if err := s.rest(ctx, d); err != nil {
		return err
	}
	return s.turn(ctx)
}

// rest waits for d without a slot.
func (s *stream) rest(ctx context.Context, d time.Duration) error {
	s.release()
	s.flight.land()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-s.flight.undecided():
			if err := s.commit(); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *stream) Await(ctx context.Context, done <-chan struct{}) error {
	for {
		select {
		case <-done:
			return nil
		case <-s.flight.undecided():
			if err := s.commit(); err != nil {
				return err
			}
		}
	}
}
