package upgrade

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"dls/job/config/pyyaml"

	"gopkg.in/yaml.v3"
)

// document is a configuration that is being changed. Its nodes are plain: no
// aliases, merge keys, duplicate keys or comments, and every scalar is written
// as it is to be read.
//
// A path names a value by the keys that lead to it, joined by dots; a number is
// the index in a list.
type document struct {
	root  *yaml.Node
	notes []string
}

func (d *document) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// index returns where the value of a key stands in the content of a mapping or
// list, or -1.
func index(n *yaml.Node, key string) int {
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(key); err == nil && i < len(n.Content) {
			return i
		}
		return -1
	}
	for i := 0; i < len(n.Content); i += 2 {
		if isText(n.Content[i], key) {
			return i + 1
		}
	}
	return -1
}

// holder returns the mapping or list that the last key of a path stands in, and
// that key. Where it is missing, or null, it is made when asked for, and else
// nil. What stands in the way is an error.
func (d *document) holder(path string, create bool) (*yaml.Node, string, error) {
	keys := strings.Split(path, ".")
	n := d.root
	for depth, key := range keys[:len(keys)-1] {
		i := index(n, key)
		if i < 0 || empty(n.Content[i]) {
			if !create {
				return nil, "", nil
			}
			child := &yaml.Node{Kind: yaml.MappingNode}
			put(n, key, child)
			n = child
			continue
		}
		n = n.Content[i]
		if k := pyyaml.KindOf(n); k != pyyaml.Mapping && k != pyyaml.Sequence {
			return nil, "", wrong(n, strings.Join(keys[:depth+1], "."), "a mapping")
		}
		if n.Kind == yaml.SequenceNode && index(n, keys[depth+1]) < 0 {
			return nil, "", wrong(n, strings.Join(keys[:depth+1], "."), "a mapping")
		}
	}
	return n, keys[len(keys)-1], nil
}

// put sets a key of a mapping, or an element of a list that is there.
func put(n *yaml.Node, key string, value *yaml.Node) {
	if i := index(n, key); i >= 0 {
		n.Content[i] = value
		return
	}
	n.Content = append(n.Content, text(key), value)
}

// get returns the value at a path, or nil where it is missing.
func (d *document) get(path string) (*yaml.Node, error) {
	n, key, err := d.holder(path, false)
	if n == nil {
		return nil, err
	}
	if i := index(n, key); i >= 0 {
		return n.Content[i], nil
	}
	return nil, nil
}

// set puts a value at a path. Mappings that are missing on the way are made.
func (d *document) set(path string, value *yaml.Node) error {
	n, key, err := d.holder(path, true)
	if err != nil {
		return err
	}
	put(n, key, value)
	return nil
}

// cut removes the key at a path, if it is there.
func (d *document) cut(path string) error {
	n, key, err := d.holder(path, false)
	if n == nil {
		return err
	}
	if i := index(n, key); i >= 0 {
		n.Content = slices.Delete(n.Content, i-1, i+1)
	}
	return nil
}

// missing is the error for a path that is not there: it names the first key on
// the way that is missing.
func (d *document) missing(path string) error {
	keys := strings.Split(path, ".")
	for i := range keys {
		part := strings.Join(keys[:i+1], ".")
		if n, err := d.get(part); err != nil {
			return err
		} else if n == nil {
			return fmt.Errorf("%q is missing", part)
		} else if empty(n) {
			return fmt.Errorf("line %d: %q is empty", n.Line, part)
		}
	}
	return errors.New(strconv.Quote(path) + " is missing")
}

// isText tells whether a node of a document is a certain string.
func isText(n *yaml.Node, s string) bool { return n.Tag == "!!str" && n.Value == s }

// plain is a scalar that is read as it is written.
func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

// text is a string. What begins like a number is quoted even where it is none,
// as versions and addresses are.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if pyyaml.NeedsQuotes(s) || s[0] >= '0' && s[0] <= '9' {
		n.Style = yaml.SingleQuotedStyle
		if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	return n
}
