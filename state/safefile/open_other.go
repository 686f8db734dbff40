//go:build !unix && !windows

package safefile

import (
	"io/fs"
	"os"
)

// openFollow opens a file for reading, through links.
func openFollow(path string) (*os.File, error) { return os.Open(path) }

// create makes a file, which must not be there.
func (d *Dir) create(name string, flag int, mode fs.FileMode, _ owner) (*os.File, error) {
	if err := bare(name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, flag|os.O_CREATE|os.O_EXCL, mode)
	return f, Cause(err)
}
