package report

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// screen is a terminal as far as the status line needs one.
type screen struct {
	mu    sync.Mutex
	lines [][]rune
	col   int
	wide  int // a rune beyond this column is counted as an overflow
	over  int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = [][]rune{nil}
	}
	last := &s.lines[len(s.lines)-1]
	for _, r := range string(p) {
		switch r {
		case '\r':
			s.col = 0
		case '\b':
			s.col--
		case '\n':
			s.lines, s.col = append(s.lines, nil), 0
			last = &s.lines[len(s.lines)-1]
		default:
			for len(*last) <= s.col {
				*last = append(*last, ' ')
			}
			(*last)[s.col] = r
			if s.col++; s.wide > 0 && s.col > s.wide {
				s.over++
			}
		}
	}
	return len(p), nil
}

// String is what is seen, and a bar where the cursor is.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for i, line := range s.lines {
		text := strings.TrimRight(string(line), " ")
		if i == len(s.lines)-1 {
			text = fmt.Sprintf("%-*s", s.col, text)
			b.WriteString(text[:s.col] + "|" + text[s.col:])
			break
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

func TestLine(t *testing.T) {
	set := func(line string) func(*Line) { return func(s *Line) { s.Set(line) } }
	write := func(text string) func(*Line) { return func(s *Line) { _, _ = io.WriteString(s, text) } }
	for _, tt := range []struct {
		name string
		do   []func(*Line)
		want string
	}{
		{"nothing", []func(*Line){(*Line).Clear}, "|"},
		{"one", []func(*Line){set("12 records")}, "12 records|"},
		{"shorter", []func(*Line){set("12 records"), set("5")}, "5|"},
		{"longer", []func(*Line){set("5"), set("12 records")}, "12 records|"},
		{"cleared", []func(*Line){set("12 records"), (*Line).Clear, (*Line).Clear}, "|"},
		{"cut", []func(*Line){set("01234567890123456789xyz")}, "0123456789012345678|"},
		{"message above", []func(*Line){set("12 records"), write("hello\n")}, "hello\n12 records|"},
		{"message shorter than the line", []func(*Line){set("12 records"), write("a\n")}, "a\n12 records|"},
		{"messages and no line", []func(*Line){write("a\n"), write("b\n")}, "a\nb\n|"},
		{"half a message", []func(*Line){set("12 records"), write("ab"), set("13 records")}, "ab|"},
		{"both halves", []func(*Line){set("12 records"), write("ab"), set("13 records"), write("c\n")}, "abc\n13 records|"},
		{"cleared in the middle", []func(*Line){set("12 records"), write("ab"), (*Line).Clear}, "ab|"},
		{"nothing written", []func(*Line){set("12 records"), write("")}, "12 records|"},
		{"foreign text", []func(*Line){set("a\nb\x1b[2J\rc")}, "a b?[2J?c|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &screen{wide: 19, lines: [][]rune{nil}}
			s := NewLine(w, func() int { return 20 })
			for _, do := range tt.do {
				do(s)
			}
			if diff := cmp.Diff(tt.want, w.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if w.over > 0 {
				t.Errorf("%d characters beyond the last but one column", w.over)
			}
		})
	}
}

// A terminal that became narrower must not be made to begin a new line.
func TestLineInNarrowerTerminal(t *testing.T) {
	width := 0
	w := &screen{}
	s := NewLine(w, func() int { return width })
	s.Set(strings.Repeat("x", 100))
	if got := w.String(); got != strings.Repeat("x", 79)+"|" {
		t.Errorf("width unknown: %q", got)
	}
	width, w.wide, w.over = 20, 19, 0
	s.Set("short")
	s.Set(strings.Repeat("y", 100))
	s.Clear()
	if w.over > 0 {
		t.Errorf("%d characters beyond the last but one column", w.over)
	}
}

// A message is counted as written, not what is drawn around it.
func TestLineWriteCount(t *testing.T) {
	s := NewLine(&screen{}, nil)
	s.Set("line")
	if n, err := s.Write([]byte("hello\n")); n != 6 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	broken := NewLine(failing{}, nil)
	broken.Set("line")
	if n, err := broken.Write([]byte("hello\n")); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %d, %v", n, err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestLineFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &screen{}
		s := NewLine(w, nil)
		n := 0
		stop := s.Follow(time.Second, func() string { n++; return fmt.Sprintf("%d records", n) })
		synctest.Wait()
		if got := w.String(); got != "" && got != "|" {
			t.Errorf("at once: %q", got)
		}
		for want := 1; want <= 3; want++ {
			time.Sleep(time.Second)
			synctest.Wait()
			if got := w.String(); got != fmt.Sprintf("%d records|", want) {
				t.Errorf("got %q, want line %d", got, want)
			}
		}
		stop()
		stop()
		if got := w.String(); got != "|" {
			t.Errorf("after the end: %q", got)
		}
	})
}

// Messages of several goroutines stay whole while the line changes.
func TestLineTogether(t *testing.T) {
	w := &screen{}
	s := NewLine(w, nil)
	log := slog.New(NewConsole(s, slog.LevelInfo))
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 50 {
				s.Set(fmt.Sprintf("%d of %d", j, i))
				log.Info("message")
			}
		})
	}
	all.Wait()
	s.Clear()
	want := strings.Repeat("dls: message\n", 200) + "|"
	if diff := cmp.Diff(want, w.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
