package cef_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// event is a CEF line as a receiver sees it.
type event struct {
	Time, Host string
	Header     []string // version, vendor, product, device version, signature id, name, severity
	Fields     []pair
}

type pair struct{ Key, Value string }

var (
	prefixPattern = regexp.MustCompile(`^([A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d) ([^ ]+) CEF:`)
	keyPattern    = regexp.MustCompile(`^[A-Za-z0-9]+$`)
)

// parse reads a line as the CEF standard says, and knows nothing of how it was
// made. It refuses whatever the standard does not allow.
func parse(line string) (event, error) {
	var e event
	line, ok := strings.CutSuffix(line, "\n")
	if !ok {
		return e, errors.New("no line break at the end")
	}
	if !utf8.ValidString(line) {
		return e, errors.New("not UTF-8")
	}
	if i := strings.IndexFunc(line, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	}); i >= 0 {
		return e, fmt.Errorf("control character or line break at byte %d", i)
	}
	prefix := prefixPattern.FindStringSubmatch(line)
	if prefix == nil {
		return e, errors.New("no syslog prefix")
	}
	e.Time, e.Host = prefix[1], prefix[2]
	rest := line[len(prefix[0]):]

	// The header: seven parts, each ended by a pipe without a backslash.
	for len(e.Header) < 7 {
		end := indexUnescaped(rest, '|')
		if end < 0 {
			return e, errors.New("the header is too short")
		}
		part, err := unescape(rest[:end], map[byte]string{'\\': `\`, '|': "|"})
		if err != nil {
			return e, err
		}
		e.Header = append(e.Header, part)
		rest = rest[end+1:]
	}

	// The extension: each '=' without a backslash ends a key, which begins after
	// the last space before it. That space ends the value before.
	for rest != "" {
		end := indexUnescaped(rest, '=')
		if end < 0 {
			return e, errors.New("a key without a value")
		}
		key := rest[:end]
		if !keyPattern.MatchString(key) {
			return e, fmt.Errorf("%q is no key", key)
		}
		rest = rest[end+1:]
		value := rest
		if next := indexUnescaped(rest, '='); next >= 0 {
			space := strings.LastIndexByte(rest[:next], ' ')
			if space < 0 {
				return e, fmt.Errorf("'=' within the value of %s", key)
			}
			value, rest = rest[:space], rest[space+1:]
		} else {
			rest = ""
		}
		value, err := unescape(value, map[byte]string{'\\': `\`, '=': "=", 'n': "\n", 'r': "\r"})
		if err != nil {
			return e, err
		}
		e.Fields = append(e.Fields, pair{key, value})
	}
	return e, nil
}

// indexUnescaped returns the index of the first c without a backslash, or -1.
func indexUnescaped(s string, c byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case c:
			return i
		case '\\':
			i++
		}
	}
	return -1
}

func unescape(s string, sequences map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", errors.New("a lone backslash at the end of a value")
		}
		text, ok := sequences[s[i]]
		if !ok {
			return "", fmt.Errorf("escape sequence %q", s[i-1:i+1])
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
