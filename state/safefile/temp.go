package safefile

import (
	"crypto/rand"
	"errors"
	"os"
)

// Temp is a file for what nobody else reads, and that nobody needs once it is closed.
type Temp struct {
	*os.File
	gone func() error
}

// Close closes the file and takes it away.
func (t *Temp) Close() error { return errors.Join(t.File.Close(), t.gone()) }

// Temp makes such a file, of mode 0600, for reading and writing. Where the system can,
// it has no name any more; elsewhere its name begins with [TempPrefix].
func (d *Dir) Temp() (*Temp, error) {
	name := TempPrefix + rand.Text()
	f, err := d.create(name, os.O_WRONLY, 0o600, d.owner)
	if err != nil {
		return nil, err
	}
	f.Close()
	if f, err = d.OpenFile(name, os.O_RDWR); err != nil {
		_ = d.Remove(name)
		return nil, err
	}
	gone := func() error { return nil }
	if d.root.Remove(name) != nil {
		gone = func() error { return d.Remove(name) }
	}
	return &Temp{f, gone}, nil
}

// TempIn makes such a file in the directory of a path.
func TempIn(path string) (*Temp, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	t, err := d.Temp()
	if err != nil {
		d.Close()
		return nil, err
	}
	gone := t.gone
	t.gone = func() error { return errors.Join(gone(), d.Close()) }
	return t, nil
}
