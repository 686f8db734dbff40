package record

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// Extra is a member that is added to each record: at its end, or in place of a
// member of that name, as assigning to a Python dictionary does.
type Extra struct {
	key, value []byte // as they are written, key with its quotes
}

// NewExtra returns the member key: value with a string as value.
func NewExtra(key, value string) Extra {
	return Extra{appendQuoted(nil, key), appendQuoted(nil, value)}
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		dst = appendRune(dst, r)
	}
	return append(dst, '"')
}

// AppendLine appends to dst the JSON object raw and the extra members as
// Python's json.dumps writes them with its defaults, and '\n': the keys in the
// order received, ", " and ": " as separators, pure ASCII. Numbers keep the text
// they came with. Bytes that are no UTF-8 become U+FFFD; control characters that
// stand unescaped in a string are escaped.
//
// It reads raw strictly: an error means that raw is no JSON object, and what
// was appended is then without meaning. It keeps neither slice and allocates
// only where dst has to grow.
func AppendLine(dst, raw []byte, extra ...Extra) ([]byte, error) {
	w := writer{src: raw, dst: dst}
	w.space()
	if w.i >= len(raw) {
		return dst, errCut
	}
	if raw[w.i] != '{' {
		return dst, fmt.Errorf("no JSON object at byte %d", w.i)
	}
	if err := w.object(1, extra); err != nil {
		return dst, err
	}
	if w.space(); w.i != len(raw) {
		return dst, errAt(w.i)
	}
	return append(w.dst, '\n'), nil
}

// writer copies one value from src to dst. i is where it reads.
type writer struct {
	src, dst []byte
	i        int
}

func (w *writer) space() { w.i = space(w.src, w.i) }

// object writes the object at i, with the extra members.
func (w *writer) object(depth int, extra []Extra) error {
	if depth > maxDepth {
		return errAt(w.i)
	}
	w.dst = append(w.dst, '{')
	w.i++
	w.space()
	var placed uint64 // the extra members that took the place of one in the object
	first := true
	if w.i < len(w.src) && w.src[w.i] == '}' {
		w.i++
	} else {
		for done := false; !done; {
			if !first {
				w.dst = append(w.dst, ", "...)
			}
			first = false
			if w.i >= len(w.src) {
				return errCut
			}
			if w.src[w.i] != '"' {
				return errAt(w.i)
			}
			key := len(w.dst)
			if err := w.string(); err != nil {
				return err
			}
			at := -1
			for k := range extra {
				if string(w.dst[key:]) == string(extra[k].key) {
					at = k
				}
			}
			w.space()
			if w.i >= len(w.src) {
				return errCut
			}
			if w.src[w.i] != ':' {
				return errAt(w.i)
			}
			w.dst = append(w.dst, ": "...)
			w.i++
			value := len(w.dst)
			if err := w.value(depth); err != nil {
				return err
			}
			if at >= 0 {
				w.dst = append(w.dst[:value], extra[at].value...)
				placed |= 1 << at
			}
			var err error
			if done, err = w.next('}'); err != nil {
				return err
			}
		}
	}
	for k := range extra {
		if placed&(1<<k) != 0 {
			continue
		}
		if !first {
			w.dst = append(w.dst, ", "...)
		}
		first = false
		w.dst = append(w.dst, extra[k].key...)
		w.dst = append(w.dst, ": "...)
		w.dst = append(w.dst, extra[k].value...)
	}
	w.dst = append(w.dst, '}')
	return nil
}

// array writes the array at i.
func (w *writer) array(depth int) error {
	if depth > maxDepth {
		return errAt(w.i)
	}
	w.dst = append(w.dst, '[')
	w.i++
	w.space()
	if w.i < len(w.src) && w.src[w.i] == ']' {
		w.i++
		w.dst = append(w.dst, ']')
		return nil
	}
	for {
		if err := w.value(depth); err != nil {
			return err
		}
		done, err := w.next(']')
		if err != nil {
			return err
		}
		if done {
			w.dst = append(w.dst, ']')
			return nil
		}
		w.dst = append(w.dst, ", "...)
	}
}

// next reads what stands after an item: a comma, or closing, which is the end.
func (w *writer) next(closing byte) (done bool, err error) {
	w.space()
	if w.i >= len(w.src) {
		return false, errCut
	}
	c := w.src[w.i]
	w.i++
	switch c {
	case closing:
		return true, nil
	case ',':
		w.space()
		return false, nil
	}
	return false, errAt(w.i - 1)
}

// value writes the value at i, which lies depth deep.
func (w *writer) value(depth int) error {
	w.space()
	if w.i >= len(w.src) {
		return errCut
	}
	switch c := w.src[w.i]; {
	case c == '"':
		return w.string()
	case c == '{':
		return w.object(depth+1, nil)
	case c == '[':
		return w.array(depth + 1)
	case c == 't':
		return w.literal("true")
	case c == 'f':
		return w.literal("false")
	case c == 'n':
		return w.literal("null")
	}
	return w.number()
}

