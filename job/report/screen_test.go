package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScreenOfAPipe(t *testing.T) {
	t.Setenv("COLUMNS", "")
	if got := ScreenOf(new(bytes.Buffer)); got != (Screen{}) {
		t.Errorf("got %+v", got)
	}
	t.Setenv("COLUMNS", "40")
	if got := ScreenOf(NewLine(new(bytes.Buffer), nil)); got != (Screen{Width: 40}) {
		t.Errorf("$COLUMNS is 40: %+v", got)
	}
}

func TestColours(t *testing.T) {
	on, off := Screen{Colour: true}, Screen{}
	if got := on.Good("ok") + on.Warning("w") + on.Bad("f") + on.Faint("") + off.Bad("f"); got != "\x1b[32mok\x1b[0m\x1b[33mw\x1b[0m\x1b[31;1mf\x1b[0mf" {
		t.Errorf("%q", got)
	}
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		width, first, indent int
		text, want           string
	}{
		{0, 5, 2, "any  length", "any  length"},
		{20, 0, 2, "one two three four five six", "one two three four\n  five six"},
		{20, 12, 4, "one two three", "one two\n    three"},
		{20, 0, 4, strings.Repeat("x", 40), strings.Repeat("x", 19) + "\n    " + strings.Repeat("x", 15) + "\n    " + strings.Repeat("x", 6)},
		{20, 0, 15, "no room is left for more", "no room is left for more"},
	} {
		if diff := cmp.Diff(tt.want, Screen{Width: tt.width}.Wrap(tt.text, tt.first, tt.indent)); diff != "" {
			t.Errorf("%q at %d columns (-want +got):\n%s", tt.text, tt.width, diff)
		}
	}
}
