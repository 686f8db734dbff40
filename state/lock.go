package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"dls/state/safefile"
)

// LockName is the name of the lock file in a checkpoint directory. The file
// stays when the lock is released.
const LockName = "dls.lock"

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

// lock tries once. The descriptor that was looked at is the one that is locked. note
// has the time written to the file.
func (d *Dir) lock(name string, alone, note bool) (unlock func(), err error) {
	for range 10 {
		f, err := d.dir.OpenFile(name, os.O_RDWR|os.O_CREATE)
		if err != nil {
			return nil, &LockError{d.Path(name), err}
		}
		got, err := tryLock(f, alone)
		switch {
		case err != nil:
			f.Close()
			return nil, &LockError{d.Path(name), safefile.Cause(err)}
		case !got:
			f.Close()
			return nil, ErrLocked
		case d.named(f, name):
			if note {
				stamp(f)
			}
			return func() { release(f) }, nil
		}
		f.Close() // it was removed meanwhile: others would lock another one
	}
	return nil, &LockError{d.Path(name), errors.New("it comes and goes")}
}

// release lets go of a lock. A process that is being started may have the descriptor,
// too, until it runs, and would keep the lock.
func release(f *os.File) {
	unlock(f)
	f.Close()
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
