package report

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
)

// Console is a handler that writes messages to stderr, for one of two readers.
//
// A person gets lines that begin with "dls: error:", "dls: warning:" or "dls:",
// and the attribute "hint" on a line of its own, which begins with "dls: hint:".
//
// The journal of systemd gets the level as a priority, "<3>", "<4>" or "<6>"
// (sd-daemon(3); "<7>" for what is less than information), by which
// journalctl -p finds it, and no name, since the journal has that. A hint has its
// message's priority.
//
// A message of several lines has the beginning on each. It is safe for
// concurrent use.
type Console struct {
	mu    *sync.Mutex
	w     io.Writer
	least slog.Leveler
	begin func(slog.Level) string
	hint  func(slog.Level) string
	wrap  Screen // of a terminal
	attrs []slog.Attr
}

// NewConsole returns a handler that writes messages of at least the level. They
// are for the journal when w is a file that $JOURNAL_STREAM says is its, and for
// a person otherwise.
func NewConsole(w io.Writer, least slog.Leveler) *Console {
	c := &Console{mu: new(sync.Mutex), w: w, least: least, begin: spoken, hint: func(slog.Level) string { return "dls: hint: " }}
	if terminal(w) != nil {
		c.wrap = ScreenOf(w)
	}
	if screen := c.wrap; screen.Colour {
		c.begin = func(l slog.Level) string { return coloured(screen, l) }
		c.hint = func(slog.Level) string { return "dls: " + screen.Faint("hint:") + " " }
	}
	if f, ok := w.(*os.File); ok && isJournal(f, os.Getenv("JOURNAL_STREAM")) {
		c.begin, c.hint = priority, func(l slog.Level) string { return priority(l) + "hint: " }
	}
	return c
}

// spoken is how a line begins for a person.
func spoken(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "dls: error: "
	case l >= slog.LevelWarn:
		return "dls: warning: "
	}
	return "dls: "
}

// coloured is spoken with the word for the level in its colour.
func coloured(screen Screen, l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "dls: " + screen.Bad("error:") + " "
	case l >= slog.LevelWarn:
		return "dls: " + screen.Warning("warning:") + " "
	}
	return spoken(l)
}

// uncoloured finds what colours a text.
var uncoloured = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// priority is how a line begins for the journal.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	}
	return "<7>"
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
	text := stream + r.Message
	if len(rest) > 0 {
		text += " (" + strings.Join(rest, ", ") + ")"
	}
	var b strings.Builder
	write := func(begin, text string) {
		for line := range strings.SplitSeq(strings.TrimRight(printable(text), "\n"), "\n") {
			b.WriteString(begin + c.wrap.Wrap(line, len(uncoloured.ReplaceAllString(begin, "")), len("dls: ")) + "\n")
		}
	}
	write(c.begin(r.Level), text)
	if hint != "" {
		write(c.hint(r.Level), hint)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.w, b.String())
	return err
}
