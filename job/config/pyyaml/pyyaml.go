// Package pyyaml reads YAML documents as PyYAML's SafeLoader does, so that a
// file written for a Python program means the same here. PyYAML follows YAML
// 1.1 with rules of its own: yes and on are booleans, 0644 is octal, 1:30 is
// ninety, and 1e3 is a string.
//
// Start with [Parse]; then ask a node for its [KindOf] and its value ([Text],
// [Int], [Bool] and so on), or walk it with [Pairs]. The nodes are those of
// gopkg.in/yaml.v3, which parses; only the meaning of scalars and mappings is
// decided here. [NeedsQuotes] is for writers.
//
// Known differences from PyYAML: an anchor may be defined twice (the newest
// counts), and the tag "!" on a quoted scalar leaves it a string. Functions
// read their nodes and never change them; they are safe for concurrent use.
package pyyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxNodes is the most nodes that a document may have once its aliases are
// written out. It keeps an alias bomb from costing more than its size.
const MaxNodes = 100_000

// Error is why a text is not a document that this package reads.
type Error struct {
	Line int    // counted from 1
	Msg  string // one line, without the position
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Msg) }

// Parse reads a text that holds one document and returns its document node.
// Comments, styles and aliases are kept. An empty text is a document that holds
// null. The error is an [*Error]: the text is not YAML, holds a second document,
// has an alias inside its own anchor, or more than [MaxNodes] nodes. So those
// who walk the result need no guard against cycles and alias bombs.
func Parse(data []byte) (*yaml.Node, error) {
	doc, err := decode(data)
	if err != nil {
		return nil, &Error{Line: errorLine(data, err), Msg: message(err)}
	}
	if doc == nil {
		doc = &yaml.Node{Kind: yaml.DocumentNode, Line: 1, Column: 1}
	}
	if len(doc.Content) == 0 {
		doc.Content = []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}}
	}
	m := measurer{sizes: map[*yaml.Node]int{}}
	if _, err := m.size(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

var errSecondDocument = errors.New("a second document begins, but only one is read")

// decode returns nil for a text without any document.
func decode(data []byte) (doc *yaml.Node, err error) {
	// The library panics on some malformed texts.
	defer func() {
		if r := recover(); r != nil {
			doc, err = nil, errors.New("the text is not valid YAML")
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(asVersion11(data)))
	var n, second yaml.Node
	if err := d.Decode(&n); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := d.Decode(&second); err == nil {
		return nil, errSecondDocument
	} else if err != io.EOF {
		return nil, err
	}
	return &n, nil
}

var newerVersion = regexp.MustCompile(`^(?:\x{feff}?(?:[ \t]*(?:[#%][^\r\n]*)?\r?\n)*)%YAML[ \t]+1\.([02-9])[ \t]*(?:#[^\r\n]*)?\r?\n`)

// asVersion11 returns a text whose %YAML directive names version 1.1: PyYAML takes
// any 1.x and reads it as that, where the library refuses what it does not know.
func asVersion11(data []byte) []byte {
	m := newerVersion.FindSubmatchIndex(data)
	if m == nil {
		return data
	}
	data = bytes.Clone(data)
	data[m[2]] = '1'
	return data
}

var position = regexp.MustCompile(`^(?:yaml: )?(?:line \d+: )?`)

// message returns the error's text without the library's name and position.
func message(err error) string {
	msg := position.ReplaceAllString(err.Error(), "")
	if strings.HasPrefix(msg, "unknown anchor") {
		// The name may be the whole of a secret that starts with *.
		return "a value that starts with * names an anchor that is not there (quote it if it is text)"
	}
	return msg
}

// errorLine finds the line of a syntax error: the first one whose text makes it
// unavoidable. The position in the library's own message is that of the
// enclosing block at times, and at times counted from zero.
func errorLine(data []byte, err error) int {
	lines := bytes.SplitAfter(data, []byte("\n"))
	ends := make([]int, len(lines))
	end := 0
	for i, l := range lines {
		end += len(l)
		ends[i] = end
	}
	want := message(err)
	i := sort.Search(len(ends), func(i int) bool {
		_, err := decode(data[:ends[i]])
		return err != nil && message(err) == want
	})
	return min(i+1, len(lines))
}

// measurer counts the nodes of a tree with its aliases written out.
type measurer struct {
	sizes map[*yaml.Node]int // 0: being measured
}

func (m *measurer) size(n *yaml.Node) (int, error) {
	if n.Kind == yaml.AliasNode {
		s, seen := m.sizes[n.Alias]
		if seen && s == 0 {
			return 0, &Error{Line: n.Line, Msg: "an alias stands inside its own anchor"}
		}
		return s, nil
	}
	m.sizes[n] = 0
	total := 1
	for _, c := range n.Content {
		s, err := m.size(c)
		if err != nil {
			return 0, err
		}
		if total += s; total > MaxNodes {
			return 0, &Error{Line: c.Line, Msg: fmt.Sprintf("the document grows past %d nodes", MaxNodes)}
		}
	}
	m.sizes[n] = total
	return total, nil
}

// Resolve follows aliases, and steps from a document to its content.
func Resolve(n *yaml.Node) *yaml.Node {
	for {
		switch {
		case n.Kind == yaml.AliasNode:
			n = n.Alias
		case n.Kind == yaml.DocumentNode && len(n.Content) == 1:
			n = n.Content[0]
		default:
			return n
		}
	}
}
