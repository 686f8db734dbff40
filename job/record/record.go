// Package record handles Duo's log records as the JSON text they come in. It
// finds records and single fields in an answer without decoding the rest, and
// writes a record as the line that duologsync sends: no map and no float ever
// stands between what Duo sent and what the SIEM gets.
//
// Start with [Object], [Array] and [Skip], which take an answer apart in one
// pass, with [Paths], which find values in a record, and with [Writer], which writes
// records. All functions are safe for concurrent use, a Writer is not.
package record

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Text returns the string that the JSON text b stands for: a string's content,
// or a number's text. It is "" for null, for other values and for no text.
func Text(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if b[0] != '"' {
		if b[0] == '-' || '0' <= b[0] && b[0] <= '9' {
			return string(b)
		}
		return ""
	}
	if len(b) >= 2 && bytes.IndexByte(b, '\\') < 0 {
		return string(b[1 : len(b)-1])
	}
	var s string
	if json.Unmarshal(b, &s) != nil {
		return ""
	}
	return s
}

// Empty tells whether the JSON text b holds no text: it is an empty string, or
// neither a string nor a number.
func Empty(b []byte) bool {
	if len(b) == 0 || b[0] == '"' {
		return len(b) <= 2
	}
	return b[0] != '-' && (b[0] < '0' || '9' < b[0])
}

// layouts are the forms of time text that Duo is known to write; the fraction
// may have any length or be absent.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05"}

// Time returns the time that the JSON text b stands for: RFC 3339 text (a
// missing zone means UTC), or a number of unit since the epoch, be it written as
// text. ok is false when b is nothing of the kind.
func Time(b []byte, unit time.Duration) (t time.Time, ok bool) {
	if t, ok := usual(b); ok {
		return t, true
	}
	var s string
	n, err := strconv.ParseInt(string(b), 10, 64) // nearly always: it does not allocate
	if err != nil {
		if s = Text(b); s == "" {
			return time.Time{}, false
		}
		n, err = strconv.ParseInt(s, 10, 64)
	}
	if err == nil {
		if n < 0 || n > int64(maxTime/unit) {
			return time.Time{}, false
		}
		return time.Unix(0, 0).Add(time.Duration(n) * unit).UTC(), true
	}
	for _, s := range []string{s, strings.ReplaceAll(s, " ", "")} {
		for _, layout := range layouts {
			if t, err := time.Parse(layout, s); err == nil && t.Unix() >= 0 && t.Before(time.Unix(0, 0).Add(maxTime)) {
				return t.UTC(), true
			}
		}
	}
	return time.Time{}, false
}

// usual reads the form in which Duo writes nearly all times,
// "2006-01-02T15:04:05.000000+00:00", at a fraction of the cost.
func usual(b []byte) (t time.Time, ok bool) {
	const form = `"0000-00-00T00:00:00.000000+00:00"`
	if len(b) != len(form) || string(b[len(form)-7:]) != form[len(form)-7:] {
		return time.Time{}, false
	}
	for i, c := range b[:len(form)-7] {
		if digit := c-'0' < 10; digit != (form[i] == '0') || !digit && c != form[i] {
			return time.Time{}, false
		}
	}
	two := func(i int) int { return int(b[i]-'0')*10 + int(b[i+1]-'0') }
	year, month, day := two(1)*100+two(3), two(6), two(9)
	hour, minute, second := two(12), two(15), two(18)
	t = time.Date(year, time.Month(month), day, hour, minute, second, (two(21)*10000+two(23)*100+two(25))*1000, time.UTC)
	// time.Date takes the 31st of February for the 3rd of March, and 24:00 for the next day.
	ok = 1970 <= year && year < 2262 && 1 <= month && month <= 12 && hour < 24 && minute < 60 && second < 60 && t.Day() == day
	return t, ok
}

// maxTime is how far after the epoch a time may lie and still be a time.Duration
// from it: until the year 2262.
const maxTime = time.Duration(1<<63 - 1)
