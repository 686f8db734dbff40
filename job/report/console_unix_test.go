//go:build unix

package report

import (
	"io/fs"
	"syscall"
)

func numbers(info fs.FileInfo) []any {
	st := info.Sys().(*syscall.Stat_t)
	return []any{st.Dev, st.Ino}
}
