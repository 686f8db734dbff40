package check

import (
	"bytes"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// holder returns the process id of who holds a flock on the file, or "". known is
// false when the kernel does not tell.
//
// The device is not compared: some file systems show another one to stat than to
// the kernel. A holder outside this process's PID namespace is not listed.
//
// See proc_locks(5).
func holder(file fs.FileInfo) (pid string, known bool) {
	stat, ok := file.Sys().(*syscall.Stat_t)
	locks, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		return "", false
	}
	inode := ":" + strconv.FormatUint(stat.Ino, 10)
	for line := range bytes.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 9952 fe:00:9977864 0 EOF
		field := strings.Fields(string(line))
		if len(field) >= 6 && field[1] == "FLOCK" && strings.HasSuffix(field[5], inode) {
			return field[4], true
		}
	}
	return "", true
}
