package feed

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Budget is how many bytes the pages under way may hold together, beside what one
// of them needs above what it reserved.
const Budget = 64 << 20

// least is what a page is taken to need before one of its stream was seen.
const least = 128 << 10

// Memory shares the budget among the pages under way. It is safe for concurrent
// use.
type Memory struct {
	room   *semaphore.Weighted
	excess chan struct{} // holds a token while a page has more than it reserved
}

// NewMemory returns a Memory of size [Budget].
func NewMemory() *Memory {
	return &Memory{room: semaphore.NewWeighted(Budget), excess: make(chan struct{}, 1)}
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
	r := &Room{memory: m, n: min(max(n, least), Budget)}
	if err := m.room.Acquire(ctx, int64(r.n)); err != nil {
		return nil, context.Cause(ctx)
	}
	return r, nil
}

// Grow makes sure that the page may hold n bytes in all. Where the budget has no room
// left, one page at a time may get more than it reserved; the others wait for it, and it
// waits for none.
func (r *Room) Grow(ctx context.Context, n int) error {
	if r.excess || n <= r.n {
		return nil
	}
	// A page may wait long for its server: others must not wait with it while there is room.
	if more := int64(n - r.n); r.memory.room.TryAcquire(more) {
		r.n = n
		return nil
	}
	select {
	case r.memory.excess <- struct{}{}:
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
		<-r.memory.excess
	}
	r.memory.room.Release(int64(r.n))
	*r = Room{memory: r.memory}
}
