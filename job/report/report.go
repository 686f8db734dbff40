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
	"unicode/utf8"
)

// Clean takes out of a foreign text what could move a terminal's cursor, begin a
// line, hide or reorder what is shown: each such character is a question mark.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// Cut returns a text of at most so many characters, which ends in an ellipsis where
// something was cut off.
func Cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

// printable is Clean for messages: lines stay, and a tab is a blank.
func printable(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\t", " "), "\n")
	for i, line := range lines {
		lines[i] = Clean(line)
	}
	return strings.Join(lines, "\n")
}
