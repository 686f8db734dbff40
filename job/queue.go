package job

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// queue holds the streams that are ready for a turn, in the order in which they
// get one. A stream that Duo makes wait is not in it, and keeps no worker.
type queue struct {
	ready chan *stream
	left  atomic.Int64 // streams that are not done
}

// newQueue returns a queue of the streams.
func newQueue(streams []*stream) *queue {
	q := &queue{ready: make(chan *stream, len(streams))}
	q.left.Store(int64(len(streams)))
	for _, s := range streams {
		q.ready <- s
	}
	if len(streams) == 0 {
		close(q.ready)
	}
	return q
}

// crowded tells whether streams wait for a worker.
func (q *queue) crowded() bool { return len(q.ready) > 0 }

// work gives the streams their turns, n at a time, until all are done. Once ctx
// ends, those that wait get their last turn at once.
func (q *queue) work(ctx context.Context, n int) {
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			d := newDesk()
			for s := range q.ready {
				done, wait := s.turn(ctx, d)
				switch {
				case !done:
					q.later(ctx, s, wait)
				case q.left.Add(-1) == 0:
					close(q.ready)
				}
			}
		})
	}
	workers.Wait()
}

// later puts the stream at the end of the queue when wait is over. The queue has
// room for all streams, so this never blocks a worker.
func (q *queue) later(ctx context.Context, s *stream, wait time.Duration) {
	if wait <= 0 {
		q.ready <- s
		return
	}
	go func() {
		sleep(ctx, wait)
		q.ready <- s
	}()
}
