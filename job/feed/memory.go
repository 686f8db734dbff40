package feed

import (
	"context"
	"slices"

	"golang.org/x/sync/semaphore"
)

// Budget is how many bytes the pages under way may hold together, beside what one
// of them needs above what it reserved.
const Budget = 64 << 20

// least is what a page is taken to need before one of its stream was seen.
const least = 128 << 10

// Memory shares the budget, or parts of it, among the pages under way. It is safe for
// concurrent use.
type Memory struct {
	// budgets are those in which a page must have room, the narrowest first. The whole
	// is the last one.
	budgets []*budget
}

// budget is some bytes of memory.
type budget struct {
	size   int
	room   *semaphore.Weighted
	excess chan struct{} // holds a token while a page has more than it reserved
}

func newBudget(size int) *budget {
	return &budget{size, semaphore.NewWeighted(int64(size)), make(chan struct{}, 1)}
}

// NewMemory returns a Memory of size [Budget].
func NewMemory() *Memory { return &Memory{[]*budget{newBudget(Budget)}} }

// Half returns a Memory whose pages hold no more than half of m.
func (m *Memory) Half() *Memory {
	return &Memory{append([]*budget{newBudget(m.budgets[0].size / 2)}, m.budgets...)}
}

// Both returns the Memory of pages that need room in each of the parts of one Memory.
// The parts are always given in the same order.
func Both(parts ...*Memory) *Memory {
	both := new(Memory)
	for _, p := range parts {
		both.budgets = append(both.budgets, p.budgets[0])
	}
	both.budgets = append(both.budgets, parts[0].budgets[1:]...)
	return both
}

// Room is what one page holds of the memory. It is not safe for concurrent use.
type Room struct {
	memory *Memory
	n      int
	excess bool
}

// Reserve waits until n bytes are there for a page. A page above the budget goes
// alone. The error is the cause with which ctx ended.
func (m *Memory) Reserve(ctx context.Context, n int) (*Room, error) {
	r := &Room{memory: m, n: min(max(n, least), m.budgets[0].size)}
	for i, b := range m.budgets {
		if err := b.room.Acquire(ctx, int64(r.n)); err != nil {
			release(m.budgets[:i], r.n)
			return nil, context.Cause(ctx)
		}
	}
	return r, nil
}

func release(budgets []*budget, n int) {
	for _, b := range budgets {
		b.room.Release(int64(n))
	}
}

// Grow makes sure that the page may hold n bytes in all. Where the budget has no room
// left, one page at a time may get more than it reserved, of each narrowest part; the
// others wait for it, and it waits for none.
func (r *Room) Grow(ctx context.Context, n int) error {
	if r.excess || n <= r.n {
		return nil
	}
	// A page may wait long for its server: others must not wait with it while there is room.
	budgets, more := r.memory.budgets, n-r.n
	full := slices.IndexFunc(budgets, func(b *budget) bool { return !b.room.TryAcquire(int64(more)) })
	if full < 0 {
		r.n = n
		return nil
	}
	release(budgets[:full], more)
	select {
	case budgets[0].excess <- struct{}{}:
		r.excess = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Release gives back what the page holds. It may be called again, and of none.
func (r *Room) Release() {
	if r == nil || r.n == 0 {
		return
	}
	if r.excess {
		<-r.memory.budgets[0].excess
	}
	release(r.memory.budgets, r.n)
	*r = Room{memory: r.memory}
}
