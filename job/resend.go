package job

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dls/job/audit"
	"dls/job/config"
	"dls/state"
)

// The bounds of what is sent again in one go.
const (
	resendRecords = 1000
	resendBytes   = 1 << 20
)

// resend delivers the missing records to one server, confirmed as a run does it.
func (e *examination) resend(ctx context.Context, result *audit.Result) (*Summary, error) {
	server := slices.IndexFunc(e.cfg.Servers, func(s config.Server) bool { return s.ID == e.opts.Resend })
	own := *e.cfg
	own.Checkpointing, own.Routes = false, nil
	for _, route := range e.cfg.Routes {
		own.Routes = append(own.Routes, config.Route{Endpoint: route.Endpoint, Servers: []int{server}})
	}
	opts := e.opts.Options
	opts.Progress = nil
	late, cancel := grace(ctx, opts.Grace)
	defer cancel()
	r, err := prepare(late, &own, opts)
	if err != nil {
		return nil, err
	}
	defer r.client.Close()
	if r.store != nil {
		defer r.store.Close()
	}
	r.end = e.run.end
	r.equip(nil)

	sum := &Summary{Start: r.start, WindowEnd: time.UnixMilli(r.end).UTC()}
	var lines sync.Mutex // the spool is read by one at a time
	var sending errgroup.Group
	sending.SetLimit(r.opts.Parallel)
	send := func(number int, missing []audit.Missing) {
		of := e.streams[number]
		s := r.stream(account{id: of.id.Account, host: of.host, name: of.result.AccountName},
			own.Routes[slices.IndexFunc(own.Routes, func(route config.Route) bool { return route.Endpoint == of.row })])
		sum.Results = append(sum.Results, &s.result)
		sending.Go(func() error {
			s.result.Err = s.redeliver(ctx, &state.Checkpoint{}, state.Progress{DeliveredUntil: r.end}, func(from int) (*page, error) {
				lines.Lock()
				defer lines.Unlock()
				p := new(page)
				for _, m := range missing[from:] {
					line, err := e.spool.Line(m.Page, m.Line)
					if err != nil {
						return nil, err
					}
					p.bytes = append(p.bytes, line...)
					p.times = append(p.times, m.At)
					p.marks = append(p.marks, state.Mark{Count: 1})
					if len(p.marks) == resendRecords || len(p.bytes) >= resendBytes {
						break
					}
				}
				return p, nil
			})
			return nil
		})
	}
	var missing []audit.Missing
	err = result.Each(func(m audit.Missing) error {
		if n := len(missing); n > 0 && missing[n-1].Stream != m.Stream {
			send(missing[n-1].Stream, missing)
			missing = nil
		}
		missing = append(missing, m)
		return nil
	})
	if n := len(missing); n > 0 && err == nil {
		send(missing[n-1].Stream, missing)
	}
	_ = sending.Wait() // failures are in the results
	for _, g := range r.groups {
		if g != nil {
			g.Close()
		}
	}
	sum.End = time.Now()
	sum.sort()
	return sum, err
}

// redeliver delivers pages that are at hand to the stream's servers, and returns when
// they are confirmed. next returns the page that begins with the record of that number,
// without records when there are no more. The checkpoint takes their marks and the
// progress; it is saved where the run saves any.
func (s *stream) redeliver(ctx context.Context, cp *state.Checkpoint, progress state.Progress, next func(from int) (*page, error)) error {
	s.began = time.Now()
	s.cp = cp
	for _, l := range s.lanes {
		l.group = s.run.groups[l.server]
	}
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
			s.flight.tokens = append(s.flight.tokens, l.group.Expect())
		}
	}
}
