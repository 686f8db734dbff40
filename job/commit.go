package job

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"dls/state"
)

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
				l.to.fickle.Store(true)
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
	lost, err := s.cp.Ledger.Close(s.run.store, s.id, before, s.cp.DeliveredUntil)
	switch {
	case err != nil:
		s.once("ledger", err.Error()+"; the checkpoint holds what the ledger would")
	case lost != 0:
		s.once("ledger", fmt.Sprintf("the ledger %q was lost or is another's: dls audit without files knows from %s on only", s.run.store.Path(s.id.LedgerFile()), text(lost)))
	}
}

// commits makes checkpoints count. Those that become due while others are being
// committed go together, in one step of the store. It is safe for concurrent use.
type commits struct {
	store state.Store

	mu      sync.Mutex
	busy    bool
	waiting []*queued
}

// queued is a checkpoint that waits to be committed.
type queued struct {
	staged state.Staged
	done   chan struct{}
	lead   bool // its owner commits the next ones
	err    error
}

// commit makes a checkpoint count. When it returns an error the checkpoint is the old
// one or the new one, whole.
func (c *commits) commit(staged state.Staged) error {
	d := &queued{staged: staged, done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, d)
	if c.busy {
		c.mu.Unlock()
		<-d.done // the disk is at work, for this one or for the one before
		if !d.lead {
			return d.err
		}
		c.mu.Lock()
	}
	c.busy = true
	together := c.waiting
	c.waiting = nil
	c.mu.Unlock()

	all := make([]state.Staged, len(together))
	for i, o := range together {
		all[i] = o.staged
	}
	errs := c.store.Commit(all)

	c.mu.Lock()
	c.busy = len(c.waiting) > 0
	if c.busy {
		c.waiting[0].lead = true
		close(c.waiting[0].done)
	}
	c.mu.Unlock()
	for i, o := range together {
		o.err = errs[i]
		if o != d {
			close(o.done)
		}
	}
	return d.err
}
