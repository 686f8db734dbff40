//go:build unix && !aix && !solaris

package report

import (
	"os"
	"syscall"
)

// renamesOpen tells whether a file can be renamed while it is open.
const renamesOpen = true

// claim takes the right to rotate the file, which lasts until it is closed. It
// is the file's own lock, so it needs no file beside it; nothing else takes it.
func claim(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
