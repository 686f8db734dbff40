package cef

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"dls/job/record"
)

// escaping is how a part of a line is escaped.
type escaping struct {
	plain  [256]bool // bytes that stand for themselves
	lf, cr string    // how line breaks are written
}

var (
	// A header has no escape sequences for line breaks.
	inHeader    = newEscaping(`\|`, " ", " ")
	inExtension = newEscaping(`\=`, `\n`, `\r`)
)

// newEscaping returns the escaping in which the special characters have a
// backslash.
func newEscaping(special, lf, cr string) escaping {
	p := escaping{lf: lf, cr: cr}
	for c := byte(' '); c <= '~'; c++ {
		p.plain[c] = strings.IndexByte(special, c) < 0
	}
	return p
}

// writer appends the parts of a line to dst.
type writer struct {
	dst []byte

	in     *escaping // of the value that is being written
	left   int       // the characters that it may still have
	cut    bool      // it had more
	before rune      // the last character, or 0 where that is ASCII or was replaced
}

// raw appends text of ours, which needs no escaping.
func (w *writer) raw(s string) { w.dst = append(w.dst, s...) }

// text appends UTF-8 text, escaped and cut to limit characters.
func (w *writer) text(in *escaping, text []byte, limit int) {
	w.in, w.left, w.cut, w.before = in, limit, false, 0
	w.put(text)
}

// value appends the JSON value v, escaped and cut to limit characters: a string
// as the text it stands for, objects and arrays without blanks, all else as
// received. It tells whether all of it was written. v must have been read.
func (w *writer) value(in *escaping, v []byte, limit int) bool {
	w.in, w.left, w.cut, w.before = in, limit, false, 0
	switch v[0] {
	case '"':
		w.quoted(v[1 : len(v)-1])
	case '{', '[':
		w.compact(v)
	default:
		w.put(v)
	}
	return !w.cut
}

// quoted appends the text that a JSON string stands for; s is what stands between
// its quotes.
func (w *writer) quoted(s []byte) {
	for !w.cut {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			w.put(s)
			return
		}
		w.put(s[:i])
		r, n := record.Unescape(s[i:])
		w.putRune(r)
		s = s[i+n:]
	}
}

// compact appends JSON text without the blanks between its tokens.
func (w *writer) compact(s []byte) {
	for len(s) > 0 && !w.cut {
		n := 0
		for n < len(s) && s[n] != '"' && !isBlank(s[n]) {
			n++
		}
		w.put(s[:n])
		s = s[n:]
		if len(s) == 0 {
			return
		}
		if isBlank(s[0]) {
			s = s[1:]
			continue
		}
		end, err := record.Skip(s, 0)
		if err != nil {
			return // no value that was read
		}
		w.put(s[:end])
		s = s[end:]
	}
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// put appends a piece of the value. Bytes that are no UTF-8 become U+FFFD.
func (w *writer) put(s []byte) {
	for len(s) > 0 && !w.cut {
		n := 0
		for n < len(s) && w.in.plain[s[n]] {
			n++
		}
		if n > w.left {
			n, w.cut = w.left, true
		}
		if n > 0 {
			w.dst = append(w.dst, s[:n]...)
			w.left -= n
			w.before = 0
		}
		if s = s[n:]; len(s) > 0 && !w.cut {
			r, n := utf8.DecodeRune(s)
			w.putRune(r)
			s = s[n:]
		}
	}
}

// putRune appends a character of the value. A control character that breaks lines
// or moves on becomes a space if it cannot be escaped, any other U+FFFD, so that
// it is seen that there was something. So does a character that has no form of its
// own and hides, reorders or joins its neighbours.
func (w *writer) putRune(r rune) {
	if w.left == 0 {
		w.cut = true
		return
	}
	w.left--
	switch {
	case r == '\n':
		w.raw(w.in.lf)
	case r == '\r':
		w.raw(w.in.cr)
	case r == '\t', r == '\v', r == '\f', r == '\u0085', r == '\u2028', r == '\u2029':
		w.raw(" ")
	case r < ' ', '\x7f' <= r && r <= '\u009f', isHidden(r, w.before):
		w.raw("\uFFFD")
	case r < utf8.RuneSelf && !w.in.plain[r]:
		w.dst = append(w.dst, '\\', byte(r))
	default:
		w.dst = utf8.AppendRune(w.dst, r)
		w.before = r
		return
	}
	w.before = 0
}

// isHidden tells whether a character turns the direction of writing or is not
// seen at all. Left out are the joiners behind a character of the scripts and emoji
// that are written with them.
func isHidden(r, before rune) bool {
	switch {
	case r < '\u00ad':
		return false
	case r == '\u200c', r == '\u200d':
		const firstJoined = '\u0600' // Arabic
		return before < firstJoined || unicode.Is(unicode.Cf, before)
	case unicode.Is(unicode.Cf, r):
		return !unicode.Is(unicode.Prepended_Concatenation_Mark, r) // those are seen
	}
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// find returns the value to which the first of the paths leads, or nil.
func (s *source) find(found *record.Found) []byte {
	for _, slot := range s.slots {
		if v := found.At(slot); v != nil {
			return v
		}
	}
	return nil
}

// writeHeader writes a field of the header. Those must not be empty, so an empty
// string counts as no value.
func (s *source) writeHeader(w *writer, found *record.Found, limit int) {
	if v := s.find(found); !isEmpty(v) {
		w.value(&inHeader, v, limit)
		return
	}
	w.raw(s.text)
}

func isEmpty(v []byte) bool { return len(v) == 0 || string(v) == `""` }

// write writes a field of the extension and the space behind it.
func (f *field) write(w *writer, found *record.Found) {
	if f.isTime {
		f.writeTime(w, found)
		return
	}
	if f.isAddress {
		f.writeAddress(w, found)
		return
	}
	v := f.find(found)
	if v == nil && f.text == "" {
		return
	}
	w.raw(f.lead)
	if v != nil {
		w.value(&inExtension, v, f.limit)
	} else {
		w.raw(f.text)
	}
	w.raw(" ")
}

// writeTime writes the first value that is a time.
func (f *field) writeTime(w *writer, found *record.Found) {
	for _, slot := range f.slots {
		if ms, ok := millis(found.At(slot)); ok {
			w.raw(f.lead)
			w.dst = strconv.AppendInt(w.dst, ms, 10)
			w.raw(" ")
			return
		}
	}
}

// appendHash appends what identifies a record without an id. Equal records of
// two child accounts are two records.
func appendHash(dst, text []byte, child string) []byte {
	h := sha256.New()
	h.Write(text)
	h.Write([]byte(child))
	var sum [sha256.Size]byte
	return hex.AppendEncode(dst, h.Sum(sum[:0])[:maxExternalID/2])
}
