package upgrade

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"dls/job/config/pyyaml"

	"gopkg.in/yaml.v3"
)

// parse reads a file into a document.
func parse(data []byte) (*document, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("the file is larger than %d bytes", maxSize)
	}
	root, err := pyyaml.Parse(data)
	if err != nil {
		return nil, err
	}
	switch pyyaml.KindOf(root) {
	case pyyaml.Mapping:
	case pyyaml.Null:
		return nil, errors.New("the file is empty")
	default:
		return nil, &pyyaml.Error{Line: pyyaml.Resolve(root).Line, Msg: "the file is not a mapping of keys to values"}
	}
	r := reader{doc: new(document)}
	if r.doc.root, err = r.node(root, "", 0); err != nil {
		return nil, err
	}
	if commented(root) {
		r.doc.note("the comments of the old file are left out")
	}
	return r.doc, nil
}

// commented tells whether there is a comment anywhere in a tree.
func commented(n *yaml.Node) bool {
	if n.HeadComment+n.LineComment+n.FootComment != "" {
		return true
	}
	for _, c := range n.Content {
		if commented(c) {
			return true
		}
	}
	return false
}

// reader copies parsed nodes into the plain ones of a document.
type reader struct {
	doc  *document
	size int
}

func (r *reader) node(n *yaml.Node, path string, depth int) (*yaml.Node, error) {
	n = pyyaml.Resolve(n)
	if depth > maxDepth {
		return nil, &pyyaml.Error{Line: n.Line, Msg: fmt.Sprintf("%q is nested deeper than %d levels", path, maxDepth)}
	}
	if r.size += len(n.Value) + 1; r.size > maxSize {
		return nil, &pyyaml.Error{Line: n.Line, Msg: fmt.Sprintf("the document grows past %d bytes", maxSize)}
	}
	var c *yaml.Node
	switch kind := pyyaml.KindOf(n); kind {
	case pyyaml.Mapping:
		c = &yaml.Node{Kind: yaml.MappingNode}
		pairs, err := pyyaml.Pairs(n)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			if err := r.pair(c, p, path, depth); err != nil {
				return nil, err
			}
		}
	case pyyaml.Sequence, pyyaml.Other:
		c = &yaml.Node{Kind: n.Kind, Value: n.Value}
		if kind == pyyaml.Other {
			c.Tag, c.Style = n.ShortTag(), yaml.TaggedStyle
		}
		for i, e := range n.Content {
			e, err := r.node(e, join(path, strconv.Itoa(i)), depth+1)
			if err != nil {
				return nil, err
			}
			c.Content = append(c.Content, e)
		}
	case pyyaml.Invalid:
		return nil, &pyyaml.Error{Line: n.Line, Msg: fmt.Sprintf("%q has a tag or a form that is not read here; text must be quoted", path)}
	default:
		c = scalar(n, kind)
	}
	c.Line = n.Line
	return c, nil
}

// pair adds an entry to a mapping.
func (r *reader) pair(to *yaml.Node, p pyyaml.Pair, path string, depth int) error {
	path = join(path, pyyaml.Resolve(p.Key).Value)
	key, err := r.node(p.Key, path, depth+1)
	if err != nil {
		return err
	}
	value, err := r.node(p.Value, path, depth+1)
	if err != nil {
		return err
	}
	if len(p.Duplicates) > 0 {
		r.doc.note("%q stands more than once; the last one, on line %d, counts", path, p.Key.Line)
	}
	to.Content = append(to.Content, key, value)
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// scalar writes a scalar so that readers of YAML 1.1 and of YAML 1.2 see what
// PyYAML sees.
func scalar(n *yaml.Node, kind pyyaml.Kind) *yaml.Node {
	switch kind {
	case pyyaml.Null:
		return plain("null")
	case pyyaml.Bool:
		b, _ := pyyaml.Boolean(n)
		return plain(strconv.FormatBool(b))
	case pyyaml.Int:
		i, _ := pyyaml.BigInt(n)
		return plain(i.String())
	case pyyaml.Float:
		f, _ := pyyaml.Float64(n)
		return plain(formatFloat(f))
	case pyyaml.Timestamp:
		c := plain(n.Value)
		if pyyaml.Plain(n.Value) != pyyaml.Timestamp {
			c.Tag, c.Style = "!!timestamp", yaml.TaggedStyle
		}
		return c
	}
	s, _ := pyyaml.Text(n)
	return text(s)
}

// formatFloat writes a float with the point that tells it from an integer, and
// that YAML 1.1 wants before an exponent.
func formatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return ".nan"
	case math.IsInf(f, 1):
		return ".inf"
	case math.IsInf(f, -1):
		return "-.inf"
	}
	mantissa, exponent, scientific := strings.Cut(strconv.FormatFloat(f, 'g', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	if scientific {
		mantissa += "e" + exponent
	}
	return mantissa
}
