// Package retry is how dls tries again: with longer and longer waits, and not for
// ever.
package retry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Backoff tells how long to wait before the next try, and when to give up. Only
// what failed tries take, and the waits between them, count against its limit: it
// stands still while its user waits for something else. It is not safe for
// concurrent use.
type Backoff struct {
	// Limit is how long tries may go on to fail; 0 means that none is repeated.
	Limit time.Duration
	// Least and Most bound the waits.
	Least, Most time.Duration

	spent time.Duration
	fails int
}

// Failing tells whether the last try failed.
func (b *Backoff) Failing() bool { return b.fails > 0 }

// Progress forgets the failures so far.
func (b *Backoff) Progress() { b.spent, b.fails = 0, 0 }

// Failed notes a failure that took so long and returns how long to wait before the
// next try: at first about Least, doubled each time up to Most, with jitter, so that
// what failed together does not come back together. ok is false when failures have
// gone on for Limit.
func (b *Backoff) Failed(took time.Duration) (wait time.Duration, ok bool) {
	if b.fails > 0 {
		b.spent += took // the clock starts at the first failure
	}
	left := b.Limit - b.spent
	if left <= 0 {
		return 0, false
	}
	wait = b.Most
	if b.fails < 16 {
		wait = min(b.Least<<b.fails, b.Most)
	}
	b.fails++
	wait = wait/2 + rand.N(wait/2+1)
	wait = min(wait, left) // the last try comes when time is up, not before
	b.spent += wait
	return wait, true
}

// Exhausted says of the last failure that the limit is reached.
func (b *Backoff) Exhausted(err error) error {
	if b.Limit <= 0 {
		return err
	}
	return fmt.Errorf("no progress for %v: %w", b.Limit, err)
}

// Sleep waits for d, or until ctx ends, and tells which.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
