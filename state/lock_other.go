//go:build !unix && !windows

package state

import (
	"errors"
	"os"
)

// tryLock is an error: without a lock two runs would undo each other's work.
func tryLock(*os.File, bool) (bool, error) { return false, errors.ErrUnsupported }

// unlock has nothing to do: closing the file lets go of the lock.
func unlock(*os.File) {}
