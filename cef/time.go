package cef

import (
	"bytes"
	"time"

	"dls/job/record"
)

// layouts are the forms of a time text. The fraction of a second may have any
// length or be absent; no zone means UTC, as everywhere in Duo's logs.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05"}

const (
	// firstMillis is the first number taken for milliseconds, those of March 1973.
	// As seconds it would be in the year 5138.
	firstMillis = 100_000_000_000
	// maxMillis is the end of the year 9999, the last that RFC 3339 can tell.
	maxMillis = 253_402_300_799_999
)

// millis returns the milliseconds since the epoch, cut and not rounded, that a
// JSON value stands for: a text as in layouts, or a number of seconds or
// milliseconds, be it written as text. ok is false for all else, and for times
// before the epoch.
func millis(v []byte) (ms int64, ok bool) {
	if len(v) == 0 {
		return 0, false
	}
	if v[0] == '"' {
		if v = v[1 : len(v)-1]; bytes.IndexByte(v, '\\') >= 0 {
			v = record.AppendText(nil, v)
		}
	}
	if ms, ok := numberMillis(v); ok {
		return ms, ms <= maxMillis
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, string(v)); err == nil {
			ms := t.UnixMilli()
			return ms, 0 <= ms && ms <= maxMillis
		}
	}
	return 0, false
}

// numberMillis is millis for the text of a number.
func numberMillis(s []byte) (ms int64, ok bool) {
	var whole, fraction int64
	i := 0
	for ; i < len(s) && i < 18 && '0' <= s[i] && s[i] <= '9'; i++ {
		whole = whole*10 + int64(s[i]-'0')
	}
	if i == 0 {
		return 0, false
	}
	if i < len(s) {
		if s[i] != '.' || i+1 == len(s) {
			return 0, false
		}
		scale := int64(100)
		for _, c := range s[i+1:] {
			if c < '0' || '9' < c {
				return 0, false
			}
			fraction += int64(c-'0') * scale
			scale /= 10
		}
	}
	if whole >= firstMillis {
		return whole, true
	}
	return whole*1000 + fraction, true
}
