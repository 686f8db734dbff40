package report

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Screen is what a reader looks at: how wide it is, and whether it shows colours.
// The zero value is a file or a pipe, which has neither.
type Screen struct {
	// Width is the number of columns, or 0 when lines may have any length.
	Width int
	// Colour tells that words are to be coloured.
	Colour bool
}

// ScreenOf returns the screen that w is. Only a terminal has colours, and none
// where $NO_COLOR is set or $TERM is dumb (no-color.org). What is no terminal is as
// wide as $COLUMNS says, which shells do not export by themselves.
func ScreenOf(w io.Writer) Screen {
	var s Screen
	if f := terminal(w); f != nil {
		s.Width = 80
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 1 {
			s.Width = width
		}
		s.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && showsColours(f)
	} else if width, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && width > 1 {
		s.Width = width
	}
	return s
}

// terminal returns the terminal that w writes to, or nil.
func terminal(w io.Writer) *os.File {
	if l, ok := w.(*Line); ok {
		return terminal(l.w)
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// Good, Warning, Bad and Faint return a text in the colour of its kind.
func (s Screen) Good(text string) string    { return s.paint("32", text) }
func (s Screen) Warning(text string) string { return s.paint("33", text) }
func (s Screen) Bad(text string) string     { return s.paint("31;1", text) }
func (s Screen) Faint(text string) string   { return s.paint("2", text) }

func (s Screen) paint(code, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Wrap breaks a text between words so that it fits the screen, when begun at the
// column first; later lines begin with so many blanks. A word that is longer than a
// line is broken.
func (s Screen) Wrap(text string, first, indent int) string {
	room := s.Width - 1 // some terminals begin a new line after the last column
	if s.Width == 0 || room <= indent+8 {
		return text
	}
	var b strings.Builder
	at := first
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n <= room:
			b.WriteByte(' ')
			at++
		default:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		}
		for runes := []rune(word); ; {
			if left := max(room-at, 1); len(runes) > left {
				b.WriteString(string(runes[:left]) + "\n" + strings.Repeat(" ", indent))
				runes, at = runes[left:], indent
				continue
			}
			b.WriteString(string(runes))
			at += len(runes)
			break
		}
	}
	return b.String()
}
