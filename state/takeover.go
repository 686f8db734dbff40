package state

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Imported is what is added to the name of a checkpoint file of duologsync that
// was taken over.
const Imported = ".imported"

// LoadLegacy reads a checkpoint file of duologsync. A file that is not there
// gives ok false and no error. One that is there and cannot be trusted is an
// *UntrustedError, whose cause may be a *LegacyError with a hint. It may belong to
// this user or to root: somebody else's could be there to make this program skip
// records.
func (d *Dir) LoadLegacy(name string, kind LegacyKind, now time.Time) (l Legacy, ok bool, err error) {
	info, err := d.regular(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Legacy{}, false, nil
	}
	if err == nil && !owned(info) && !rooted(info) {
		err = ErrOwner
	}
	var data []byte
	if err == nil {
		data, err = d.read(name, info)
	}
	if err == nil {
		written := info.ModTime()
		if now.Before(written) {
			written = now
		}
		l, err = ParseLegacy(kind, data, written)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Legacy{}, false, nil // another stream has retired it just now
	}
	if err != nil {
		return Legacy{}, false, &UntrustedError{d.Path(name), err}
	}
	return l, true, nil
}

// Retire renames a checkpoint file of duologsync that was taken over.
func (d *Dir) Retire(name string) error {
	if err := d.rename(name, name+Imported); err != nil {
		return fmt.Errorf("rename %q: %w", d.Path(name), cause(err))
	}
	return d.sync()
}
