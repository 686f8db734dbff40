// Package journal is where a run says what it does: the log file, and the few
// lines on stderr that are for a person or for systemd's journal.
//
// Start with [OpenFile] and [NewFile] for the log file, and with [NewConsole] for
// stderr; both are handlers of log/slog. [RotateFile] keeps the log file from
// growing for ever, and [Status] shows on a terminal how far a run is.
//
// What is promised: nothing is written through a symbolic link; each line on
// stderr says whose and of what level it is, whatever a foreign text in it holds;
// and no control character of such a text gets there. Records, secrets and
// signatures never get here; that is the callers' part of the promise. The Go API
// is not stable.
package journal

import (
	"strings"
	"unicode"
)

// printable takes out of a text what could move a terminal's cursor, hide or
// reorder what is shown: each such character is a question mark. Lines stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		if r == '\t' {
			return ' '
		}
		return '?'
	}, s)
}
