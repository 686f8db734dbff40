package job

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
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
	if r.opts.MaxRuntime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.opts.MaxRuntime, ErrMaxRuntime)
		defer cancel()
	}
	streams, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	if r.since != nil {
		streams = slices.DeleteFunc(streams, func(s *stream) bool { _, read := r.since(s); return !read })
	}
	r.equip(streams)
	r.opts.Progress.begin(len(streams), r.end)
	r.turns(ctx, streams)
	r.hangUp()

	r.audit(ctx, streams)

	sum := &Summary{Start: r.start, End: time.Now(), WindowEnd: time.UnixMilli(r.end).UTC()}
	for _, s := range streams {
		sum.Results = append(sum.Results, &s.result)
	}
	sum.sort()
	if r.opts.DryRun || r.collect != nil {
		return sum, nil
	}
	r.remember(ctx, sum)
	r.enrol(streams)
	r.watch(sum)
	for _, result := range sum.Results {
		if !result.Idle() {
			r.log.Info(result.String(), "stream", result.Name())
		}
	}
	return sum, nil
}

// equip makes what streams share while they are worked on.
func (r *run) equip(streams []*stream) {
	r.memory = feed.NewMemory()
	for _, to := range r.mapped() {
		to.half, to.group = r.memory.Half(), sinks.NewGroup(r.late, to.sink)
	}
	if r.limits == nil {
		r.limits = map[*duo.Endpoint]*limiter.Group{}
	}
	r.line.open(r.opts.Parallel)
	for _, s := range streams {
		r.line.join(s)
		if r.limits[s.endpoint] == nil {
			r.limits[s.endpoint] = limiter.New(r.cfg.Timeout)
		}
	}
}

// start gives a stream what it works with.
func (s *stream) start() {
	r := s.run
	s.outfit()
	memory := r.memory
	if r.line.shared(s) {
		var halves []*feed.Memory
		for _, i := range slices.Sorted(slices.Values(s.servers)) {
			halves = append(halves, r.servers[i].half)
		}
		memory = feed.Both(halves...)
	}
	s.feed = feed.New(feed.Options{
		Source: r.client, Limiter: r.limits[s.endpoint].Account(), Waiter: s, Memory: memory,
		Backoff: &retry.Backoff{Limit: r.opts.RetryFor, Least: time.Second, Most: time.Minute},
		Row:     s.endpoint, Host: s.host, Account: s.id.Account, Name: s.result.Name(), Log: r.log, Stats: &s.stats,
	})
}

// done lets go of what the stream worked with: with ten thousands of streams, the first
// ones are done long before the last.
func (s *stream) done() {
	s.cp, s.reading, s.feed, s.lines, s.lanes, s.warned, s.from = nil, nil, nil, nil, nil, nil, nil
}

// turns gives each stream its turn, as many at a time as there are slots, in order. A
// stream that has to wait, or has had its share, gives its slot to the next and goes to
// the end of the line.
func (r *run) turns(ctx context.Context, streams []*stream) {
	book := r.notebook(len(streams))
	defer book.close()
	// Streams that have not begun may have pages: sessions stay open for them.
	var expected []func()
	for _, to := range r.mapped() {
		expected = append(expected, to.group.Expect())
	}
	left := atomic.Int64{}
	left.Store(int64(len(streams)))
	var working sync.WaitGroup
	working.Add(len(streams))
	for _, s := range streams {
		r.line.enter(s, func(slot *slot) bool {
			if ctx.Err() == nil { // else it is no turn, and comes first the next time
				book.note(s.id)
			}
			s.start()
			if left.Add(-1) == 0 {
				for _, done := range expected {
					defer done()
				}
			}
			go func() {
				defer working.Done()
				defer r.line.quit(s)
				s.work(ctx, slot)
			}()
			return true
		})
	}
	working.Wait()
	if len(streams) == 0 {
		for _, done := range expected {
			done()
		}
	}
}

// notebook notes which streams had their turn: seldom, and soon enough that a run that
// is killed leaves it known. It is safe for concurrent use.
type notebook struct {
	run  *run
	stop chan struct{}
	done chan struct{}

	mu    sync.Mutex
	turns map[string]time.Time // nil where the order does not matter
	dirty bool
}

// notebook returns a notebook for so many streams.
func (r *run) notebook(streams int) *notebook {
	n := &notebook{run: r, stop: make(chan struct{}), done: make(chan struct{})}
	if r.saves() && streams > r.opts.Parallel {
		n.turns = r.turned
		go n.keep()
	} else {
		close(n.done)
	}
	return n
}

// keep writes what is noted from time to time.
func (n *notebook) keep() {
	defer close(n.done)
	for every := time.Second; ; every = min(2*every, 16*time.Second) {
		select {
		case <-time.After(every):
			n.write()
		case <-n.stop:
			n.write()
			return
		}
	}
}

func (n *notebook) close() {
	close(n.stop)
	<-n.done
}

// note notes that the turn of a stream begins.
func (n *notebook) note(id state.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.turns != nil {
		n.turns[id.File()], n.dirty = time.Now(), true
	}
}

// write writes what is noted.
func (n *notebook) write() {
	n.mu.Lock()
	turns, dirty := maps.Clone(n.turns), n.dirty
	n.dirty = false
	n.mu.Unlock()
	if !dirty {
		return
	}
	if err := n.run.store.SaveTurns(n.run.opts.Shard.suffix(), n.run.cfg.Account.IKey, turns); err != nil {
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
