package safefile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dls/state/internal/steps"
)

// Staged is a file that is written, lasts, and does not count yet.
type Staged struct {
	dir        *Dir
	name, temp string
}

// Name is the name that the file is to have.
func (s *Staged) Name() string { return s.name }

// Discard removes the file. It does nothing after [Dir.Commit].
func (s *Staged) Discard() {
	if s.temp != "" {
		_ = s.dir.root.Remove(s.temp) // a later sweep removes what stays
		s.temp = ""
	}
}

// Stage writes a file that is to take the place of name, with the given mode, and
// syncs it. What must not be replaced is refused: what [Dir.OpenFile] would not
// open. The caller hands the result to [Dir.Commit] or calls its Discard. The error
// names the step and not the path.
func (d *Dir) Stage(name string, data []byte, mode fs.FileMode) (*Staged, error) {
	return d.stage(name, data, mode, d.keeper(name))
}

func (d *Dir) stage(name string, data []byte, mode fs.FileMode, owner owner) (*Staged, error) {
	if err := bare(name); err != nil {
		return nil, err
	}
	if err := d.Look(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s := &Staged{d, name, TempPrefix + rand.Text()}
	var f *os.File
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"create", func() (err error) {
			f, err = d.create(s.temp, os.O_WRONLY, mode, owner)
			return err
		}},
		{"write", func() error { _, err := f.Write(data); return err }},
		{"sync", func() error { return f.Sync() }},
		{"close", func() error { return f.Close() }},
	} {
		if err := d.step(step.name, step.do); err != nil {
			if f != nil {
				// A second Close does no harm; Windows removes no open file.
				_ = f.Close()
				s.Discard()
			}
			return nil, err
		}
	}
	return s, nil
}

// Commit makes staged files of the directory count: it gives each its name, and
// then syncs the directory once. Each file is the old one or the new one, whole.
// The errors are those of the files, in their order: nil tells that a file counts
// and lasts. Nothing staged is left behind.
func (d *Dir) Commit(staged ...*Staged) []error {
	errs := make([]error, len(staged))
	renamed := false
	for i, s := range staged {
		errs[i] = d.step("rename", func() error { return d.Rename(s.temp, s.name) })
		if errs[i] != nil {
			s.Discard()
			continue
		}
		s.temp = ""
		renamed = true
	}
	if !renamed {
		return errs
	}
	if err := d.step("syncdir", d.Sync); err != nil {
		for i := range errs {
			if errs[i] == nil {
				errs[i] = err
			}
		}
	}
	return errs
}

// Replace puts a file with the given content and mode in the place of path, for
// good. The directory's path may lead through symbolic links; what is there must be
// a file that [Dir.OpenFile] would open, or nothing. An error leaves what was
// there, but for one of the last step, syncdir; it names the step and not the path.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return replace(path, data, mode, false)
}

// ReplaceOwn is [Replace] for a file that stays the caller's own whoever owns the
// directory: one that holds a secret of the caller's.
func ReplaceOwn(path string, data []byte, mode fs.FileMode) error {
	return replace(path, data, mode, true)
}

func replace(path string, data []byte, mode fs.FileMode, own bool) error {
	d, err := Open(filepath.Dir(path))
	if err != nil {
		return Cause(err)
	}
	defer d.Close()
	name := filepath.Base(path)
	owner := d.keeper(name)
	if own {
		owner = owner.none()
	}
	s, err := d.stage(name, data, mode, owner)
	if err != nil {
		return err
	}
	return d.Commit(s)[0]
}

// step takes one step of a write.
func (d *Dir) step(name string, do func() error) error {
	err := steps.Before(d.path, name)
	if err == nil {
		err = do()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, Cause(err))
	}
	return nil
}
