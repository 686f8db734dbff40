//go:build aix || solaris

package state

import (
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes the kernel's lock of an open file, which lasts until any
// descriptor of it in this process is closed.
func tryLock(f *os.File, alone bool) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if alone {
		lock.Type = unix.F_WRLCK
	}
	for {
		switch err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err {
		case nil:
			return true, nil
		case unix.EACCES, unix.EAGAIN:
			return false, nil
		case unix.EINTR:
		default:
			return false, err
		}
	}
}

// unlock has nothing to do: closing the file lets go of the lock.
func unlock(*os.File) {}
