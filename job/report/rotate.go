package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"dls/state/safefile"
)

// RotateFile renames a log file that has grown to maxBytes or more: path to
// path.1, path.1 to path.2 and so on, and drops what would be beyond path.keep.
// It is called before [OpenFile], which then begins a new file. A file that is
// not there, or a maxBytes of 0 or less, is nothing to do; keep is at least 1.
//
// The newest file is moved aside first, to path.0, so that nothing is dropped while
// it cannot be moved; a run that is killed then leaves it to the next one.
// Symbolic links are never followed. Runs that begin at the same time do not
// rotate twice, and a run that has the file open goes on writing to it under its
// new name, so no lock need be held; on Windows an open file cannot be renamed,
// and the error says so: the next run rotates it. After an error the log is
// whole, and OpenFile goes on with it.
func RotateFile(path string, maxBytes int64, keep int) error {
	if maxBytes <= 0 {
		return nil
	}
	dir, err := safefile.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		defer dir.Close()
		r := rotation{dir, filepath.Base(path), max(keep, 1)}
		err = r.claimed(r.name(0), 0, r.settle)
		if err == nil {
			err = r.claimed(r.base, maxBytes, r.rotate)
		}
	}
	if err != nil {
		return fmt.Errorf("rotate log file %q: %w", path, safefile.Cause(err))
	}
	return nil
}

// rotation is the rotation of one log file.
type rotation struct {
	dir  *safefile.Dir
	base string
	keep int
}

// name is the name of a generation: 1 is the newest, and 0 is on its way there.
func (r *rotation) name(n int) string { return r.base + "." + strconv.Itoa(n) }

// claimed calls do if the file is there, has least bytes, and no other run is at
// it.
func (r *rotation) claimed(name string, least int64, do func() error) error {
	f, err := r.dir.OpenFile(name, os.O_WRONLY|os.O_APPEND)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %q: %w", name, err)
	}
	defer f.Close()
	if !claim(f) {
		return nil
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := r.dir.Stat(name)
	if err != nil || !os.SameFile(mine, now) || mine.Size() < least {
		return nil // another run has rotated it since it was looked at
	}
	if !renamesOpen {
		f.Close()
	}
	return do()
}

// rotate moves the log aside and makes it the newest generation.
func (r *rotation) rotate() error {
	if _, err := r.dir.Stat(r.name(0)); !errors.Is(err, fs.ErrNotExist) {
		return err // nil: another run is at it
	}
	if err := r.dir.Rename(r.base, r.name(0)); err != nil {
		return fmt.Errorf("move it to %q: %w", r.name(0), err)
	}
	err := r.settle()
	if err != nil {
		// The log goes on, unless another run has begun a new one: then this one waits.
		_ = r.dir.RenameNew(r.name(0), r.base)
	}
	return err
}

// settle shifts the generations, and makes what was moved aside the newest.
func (r *rotation) settle() error {
	for n := r.keep; n >= 1; n-- {
		if err := r.dir.Rename(r.name(n-1), r.name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("move it to %q: %w", r.name(n), err)
		}
	}
	return nil
}
