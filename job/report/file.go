package report

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"dls/state/safefile"
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

// Watch returns a writer to w that calls failed once, with the error of the first write
// that fails: package slog drops it.
func Watch(w io.Writer, failed func(error)) io.Writer { return &watched{w: w, failed: failed} }

type watched struct {
	w      io.Writer
	once   sync.Once
	failed func(error)
}

func (w *watched) Write(line []byte) (int, error) {
	n, err := w.w.Write(line)
	if err != nil {
		w.once.Do(func() { w.failed(safefile.Cause(err)) })
	}
	return n, err
}

// inUTC makes the time of a message one in UTC, as those in its text are.
func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// OpenFile opens the log file for appending, and makes it, of mode 0600, when
// it is not there. Symbolic links, what is no regular file and what belongs to
// another user are refused: in a directory that others write to, they could lead
// anywhere, or show the messages to anybody.
func OpenFile(path string) (*os.File, error) {
	f, err := safefile.OpenAppend(path, true)
	if err != nil {
		return nil, fmt.Errorf("open log file %q: %w", path, err)
	}
	return f, nil
}
