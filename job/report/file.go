package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
)

// LogFormat is how the log file is written.
type LogFormat string

// The formats of the log file.
const (
	LogText LogFormat = "text" // key=value pairs, one message a line
	LogJSON LogFormat = "json" // one JSON object a line
)

// NewFile returns a handler that writes messages of at least the level to the log
// file. An unknown format is LogText. Times are in UTC, in the form of RFC 3339.
func NewFile(w io.Writer, format LogFormat, least slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: least, ReplaceAttr: inUTC}
	if format == LogJSON {
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
		return nil, cause(err)
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, errors.New("it is a symbolic link")
	case !before.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|flag|noFollow, 0o600)
	if err != nil {
		return nil, cause(err)
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
