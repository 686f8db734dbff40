package record

import (
	"bytes"
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

// Fields are members of a record that the caller wants to see. Values[k] is set
// to the text of the member Names[k], nil where there is none; it aliases the
// source.
type Fields struct {
	Names  []string
	Values [4][]byte
}

// Scan fills in the values of want from the JSON object that begins at src[i] and
// returns the index after it, like [AppendLine] without a line. It is less
// strict: it finds where values end and does not look into them.
func Scan(src []byte, i int, want *Fields) (end int, err error) {
	clear(want.Values[:])
	return Object(src, i, func(key []byte, i int) (int, error) {
		end, err := Skip(src, i)
		if err != nil {
			return 0, err
		}
		for k, name := range want.Names {
			if string(key) == name {
				want.Values[k] = src[i:end]
			}
		}
		return end, nil
	})
}

// AppendLine appends to dst the JSON object that begins at src[i], with the
// extra members, as Python's json.dumps writes it with its defaults, and '\n':
// the keys in the order received, ", " and ": " as separators, pure ASCII.
// Numbers keep the text they came with. Bytes that are no UTF-8 become U+FFFD;
// control characters that stand unescaped in a string are escaped. It also fills
// in the values of want, and returns the index after the object.
//
// It reads strictly: an error means that there is no JSON object, and what was
// appended is then without meaning. It keeps neither slice and allocates only
// where dst has to grow.
func AppendLine(dst, src []byte, i int, want *Fields, extra ...Extra) (line []byte, end int, err error) {
	if i = space(src, i); i >= len(src) {
		return dst, i, errCut
	}
	if src[i] != '{' {
		return dst, i, fmt.Errorf("no JSON object at byte %d", i)
	}
	clear(want.Values[:])
	var (
		nest    [maxDepth]byte // the closing brackets that are due, the innermost last
		depth   int
		placed  uint64 // the extra members that took the place of one in the record
		instead = -1   // the extra member that takes the place of the value under way
		field   = -1   // the field that the value under way is
		from    int    // where that value begins in src
		into    int    // where it begins in dst
		first   = true // nothing was written since the last opening bracket
	)
	for {
		// A value begins at i.
		c := src[i]
		switch {
		case c == '"':
			if dst, i, err = appendString(dst, src, i); err != nil {
				return dst, i, err
			}
		case c == '{' || c == '[':
			if depth == maxDepth {
				return dst, i, errAt(i)
			}
			nest[depth] = c + 2 // the closing brackets are two further on in ASCII
			depth++
			dst = append(dst, c)
			first = true
			i = space(src, i+1)
		case c == 't' && bytes.HasPrefix(src[i:], []byte("true")):
			dst = append(dst, "true"...)
			i += 4
		case c == 'f' && bytes.HasPrefix(src[i:], []byte("false")):
			dst = append(dst, "false"...)
			i += 5
		case c == 'n' && bytes.HasPrefix(src[i:], []byte("null")):
			dst = append(dst, "null"...)
			i += 4
		default:
			if dst, i, err = appendNumber(dst, src, i); err != nil {
				return dst, i, err
			}
		}
		// What ends here, and all that it ends.
		for {
			if i < len(src) && src[i] <= ' ' {
				i = space(src, i)
			}
			if depth == 1 && !first {
				if field >= 0 {
					want.Values[field] = bytes.TrimRight(src[from:i], " \t\r\n")
					field = -1
				}
				if instead >= 0 {
					dst = append(dst[:into], extra[instead].value...)
					instead = -1
				}
			}
			if i >= len(src) {
				return dst, i, errCut
			}
			if c = src[i]; c != nest[depth-1] {
				break
			}
			i++
			if depth == 1 {
				for k := range extra {
					if placed&(1<<k) == 0 {
						if !first {
							dst = append(dst, ',', ' ')
						}
						first = false
						dst = append(append(append(dst, extra[k].key...), ':', ' '), extra[k].value...)
					}
				}
				return append(dst, '}', '\n'), i, nil
			}
			dst = append(dst, c)
			depth--
			first = false
		}
		if !first {
			if c != ',' {
				return dst, i, errAt(i)
			}
			dst = append(dst, ',', ' ')
			if i++; i < len(src) && src[i] <= ' ' {
				i = space(src, i)
			}
		}
		first = false
		if nest[depth-1] == '}' {
			if i >= len(src) {
				return dst, i, errCut
			}
			if src[i] != '"' {
				return dst, i, errAt(i)
			}
			key, start := len(dst), i
			if dst, i, err = appendString(dst, src, i); err != nil {
				return dst, i, err
			}
			if depth == 1 {
				for k, name := range want.Names {
					if string(src[start+1:i-1]) == name {
						field = k
					}
				}
				for k := range extra {
					if string(dst[key:]) == string(extra[k].key) {
						instead = k
						placed |= 1 << k
					}
				}
			}
			if i < len(src) && src[i] <= ' ' {
				i = space(src, i)
			}
			if i >= len(src) {
				return dst, i, errCut
			}
			if src[i] != ':' {
				return dst, i, errAt(i)
			}
			dst = append(dst, ':', ' ')
			if i++; i < len(src) && src[i] <= ' ' {
				i = space(src, i)
			}
			if depth == 1 {
				from, into = i, len(dst)
			}
		}
		if i >= len(src) {
			return dst, i, errCut
		}
	}
}

// appendNumber appends the number at i as it stands (RFC 8259 §6).
func appendNumber(dst, src []byte, i int) ([]byte, int, error) {
	start := i
	digits := func() bool {
		from := i
		for i < len(src) && '0' <= src[i] && src[i] <= '9' {
			i++
		}
		return i > from
	}
	if src[i] == '-' {
		i++
	}
	whole := i
	if !digits() || src[whole] == '0' && i > whole+1 {
		return dst, i, errAt(start)
	}
	if i < len(src) && src[i] == '.' {
		i++
		if !digits() {
			return dst, i, errAt(start)
		}
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if !digits() {
			return dst, i, errAt(start)
		}
	}
	return append(dst, src[start:i]...), i, nil
}

// plain marks the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := ' '; c <= '~'; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString appends the string at i.
func appendString(dst, src []byte, i int) ([]byte, int, error) {
	dst = append(dst, '"')
	i++
	for {
		// Sixteen bytes at a time, copied before it is known how many of them are
		// plain: what is copied too much is written over. Most strings are shorter,
		// and end without a branch that depends on their length.
		n := 16
		for n == 16 && len(src)-i >= 16 {
			dst = slices.Grow(dst, 16)
			room := dst[len(dst) : len(dst)+16]
			x, y := binary.LittleEndian.Uint64(src[i:]), binary.LittleEndian.Uint64(src[i+8:])
			binary.LittleEndian.PutUint64(room, x)
			binary.LittleEndian.PutUint64(room[8:], y)
			n = bits.TrailingZeros64(special(x)) / 8
			if n == 8 {
				n += bits.TrailingZeros64(special(y)) / 8
			}
			dst, i = dst[:len(dst)+n], i+n
		}
		for n == 16 && i < len(src) && plain[src[i]] {
			dst = append(dst, src[i])
			i++
		}
		if i >= len(src) {
			return dst, i, errCut
		}
		switch c := src[i]; {
		case c == '"':
			return append(dst, '"'), i + 1, nil
		case c == '\\':
			r, n, err := unescape(src, i)
			if err != nil {
				return dst, i, err
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
// plain, and is 0 where all are; above that byte it may be wrong. A byte has its
// top bit set by x from 0x80 on, by the sum for 0x7f, and by the differences,
// which borrow, below ' ', for '"' and for '\\'.
func special(x uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	return (x | (x + ones) | (x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) & tops
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
