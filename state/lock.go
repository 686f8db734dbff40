package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"dls/state/safefile"
)

// LockName is the name of the lock file in a checkpoint directory. The file
// stays when the lock is released.
const LockName = "dls" + lockEnd

const lockEnd = ".lock"

// ErrLocked is returned by [Dir.Lock] and [Dir.ShareLock] while another process
// holds the lock.
var ErrLocked = errors.New("another run holds the lock")

// LockError is a lock that cannot be taken because of what has its name: nobody
// holds it.
type LockError struct {
	// Path is the lock file's path.
	Path string
	// Err says what is wrong with it.
	Err error
}

// Error names the file and what is wrong with it.
func (e *LockError) Error() string { return fmt.Sprintf("lock %q: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *LockError) Unwrap() error { return e.Err }

// Lock takes a lock of the directory, which the kernel holds for this process
// and drops when it ends, however it ends. While another process holds it, alone
// or shared, the error is ErrLocked; a file that cannot be locked is a *LockError.
func (d *Dir) Lock(name string) (unlock func(), err error) { return d.lock(name, true, false) }

// ShareLock takes a lock that others may share but nobody can hold alone.
func (d *Dir) ShareLock(name string) (unlock func(), err error) { return d.lock(name, false, false) }

// WaitLock takes a lock as [Dir.Lock] does and waits for it until ctx ends; the
// error then wraps the cause of that.
func (d *Dir) WaitLock(ctx context.Context, name string) (unlock func(), err error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 80*time.Millisecond) {
		unlock, err := d.Lock(name)
		if !errors.Is(err, ErrLocked) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %q: %w", d.Path(name), context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// LockFiles returns the facts of the files that stand for a lock, and what has such a
// name and does not count: see [Dir.lock]. It takes no lock.
func (d *Dir) LockFiles(name string) (files []fs.FileInfo, foreign []*LockError, err error) {
	names, err := d.Names()
	if err != nil {
		return nil, nil, err
	}
	for _, n := range names {
		if lockOf(n) != name {
			continue
		}
		f, why, err := d.openLock(n)
		switch {
		case err != nil:
			return nil, nil, err
		case why != nil:
			foreign = append(foreign, why)
		case f != nil:
			info, err := f.Stat()
			f.Close()
			if err != nil {
				return nil, nil, &LockError{d.Path(n), safefile.Cause(err)}
			}
			files = append(files, info)
		}
	}
	return files, foreign, nil
}

// lock tries once. The file of its name stands for a lock. Where others can write to the
// directory, one of them may have taken that name: what is not this user's does not
// count there, and a file beside it, of a name that nobody can foresee, stands for the
// lock. Whoever takes the lock takes all the files that stand for it, so that runs
// exclude each other whether they began before the name was taken, while it was, or
// after: of two, the one that looks later needs all that the other one has seen. note
// has the time written.
func (d *Dir) lock(name string, alone, note bool) (unlock func(), err error) {
	for range 10 {
		names, err := d.Names()
		if err != nil {
			return nil, err
		}
		held, err := d.hold(names, name, alone)
		if err != nil {
			return nil, err
		}
		if len(held) > 0 {
			if note {
				for _, f := range held {
					stamp(f)
				}
			}
			return func() { release(held...) }, nil
		}
		if err := d.makeLock(name); err != nil {
			return nil, err
		}
	}
	return nil, &LockError{d.Path(name), errors.New("it comes and goes")}
}

// free is ErrLocked while somebody holds the lock, alone or shared. names is what is in
// the directory.
func (d *Dir) free(names []string, name string) error {
	held, err := d.hold(names, name, true)
	release(held...)
	return err
}

// hold locks what of names stands for a lock. The descriptors that were looked at are
// those that are locked. Where one has gone or lost its name meanwhile, none are held.
func (d *Dir) hold(names []string, name string, alone bool) (held []*os.File, err error) {
	defer func() {
		if err != nil {
			release(held...)
			held = nil
		}
	}()
	for _, n := range names {
		if lockOf(n) != name {
			continue
		}
		f, foreign, err := d.openLock(n)
		switch {
		case err != nil:
			return held, err
		case foreign != nil:
			continue
		case f == nil:
			release(held...)
			return nil, nil
		}
		got := isHeld(held, f)
		if !got {
			got, err = tryLock(f, alone)
		}
		if err != nil || !got {
			f.Close()
			if err != nil {
				return held, &LockError{d.Path(n), safefile.Cause(err)}
			}
			return held, ErrLocked
		}
		held = append(held, f)
		if !d.named(f, n) { // others would lock another one
			release(held...)
			return nil, nil
		}
	}
	return held, nil
}

// isHeld tells whether a file is held by another name: a second lock of it would wait for
// the first.
func isHeld(held []*os.File, f *os.File) bool {
	info, err := f.Stat()
	return err == nil && slices.ContainsFunc(held, func(h *os.File) bool {
		other, err := h.Stat()
		return err == nil && os.SameFile(info, other)
	})
}

// makeLock makes a file that stands for a lock: that of its name, or, where that is not
// ours, one beside it.
func (d *Dir) makeLock(name string) error {
	f, err := d.dir.OpenFile(name, os.O_RDWR|os.O_CREATE)
	if err != nil && d.notOurs(err) {
		name = strings.TrimSuffix(name, lockEnd) + "." + rand.Text() + lockEnd
		f, err = d.dir.OpenFile(name, os.O_RDWR|os.O_CREATE)
	}
	if err != nil {
		return &LockError{d.Path(name), err}
	}
	f.Close()
	return nil
}

// openLock opens a file that stands for a lock. What does not count is foreign; what has
// gone is neither.
func (d *Dir) openLock(name string) (f *os.File, foreign *LockError, err error) {
	f, err = d.dir.OpenFile(name, os.O_RDWR)
	if errors.Is(err, safefile.ErrLinked) {
		// Somebody may have given the file of a run that is at work another name: what
		// nobody else can open counts, and is not written to.
		if linked, opening := d.dir.OpenFile(name, os.O_RDONLY); opening == nil {
			if info, looking := linked.Stat(); looking == nil && info.Mode().Perm()&0o077 == 0 {
				return linked, nil, nil
			}
			linked.Close()
		}
	}
	switch {
	case err == nil:
		return f, nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case d.notOurs(err):
		return nil, &LockError{d.Path(name), err}, nil
	}
	return nil, nil, &LockError{d.Path(name), err}
}

// notOurs tells that a lock's file was not opened because of what others may have put
// there.
func (d *Dir) notOurs(err error) bool {
	for _, why := range []error{safefile.ErrOwner, safefile.ErrSymlink, safefile.ErrNotRegular, safefile.ErrLinked} {
		if errors.Is(err, why) {
			return d.Exposed() != ""
		}
	}
	return false
}

// lockOf returns the lock that a file stands for by its name, or "".
func lockOf(name string) string {
	base, ok := strings.CutSuffix(name, lockEnd)
	if !ok {
		return ""
	}
	base, _, _ = strings.Cut(base, ".")
	return base + lockEnd
}

// release lets go of locks. A process that is being started may have the descriptors,
// too, until it runs, and would keep them.
func release(files ...*os.File) {
	for _, f := range files {
		unlock(f)
		f.Close()
	}
}

// named tells whether a file still has its name.
func (d *Dir) named(f *os.File, name string) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := d.dir.Stat(name)
	return err == nil && os.SameFile(mine, now)
}
