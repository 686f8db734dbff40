package job

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"dls/job/config"
	"dls/state"
)

// The bounds of what is sent again in one go.
const (
	resendRecords = 1000
	resendBytes   = 1 << 20
	// resendList is how many records of a stream are listed, and confirmed, before the next.
	resendList = 1 << 16
)

// again is one record that is sent again: where its line is kept, and what it makes of
// the checkpoint where it is to count there, else nil.
type again struct {
	stream, page, line int32
	at                 int64
	note               *note
}

// note is what a record makes of its stream's checkpoint.
type note struct {
	mark  state.Mark
	tally state.Tally
}

// resend delivers records again, confirmed as a run does it: to the server that the
// options name, or to all to which they are mapped. each calls its argument with the
// records, those of a stream together.
func (e *examination) resend(ctx context.Context, each func(func(again) error) error) (*Summary, error) {
	own := *e.cfg
	own.Checkpointing = e.ledgers != nil
	if e.opts.Resend != "" {
		server := slices.IndexFunc(e.cfg.Servers, func(s config.Server) bool { return s.ID == e.opts.Resend })
		own.Routes = nil
		for _, route := range e.cfg.Routes {
			own.Routes = append(own.Routes, config.Route{Endpoint: route.Endpoint, Servers: []int{server}})
		}
	}
	opts := e.opts.Options
	opts.Progress = nil
	if e.store != nil {
		opts.hooks.store = func(*config.Config) (state.Store, error) { return e.store, nil }
	}
	late, cancel := grace(ctx, opts.Grace)
	defer cancel()
	r, err := prepare(late, &own, opts)
	if err != nil {
		return nil, err
	}
	defer r.client.Close()
	if r.store != nil && r.store != e.store {
		defer r.store.Close()
	}
	r.end, r.rest = e.run.end, "what is missing was not all sent: audit again"
	r.equip(nil)

	sum := &Summary{Start: r.start, WindowEnd: time.UnixMilli(r.end).UTC()}
	var sending errgroup.Group
	sending.SetLimit(r.opts.Parallel)
	var list []again
	var s *stream // whose records are listed
	var deliver func(records []again)
	begin := func(of *stream) {
		s = r.stream(account{id: of.id.Account, host: of.host, name: of.result.AccountName},
			own.Routes[slices.IndexFunc(own.Routes, func(route config.Route) bool { return route.Endpoint == of.endpoint })])
		sum.Results = append(sum.Results, &s.result)
		cp, progress := &state.Checkpoint{}, state.Progress{DeliveredUntil: r.end}
		if l := e.ledgers[of]; l != nil {
			cp, progress = l.cp, l.cp.Progress
		}
		s := s
		deliver = func(records []again) {
			if s.result.Err == nil {
				s.result.Err = s.redeliver(ctx, cp, progress, func(from int) (*page, error) { return e.pageOf(records[from:]) })
			}
		}
	}
	send := func() {
		if len(list) > 0 {
			deliver, records := deliver, list
			sending.Go(func() error { deliver(records); return nil })
		}
		list = nil
	}
	of := int32(-1)
	err = each(func(a again) error {
		if of != a.stream {
			send()
			of = a.stream
			begin(e.streams[of])
		}
		if len(list) == cmp.Or(opts.hooks.list, resendList) { // more than that are not kept in memory
			deliver(list)
			list = list[:0]
		}
		list = append(list, a)
		return nil
	})
	if err == nil {
		send()
	}
	_ = sending.Wait() // failures are in the results
	r.hangUp()
	sum.End = time.Now()
	sum.sort()
	return sum, err
}

// pageOf makes a page of the first of the records.
func (e *examination) pageOf(records []again) (*page, error) {
	e.mu.Lock() // the spool is read by one at a time
	defer e.mu.Unlock()
	p := new(page)
	for _, a := range records {
		line, err := e.spool.Line(int(a.page), int(a.line))
		if err != nil {
			return nil, err
		}
		p.bytes = append(p.bytes, line...)
		p.times = append(p.times, a.at)
		mark := state.Mark{Count: 1} // it is forgotten at once
		if a.note != nil {
			mark = a.note.mark
			p.tally.Merge(a.note.tally)
		}
		p.marks = append(p.marks, mark)
		if len(p.marks) == resendRecords || len(p.bytes) >= resendBytes {
			break
		}
	}
	return p, nil
}

// redeliver delivers pages that are at hand to the stream's servers, and returns when
// they are confirmed. next returns the page that begins with the record of that number,
// without records when there are no more. The checkpoint takes their marks and the
// progress; it is saved where the run saves any.
func (s *stream) redeliver(ctx context.Context, cp *state.Checkpoint, progress state.Progress, next func(from int) (*page, error)) error {
	if s.lines == nil {
		s.began = time.Now()
		s.outfit()
	}
	s.cp = cp
	before := s.result.Delivered
	pages := func() error {
		defer s.flight.drop()
		for n := s.result.Delivered - before; ; {
			if ctx.Err() != nil {
				return cmp.Or(s.settle(), context.Cause(ctx))
			}
			p, err := next(n)
			if err != nil {
				return err
			}
			if len(p.marks) == 0 {
				break
			}
			s.expect()
			if err := s.deliver(p, progress, true); err != nil {
				return err
			}
			n += len(p.marks)
			if err := s.commit(); err != nil {
				return err
			}
		}
		return s.settle()
	}
	for {
		err := pages()
		if failed, again := errors.AsType[*laneError](err); again {
			if err = s.recover(ctx, failed); err == nil {
				continue
			}
		}
		if err != nil && ctx.Err() != nil {
			err = s.cut(context.Cause(ctx), err)
		}
		s.result.Duration = time.Since(s.began)
		return err
	}
}

// expect tells the stream's servers that a page is on its way.
func (s *stream) expect() {
	if s.flight.tokens == nil {
		for _, l := range s.lanes {
			s.flight.tokens = append(s.flight.tokens, l.to.group.Expect())
		}
	}
}
