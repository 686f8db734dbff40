package job

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// patience tells how long to wait before the next try, and when to give up. It
// counts from the first failure after a success; its zero value has seen none.
type patience struct {
	since time.Time
	fails int
}

// next notes a failure and returns how long to wait before the next try: at
// first about least, doubled each time up to most, with jitter, so that streams
// that failed together do not come back together. ok is false when failures have
// gone on for limit.
func (p *patience) next(limit, least, most time.Duration) (wait time.Duration, ok bool) {
	if p.fails == 0 {
		p.since = time.Now()
	}
	left := limit - time.Since(p.since)
	if left <= 0 {
		return 0, false
	}
	wait = most
	if p.fails < 16 {
		wait = min(least<<p.fails, most)
	}
	p.fails++
	wait = wait/2 + rand.N(wait/2+1)
	// The last try comes when time is up, not before.
	return min(wait, left), true
}

// persist calls try until it succeeds, fails in a way that another try does not
// mend, or has failed for limit. It tells again of each failure that it does
// not take for the last. When ctx ends, it returns the last failure.
func persist(ctx context.Context, limit time.Duration, try func() error, mendable func(error) bool, again func(wait time.Duration, err error)) error {
	var p patience
	for {
		err := try()
		if err == nil || ctx.Err() != nil || !mendable(err) {
			return err
		}
		wait, ok := p.next(limit, time.Second, 30*time.Second)
		if !ok {
			return exhausted(limit, err)
		}
		again(wait, err)
		if !sleep(ctx, wait) {
			return err
		}
	}
}

// exhausted says of the last failure that patience is at an end.
func exhausted(limit time.Duration, err error) error {
	if limit <= 0 {
		return err
	}
	return fmt.Errorf("no progress for %v: %w", limit, err)
}

// sleep waits for d, or until ctx ends, and tells which.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
