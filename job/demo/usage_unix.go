//go:build unix

package demo

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// measured reads what the system counted for a process that has ended.
func measured(p *os.ProcessState, wall time.Duration) usage {
	u := usage{wall: wall, cpu: p.UserTime() + p.SystemTime()}
	if r, ok := p.SysUsage().(*syscall.Rusage); ok {
		u.peak = int64(r.Maxrss) // kilobytes, but bytes on macOS
		if runtime.GOOS != "darwin" {
			u.peak <<= 10
		}
	}
	return u
}
