package record

import "fmt"

// Writer writes records as lines, and shows fields of the last one, which alias
// its source. It learns how records are built and writes those that are like
// earlier ones about twice as fast; what it writes does not depend on what it
// has learned. One is meant for the records of one stream; its Names must stay as
// they are. It is not safe for concurrent use.
type Writer struct {
	Fields
	extra []Extra

	start   template              // stands for the opening bracket of a record
	unknown template              // stands for a segment that is not known
	known   map[segment]*template // all others

	// What readSegment knows of its place in the record; where the template behind is
	// known, it knows the same, but for from.
	closing     []byte // the brackets that are to come, the innermost last
	field       int    // the field that the value under way is, or -1
	from        int    // where the value of field begins in the source
	replacement int    // the extra member that takes the place of the value under way, or -1
	into        int    // where that value begins in the line
	replaced    uint64 // the extra members that took the place of one in the record
}

// NewWriter returns a Writer that shows the members of these names, at most as
// many as there are Values, and adds the extra members, at most 64, to each
// record.
func NewWriter(names []string, extra ...Extra) *Writer {
	return &Writer{
		Fields: Fields{Names: names},
		extra:  extra,
		start:  template{segment: segment{field: -1, closing: "}"}},
		known:  make(map[segment]*template),
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
		} else if dst, i, p, err = w.readSegment(dst, src, i, p); err != nil {
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
