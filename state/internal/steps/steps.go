// Package steps lets tests break the steps of a write: package safefile asks
// before it takes one, package statetest answers. In the program nobody does.
package steps

import (
	"path/filepath"
	"sync"
	"sync/atomic"
)

var (
	hooks sync.Map     // from the path of a directory to a func(string) error
	set   atomic.Int32 // how many there are
)

// Before returns the error that is to take the place of a step in a directory, or
// nil.
func Before(directory, step string) error {
	if set.Load() == 0 {
		return nil
	}
	if hook, ok := hooks.Load(directory); ok {
		return hook.(func(string) error)(step)
	}
	return nil
}

// Set has the steps in a directory answered by a function, in the place of one set
// before. nil: by none.
func Set(directory string, before func(step string) error) {
	directory = filepath.Clean(directory)
	if _, had := hooks.LoadAndDelete(directory); had {
		set.Add(-1)
	}
	if before != nil {
		hooks.Store(directory, before)
		set.Add(1)
	}
}
