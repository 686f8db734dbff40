package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
)

// RotateFile renames a log file that has grown to maxBytes or more: path to
// path.1, path.1 to path.2 and so on, and drops what would be beyond path.keep.
// It is called before [OpenFile], which then begins a new file. A file that is
// not there, or a maxBytes of 0 or less, is nothing to do; keep is at least 1.
//
// Symbolic links are never followed. Runs that begin at the same time do not
// rotate twice, and a run that has the file open goes on writing to it under its
// new name, so no lock need be held; on Windows an open file cannot be renamed,
// and the error says so: the next run rotates it. After an error the log is
// whole, and OpenFile goes on with the old file.
func RotateFile(path string, maxBytes int64, keep int) error {
	if info, err := os.Lstat(path); maxBytes <= 0 || errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() < maxBytes {
		return nil
	}
	f, err := open("rotate log file", path, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if !claim(f) {
		return nil // another run is rotating it
	}
	mine, err := f.Stat()
	if err != nil {
		return fmt.Errorf("rotate log file: %w", err)
	}
	now, err := os.Lstat(path)
	if err != nil || !os.SameFile(mine, now) || mine.Size() < maxBytes {
		return nil // another run has rotated it since it was looked at
	}
	if !renamesOpen {
		f.Close()
	}
	for n := max(keep, 1); n > 1; n-- {
		if err := os.Rename(generation(path, n-1), generation(path, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate log file: %w", err)
		}
	}
	if err := os.Rename(path, generation(path, 1)); err != nil {
		return fmt.Errorf("rotate log file: %w", err)
	}
	return nil
}

func generation(path string, n int) string { return path + "." + strconv.Itoa(n) }
