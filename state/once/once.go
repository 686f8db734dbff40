// Package once does things once.
package once

import "sync"

// Once does something once. Unlike those of a [sync.Once], callers wait for it on a
// channel, in which the virtual time of tests goes on. Its zero value is ready.
type Once struct {
	mu   sync.Mutex
	done chan struct{}
}

// Do calls f the first time that it is called. It returns when that call has ended,
// whoever made it.
func (o *Once) Do(f func()) {
	o.mu.Lock()
	done := o.done
	if done == nil {
		o.done = make(chan struct{})
		defer close(o.done)
		o.mu.Unlock()
		f()
		return
	}
	o.mu.Unlock()
	<-done
}
