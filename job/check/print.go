package check

import (
	"io"
	"strings"

	"dls/job/report"
)

// Print writes a finding for people: a line with the outcome, the name and the
// detail, and a line with the hint. On a narrow screen the lines go on below. What
// cannot be printed, such as the control characters of a terminal in a foreign
// name, is written as a question mark.
func Print(w io.Writer, screen report.Screen, f Finding) error {
	const column = 9 // of what stands behind the outcome
	paint := screen.Faint
	switch f.Outcome {
	case OK:
		paint = screen.Good
	case Warning:
		paint = screen.Warning
	case Failed:
		paint = screen.Bad
	}
	text := f.Name
	if f.Detail != "" {
		text += ": " + f.Detail
	}
	line := paint(f.Outcome.String()) + strings.Repeat(" ", max(column-len(f.Outcome.String()), 1)) + screen.Wrap(report.Clean(text), column, column) + "\n"
	if f.Hint != "" {
		line += strings.Repeat(" ", column) + screen.Wrap("hint: "+report.Clean(f.Hint), column, column) + "\n"
	}
	_, err := io.WriteString(w, line)
	return err
}
