package upgrade

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// ErrExists is returned by [File] where the new file is there already and force
// is not given.
var ErrExists = errors.New("the file is there already")

// File upgrades the configuration file oldPath with [Config] and writes the
// result to newPath, or to stdout where newPath is "-".
//
// The new file appears whole or not at all, with mode 0600, since it holds a
// secret. An error before that leaves what was there. A newPath that is a
// symbolic link, no regular file, or the old file under any name is refused, and
// one that exists is an [ErrExists] unless force is true. The old file is never
// changed. On an error the result is nil.
func File(oldPath, newPath string, force bool, stdout io.Writer) (*Result, error) {
	old, info, err := read(oldPath)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", oldPath, cause(err))
	}
	if newPath != "-" {
		if err := mayReplace(newPath, info, force); err != nil {
			return nil, fmt.Errorf("write %q: %w", newPath, cause(err))
		}
	}
	result, err := Config(old)
	if err != nil {
		return nil, fmt.Errorf("upgrade %q: %w", oldPath, err)
	}
	if newPath == "-" {
		if _, err := stdout.Write(result.Data); err != nil {
			return nil, fmt.Errorf("write the new configuration: %w", err)
		}
		return result, nil
	}
	if err := write(newPath, result.Data); err != nil {
		return nil, fmt.Errorf("write %q: %w", newPath, err)
	}
	return result, nil
}

func read(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	// One byte more than Config takes, for it to refuse.
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	return data, info, err
}

// mayReplace returns why a path must not be written, or nil.
func mayReplace(path string, old fs.FileInfo, force bool) error {
	// Through links, so that no name of the old file gets past.
	if info, err := os.Stat(path); err == nil && os.SameFile(info, old) {
		return errors.New("this is the old file; give the new one another name")
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link")
	case !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	case !force:
		return ErrExists
	}
	return nil
}

// fail is called before each step of a write with the step's name; an error it
// returns takes the step's place. It is there for tests.
var fail = func(step string) error { return nil }

// write puts a file with the data in the place of path, durably. A rename
// replaces a symbolic link that appeared meanwhile and does not follow it. Only
// an error of the last step, syncdir, leaves the new file there, whole.
func write(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	var f *os.File
	renamed := false
	defer func() {
		if f != nil && !renamed {
			// A second Close does no harm; Windows removes no open file.
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"create", func() (err error) {
			f, err = os.CreateTemp(dir, ".dls-tmp-*") // mode 0600
			return err
		}},
		{"write", func() error { _, err := f.Write(data); return err }},
		{"sync", func() error { return f.Sync() }},
		{"close", func() error { return f.Close() }},
		{"rename", func() error {
			err := os.Rename(f.Name(), path)
			renamed = err == nil
			return err
		}},
		{"syncdir", func() error { return syncDir(dir) }},
	} {
		err := fail(step.name)
		if err == nil {
			err = step.do()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, cause(err))
		}
	}
	return nil
}

// syncDir makes a rename last. Windows has no such call, and some file systems
// refuse it.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// cause strips the path, which the caller's message has, or the temporary one,
// which tells a reader nothing.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}
