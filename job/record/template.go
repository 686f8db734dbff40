package record

import "encoding/binary"

// A record is scalars (strings, numbers, literals) and segments between them:
// brackets, commas, keys and colons. Scalars differ from record to record, segments
// hardly ever do. So each segment is kept as the text it is in the record and what
// that becomes in the line, together with all that is known behind it and with
// the segments that were seen to follow. When one of these stands in the record, it
// is written in one go; else the segment is read byte by byte, and kept.
//
// Equal segments are one, whatever came before them: a record that differs in one
// place is known again after it, and the segments of many shapes are few.
//
// What it is worth, where keep in readSegment is false: a page costs the job 2.6 instead
// of 2.0 ms of CPU time (go test -run xxx -bench Pages ./job), and a whole run 0.48
// instead of 0.39 s for 120,000 records, of which templates so save 18 % (go test -run
// xxx -bench Backlog/records=120000/latency=0s/settle=0 . , median of 21 runs in turn).
type segment struct {
	text   string // in the record
	line   string // in the line
	ends   int    // where in text the value of a field ends, or -1
	begins int    // where in text the value of a field begins, or -1
	last   bool   // the record ends with it

	// Behind it, as in Writer; replacement is -1.
	field    int
	replaced uint64
	closing  string
}

// template is a segment with those that may follow.
type template struct {
	segment
	short      [short]byte       // line, if it is no longer
	head, mask [short / 8]uint64 // text, as far as it goes
	next       [8]*template      // in the order in which they were first seen, which is roughly how frequent they are
}

// short is a length that most segments do not exceed. That many bytes are moved
// without a call, and without a branch that depends on their number.
const short = 32

// Bounds of what a Writer keeps, far above what Duo's records need: those of one
// endpoint have some hundred segments. What is beyond is read byte by byte each time.
const (
	maxSegments = 500
	maxSegment  = 256 // bytes in the record
	maxClosing  = 32  // closing brackets
)

// follow returns the segment that stands at src[i], nil when it is none that is known
// to follow. A scalar must stand behind it: else the segment goes on.
func (p *template) follow(src []byte, i int) *template {
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
		if next.last || n < len(rest) && scalar[rest[n]] {
			return next
		}
	}
	return nil
}

// learn keeps the segment g, read as text and written as line, among those that
// follow p, and returns it.
func (w *Writer) learn(p *template, g segment, text, line []byte) *template {
	// The look-up does not allocate: its strings are temporary.
	next := w.known[segment{string(text), string(line), g.ends, g.begins, g.last, w.field, w.replaced, string(w.closing)}]
	if next == nil {
		if len(w.known) == maxSegments {
			return w.forget(g)
		}
		g.text, g.line, g.field, g.replaced, g.closing = string(text), string(line), w.field, w.replaced, string(w.closing)
		next = &template{segment: g}
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

// forget returns what stands for the segment g, which is not kept.
func (w *Writer) forget(g segment) *template {
	w.unknown.last = g.last
	return &w.unknown
}
