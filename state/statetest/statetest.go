// Package statetest breaks checkpoint directories, for the tests of those who use
// package state.
package statetest

import (
	"os"

	"dls/state/internal/bounds"
	"dls/state/internal/steps"
)

// Break has before called ahead of each step of a write in a directory, with the
// step's name: create, write, sync, close, rename, syncdir. An error that it
// returns takes the step's place; nil for before mends the directory. It may be
// called by several goroutines at once. directory is the path with which the
// directory is opened.
func Break(directory string, before func(step string) error) { steps.Set(directory, before) }

// Bound lowers how many bytes a file of a checkpoint directory may have, and how many
// records a checkpoint remembers, in all directories until undo is called. No test may run
// beside one that calls it.
func Bound(file, marks int) (undo func()) {
	before := [2]int{bounds.File, bounds.Marks}
	bounds.File, bounds.Marks = file, marks
	return func() { bounds.File, bounds.Marks = before[0], before[1] }
}

// Kill kills the process, as a machine that loses its power does: nothing is tidied
// up. It returns only where that fails.
func Kill() error {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		return err
	}
	select {} // until the signal is there
}
