package state

import (
	"errors"
	"fmt"

	"dls/state/internal/bounds"
	"dls/state/safefile"
)

// Save writes the checkpoint: when it returns nil, a crash no longer undoes it;
// when it returns an error, the file is the old one or the new one, whole.
func (d *Dir) Save(id ID, cp *Checkpoint) error {
	staged, err := d.Stage(id, cp)
	if err != nil {
		return err
	}
	return d.Commit([]Staged{staged})[0]
}

// Stage writes the checkpoint to a file beside the one that counts. The caller
// must hand what it returns to Commit or call its Discard. The checkpoint may
// change afterwards. One that would be too large to be loaded again is
// [ErrTooLarge].
func (d *Dir) Stage(id ID, cp *Checkpoint) (Staged, error) {
	data, err := cp.Encode(id)
	var s *safefile.Staged
	if err == nil {
		s, err = d.dir.Stage(id.File(), data, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("write checkpoint %q: %w", d.Path(id.File()), err)
	}
	return s, nil
}

// Commit makes staged checkpoints of this directory count together: it renames
// them, and syncs the directory once. Each file is the old one or the new one,
// whole, and nothing staged is left behind. It returns an error for each: nil for one
// that counts, and that a crash no longer undoes.
func (d *Dir) Commit(staged []Staged) []error {
	files := make([]*safefile.Staged, len(staged))
	for i, s := range staged {
		files[i] = s.(*safefile.Staged)
	}
	errs := d.dir.Commit(files...)
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("write checkpoint %q: %w", d.Path(files[i].Name()), err)
		}
	}
	return errs
}

// replace puts a file with the given content in the place of name.
func (d *Dir) replace(name string, data []byte) error {
	if len(data) > bounds.File {
		return ErrTooLarge
	}
	s, err := d.dir.Stage(name, data, 0o600)
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
