//go:build !unix && !windows

package safefile

import (
	"errors"
	"io/fs"
	"os"
)

var errReplaced = errors.New("it was replaced while it was opened")

// openNoFollow opens a file that is there. What was looked at must be what is then
// open.
func openNoFollow(d *Dir, name string, flag int) (*os.File, error) {
	before, err := d.root.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, ErrSymlink
	case !before.Mode().IsRegular():
		return nil, ErrNotRegular
	}
	f, err := d.root.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	after, err := f.Stat()
	if err == nil && !os.SameFile(before, after) {
		err = errReplaced
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

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
