// Package report is what a run says: on stderr, in the log file, on a terminal's
// last line, in a file for Prometheus, and to a dead-man switch.
//
// Start with [NewConsole] for stderr, and with [OpenFile] and [NewFile] for the
// log file; both are handlers of log/slog. [RotateFile] keeps the log file from
// growing for ever, [Line] shows on a terminal how far a run is,
// [WriteMetrics] and [PingURL.Send] tell those who watch from outside.
//
// What is promised: nothing is written through a symbolic link; each line on
// stderr says whose and of what level it is, whatever a foreign text in it holds;
// no control character of such a text gets there; a reader of the metrics sees
// the old file or the new one, whole. Records, secrets and signatures never get
// here; that is the callers' part of the promise.
package report

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
