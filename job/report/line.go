package report

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Line is a line at the bottom of a terminal that is written over in place,
// and the way for everything else that is written there meanwhile: a [Console]
// may write through it. It is safe for concurrent use.
//
// It needs nothing of the terminal but a carriage return: what is left of a
// longer line is overwritten by blanks.
type Line struct {
	width func() int

	mu      sync.Mutex
	w       io.Writer
	line    string // what is to be shown, or ""
	shown   int    // how many columns are
	midline bool   // the last Write did not end its line: nothing may be shown
}

// NewLine returns a line on w. width tells the terminal's width in
// columns and is asked each time the line is drawn, since it may change; nil or
// less than 2 is 80. See [Width].
func NewLine(w io.Writer, width func() int) *Line {
	return &Line{w: w, width: width}
}

// Width returns a function that tells the width of the terminal that f is, or 0.
func Width(f *os.File) func() int {
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return width
	}
}

// Set shows the line in the place of the one before, cut to the terminal's
// width. A line that cannot be written is no error: it is only for the eyes.
func (l *Line) Set(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = strings.ReplaceAll(printable(line), "\n", " ")
	var b bytes.Buffer
	l.draw(&b)
	_, _ = l.w.Write(b.Bytes())
}

// Clear takes the line away.
func (l *Line) Clear() { l.Set("") }

// Write writes p above the line: it takes the line away, writes, and shows it
// again once p ends with a newline.
func (l *Line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	// In one piece, lest the terminal flickers.
	var b bytes.Buffer
	l.erase(&b)
	before := b.Len()
	b.Write(p)
	l.midline = p[len(p)-1] != '\n'
	l.draw(&b)
	n, err := l.w.Write(b.Bytes())
	return min(max(n-before, 0), len(p)), err
}

// draw shows the line over what is shown.
func (l *Line) draw(b *bytes.Buffer) {
	if l.midline {
		return
	}
	if l.line == "" {
		l.erase(b)
		return
	}
	line := l.line
	// The last column stays free: some terminals begin a new line after it.
	most := l.columns() - 1
	if n := utf8.RuneCountInString(line); n > most {
		line = string([]rune(line)[:most])
	}
	n := utf8.RuneCountInString(line)
	b.WriteString("\r" + line)
	if rest := min(l.shown, most) - n; rest > 0 {
		b.WriteString(strings.Repeat(" ", rest) + strings.Repeat("\b", rest))
	}
	l.shown = n
}

// erase takes the line away and puts the cursor at its beginning.
func (l *Line) erase(b *bytes.Buffer) {
	if l.shown > 0 {
		b.WriteString("\r" + strings.Repeat(" ", min(l.shown, l.columns()-1)) + "\r")
		l.shown = 0
	}
}

func (l *Line) columns() int {
	if l.width != nil {
		if n := l.width(); n > 1 {
			return n
		}
	}
	return 80
}

// Follow shows what line returns, so often, until stop is called, which takes the
// line away and returns when nothing of it is left. What ends before the first
// time shows nothing.
func (l *Line) Follow(every time.Duration, line func() string) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				l.Set(line())
			case <-end:
				l.Clear()
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(end)
		<-ended
	})
}
