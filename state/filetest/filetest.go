// Package filetest makes and lists files, for the tests of those who keep them.
package filetest

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// Names lists what is in a directory, in order; nil is nothing.
func Names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Symlink makes a symbolic link, and skips the test where there are none: Windows
// grants them to few.
func Symlink(t testing.TB, target, path string) {
	t.Helper()
	err := os.Symlink(target, path)
	if info, lost := os.Lstat(path); err == nil && (lost != nil || info.Mode()&fs.ModeSymlink == 0) {
		err = errors.New("none is made")
	}
	if err != nil {
		t.Skip("no symbolic links here:", err)
	}
}
