package job

import (
	"time"

	"dls/job/duo"
	"dls/job/window"
	"dls/state"
)

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
	from := max(s.run.start.Add(-s.run.cfg.Offset-s.run.before).UnixMilli(), window.Oldest(s.run.start))
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
	r := window.Rules{Unit: s.unit(), Limit: s.endpoint.Limit, Bounded: s.run.bounded}
	switch s.endpoint.Cursor {
	case duo.Offset:
		r.Paging = window.Opaque
	case duo.Mintime:
		r.Paging = window.Earliest
	}
	return r
}
