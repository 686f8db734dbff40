package report

import (
	"os"
	"syscall"
)

var setConsoleMode = syscall.NewLazyDLL("kernel32.dll").NewProc("SetConsoleMode")

// showsColours makes the console act on the sequences for colours, and tells
// whether it does.
func showsColours(f *os.File) bool {
	const processed, virtual = 0x1, 0x4
	var mode uint32
	if err := syscall.GetConsoleMode(syscall.Handle(f.Fd()), &mode); err != nil {
		return false
	}
	done, _, _ := setConsoleMode.Call(f.Fd(), uintptr(mode|processed|virtual))
	return done != 0
}
