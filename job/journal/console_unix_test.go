//go:build unix

package journal

import (
	"io/fs"
	"syscall"
)

func numbers(info fs.FileInfo) []any {
	st := info.Sys().(*syscall.Stat_t)
	return []any{st.Dev, st.Ino}
}
