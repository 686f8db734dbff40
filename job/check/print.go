package check

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Print writes a finding for people: a line with the outcome, the name and the
// detail, and a line with the hint. What cannot be printed, such as the control
// characters of a terminal in a foreign name, is written as a question mark.
func Print(w io.Writer, f Finding) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %s", f.Outcome, f.Name)
	if f.Detail != "" {
		b.WriteString(": " + f.Detail)
	}
	text := printable(b.String()) + "\n"
	if f.Hint != "" {
		text += printable(fmt.Sprintf("%-8s hint: %s", "", f.Hint)) + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
