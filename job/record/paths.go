package record

import (
	"fmt"
	"strings"
)

// Paths are the places in records at which a reader looks for values. A path is made
// of the keys of nested objects, joined by dots. Paths are never changed and safe for
// concurrent use.
type Paths struct {
	root  node
	slots map[string]int
}

// Found are the values that [Paths.Find] found. They alias the record. The zero value
// has none. It holds spans and not slices, and no more than the caller with the most
// paths needs, so that it can stand on the stack.
type Found struct {
	record []byte
	spans  [16]span // by slot; empty where there is no value
}

// span is a part of a record.
type span struct{ start, end int }

// node is a key in the tree of paths.
type node struct {
	key  string
	kids []node
	// isEnd tells that a path ends here.
	isEnd bool
	// slot is the number of the value to which the path leads that ends here. The
	// paths through here lead to the values up to, not including, end.
	slot, end int
}

// NewPaths returns the set of these paths, at most 16 different ones.
func NewPaths(paths ...string) *Paths {
	p := &Paths{slots: map[string]int{}}
	for _, path := range paths {
		p.root.add(path)
	}
	p.root.number("", p.slots)
	if n := len(Found{}.spans); len(p.slots) > n {
		panic(fmt.Sprintf("record: more than %d paths", n))
	}
	return p
}

// Slot returns the number of the value to which a path of the set leads.
func (p *Paths) Slot(path string) int { return p.slots[path] }

// At returns the value of a slot as JSON text, or nil where there is none.
func (f *Found) At(slot int) []byte {
	s := f.spans[slot]
	if s.end == 0 {
		return nil
	}
	return f.record[s.start:s.end]
}

// Find reads record, which must be one JSON object (RFC 8259), and notes in found the
// values to which the paths lead. It returns the object without the blanks around it,
// a part of record. A path leads nowhere when the record has no such key, or when the
// value is null or an object through which another path goes. Of members with the same
// key the last counts, as in Python's json.
//
// Control characters in strings are let through although RFC 8259 wants them escaped,
// and so are bytes that are no UTF-8. No path goes into an array.
func (p *Paths) Find(record []byte, found *Found) (object []byte, err error) {
	*found = Found{record: record}
	start, err := open(record, 0, '{', "object")
	if err != nil {
		return nil, err
	}
	end, err := found.object(record, start, &p.root, 1)
	if err != nil {
		return nil, err
	}
	if i := space(record, end); i < len(record) {
		return nil, errAt(i)
	}
	return record[start:end], nil
}

// object reads the object at i, which lies depth deep. n is its node, or nil when no
// path goes there.
func (f *Found) object(b []byte, i int, n *node, depth int) (end int, err error) {
	if depth > maxDepth {
		return 0, errAt(i)
	}
	return list(b, i, '}', func(i int) (int, error) {
		name, escaped, i, err := key(b, i)
		if err != nil {
			return 0, err
		}
		var kid *node
		if n != nil {
			if escaped {
				name = AppendText(nil, name)
			}
			if kid = n.child(name); kid != nil {
				clear(f.spans[kid.slot:kid.end])
			}
		}
		return f.value(b, i, kid, depth)
	})
}

// value reads the value at i, in an object or array that lies depth deep. n is its
// node, or nil.
func (f *Found) value(b []byte, i int, n *node, depth int) (end int, err error) {
	if i >= len(b) {
		return 0, errCut
	}
	switch b[i] {
	case '"':
		end, _, err = readString(b, i)
	case '{':
		end, err = f.object(b, i, n, depth+1)
		if n != nil && len(n.kids) > 0 {
			n = nil
		}
	case '[':
		if depth == maxDepth {
			return 0, errAt(i)
		}
		end, err = list(b, i, ']', func(i int) (int, error) { return f.value(b, i, nil, depth+1) })
	case 'n':
		end, err = readWord(b, i)
		n = nil
	default:
		end, err = readWord(b, i)
	}
	if err == nil && n != nil && n.isEnd {
		f.spans[n.slot] = span{i, end}
	}
	return end, err
}

// child returns the node of a key, or nil.
func (n *node) child(key []byte) *node {
	for i := range n.kids {
		if n.kids[i].key == string(key) {
			return &n.kids[i]
		}
	}
	return nil
}

// add adds the nodes of a path.
func (n *node) add(path string) {
	for key := range strings.SplitSeq(path, ".") {
		kid := n.child([]byte(key))
		if kid == nil {
			n.kids = append(n.kids, node{key: key})
			kid = &n.kids[len(n.kids)-1]
		}
		n = kid
	}
	n.isEnd = true
}

// number gives the ends of paths their slots, so that those below a node are
// next to each other, and notes them in slots.
func (n *node) number(path string, slots map[string]int) {
	n.slot = len(slots)
	if n.isEnd {
		slots[path] = n.slot
	}
	for i := range n.kids {
		kid := &n.kids[i]
		kid.number(strings.TrimPrefix(path+"."+kid.key, "."), slots)
	}
	n.end = len(slots)
}
