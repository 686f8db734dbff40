//go:build !unix && !windows

package safefile

import (
	"io/fs"
	"os"
)

// openFollow opens a file for reading, through links. What is no regular file is
// looked at before: opening it may wait.
func openFollow(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrNotRegular
	}
	return os.Open(path)
}

// create makes a file, which must not be there.
func (d *Dir) create(name string, flag int, mode fs.FileMode, _ owner) (*os.File, error) {
	if err := bare(name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, flag|os.O_CREATE|os.O_EXCL, mode)
	return f, Cause(err)
}
