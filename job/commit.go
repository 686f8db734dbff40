package job

import (
	"sync"

	"dls/state"
)

// commits makes checkpoints count. Those that become due while others are being
// committed go together, in one step of the store. It is safe for concurrent use.
type commits struct {
	store state.Store

	mu      sync.Mutex
	busy    bool
	waiting []*queued
}

// queued is a checkpoint that waits to be committed.
type queued struct {
	staged state.Staged
	done   chan struct{}
	lead   bool // its owner commits the next ones
	err    error
}

// commit makes a checkpoint count. When it returns an error the checkpoint is the old
// one or the new one, whole.
func (c *commits) commit(staged state.Staged) error {
	d := &queued{staged: staged, done: make(chan struct{})}
	c.mu.Lock()
	c.waiting = append(c.waiting, d)
	if c.busy {
		c.mu.Unlock()
		<-d.done // the disk is at work, for this one or for the one before
		if !d.lead {
			return d.err
		}
		c.mu.Lock()
	}
	c.busy = true
	together := c.waiting
	c.waiting = nil
	c.mu.Unlock()

	all := make([]state.Staged, len(together))
	for i, o := range together {
		all[i] = o.staged
	}
	errs := c.store.Commit(all)

	c.mu.Lock()
	c.busy = len(c.waiting) > 0
	if c.busy {
		c.waiting[0].lead = true
		close(c.waiting[0].done)
	}
	c.mu.Unlock()
	for i, o := range together {
		o.err = errs[i]
		if o != d {
			close(o.done)
		}
	}
	return d.err
}
