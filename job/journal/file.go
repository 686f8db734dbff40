package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
)

// Format is how the log file is written.
type Format string

// The formats of the log file.
const (
	Text Format = "text" // key=value pairs, one message a line
	JSON Format = "json" // one JSON object a line
)

// NewFile returns a handler that writes messages of at least the level to the log
// file. An unknown format is Text. Times are in UTC, in the form of RFC 3339.
func NewFile(w io.Writer, format Format, least slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: least, ReplaceAttr: inUTC}
	if format == JSON {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// inUTC makes the time of a message one in UTC, as those in its text are.
func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// OpenFile opens the log file for appending, and makes it, of mode 0600, when
// it is not there. Symbolic links and what is no regular file are refused: in a
// directory that others write to, they could lead anywhere.
func OpenFile(path string) (*os.File, error) {
	return open("open log file", path, os.O_CREATE)
}

// errReplaced is a file that was not the one looked at once it was open.
var errReplaced = errors.New("it was replaced while it was opened")

// open opens a regular file for appending, and nothing else.
func open(step, path string, flag int) (f *os.File, err error) {
	for range 3 { // a run that begins just now may rotate it
		if f, err = openOnce(path, flag); !errors.Is(err, errReplaced) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", step, path, err)
	}
	return f, nil
}

func openOnce(path string, flag int) (*os.File, error) {
	before, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, bare(err)
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, errors.New("it is a symbolic link")
	case !before.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|flag|noFollow, 0o600)
	if err != nil {
		return nil, bare(err)
	}
	after, err := f.Stat()
	if err == nil && (!after.Mode().IsRegular() || before != nil && !os.SameFile(before, after)) {
		err = errReplaced
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// bare takes the operation and the path off a file error.
func bare(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

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
