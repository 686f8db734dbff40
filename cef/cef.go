// Package cef writes Duo's log records as lines of the Common Event Format, for
// SIEMs that read CEF.
//
// Start with [New], which makes a [Formatter], with [For], which finds the
// [Mapping] of an endpoint, and with [Formatter.Append], which writes one record
// as one line.
//
// What is promised: one record gives one line, and no text inside a record can
// start another line, another field or another header. A plain record gives the
// fields that duologsync gives, in its order and under its names, so that parsers
// made for it go on working. What a record does not have is left out.
//
// The format is that of the ArcSight Common Event Format (CEF) Implementation
// Standard, CEF:0, behind a syslog prefix as in RFC 3164 unless the line is to be
// bare.
package cef

import (
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"dls/job/record"
)

// Formatter writes records as CEF lines. It is safe for concurrent use as long
// as its fields do not change.
type Formatter struct {
	// Version is the device version in the header.
	Version string
	// Host is the host name in the syslog prefix. A character that has no place
	// there, such as a space, is written as '-', and so is an empty name.
	Host string
	// Bare leaves the syslog prefix away: for records that travel in an envelope
	// of syslog or of another protocol.
	Bare bool
	// Now gives the time in the syslog prefix, printed in the zone that it
	// carries. It is called once for each record, possibly by several goroutines
	// at once. Nil means time.Now, which is the local time.
	Now func() time.Time
}

// New returns a formatter with this machine's host name and clock.
func New(version string) *Formatter {
	host, _ := os.Hostname() // a host without a name is no reason to withhold records
	return &Formatter{Version: version, Host: host, Now: time.Now}
}

// Append appends to dst the line of one record, '\n' included, and returns the
// extended slice. m must not be nil. text is a record, one JSON object as it was
// received; child is the child account's id in MSP mode, else "".
//
// Each line has an externalId: the record's own id. A record without one, or
// with one longer than the 40 characters that the standard allows, gets the first
// 160 bits of the SHA-256 of its text and child instead, because a cut id could
// make two records look like one.
//
// Other values longer than the standard allows are cut. The limits count the
// characters (Unicode code points) of the value before escaping, so that a cut
// divides neither a character nor an escape sequence.
//
// An error means that text is no JSON object; it does not quote the record, and
// dst is returned as it was. Append keeps none of its arguments. It allocates
// where dst has to grow, and otherwise only for values of unusual form.
func (f *Formatter) Append(dst []byte, m *Mapping, text []byte, child string) ([]byte, error) {
	var found record.Found
	object, err := m.paths.Find(text, &found)
	if err != nil {
		return dst, err
	}

	w := writer{dst: dst}
	if !f.Bare {
		w.dst = f.appendPrefix(dst)
	}
	w.raw("CEF:0|Duo Security|DuoLogSync|")
	w.text(&inHeader, []byte(f.Version), maxVersion)
	w.raw("|")
	m.signature.writeHeader(&w, &found, maxSignature)
	w.raw("|")
	m.name.writeHeader(&w, &found, maxName)
	w.raw("|5|")
	for i := range m.fields {
		m.fields[i].write(&w, &found)
	}

	w.raw("externalId=")
	id, start := m.id.find(&found), len(w.dst)
	if isEmpty(id) || !w.value(&inExtension, id, maxExternalID) {
		w.dst = appendHash(w.dst[:start], object, child)
	}
	if child != "" {
		w.raw(" cs6Label=child_account_id cs6=")
		w.text(&inExtension, []byte(child), maxCustomString)
	}
	return append(w.dst, '\n'), nil
}

// appendPrefix appends the time and the host as the syslog prefix of RFC 3164
// has them, but for the day, which is padded with a zero as duologsync does it.
func (f *Formatter) appendPrefix(dst []byte) []byte {
	now := f.Now
	if now == nil {
		now = time.Now
	}
	dst = now().AppendFormat(dst, "Jan 02 15:04:05 ")
	if f.Host == "" {
		dst = append(dst, '-')
	}
	left := maxHost
	for _, r := range f.Host {
		if left--; left < 0 {
			break
		}
		// A pipe, a backslash or '=' would let the name pass for a part of the event.
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar || strings.ContainsRune(`|\=`, r) {
			r = '-'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return append(dst, ' ')
}
