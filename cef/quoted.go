package cef

import (
	"unicode/utf16"
	"unicode/utf8"
)

// escapeLen returns the length of the escape sequence of a JSON string at the
// start of b, or 0 when there is none. Each half of a surrogate pair is a
// sequence of its own.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !isHex(c) {
				return 0
			}
		}
		return 6
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// unescape returns the character that the sequence at the start of b stands for,
// and its length. A surrogate pair is one character; a surrogate without its
// other half becomes U+FFFD. The string must have passed scan.
func unescape(b []byte) (rune, int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r := unit(b)
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if r := utf16.DecodeRune(r, unit(b[6:])); r != utf8.RuneError {
				return r, 12
			}
		}
		return utf8.RuneError, 6
	}
	return rune(b[1]), 2
}

// unit returns the number in the sequence \uXXXX at the start of b.
func unit(b []byte) rune {
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendUnquoted appends the text that a JSON string stands for. quoted is what
// stands between its quotes.
func appendUnquoted(dst, quoted []byte) []byte {
	for {
		i := indexQuoteOrEscape(quoted, 0)
		dst = append(dst, quoted[:i]...)
		if i == len(quoted) {
			return dst
		}
		r, n := unescape(quoted[i:])
		dst = utf8.AppendRune(dst, r)
		quoted = quoted[i+n:]
	}
}
