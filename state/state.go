// Package state keeps what a run must remember: one checkpoint file per stream,
// and the lock that lets one run at a time work on them.
//
// Start with [Open]. A checkpoint is replaced as a whole or not at all, survives
// a crash and (on Linux and macOS) a loss of power, and is never read or written
// through a symbolic link. What cannot be trusted is an error, never a fresh
// start. The Go API is not stable.
package state

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// LockName is the name of the lock file in a checkpoint directory. The file
// stays when the lock is released.
const LockName = "dls.lock"

// tempPrefix begins the names of files that are not yet what they will be.
const tempPrefix = ".dls-tmp-"

// maxFile bounds a checkpoint file.
const maxFile = 256 << 20

// ErrLocked is returned by [Dir.Lock] and [Dir.ShareLock] while another process
// holds the lock.
var ErrLocked = errors.New("another run holds the lock")

// ErrOwner and ErrAccount are causes of an [UntrustedError]: the file belongs to
// another user of this machine, or was written for another account of Duo.
var (
	ErrOwner   = errors.New("it belongs to another user")
	ErrAccount = errors.New("it belongs to another account")
)

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
	path      string
	root      *os.Root
	appending sync.Mutex
	// Step, when set, is called before each step of a write with the step's name
	// (create, write, sync, close, rename, syncdir) and may return an error in its
	// place. It is there for tests that break things. Set it before the first use;
	// it may be called by several goroutines at once.
	Step func(name string) error
}

// Open opens the directory, which must be there.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint directory: %w", err)
	}
	return &Dir{path: path, root: root}, nil
}

// Close closes the directory. It does not release a lock.
func (d *Dir) Close() error { return d.root.Close() }

// Path returns the path of a file in the directory.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Lock takes a lock of the directory, which the kernel holds for this process
// and drops when it ends, however it ends. While another process holds it, alone
// or shared, the error is ErrLocked.
func (d *Dir) Lock(name string) (unlock func(), err error) {
	return d.lock(name, (*flock.Flock).TryLock)
}

// ShareLock takes a lock that others may share but nobody can hold alone.
func (d *Dir) ShareLock(name string) (unlock func(), err error) {
	return d.lock(name, (*flock.Flock).TryRLock)
}

// WaitLock takes a lock as [Dir.Lock] does and waits for it until ctx ends; the
// error then wraps the cause of that.
func (d *Dir) WaitLock(ctx context.Context, name string) (unlock func(), err error) {
	return d.lock(name, func(lock *flock.Flock) (bool, error) {
		got, err := lock.TryLockContext(ctx, 5*time.Millisecond)
		if err != nil && err == ctx.Err() {
			err = context.Cause(ctx)
		}
		return got, err
	})
}

func (d *Dir) lock(name string, try func(*flock.Flock) (bool, error)) (unlock func(), err error) {
	if _, err := d.own(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("lock %q: %w", d.Path(name), err)
	}
	lock := flock.New(d.Path(name), flock.SetPermissions(0o600))
	got, err := try(lock)
	if err != nil {
		return nil, fmt.Errorf("lock %q: %w", d.Path(name), err)
	}
	if !got {
		return nil, ErrLocked
	}
	return func() { _ = lock.Close() }, nil // its only fault is a lock that is gone
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
		if strings.HasPrefix(name, tempPrefix) {
			if info, err := d.own(name); err == nil && left(info) {
				_ = d.root.Remove(name)
			}
		}
	}
	return nil
}

// Names returns the names of what is in the directory, in order.
func (d *Dir) Names() ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read checkpoint directory %q: %w", d.path, cause(err))
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// own returns the file's facts when it is a regular file of this user's own.
func (d *Dir) own(name string) (fs.FileInfo, error) {
	info, err := d.regular(name)
	if err == nil && !owned(info) {
		err = ErrOwner
	}
	return info, err
}

