package safefile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Pending is a file that is being written beside the one whose place it is to take:
// for what comes bit by bit.
type Pending struct {
	*os.File
	dir        *Dir
	name, temp string
}

// Begin begins a file of mode 0600, the caller's own, that is to take the place of path.
// What [Replace] would not replace is refused. The caller calls Commit or Discard. The
// error does not repeat the path.
func Begin(path string) (*Pending, error) {
	d, err := Open(filepath.Dir(path))
	if err != nil {
		return nil, Cause(err)
	}
	p := &Pending{dir: d, name: filepath.Base(path), temp: TempPrefix + rand.Text()}
	if err = p.vacant(p.name); err == nil {
		p.File, err = d.create(p.temp, os.O_WRONLY, 0o600, d.owner.none())
	}
	if err != nil {
		d.Close()
		return nil, Cause(err)
	}
	return p, nil
}

// vacant says why nothing may be put into the place of name, or nil.
func (p *Pending) vacant(name string) error {
	if err := bare(name); err != nil {
		return err
	}
	if err := p.dir.Look(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Commit makes the file last and puts it into its place, or into that of the name with
// suffix added. On an error nothing is left of it. The error does not repeat the path.
func (p *Pending) Commit(suffix string) error {
	defer p.Discard()
	err := p.vacant(p.name + suffix)
	if err == nil {
		err = p.Sync()
	}
	if closing := p.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = p.dir.Rename(p.temp, p.name+suffix)
	}
	if err != nil {
		return Cause(err)
	}
	p.temp = ""
	return p.dir.Sync()
}

// Discard takes away what is not committed. It does nothing the second time.
func (p *Pending) Discard() {
	if p.dir == nil {
		return
	}
	_ = p.Close() // Windows removes no open file
	if p.temp != "" {
		_ = p.dir.Remove(p.temp)
	}
	p.dir.Close()
	p.dir = nil
}
