//go:build unix

package state

import (
	"io/fs"
	"os"
	"syscall"
)

// owned tells whether the file belongs to the user this process runs as.
func owned(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// rooted tells whether the file belongs to root.
func rooted(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0
}
