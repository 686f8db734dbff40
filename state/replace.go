package state

import (
	"errors"
	"fmt"
	"strings"

	"dls/state/internal/steps"
	"dls/state/safefile"
)

// Staged is a checkpoint that is written, lasts, and does not count yet.
type Staged interface {
	// Discard drops it. After a commit it does nothing.
	Discard()
}

// CommitError tells which of the checkpoints handed to [Dir.Commit] may not count.
type CommitError struct {
	// Errs are the errors by the checkpoint's place among them: nil for one that
	// counts.
	Errs []error
}

// Error names the files and what went wrong with them.
func (e *CommitError) Error() string {
	var texts []string
	for _, err := range e.Errs {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	return strings.Join(texts, "\n")
}

// Unwrap returns the errors.
func (e *CommitError) Unwrap() []error { return e.Errs }

// Save writes the checkpoint: when it returns nil, a crash no longer undoes it;
// when it returns an error, the file is the old one or the new one, whole.
func (d *Dir) Save(id ID, cp *Checkpoint) error {
	staged, err := d.Stage(id, cp)
	if err != nil {
		return err
	}
	return d.Commit(staged)
}

// Stage writes the checkpoint to a file beside the one that counts. The caller
// must hand what it returns to Commit or call its Discard. The checkpoint may
// change afterwards. One that would be too large to be loaded again is
// [ErrTooLarge].
func (d *Dir) Stage(id ID, cp *Checkpoint) (Staged, error) {
	data, err := cp.encode(id)
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%w: %d bytes, and %d are the most", ErrTooLarge, len(data), maxFile)
	}
	var s *safefile.Staged
	if err == nil {
		s, err = d.stage(id.File(), data)
	}
	if err != nil {
		return nil, fmt.Errorf("write checkpoint %q: %w", d.Path(id.File()), err)
	}
	return s, nil
}

func (d *Dir) stage(name string, data []byte) (*safefile.Staged, error) {
	if d.Step != nil {
		steps.Set(d.path, d.Step)
	}
	return d.dir.Stage(name, data, 0o600)
}

// Commit makes staged checkpoints of this directory count together: it renames
// them, and syncs the directory once. Each file is the old one or the new one,
// whole, and nothing staged is left behind. When it returns nil, a crash no longer
// undoes any of it; else the error is a *[CommitError], and those without an error
// of their own count.
func (d *Dir) Commit(staged ...Staged) error {
	files := make([]*safefile.Staged, len(staged))
	for i, s := range staged {
		files[i] = s.(*safefile.Staged)
	}
	errs := d.dir.Commit(files...)
	failed := false
	for i, err := range errs {
		if err != nil {
			failed = true
			errs[i] = fmt.Errorf("write checkpoint %q: %w", d.Path(files[i].Name()), err)
		}
	}
	if failed {
		return &CommitError{errs}
	}
	return nil
}

// replace puts a file with the given content in the place of name.
func (d *Dir) replace(name string, data []byte) error {
	if len(data) > maxFile {
		return ErrTooLarge
	}
	s, err := d.stage(name, data)
	if err != nil {
		return err
	}
	return errors.Join(d.dir.Commit(s)...)
}

// Imported is what is added to the name of a checkpoint file of duologsync that
// was taken over.
const Imported = ".imported"

// Retire renames a checkpoint file of duologsync that was taken over. The error wraps
// fs.ErrNotExist where it is not there.
func (d *Dir) Retire(name string) error {
	err := d.dir.Rename(name, name+Imported)
	if err == nil {
		err = d.dir.Sync()
	}
	if err != nil {
		return fmt.Errorf("rename %q: %w", d.Path(name), err)
	}
	return nil
}
