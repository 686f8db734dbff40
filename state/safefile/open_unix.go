//go:build unix

package safefile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openNoFollow opens a file that is there without following its last link and
// without waiting for what is no regular file.
func openNoFollow(d *Dir, name string, flag int) (*os.File, error) {
	return d.openat(name, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// openat opens a file through the directory's descriptor.
func (d *Dir) openat(name string, flag int, mode uint32) (*os.File, error) {
	fd, err := again(func() (int, error) {
		return unix.Openat(int(d.file.Fd()), name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.Path(name), Err: err}
	}
	return wrap(fd, d.Path(name))
}

// openFollow opens a file for reading, through links, without waiting for what is
// no regular file.
func openFollow(path string) (*os.File, error) {
	fd, err := again(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return wrap(fd, path)
}

// wrap makes a file of a descriptor that is open: from here on it may wait, as
// files do.
func wrap(fd int, path string) (*os.File, error) {
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// again repeats a call that a signal interrupts.
func again(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}

// create makes a file, which must not be there, and gives it to the owner.
func (d *Dir) create(name string, flag int, mode fs.FileMode, owner owner) (*os.File, error) {
	if err := bare(name); err != nil {
		return nil, err
	}
	f, err := d.openat(name, flag|os.O_CREATE|os.O_EXCL, uint32(mode.Perm()))
	if err != nil {
		return nil, Cause(err)
	}
	err = owner.own(f)
	if err == nil && mode.Perm()&0o077 != 0 {
		err = f.Chmod(mode) // whatever the umask
	}
	if err != nil {
		f.Close()
		_ = d.root.Remove(name)
		return nil, Cause(err)
	}
	return f, nil
}
