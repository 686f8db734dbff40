//go:build unix

package report

import (
	"fmt"
	"os"
	"syscall"
)

// isJournal tells whether the file is the stream to systemd's journal that the
// value of $JOURNAL_STREAM names by device and inode (systemd.exec(5)). The
// variable alone does not say it: children inherit it with stderr turned
// elsewhere.
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if stream == "" || err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
