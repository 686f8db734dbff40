package job

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// line hands out the slots, first come, first served. Streams of one server get no more
// than half of them as long as there are streams that do not need it: a server that
// takes nothing holds up its own alone. It is safe for concurrent use.
type line struct {
	mu      sync.Mutex
	half    int // of the slots
	free    []*slot
	waiting []waiter
	streams int         // that are not done
	mapped  map[int]int // how many of them need the server of this index
	held    map[int]int // how many slots they have
}

// waiter is a stream that waits for a slot.
type waiter struct {
	of   *stream
	take func(*slot) bool
}

// open makes the slots.
func (l *line) open(slots int) {
	l.half, l.mapped, l.held = (slots+1)/2, map[int]int{}, map[int]int{}
	for range slots {
		l.free = append(l.free, new(slot))
	}
}

// join tells that a stream is not done, quit that it is, or that it waits for a server
// that is down.
func (l *line) join(s *stream) { l.count(s, 1) }

func (l *line) quit(s *stream) {
	l.count(s, -1)
	l.serve()
}

func (l *line) count(s *stream, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams += n
	for _, i := range s.servers {
		l.mapped[i] += n
	}
}

// shared tells whether there are streams that do not need all of the stream's servers.
func (l *line) shared(s *stream) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(s.servers, func(i int) bool { return l.mapped[i] < l.streams })
}

// enter has take called with a slot as soon as the stream may have one; it returns false
// when the slot is no longer wanted.
func (l *line) enter(s *stream, take func(*slot) bool) {
	l.mu.Lock()
	l.waiting = append(l.waiting, waiter{s, take})
	l.mu.Unlock()
	l.serve()
}

// leave gives a slot back.
func (l *line) leave(s *slot) {
	l.mu.Lock()
	l.free = append(l.free, s)
	l.hold(s.of, -1)
	l.mu.Unlock()
	l.serve()
}

// hold notes that a stream has one slot more, or less. The caller holds l.mu.
func (l *line) hold(s *stream, n int) {
	for _, i := range s.servers {
		l.held[i] += n
	}
}

// may tells whether a stream may have a slot. The caller holds l.mu.
func (l *line) may(w waiter) bool {
	return !slices.ContainsFunc(w.of.servers, func(i int) bool { return l.held[i] >= l.half && l.mapped[i] < l.streams })
}

// serve hands out slots while there are some and somebody waits who may have one.
func (l *line) serve() {
	for {
		l.mu.Lock()
		i := -1
		if len(l.free) > 0 {
			i = slices.IndexFunc(l.waiting, l.may)
		}
		if i < 0 {
			l.mu.Unlock()
			return
		}
		slot, w := l.free[len(l.free)-1], l.waiting[i]
		l.free, l.waiting = l.free[:len(l.free)-1], slices.Delete(l.waiting, i, i+1)
		slot.of = w.of
		l.hold(w.of, 1)
		l.mu.Unlock()
		if !w.take(slot) {
			l.mu.Lock()
			l.free = append(l.free, slot)
			l.hold(w.of, -1)
			l.mu.Unlock()
		}
	}
}

// crowded tells whether streams wait for a slot.
func (l *line) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) > 0
}

// wait waits for a slot; what the stream has confirmed meanwhile is committed.
func (l *line) wait(ctx context.Context, of *stream) (*slot, error) {
	got := make(chan *slot, 1)
	var settled atomic.Bool // the slot is taken, or no longer wanted
	l.enter(of, func(s *slot) bool {
		if !settled.CompareAndSwap(false, true) {
			return false
		}
		got <- s
		return true
	})
	drop := func() {
		if !settled.CompareAndSwap(false, true) {
			l.leave(<-got)
		}
	}
	for {
		select {
		case s := <-got:
			return s, nil
		case <-of.flight.undecided():
			if err := of.commit(); err != nil {
				drop()
				return nil, err
			}
		case <-ctx.Done():
			drop()
			return nil, context.Cause(ctx)
		}
	}
}
