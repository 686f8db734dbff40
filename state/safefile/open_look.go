//go:build !unix

package safefile

import (
	"errors"
	"io/fs"
	"os"
)

var errReplaced = errors.New("it was replaced while it was opened")

// openNoFollow opens a file that is there. What was looked at must be what is then
// open: there is no flag that refuses links.
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
