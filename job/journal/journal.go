// Package journal is where a run says what it does: the log file, and the few
// lines on stderr that are for a person. Both are handlers of log/slog.
//
// Start with [OpenFile] and [NewConsole]. Records, secrets and signatures never
// get here; that is the callers' part of the promise. The Go API is not stable.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// OpenFile opens the log file for appending, and makes it, of mode 0600, when
// it is not there. Symbolic links and what is no regular file are refused: in a
// directory that others write to, they could lead anywhere.
func OpenFile(path string) (*os.File, error) {
	before, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("open log file: %w", err)
	case before.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("open log file %q: it is a symbolic link", path)
	case !before.Mode().IsRegular():
		return nil, fmt.Errorf("open log file %q: it is no regular file", path)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	after, err := f.Stat()
	if err == nil && (!after.Mode().IsRegular() || before != nil && !os.SameFile(before, after)) {
		err = errors.New("it was replaced while it was opened")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open log file %q: %w", path, err)
	}
	return f, nil
}

// Console is a handler that writes messages for a person: one line each, begun
// with "dls: error:", "dls: warning:" or "dls:", and the attribute "hint" on a
// line of its own, begun with "dls: hint:". It is safe for concurrent use.
type Console struct {
	mu    *sync.Mutex
	w     io.Writer
	least slog.Leveler
	attrs []slog.Attr
}

// NewConsole returns a handler that writes messages of at least the level.
func NewConsole(w io.Writer, least slog.Leveler) *Console {
	return &Console{mu: new(sync.Mutex), w: w, least: least}
}

// Enabled implements [slog.Handler].
func (c *Console) Enabled(_ context.Context, level slog.Level) bool { return level >= c.least.Level() }

// WithAttrs implements [slog.Handler].
func (c *Console) WithAttrs(attrs []slog.Attr) slog.Handler {
	d := *c
	d.attrs = append(append([]slog.Attr(nil), c.attrs...), attrs...)
	return &d
}

// WithGroup implements [slog.Handler]. Groups make no difference to a person.
func (c *Console) WithGroup(string) slog.Handler { return c }

// Handle implements [slog.Handler].
func (c *Console) Handle(_ context.Context, r slog.Record) error {
	var stream, hint string
	var rest []string
	note := func(a slog.Attr) bool {
		switch a.Key {
		case "stream":
			stream = a.Value.String() + ": "
		case "hint":
			hint = a.Value.String()
		default:
			rest = append(rest, fmt.Sprintf("%s %v", a.Key, a.Value))
		}
		return true
	}
	for _, a := range c.attrs {
		note(a)
	}
	r.Attrs(note)
	var b strings.Builder
	b.WriteString("dls: ")
	switch {
	case r.Level >= slog.LevelError:
		b.WriteString("error: ")
	case r.Level >= slog.LevelWarn:
		b.WriteString("warning: ")
	}
	b.WriteString(stream + r.Message)
	if len(rest) > 0 {
		b.WriteString(" (" + strings.Join(rest, ", ") + ")")
	}
	b.WriteByte('\n')
	if hint != "" {
		b.WriteString("dls: hint: " + hint + "\n")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.w, b.String())
	return err
}
