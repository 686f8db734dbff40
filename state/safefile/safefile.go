// Package safefile reads and writes files on a machine that others use too, where
// what has the right name may be somebody else's, may lead elsewhere, or may never
// answer.
//
// Start with [Read] for a file that an administrator names (a configuration, a
// certificate), with [Open] for a directory in which this program keeps files of
// its own, with [Replace] to put one whole file in the place of another.
//
// What is promised: nothing here waits for a file that is no regular one; in a
// [Dir] nothing follows a symbolic link, and what was opened is what was looked
// at; a file is replaced as a whole or not at all, and (on Linux and macOS) lasts
// through a loss of power. A file must belong to the user that runs this program,
// or to root; root also takes what the owner of the directory owns, and what it
// makes there belongs to that owner. It imports nothing of ours, so that every
// package may use it.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// The reasons for which a file is not used.
var (
	// ErrSymlink is a symbolic link in a directory of the program's own files.
	ErrSymlink = errors.New("it is a symbolic link")
	// ErrNotRegular is what has the name of a file and is none: a directory, a FIFO,
	// a socket, a device.
	ErrNotRegular = errors.New("it is no regular file")
	// ErrLinked is a file that has another name too, through which somebody else may
	// have put it there.
	ErrLinked = errors.New("it has another name too (a hard link)")
	// ErrShared is a file to which any user of the machine can write.
	ErrShared = errors.New("any user of this machine can write to it")
	// ErrOwner is what every [OwnerError] is.
	ErrOwner = errors.New("it belongs to another user")
	// ErrTooLarge is a file, or the content for one, beyond its limit.
	ErrTooLarge = errors.New("it is too large")
)

// OwnerError is a file that belongs to somebody who has no business there: neither
// to the user that runs this program nor to root nor, for root, to the owner of
// the directory.
type OwnerError struct {
	// Owner names the file's owner.
	Owner string
}

// Error names the owner.
func (e *OwnerError) Error() string { return ErrOwner.Error() + " (" + e.Owner + ")" }

// Unwrap returns ErrOwner.
func (e *OwnerError) Unwrap() error { return ErrOwner }

// BusyError is a step that another program stood in the way of until retryFor
// ended. Only Windows knows it: there a virus scanner or an indexer can keep a file
// from being renamed or opened.
type BusyError struct {
	// Err is what the system says.
	Err error
}

// Error says so.
func (e *BusyError) Error() string { return e.Err.Error() + ", for " + retryFor.String() }

// Unwrap returns what the system says.
func (e *BusyError) Unwrap() error { return e.Err }

// Access says whose a file or a directory is, and what others can do with it.
type Access struct {
	// Known tells whether this system was asked. Nothing else counts where it was
	// not.
	Known bool
	// Owner names the owner. Foreign tells that it is neither the user that runs this
	// program nor root nor a system account; to root nobody is.
	Owner   string
	Foreign bool
	// Readers and Writers say who but the owner and the system can read and write, for a
	// message; "" is nobody. In a Kubernetes pod its own group counts as the owner, and
	// what the kubelet has mounted nobody reads who has no business in the pod. Anybody
	// tells that any user of the machine can write.
	Readers, Writers string
	Anybody          bool
}

// MaxPEM is a limit for files of certificates and keys: a bundle of all public
// authorities is a twentieth of it.
const MaxPEM = 4 << 20

// Read returns the content of a file that an administrator names, and who can do
// what with it. Symbolic links are followed; what is no regular file is
// [ErrNotRegular], at once; more than limit bytes are [ErrTooLarge]. The error is an
// *fs.PathError.
func Read(path string, limit int64) ([]byte, Access, error) {
	data, access, err := read(path, limit)
	if err != nil {
		return nil, access, &fs.PathError{Op: "open", Path: path, Err: Cause(err)}
	}
	return data, access, nil
}

// Look returns who can do what with a file that an administrator names. It refuses
// what [Read] does.
func Look(path string) (Access, error) {
	f, access, err := openNamed(path)
	if err != nil {
		return Access{}, &fs.PathError{Op: "open", Path: path, Err: Cause(err)}
	}
	f.Close() // it was only looked at
	return access, nil
}

// mounted tells whether the kubelet has put a file there, of a Secret or a ConfigMap: a
// link to ..data, itself a link to what is root's. The mode is what the pod's group, or
// another user of its containers, needs to read the file, and nobody can change it
// from within.
func mounted(path string, access Access) bool {
	to, err := os.Readlink(path)
	if err != nil || access.Owner != "uid 0" || access.Writers != "" || to != filepath.Join("..data", filepath.Base(path)) {
		return false
	}
	data, err := os.Lstat(filepath.Join(filepath.Dir(path), "..data"))
	return err == nil && data.Mode()&fs.ModeSymlink != 0
}

func read(path string, limit int64) ([]byte, Access, error) {
	f, access, err := openNamed(path)
	if err != nil {
		return nil, Access{}, err
	}
	defer f.Close()
	data, err := readAll(f, limit)
	return data, access, err
}

// openNamed opens a file that an administrator names.
func openNamed(path string) (*os.File, Access, error) {
	// To open a device may do something, and a socket cannot be opened at all. What
	// takes the file's place meanwhile is opened without waiting, and found out below.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, Access{}, ErrNotRegular
	}
	f, err := openFollow(path)
	if err != nil {
		return nil, Access{}, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotRegular
	}
	if err != nil {
		f.Close()
		return nil, Access{}, err
	}
	access := accessOf(f, info)
	if access.Readers != "" && mounted(path, access) {
		access.Readers = ""
	}
	return f, access, nil
}

// Stdin tells whether a path names what this process was started with: its
// standard input, or a descriptor that a shell made for <(…).
func Stdin(path string) bool {
	if runtime.GOOS == "windows" {
		return false
	}
	if path == "/dev/stdin" {
		return true
	}
	ok, _ := filepath.Match("/dev/fd/[0-9]*", path)
	return ok
}

// ReadStdin returns what is read from a path of which [Stdin] is true: it waits
// until what writes there is done. The error does not repeat the path.
func ReadStdin(path string, limit int64) ([]byte, error) {
	f := os.Stdin
	if path != "/dev/stdin" {
		var err error
		if f, err = openFollow(path); err != nil {
			return nil, Cause(err)
		}
		defer f.Close()
	}
	return readAll(f, limit)
}

func readAll(f *os.File, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, Cause(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrTooLarge, limit)
	}
	return data, nil
}

// Cause takes the operation and the path off an error of package os: the caller's
// message has the path, and a temporary one tells a reader nothing.
func Cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	if s, ok := errors.AsType[*os.SyscallError](err); ok {
		return s.Err
	}
	return err
}

// retryFor is how long a step is tried again that another program stands in the
// way of.
const retryFor = 2 * time.Second

// inUse tells errors that pass when another program closes the file; inTheWay also
// those that may, and may tell of a right that is missing.
var inUse, inTheWay = never, never

func never(error) bool { return false }

// retry takes a step, and takes it again while another program stands in the way.
func retry(inTheWay func(error) bool, step func() error) error {
	err := step()
	if err == nil || !inTheWay(err) {
		return err
	}
	began := time.Now()
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		time.Sleep(wait)
		if err = step(); err == nil || !inTheWay(err) {
			return err
		}
		if time.Since(began) >= retryFor {
			return &BusyError{Cause(err)}
		}
	}
}

// syncDir makes what was renamed in a directory last. Windows has no such call,
// and some file systems refuse it.
func syncDir(root *os.Root) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
