package cef

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// maxDepth bounds the nesting of a record, so that hostile input cannot exhaust
// the stack. Duo's records nest five deep.
const maxDepth = 512

// values are the JSON texts to which the paths of a mapping lead. Spans and not
// slices, and not more than the largest mapping needs, so that they can stand on
// the stack.
type values struct {
	record []byte
	spans  [16]span // by slot; empty where there is no value
}

// span is a part of a record.
type span struct{ start, end int }

// at returns the value of a slot, or nil.
func (v *values) at(slot int) []byte {
	s := v.spans[slot]
	if s.end == 0 {
		return nil
	}
	return v.record[s.start:s.end]
}

// scan reads record, which must be a JSON object (RFC 8259), and notes the values
// of the paths from root in found. It returns the object without the blanks around
// it, a part of record. Of members with the same key the last counts, as in
// Python's json.
//
// Control characters in strings are let through although RFC 8259 wants them
// escaped, and so are bytes that are no UTF-8: what cannot stand in a line is
// replaced when it is written.
func scan(record []byte, root *node, found *values) (object []byte, err error) {
	found.record = record
	s := scanner{src: record, found: found}
	if s.token() != '{' {
		return nil, s.fault()
	}
	start := s.i
	if err := s.object(root, 1); err != nil {
		return nil, err
	}
	object = record[start:s.i]
	if s.token(); s.i < len(record) {
		return nil, s.fault()
	}
	return object, nil
}

// scanner reads one value after the other. i is where it reads.
type scanner struct {
	src   []byte
	i     int
	found *values
}

var errCut = errors.New("record is cut off")

// fault returns the error that what stands at i cannot stand there.
func (s *scanner) fault() error {
	if s.i >= len(s.src) {
		return errCut
	}
	return fmt.Errorf("record is no JSON object: fault at byte %d", s.i)
}

// peek returns the byte at i, or 0 at the end, which no value begins with.
func (s *scanner) peek() byte {
	if s.i < len(s.src) {
		return s.src[s.i]
	}
	return 0
}

// token skips blanks and returns the byte that follows, as peek does.
func (s *scanner) token() byte {
	for i := s.i; i < len(s.src); i++ {
		if c := s.src[i]; !isBlank(c) {
			s.i = i
			return c
		}
	}
	s.i = len(s.src)
	return 0
}

func isBlank(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t') }

// value reads the value that comes next, in an object or array that lies depth
// deep. n is its node, or nil when no path goes there.
func (s *scanner) value(n *node, depth int) error {
	c := s.token()
	start := s.i
	var err error
	switch c {
	case '"':
		_, _, err = s.string()
	case '{':
		err = s.object(n, depth+1)
	case '[':
		err = s.array(depth + 1)
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		err = s.number()
	}
	if err == nil && n != nil && n.isEnd && (c != '{' || len(n.kids) == 0) {
		s.found.spans[n.slot] = span{start, s.i}
	}
	return err
}

// object reads the object at i.
func (s *scanner) object(n *node, depth int) error {
	if depth > maxDepth {
		return s.fault()
	}
	s.i++
	c := s.token()
	if c == '}' {
		s.i++
		return nil
	}
	for {
		if c != '"' {
			return s.fault()
		}
		key, escaped, err := s.string()
		if err != nil {
			return err
		}
		if escaped {
			key = appendUnquoted(nil, key)
		}
		kid := n.child(key)
		if kid != nil {
			clear(s.found.spans[kid.slot:kid.end])
		}
		if s.token() != ':' {
			return s.fault()
		}
		s.i++
		if err := s.value(kid, depth); err != nil {
			return err
		}
		switch s.token() {
		case ',':
			s.i++
			c = s.token()
		case '}':
			s.i++
			return nil
		default:
			return s.fault()
		}
	}
}

// array reads the array at i. No path goes into an array.
func (s *scanner) array(depth int) error {
	if depth > maxDepth {
		return s.fault()
	}
	s.i++
	if s.token() == ']' {
		s.i++
		return nil
	}
	for {
		if err := s.value(nil, depth); err != nil {
			return err
		}
		switch s.token() {
		case ',':
			s.i++
		case ']':
			s.i++
			return nil
		default:
			return s.fault()
		}
	}
}

func (s *scanner) literal(word string) error {
	for i := range len(word) {
		if s.peek() != word[i] {
			return s.fault()
		}
		s.i++
	}
	return nil
}

// number reads the number at i.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.i++
	}
	if s.peek() == '0' {
		s.i++
	} else if !s.digits() {
		return s.fault()
	}
	if s.peek() == '.' {
		if s.i++; !s.digits() {
			return s.fault()
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if !s.digits() {
			return s.fault()
		}
	}
	return nil
}

// digits reads digits and tells whether there were any.
func (s *scanner) digits() bool {
	start := s.i
	for '0' <= s.peek() && s.peek() <= '9' {
		s.i++
	}
	return s.i > start
}

// string reads the string at i. It returns what stands between the quotes, and
// whether escape sequences are in it.
func (s *scanner) string() (text []byte, escaped bool, err error) {
	start := s.i + 1
	i := indexQuoteOrEscape(s.src, start)
	for i < len(s.src) && s.src[i] == '\\' {
		n := escapeLen(s.src[i:])
		if n == 0 {
			s.i = i
			return nil, false, s.fault()
		}
		escaped = true
		i = indexQuoteOrEscape(s.src, i+n)
	}
	if i == len(s.src) {
		return nil, false, errCut
	}
	s.i = i + 1
	return s.src[start:i], escaped, nil
}

// indexQuoteOrEscape returns the index of the first '"' or '\' in b at or after
// i, or len(b). Most time goes here, so it looks at eight bytes at once: a byte
// becomes 0 when it is xor-ed with itself, and only from 0 does subtracting 1
// borrow into the top bit. A borrow can also mark bytes after the first hit; the
// first one marked is always true.
func indexQuoteOrEscape(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, escape := x^'"'*ones, x^'\\'*ones
		if hit := ((quote-ones)&^quote | (escape-ones)&^escape) & tops; hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}