func (w *writer) literal(s string) error {
	end := w.i + len(s)
	if end > len(w.src) {
		return errCut
	}
	if string(w.src[w.i:end]) != s {
		return errAt(w.i)
	}
	w.dst = append(w.dst, s...)
	w.i = end
	return nil
}

// number writes the number at i as it stands (RFC 8259 §6).
func (w *writer) number() error {
	start := w.i
	i := start
	digits := func() bool {
		from := i
		for i < len(w.src) && '0' <= w.src[i] && w.src[i] <= '9' {
			i++
		}
		return i > from
	}
	if w.src[i] == '-' {
		i++
	}
	whole := i
	if !digits() || w.src[whole] == '0' && i > whole+1 {
		return errAt(start)
	}
	if i < len(w.src) && w.src[i] == '.' {
		i++
		if !digits() {
			return errAt(start)
		}
	}
	if i < len(w.src) && (w.src[i] == 'e' || w.src[i] == 'E') {
		i++
		if i < len(w.src) && (w.src[i] == '+' || w.src[i] == '-') {
			i++
		}
		if !digits() {
			return errAt(start)
		}
	}
	w.dst = append(w.dst, w.src[start:i]...)
	w.i = i
	return nil
}

// plain marks the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// string writes the string at i.
func (w *writer) string() error {
	src, dst := w.src, append(w.dst, '"')
	i := w.i + 1
	for {
		// Eight bytes at a time, copied before it is known how many of them are
		// plain; what is copied too much is written over.
		for len(src)-i >= 8 {
			dst = slices.Grow(dst, 8)
			x := binary.LittleEndian.Uint64(src[i:])
			binary.LittleEndian.PutUint64(dst[len(dst):len(dst)+8], x)
			n := bits.TrailingZeros64(special(x)) / 8
			dst, i = dst[:len(dst)+n], i+n
			if n < 8 {
				break
			}
		}
		for i < len(src) && plain[src[i]] {
			dst = append(dst, src[i])
			i++
		}
		if i >= len(src) {
			return errCut
		}
		switch c := src[i]; {
		case c == '"':
			w.dst, w.i = append(dst, '"'), i+1
			return nil
		case c == '\\':
			r, n, err := unescape(src, i)
			if err != nil {
				return err
			}
			dst = appendRune(dst, r)
			i += n
		case c < utf8.RuneSelf:
			dst = appendRune(dst, rune(c))
			i++
		default:
			r, n := utf8.DecodeRune(src[i:])
			dst = appendRune(dst, r)
			i += n
		}
	}
}

// special has the top bit set in the lowest of the eight bytes of x that is not
// plain, and is 0 where all are. Above that byte it may be wrong. (A byte of
// x - ones borrows, and so sets its top bit, when it was 0.)
func special(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, slash, del := x^ones*'"', x^ones*'\\', x^ones*0x7f
	return (x | (x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash | (del-ones)&^del) & tops
}

// unescape reads the escape sequence at i and returns the UTF-16 unit that it
// stands for and its length. The halves of a surrogate pair are two units.
func unescape(src []byte, i int) (rune, int, error) {
	if i+1 >= len(src) {
		return 0, 0, errCut
	}
	switch c := src[i+1]; c {
	case '"', '\\', '/':
		return rune(c), 2, nil
	case 'b':
		return '\b', 2, nil
	case 'f':
		return '\f', 2, nil
	case 'n':
		return '\n', 2, nil
	case 'r':
		return '\r', 2, nil
	case 't':
		return '\t', 2, nil
	case 'u':
		if i+6 > len(src) {
			return 0, 0, errCut
		}
		var r rune
		for _, c := range src[i+2 : i+6] {
			switch {
			case '0' <= c && c <= '9':
				r = r<<4 | rune(c-'0')
			case 'a' <= c && c <= 'f':
				r = r<<4 | rune(c-'a'+10)
			case 'A' <= c && c <= 'F':
				r = r<<4 | rune(c-'A'+10)
			default:
				return 0, 0, errAt(i)
			}
		}
		return r, 6, nil
	}
	return 0, 0, errAt(i)
}

// appendRune appends a character, or one half of a surrogate pair, in the form
// that json.dumps gives it inside a string.
func appendRune(dst []byte, r rune) []byte {
	switch {
	case r < 0x80 && plain[r]:
		return append(dst, byte(r))
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\r':
		return append(dst, `\r`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r == '\b':
		return append(dst, `\b`...)
	case r == '\f':
		return append(dst, `\f`...)
	case r > 0xFFFF:
		r -= 0x10000
		return appendUnit(appendUnit(dst, 0xD800+r>>10), 0xDC00+r&0x3FF)
	}
	return appendUnit(dst, r)
}

func appendUnit(dst []byte, u rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}
