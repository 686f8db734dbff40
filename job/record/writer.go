package record

import (
	"encoding/binary"
	"fmt"
)

// Writer writes records as lines, and shows fields of the last one, which alias
// its source. It learns how records are built and writes those that are like
// earlier ones about twice as fast; what it writes does not depend on what it
// has learned. One is meant for the records of one stream; its Names must stay as
// they are. It is not safe for concurrent use.
type Writer struct {
	Fields
	extra []Extra

	start   passage          // stands for the opening bracket of a record
	unknown passage          // stands for a gap that is not kept
	known   map[gap]*passage // all others

	// What readGap knows of its place in the record; where the passage behind is
	// known, it knows the same, but for from.
	due     []byte // the closing brackets that are due, the innermost last
	field   int    // the field that the value under way is, or -1
	from    int    // where the value of field begins in the source
	instead int    // the extra member that takes the place of the value under way, or -1
	into    int    // where that value begins in the line
	placed  uint64 // the extra members that took the place of one in the record
}

// A record is leaves (strings, numbers, literals) and gaps between them:
// brackets, commas, keys and colons. Leaves differ from record to record, gaps
// hardly ever do. So each gap is kept as the text it is in the record and what
// that becomes in the line, together with all that is known behind it and with
// the gaps that were seen to follow. When one of these stands in the record, it
// is written in one go; else the gap is read byte by byte, and kept.
//
// Equal gaps are one, whatever came before them: a record that differs in one
// place is known again after it, and the gaps of many shapes are few.
type gap struct {
	text   string // in the record
	line   string // in the line
	ends   int    // where in text the value of a field ends, or -1
	begins int    // where in text the value of a field begins, or -1
	last   bool   // the record ends with it

	// Behind it, as in Writer; instead is -1.
	field  int
	placed uint64
	due    string
}

// passage is a gap with those that may follow.
type passage struct {
	gap
	short      [short]byte       // line, if it is no longer
	head, mask [short / 8]uint64 // text, as far as it goes
	next       [8]*passage       // in the order in which they were first seen, which is roughly how frequent they are
}

// short is a length that most gaps do not exceed. That many bytes are moved
// without a call, and without a branch that depends on their number.
const short = 32

// Bounds of what a Writer keeps, far above what Duo's records need: those of one
// endpoint have some hundred gaps. What is beyond is read byte by byte each time.
const (
	maxGaps = 500
	maxGap  = 256 // bytes in the record
	maxDue  = 32  // closing brackets
)

// NewWriter returns a Writer that shows the members of these names, at most as
// many as there are Values, and adds the extra members, at most 64, to each
// record.
func NewWriter(names []string, extra ...Extra) *Writer {
	return &Writer{
		Fields: Fields{Names: names},
		extra:  extra,
		start:  passage{gap: gap{field: -1, due: "}"}},
		known:  make(map[gap]*passage),
	}
}

// Append appends to dst the JSON object that begins at src[i], with the extra
// members, as Python's json.dumps writes it with its defaults, and '\n': the keys
// in the order received, ", " and ": " as separators, pure ASCII. Numbers keep
// the text they came with. Bytes that are no UTF-8 become U+FFFD; control
// characters that stand unescaped in a string are escaped. It also fills in
// Values, and returns the index after the object.
//
// It reads strictly: an error means that there is no JSON object, and what was
// appended and filled in is then without meaning. Only Values keep hold of src,
// and nothing of dst. It allocates where dst has to grow, and to learn.
func (w *Writer) Append(dst, src []byte, i int) (line []byte, end int, err error) {
	clear(w.Values[:])
	if i = space(src, i); i >= len(src) {
		return dst, i, errCut
	}
	if src[i] != '{' {
		return dst, i, fmt.Errorf("no JSON object at byte %d", i)
	}
	dst = append(dst, '{')
	i++
	for p := &w.start; ; {
		if next := p.follow(src, i); next != nil {
			if next.ends >= 0 {
				w.Values[p.field] = src[w.from : i+next.ends]
			}
			if next.begins >= 0 {
				w.from = i + next.begins
			}
			if n := len(next.line); n <= short && cap(dst)-len(dst) >= short {
				*(*[short]byte)(dst[len(dst) : len(dst)+short]) = next.short
				dst = dst[:len(dst)+n]
			} else {
				dst = append(dst, next.line...)
			}
			i += len(next.text)
			p = next
		} else if dst, i, p, err = w.readGap(dst, src, i, p); err != nil {
			return dst, i, err
		}
		if p.last {
			return dst, i, nil
		}
		if src[i] == '"' {
			dst, i, err = appendString(dst, src, i)
		} else {
			dst, i, err = appendWord(dst, src, i)
		}
		if err != nil {
			return dst, i, err
		}
	}
}

// follow returns the gap that stands at src[i], nil when it is none that is known
// to follow. A leaf must stand behind it: else the gap goes on.
func (p *passage) follow(src []byte, i int) *passage {
	rest := src[i:]
	var at *[short]byte
	if len(rest) >= short {
		at = (*[short]byte)(rest)
	} else {
		var room [short]byte // zeros behind the end
		copy(room[:], rest)
		at = &room
	}
	a, b, c, d := binary.LittleEndian.Uint64(at[:]), binary.LittleEndian.Uint64(at[8:]), binary.LittleEndian.Uint64(at[16:]), binary.LittleEndian.Uint64(at[24:])
	for _, next := range &p.next {
		if next == nil {
			break
		}
		t, m := &next.head, &next.mask
		if (a^t[0])&m[0]|(b^t[1])&m[1]|(c^t[2])&m[2]|(d^t[3])&m[3] != 0 {
			continue
		}
		n := len(next.text)
		if n > len(rest) || n > short && string(rest[short:n]) != next.text[short:] {
			continue
		}
		if next.last || n < len(rest) && leaf[rest[n]] {
			return next
		}
	}
	return nil
}

// learn keeps the gap g, read as text and written as line, among those that
// follow p, and returns it.
func (w *Writer) learn(p *passage, g gap, text, line []byte) *passage {
	// The look-up does not allocate: its strings are temporary.
	next := w.known[gap{string(text), string(line), g.ends, g.begins, g.last, w.field, w.placed, string(w.due)}]
	if next == nil {
		if len(w.known) == maxGaps {
			return w.forget(g)
		}
		g.text, g.line, g.field, g.placed, g.due = string(text), string(line), w.field, w.placed, string(w.due)
		next = &passage{gap: g}
		copy(next.short[:], g.line)
		for k := range min(len(g.text), short) {
			next.head[k/8] |= uint64(g.text[k]) << (k % 8 * 8)
			next.mask[k/8] |= 0xff << (k % 8 * 8)
		}
		w.known[g] = next
	}
	if p != &w.unknown {
		k := 0
		for k < len(p.next)-1 && p.next[k] != nil {
			k++
		}
		p.next[k] = next
	}
	return next
}

// forget returns what stands for the gap g, which is not kept.
func (w *Writer) forget(g gap) *passage {
	w.unknown.last = g.last
	return &w.unknown
}
