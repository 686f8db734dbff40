package record

import (
	"bytes"
	"errors"
	"fmt"
)

// maxDepth bounds the nesting of a value, so that hostile input cannot exhaust
// the stack. Duo's records nest five deep.
const maxDepth = 512

// errCut is the error of JSON text that ends too early.
var errCut = errors.New("the JSON text is cut off")

func errAt(i int) error { return fmt.Errorf("no JSON at byte %d", i) }

// space returns the index of the first byte at or after i that is no blank.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(b []byte, i int) (int, error) {
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return 0, errCut
		}
		i += n + 1
		// A quote is the end unless an odd number of backslashes stands before it.
		k := i - 2
		for b[k] == '\\' {
			k--
		}
		if (i-2-k)%2 == 0 {
			return i, nil
		}
	}
}

// Skip returns the index after the value that begins at b[i]. It finds the end
// and no more: whether what lies between is well-formed shows when the value is
// written.
func Skip(b []byte, i int) (int, error) {
	if i >= len(b) {
		return 0, errCut
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				var err error
				if i, err = skipString(b, i); err != nil {
					return 0, err
				}
				continue
			case '{', '[':
				if depth++; depth > maxDepth {
					return 0, errAt(i)
				}
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1, nil
				}
			}
			i++
		}
		return 0, errCut
	default:
		start := i
		for i < len(b) && !ends[b[i]] {
			i++
		}
		if i == start {
			return 0, errAt(i)
		}
		return i, nil
	}
}

// ends marks the bytes that end a number or a literal.
var ends = [256]bool{' ': true, '\t': true, '\r': true, '\n': true, ',': true, ':': true, ']': true, '}': true, '[': true, '{': true, '"': true}

// Object walks the JSON object that begins at b[i], blanks before it allowed.
// For each member it calls f with the text between the key's quotes as it stands
// and the index of the value; f returns the index after the value, as [Skip]
// does. Object returns the index after the object, or the first error.
func Object(b []byte, i int, f func(key []byte, i int) (int, error)) (int, error) {
	i, err := open(b, i, '{', "object")
	if err != nil {
		return 0, err
	}
	return list(b, i, '}', func(i int) (int, error) {
		key, _, i, err := key(b, i)
		if err != nil {
			return 0, err
		}
		return f(key, i)
	})
}

// key reads the key at i. It returns what stands between its quotes, whether escape
// sequences are in it, and the index of its value.
func key(b []byte, i int) (text []byte, escaped bool, value int, err error) {
	if b[i] != '"' {
		return nil, false, 0, errAt(i)
	}
	end, escaped, err := readString(b, i)
	if err != nil {
		return nil, false, 0, err
	}
	text = b[i+1 : end-1]
	if i = space(b, end); i >= len(b) {
		return nil, false, 0, errCut
	}
	if b[i] != ':' {
		return nil, false, 0, errAt(i)
	}
	return text, escaped, space(b, i+1), nil
}

// Array walks the JSON array that begins at b[i], blanks before it allowed. It
// calls f with the index of each element; f returns the index after it. Array
// returns the index after the array, or the first error.
func Array(b []byte, i int, f func(i int) (int, error)) (int, error) {
	i, err := open(b, i, '[', "array")
	if err != nil {
		return 0, err
	}
	return list(b, i, ']', f)
}

// open returns the index of the bracket that must stand at i.
func open(b []byte, i int, bracket byte, what string) (int, error) {
	if i = space(b, i); i >= len(b) {
		return 0, errCut
	}
	if b[i] != bracket {
		return 0, fmt.Errorf("no JSON %s at byte %d", what, i)
	}
	return i, nil
}

// list walks the comma-separated items from the bracket at i to closing, calls
// item at the start of each, and returns the index after closing.
func list(b []byte, i int, closing byte, item func(i int) (int, error)) (int, error) {
	i = space(b, i+1)
	if i < len(b) && b[i] == closing {
		return i + 1, nil
	}
	for {
		if i >= len(b) {
			return 0, errCut
		}
		var err error
		if i, err = item(i); err != nil {
			return 0, err
		}
		if i = space(b, i); i >= len(b) {
			return 0, errCut
		}
		switch b[i] {
		case closing:
			return i + 1, nil
		case ',':
			i = space(b, i+1)
		default:
			return 0, errAt(i)
		}
	}
}