// regular returns the file's facts when it is a regular file.
func (d *Dir) regular(name string) (fs.FileInfo, error) {
	info, err := d.root.Lstat(name)
	switch {
	case err != nil:
		return nil, cause(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, errors.New("it is a symbolic link")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	}
	return info, nil
}

// Load reads the checkpoint of a stream. A file that is not there gives nil and
// no error. One that is there and cannot be trusted (torn, empty, of a newer
// version, of another account or stream, a symbolic link, another user's) is an
// *UntrustedError.
func (d *Dir) Load(id ID) (*Checkpoint, error) {
	name := id.File()
	before, err := d.own(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var data []byte
	if err == nil {
		data, err = d.read(name, before)
	}
	cp := new(Checkpoint)
	if err == nil {
		err = cp.decode(data, id)
	}
	if err != nil {
		return nil, &UntrustedError{d.Path(name), err}
	}
	return cp, nil
}

// read returns the content of the file that was found to be as before says.
func (d *Dir) read(name string, before fs.FileInfo) ([]byte, error) {
	f, err := d.root.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	// What was looked at must be what was opened.
	after, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(before, after) {
		return nil, errors.New("it was replaced while it was read")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errors.New("it is too large")
	}
	return data, err
}

// Save writes the checkpoint: when it returns nil, a crash no longer undoes it;
// when it returns an error, the file is the old one or the new one, whole.
func (d *Dir) Save(id ID, cp *Checkpoint) error {
	p, err := d.Stage(id, cp)
	if err != nil {
		return err
	}
	return d.Commit([]Staged{p})[0]
}

// Stage writes the checkpoint to a file beside the one that counts. The caller
// must hand what it returns to Commit, or Discard it. The checkpoint may change
// afterwards.
func (d *Dir) Stage(id ID, cp *Checkpoint) (Staged, error) {
	data, err := cp.encode(id)
	if err == nil && len(data) > maxFile {
		err = errors.New("it is too large")
	}
	var p *pending
	if err == nil {
		p, err = d.stage(id.File(), data, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("write checkpoint %q: %w", d.Path(id.File()), err)
	}
	return p, nil
}

// pending is a file that is written and has not its name yet.
type pending struct {
	dir        *Dir
	name, temp string
}

// Commit makes what Stage has written count: all files get their names, and then the
// directory is synced once. It returns an error for each, as that of [Dir.Save].
func (d *Dir) Commit(staged []Staged) []error {
	errs := make([]error, len(staged))
	for i, s := range staged {
		errs[i] = s.(*pending).rename()
	}
	synced := d.step("syncdir", d.sync)
	for i, s := range staged {
		if err := cmp.Or(errs[i], synced); err != nil {
			errs[i] = fmt.Errorf("write checkpoint %q: %w", d.Path(s.(*pending).name), err)
		}
	}
	return errs
}

// rename gives the file its name; where that fails it removes the file.
func (p *pending) rename() error {
	err := p.dir.step("rename", func() error { return p.dir.rename(p.temp, p.name) })
	if err != nil {
		p.Discard()
	}
	return err
}

// Discard removes what Stage wrote.
func (p *pending) Discard() { _ = p.dir.root.Remove(p.temp) } // a later run sweeps what stays

// replace puts a file with the given content in the place of name.
func (d *Dir) replace(name string, data []byte, mode fs.FileMode) error {
	p, err := d.stage(name, data, mode)
	if err == nil {
		err = p.rename()
	}
	if err == nil {
		err = d.step("syncdir", d.sync)
	}
	return err
}

// stage writes a file that is to take the place of name.
func (d *Dir) stage(name string, data []byte, mode fs.FileMode) (*pending, error) {
	if _, err := d.own(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p := &pending{d, name, tempPrefix + rand.Text()}
	var f *os.File
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"create", func() (err error) {
			f, err = d.root.OpenFile(p.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
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
				p.Discard()
			}
			return nil, err
		}
	}
	return p, nil
}

// step takes one step of a write.
func (d *Dir) step(name string, do func() error) error {
	if d.Step != nil {
		if err := d.Step(name); err != nil {
			return err
		}
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, cause(err))
	}
	return nil
}

// rename gives temp its name. On Windows a reader (a virus scanner, an indexer)
// may stand in the way for a moment.
func (d *Dir) rename(temp, name string) error {
	err := d.root.Rename(temp, name)
	for tries := 0; err != nil && runtime.GOOS == "windows" && errors.Is(err, fs.ErrPermission) && tries < 20; tries++ {
		time.Sleep(10 * time.Millisecond)
		err = d.root.Rename(temp, name)
	}
	return err
}

// sync makes a rename last. Windows has no such call, and some file systems
// refuse it.
func (d *Dir) sync() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// cause strips the temporary name, which tells a reader nothing.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

// Append adds data to the end of a file in the directory, of mode 0600, and
// syncs it. Several goroutines may append to one file.
func (d *Dir) Append(name string, data []byte) error {
	d.appending.Lock()
	defer d.appending.Unlock()
	if _, err := d.own(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %q: %w", d.Path(name), err)
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write %q: %w", d.Path(name), cause(err))
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %q: %w", d.Path(name), cause(err))
	}
	return nil
}

// Times returns when each file in the directory was last written.
func (d *Dir) Times() (map[string]time.Time, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("read checkpoint directory %q: %w", d.path, cause(err))
	}
	times := make(map[string]time.Time, len(entries))
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			times[e.Name()] = info.ModTime()
		}
	}
	return times, nil
}
