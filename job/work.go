package job

import (
	"context"
	"sync"
	"time"

	"dls/job/duo"
	"dls/job/feed"
	"dls/job/limiter"
	"dls/job/retry"
	"dls/sinks"
	"dls/state"
)

// work makes the streams and works on them until all are done.
func (r *run) work(ctx context.Context) (*Summary, error) {
	late, cancel := grace(ctx, r.opts.Grace)
	defer cancel()
	if r.opts.MaxRuntime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.opts.MaxRuntime, ErrMaxRuntime)
		defer cancel()
	}
	streams, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	r.equip(late, streams)
	r.opts.Progress.begin(len(streams), r.end)
	r.turns(ctx, streams)
	for _, g := range r.groups {
		if g != nil {
			g.Close()
		}
	}

	sum := &Summary{Start: r.start, End: time.Now(), WindowEnd: time.UnixMilli(r.end).UTC()}
	for _, s := range streams {
		sum.Results = append(sum.Results, &s.result)
	}
	sum.sort()
	if r.opts.DryRun {
		return sum, nil
	}
	r.remember(ctx, sum)
	for _, result := range sum.Results {
		if !result.Idle() {
			r.log.Info(result.String(), "stream", result.Name())
		}
	}
	return sum, nil
}

// equip makes what streams share while they are worked on.
func (r *run) equip(late context.Context, streams []*stream) {
	r.late = late
	r.memory = feed.NewMemory()
	r.groups = make([]*sinks.Group, len(r.servers))
	for i, sink := range r.servers {
		if sink != nil {
			r.groups[i] = sinks.NewGroup(late, sink)
		}
	}
	r.limits = map[*duo.Endpoint]*limiter.Group{}
	r.slots = make(chan *slot, r.opts.Parallel)
	for range r.opts.Parallel {
		r.slots <- new(slot)
	}
	for _, s := range streams {
		if r.limits[s.row] == nil {
			r.limits[s.row] = limiter.New(r.cfg.Timeout)
		}
	}
}

// start gives a stream what it works with.
func (s *stream) start() {
	r := s.run
	for _, l := range s.lanes {
		l.group = r.groups[l.server]
	}
	s.feed = feed.New(feed.Options{
		Source: r.client, Limiter: r.limits[s.row].Account(), Waiter: s, Memory: r.memory,
		Backoff: &retry.Backoff{Limit: r.opts.RetryFor, Least: time.Second, Most: time.Minute},
		Row:     s.row, Host: s.host, Account: s.id.Account, Log: r.log.With("stream", s.result.Name()), Stats: &s.stats,
	})
}

// turns gives each stream its turn, as many at a time as there are slots. A stream that
// has to wait gives its slot to others.
func (r *run) turns(ctx context.Context, streams []*stream) {
	var working sync.WaitGroup
	defer working.Wait()
	begun := r.notebook(len(streams))
	defer begun.write()
	// Streams that have not begun may have pages: sessions stay open for them.
	var expected []func()
	for _, g := range r.groups {
		if g != nil {
			expected = append(expected, g.Expect())
		}
	}
	defer func() {
		for _, done := range expected {
			done()
		}
	}()
	for i, s := range streams {
		r.queued.Store(int64(len(streams) - i))
		slot := begun.wait(r.slots)
		begun.note(s.id)
		s.start()
		working.Go(func() { s.work(ctx, slot) })
	}
	r.queued.Store(0)
}

// crowded tells whether streams wait for a slot.
func (r *run) crowded() bool { return r.queued.Load() > 0 }

// gaveUp tells whether a stream has given the server up, after it waited for it as long
// as it may.
func (r *run) gaveUp(server int) bool { _, down := r.down.Load(server); return down }

func (r *run) giveUp(server int) { r.down.Store(server, true) }

// notebook notes which streams had their turn: seldom, and soon enough that a run that
// is killed leaves it known.
type notebook struct {
	run   *run
	turns map[string]time.Time // nil where the order does not matter
	every time.Duration
	next  *time.Timer
	dirty bool
}

// notebook returns a notebook for so many streams.
func (r *run) notebook(streams int) *notebook {
	n := &notebook{run: r, every: time.Second, next: time.NewTimer(time.Second)}
	if r.saves() && streams > r.opts.Parallel {
		n.turns = r.turned
	}
	return n
}

// wait waits for a slot, and writes what is noted when it is time to.
func (n *notebook) wait(slots chan *slot) *slot {
	for {
		select {
		case s := <-slots:
			return s
		case <-n.next.C:
			n.write()
			n.every = min(2*n.every, 16*time.Second)
			n.next.Reset(n.every)
		}
	}
}

// note notes that the turn of a stream begins.
func (n *notebook) note(id state.ID) {
	if n.turns != nil {
		n.turns[id.File()], n.dirty = time.Now(), true
	}
}

// write writes what is noted.
func (n *notebook) write() {
	if !n.dirty {
		return
	}
	n.dirty = false
	if err := n.run.store.SaveTurns(n.run.opts.Shard.suffix(), n.run.cfg.Account.IKey, n.turns); err != nil {
		n.run.log.Warn(err.Error(), "hint", Hint(err))
	}
}

// grace returns a context that ends d after ctx does.
func grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(late, func() { t.Stop() })
	})
	return late, func() { stop(); cancel(nil) }
}
