package job

import (
	"bytes"
	"slices"

	"golang.org/x/sync/errgroup"

	"dls/sinks"
	"dls/state"
)

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
			if err := l.to.group.Prove(s.run.late); err != nil {
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
		batch, out[i].records = fit(batch, l.to.group.Sink().MaxRecord())
		refused, r, err := l.to.group.Send(s.run.late, batch, l.limit)
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
