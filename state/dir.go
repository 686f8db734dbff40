// Package state keeps what a run must remember: one checkpoint file per stream,
// and the lock that lets one run at a time work on them.
//
// Start with [Open]. A checkpoint is replaced as a whole or not at all, survives
// a crash and (on Linux and macOS) a loss of power, and is never read or written
// through a symbolic link. A file belongs to the user that runs this program, or
// to root; root also takes what the directory's owner owns, and what it writes
// belongs to that owner. What cannot be trusted is an error, never a fresh start.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"dls/state/internal/bounds"
	"dls/state/safefile"
)

// ErrOwner and ErrAccount are causes of an [UntrustedError]: the file belongs to
// another user of this machine, or was written for another account of Duo.
var (
	ErrOwner   = safefile.ErrOwner
	ErrAccount = errors.New("it belongs to another account")
)

// ErrTooLarge is a cause of an [UntrustedError], and of an error of [Dir.Stage]: a
// file that would not be read again is not written.
var ErrTooLarge = safefile.ErrTooLarge

// UntrustedError is a file that is there and cannot be used as it is.
type UntrustedError struct {
	// Path is the file's path.
	Path string
	// Err says what is wrong with it.
	Err error
}

// Error names the file and what is wrong with it.
func (e *UntrustedError) Error() string { return fmt.Sprintf("checkpoint %q: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *UntrustedError) Unwrap() error { return e.Err }

// Dir is a checkpoint directory. Its methods are safe for concurrent use, but
// for two writers of the same file.
type Dir struct {
	Notes
	path      string
	dir       *safefile.Dir
	appending sync.Mutex
}

// Open opens the directory, which must be there.
func Open(path string) (*Dir, error) {
	dir, err := safefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint directory: %w", err)
	}
	d := &Dir{path: path, dir: dir}
	d.Notes = NewNotes(dirFiles{d})
	return d, nil
}

// Close closes the directory. It does not release a lock.
func (d *Dir) Close() error { return d.dir.Close() }

// Path returns the path of a file in the directory.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Exposed says who but the user that runs this program can put files into the
// directory or take them away, or "" when nobody but the system can, or when this
// system does not tell.
func (d *Dir) Exposed() string {
	access, err := d.dir.Access()
	switch {
	case err != nil || !access.Known:
		return ""
	case access.Writers != "":
		return fmt.Sprintf("other users can write there (%s)", access.Writers)
	case access.Foreign:
		return fmt.Sprintf("%v (%s)", ErrOwner, access.Owner)
	}
	return ""
}

// Names returns the names of what is in the directory, in order.
func (d *Dir) Names() ([]string, error) {
	entries, err := d.list()
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

// Times returns when each file in the directory was last written.
func (d *Dir) Times() (map[string]time.Time, error) {
	entries, err := d.list()
	if err != nil {
		return nil, err
	}
	times := make(map[string]time.Time, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			times[e.Name()] = info.ModTime()
		}
	}
	return times, nil
}

func (d *Dir) list() ([]fs.DirEntry, error) {
	entries, err := d.dir.List()
	if err != nil {
		return nil, fmt.Errorf("read checkpoint directory %q: %w", d.path, err)
	}
	return entries, nil
}

// Read returns the content of a file that another program left in the directory,
// and its facts. One that is not there is fs.ErrNotExist; one that somebody else
// can have put there is refused. The error does not repeat the path.
func (d *Dir) Read(name string, limit int64) ([]byte, fs.FileInfo, error) {
	return d.dir.Read(name, limit)
}

// Foreign tells whether what has the name belongs to another user of this machine.
func (d *Dir) Foreign(name string) bool { return errors.Is(d.dir.Look(name), ErrOwner) }

// Load reads the checkpoint of a stream. A file that is not there gives nil and
// no error. One that is there and cannot be trusted (torn, empty, of a newer
// version, of another account or stream, a symbolic link, another user's, open to
// any user) is an *UntrustedError.
func (d *Dir) Load(id ID) (*Checkpoint, error) {
	name := id.File()
	data, _, err := d.dir.Read(name, int64(bounds.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	cp := new(Checkpoint)
	if err == nil {
		err = cp.Decode(data, id)
	}
	if err != nil {
		return nil, &UntrustedError{d.Path(name), err}
	}
	return cp, nil
}

// Append adds whole lines to the end of a file in the directory, of mode 0600, and
// syncs it. Several goroutines may append to one file. What a full disk or a crash has
// cut off stays a line of its own.
func (d *Dir) Append(name string, lines []byte) error {
	d.appending.Lock()
	defer d.appending.Unlock()
	f, err := d.dir.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err == nil {
		var torn bool
		if torn, err = endsWithin(f); torn {
			lines = append([]byte{'\n'}, lines...)
		}
		if err == nil {
			_, err = f.Write(lines)
		}
		if err == nil {
			err = f.Sync()
		}
		if closing := f.Close(); err == nil {
			err = closing
		}
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", d.Path(name), safefile.Cause(err))
	}
	return nil
}

// endsWithin tells whether a file ends within a line.
func endsWithin(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	var last [1]byte
	_, err = f.ReadAt(last[:], info.Size()-1)
	return last[0] != '\n', err
}

// Sweep removes temporary files that a killed run left behind. The caller holds
// the directory's lock alone.
func (d *Dir) Sweep() error {
	return d.sweep(func(fs.FileInfo) bool { return true })
}

// SweepOlder removes those last written longer ago than age, by this machine's
// clock. The caller shares the directory with others, whose files are younger.
func (d *Dir) SweepOlder(age time.Duration) error {
	return d.sweep(func(info fs.FileInfo) bool { return time.Since(info.ModTime()) > age })
}

func (d *Dir) sweep(left func(fs.FileInfo) bool) error {
	names, err := d.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, safefile.TempPrefix) || d.dir.Look(name) != nil {
			continue
		}
		if info, err := d.dir.Stat(name); err == nil && left(info) {
			_ = d.dir.Remove(name)
		}
	}
	return nil
}
