package duosim

import (
	"fmt"
	"unicode/utf8"
)

// Style is how JSON is written. The zero value is compact, with characters
// outside ASCII as they are.
type Style struct {
	// Spaced puts a space after each comma and colon.
	Spaced bool
	// ASCII writes characters outside ASCII as \u escapes.
	ASCII bool
	// Slashes writes / as \/.
	Slashes bool
	// WholeSeconds cuts the times of generated records to whole seconds, which
	// Duo writes without a fraction.
	WholeSeconds bool
}

// append adds compact JSON, or a piece of it that begins and ends outside
// strings, to dst in this style.
func (st Style) append(dst []byte, text string) []byte {
	inString := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !inString {
			dst = append(dst, c)
			inString = c == '"'
			if st.Spaced && (c == ',' || c == ':') {
				dst = append(dst, ' ')
			}
			continue
		}
		switch {
		case c == '"':
			inString = false
		case c == '\\':
			dst = append(dst, c)
			i++
			c = text[i]
		case c == '/' && st.Slashes:
			dst = append(dst, '\\')
		case c >= utf8.RuneSelf && st.ASCII:
			r, n := utf8.DecodeRuneInString(text[i:])
			dst = appendEscape(dst, r)
			i += n - 1
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// appendEscape adds \uXXXX, or two of them for a character beyond U+FFFF.
func appendEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return fmt.Appendf(dst, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
	}
	return fmt.Appendf(dst, `\u%04x`, r)
}
