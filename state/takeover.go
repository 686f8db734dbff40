package state

import (
	"errors"
	"io/fs"
	"time"
)

// Imported is what is added to the name of a checkpoint file of duologsync that
// was taken over.
const Imported = ".imported"

// LoadLegacy reads a checkpoint file of duologsync. A file that is not there
// gives ok false and no error. One that is there and cannot be trusted is an
// *UntrustedError, whose cause may be a *LegacyError with a hint: somebody else's
// could be there to make this program skip records.
func (d *Dir) LoadLegacy(name string, kind LegacyKind, now time.Time) (l Legacy, ok bool, err error) {
	data, info, err := d.dir.Read(name, int64(maxFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Legacy{}, false, nil // perhaps another stream has retired it just now
	}
	if err == nil {
		written := info.ModTime()
		if now.Before(written) {
			written = now
		}
		l, err = ParseLegacy(kind, data, written)
	}
	if err != nil {
		return Legacy{}, false, &UntrustedError{d.Path(name), err}
	}
	return l, true, nil
}
