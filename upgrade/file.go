package upgrade

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"dls/state/safefile"
)

// ErrExists is returned by [File] where the new file is there already and force
// is not given.
var ErrExists = errors.New("the file is there already")

// File upgrades the configuration file oldPath with [Config] and writes the
// result to newPath, or to stdout where newPath is "-".
//
// The new file appears whole or not at all, with mode 0600, since it holds a
// secret. An error leaves what was there, but for one of the last step, which makes
// the new file last. A newPath that is a symbolic link, no regular file, somebody
// else's file, or the old file under any name is refused, and one that exists is an
// [ErrExists] unless force is true. The old file is never changed. On an error the
// result is nil.
func File(oldPath, newPath string, force bool, stdout io.Writer) (*Result, error) {
	old, info, err := read(oldPath)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", oldPath, safefile.Cause(err))
	}
	if newPath != "-" {
		if err := mayReplace(newPath, info, force); err != nil {
			return nil, fmt.Errorf("write %q: %w", newPath, safefile.Cause(err))
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
	if err := safefile.ReplaceOwn(newPath, result.Data, 0o600); err != nil {
		return nil, fmt.Errorf("write %q: %w", newPath, err)
	}
	return result, nil
}

// read returns the content of the old file, and its facts unless it is none.
func read(path string) (data []byte, info fs.FileInfo, err error) {
	if safefile.Stdin(path) {
		data, err = safefile.ReadStdin(path, maxSize)
		return data, nil, err
	}
	if data, _, err = safefile.Read(path, maxSize); err == nil {
		info, err = os.Stat(path)
	}
	return data, info, err
}

// mayReplace returns why a path must not be written, or nil.
func mayReplace(path string, old fs.FileInfo, force bool) error {
	// Through links, so that no name of the old file gets past.
	if info, err := os.Stat(path); err == nil && old != nil && os.SameFile(info, old) {
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
