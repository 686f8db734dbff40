package record

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// scalar marks the bytes with which a scalar begins.
var scalar = [256]bool{'"': true, '-': true, '0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true, 't': true, 'f': true, 'n': true}

// The literals' first four bytes, as a number.
const (
	null = 'n' | 'u'<<8 | 'l'<<16 | 'l'<<24
	tru  = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24
	fals = 'f' | 'a'<<8 | 'l'<<16 | 's'<<24
)

// appendWord appends the literal or the number at i.
func appendWord(dst, src []byte, i int) ([]byte, int, error) {
	end, err := readWord(src, i)
	if err != nil {
		return dst, i, err
	}
	return append(dst, src[i:end]...), end, nil
}

// readWord returns the index after the literal or the number at i.
func readWord(src []byte, i int) (end int, err error) {
	var eight [8]byte // what stands at i, and zeros behind the end
	if len(src)-i >= 8 {
		eight = [8]byte(src[i:])
	} else {
		copy(eight[:], src[i:])
	}
	x := binary.LittleEndian.Uint64(eight[:])
	switch {
	case uint32(x) == null || uint32(x) == tru:
		return i + 4, nil
	case uint32(x) == fals && eight[4] == 'e':
		return i + 5, nil
	case 'a' <= eight[0]:
		return 0, errAt(i)
	}
	return readNumber(src, i)
}

// readNumber returns the index after the number at i (RFC 8259 §6).
func readNumber(src []byte, i int) (end int, err error) {
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
		return 0, errAt(start)
	}
	if i < len(src) && src[i] == '.' {
		i++
		if !digits() {
			return 0, errAt(start)
		}
	}
	if i < len(src) && (src[i] == 'e' || src[i] == 'E') {
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if !digits() {
			return 0, errAt(start)
		}
	}
	return i, nil
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
	// The mask lets the opening quote pass for plain in the first block.
	mask := uint64('"' ^ 'x')
	if len(src)-i < 16 {
		dst, mask = append(dst, '"'), 0
		i++
	}
	for {
		// Sixteen bytes at a time, copied before it is known how many of them are
		// plain: what is copied too much is written over. Most strings are shorter,
		// and end without a branch that depends on their length.
		n := 16
		for n == 16 && len(src)-i >= 16 {
			if cap(dst)-len(dst) < 16 {
				dst = slices.Grow(dst, 16)
			}
			from, room := src[i:i+16], dst[len(dst):len(dst)+16]
			x, y := binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:])
			binary.LittleEndian.PutUint64(room, x)
			binary.LittleEndian.PutUint64(room[8:], y)
			n = bits.TrailingZeros64(special(x^mask)) / 8
			if n == 8 {
				n += bits.TrailingZeros64(special(y)) / 8
			}
			mask = 0
			if n < 16 && from[n] == '"' {
				return dst[:len(dst)+n+1], i + n + 1, nil
			}
			if n < 15 && from[n] == '\\' && (from[n+1] == '"' || from[n+1] == '\\') {
				// The escapes of text within text, which stay as they are.
				dst, i, n = dst[:len(dst)+n+2], i+n+2, 16
				continue
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
	return (x | (x + ones) | ((x ^ ones*2) - ones*0x21) | ((x ^ ones*'\\') - ones)) & tops
}

// readString returns the index after the string at i, and whether escape sequences are
// in it.
func readString(src []byte, i int) (end int, escaped bool, err error) {
	for i++; ; escaped = true {
		if i = indexSpecial(src, i); i == len(src) {
			return 0, false, errCut
		}
		if src[i] == '"' {
			return i + 1, escaped, nil
		}
		_, n, err := unescape(src, i)
		if err != nil {
			return 0, false, err
		}
		i += n
	}
}

// indexSpecial returns the index of the first '"' or '\\' at or after i, or len(src).
func indexSpecial(src []byte, i int) int {
	for i+8 <= len(src) {
		n := bits.TrailingZeros64(special(binary.LittleEndian.Uint64(src[i:]))) / 8
		if i += n; n < 8 {
			if src[i] == '"' || src[i] == '\\' {
				return i
			}
			i++
		}
	}
	for i < len(src) && src[i] != '"' && src[i] != '\\' {
		i++
	}
	return i
}

// AppendText appends the text that a JSON string stands for. quoted is what stands
// between the quotes of one that was read. Bytes that are no UTF-8 stay as they are.
func AppendText(dst, quoted []byte) []byte {
	for {
		i := bytes.IndexByte(quoted, '\\')
		if i < 0 {
			return append(dst, quoted...)
		}
		r, n := Unescape(quoted[i:])
		dst = utf8.AppendRune(append(dst, quoted[:i]...), r)
		quoted = quoted[i+n:]
	}
}

// Unescape returns the character that the escape sequence at the start of quoted stands
// for, and the length of the sequence. A surrogate pair is one character; a surrogate
// without its other half becomes U+FFFD. The string must have been read.
func Unescape(quoted []byte) (r rune, n int) {
	r, n, err := unescape(quoted, 0)
	if err != nil {
		return utf8.RuneError, len(quoted)
	}
	if utf16.IsSurrogate(r) {
		if low, m, err := unescape(quoted, n); err == nil && quoted[n] == '\\' {
			if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, n + m
			}
		}
		return utf8.RuneError, n
	}
	return r, n
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
