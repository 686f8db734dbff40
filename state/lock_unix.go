//go:build unix && !aix && !solaris

package state

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the kernel's lock of an open file, which lasts until it is closed.
func tryLock(f *os.File, alone bool) (bool, error) {
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	for {
		switch err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err {
		case nil:
			return true, nil
		case unix.EWOULDBLOCK:
			return false, nil
		case unix.EINTR:
		default:
			return false, err
		}
	}
}

// unlock lets go of the lock, whoever else has the descriptor.
func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) }
