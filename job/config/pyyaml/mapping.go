package pyyaml

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"

	"gopkg.in/yaml.v3"
)

// Pair is one entry of a mapping.
type Pair struct {
	Key, Value *yaml.Node // aliases are not followed
	// Duplicates are the earlier keys of the same mapping that this one
	// overrules, in the file's order. A merged key that is overruled is none.
	Duplicates []*yaml.Node
}

// Pairs returns the entries of a Mapping in the order of PyYAML's dict, with
// merge keys (<<) applied: the merged ones first, then its own; a key keeps the
// place where it stands first and takes the last value. The error is an
// [*Error]: the node is no mapping, a key is a list or mapping, a key is
// Invalid, or what is merged is no mapping. The node must come from [Parse].
func Pairs(n *yaml.Node) ([]Pair, error) {
	n = Resolve(n)
	if KindOf(n) != Mapping {
		return nil, &Error{Line: n.Line, Msg: "expected a mapping"}
	}
	var merged, own dict
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if isMerge(key) {
			if err := merged.merge(value); err != nil {
				return nil, err
			}
			continue
		}
		id, err := identity(key)
		if err != nil {
			return nil, err
		}
		if at, ok := own.index[id]; ok {
			own.pairs[at].Duplicates = append(own.pairs[at].Duplicates, own.pairs[at].Key)
			own.pairs[at].Key, own.pairs[at].Value = key, value
			continue
		}
		own.add(id, Pair{Key: key, Value: value})
	}
	for i, p := range own.pairs {
		merged.put(own.ids[i], p)
	}
	return merged.pairs, nil
}

// Get returns the value of a string key among pairs, or nil.
func Get(pairs []Pair, key string) *yaml.Node {
	for _, p := range pairs {
		if s, ok := Text(p.Key); ok && s == key {
			return p.Value
		}
	}
	return nil
}

func isMerge(key *yaml.Node) bool {
	key = Resolve(key)
	if key.Kind != yaml.ScalarNode {
		return false
	}
	if key.Style&yaml.TaggedStyle != 0 {
		return key.ShortTag() == "!!merge"
	}
	return key.Style == 0 && key.Value == "<<"
}

// dict is a mapping with a place for every key.
type dict struct {
	pairs []Pair
	ids   []string
	index map[string]int
}

func (d *dict) add(id string, p Pair) {
	if d.index == nil {
		d.index = map[string]int{}
	}
	d.index[id] = len(d.pairs)
	d.pairs = append(d.pairs, p)
	d.ids = append(d.ids, id)
}

// put adds a pair, or overrules the one of the same key in its place.
func (d *dict) put(id string, p Pair) {
	if at, ok := d.index[id]; ok {
		d.pairs[at] = p
		return
	}
	d.add(id, p)
}

// merge adds what a merge key points at: a mapping, or a list of mappings of
// which the first has the last word.
func (d *dict) merge(value *yaml.Node) error {
	value = Resolve(value)
	switch value.Kind {
	case yaml.MappingNode:
		pairs, err := Pairs(value)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			id, err := identity(p.Key)
			if err != nil {
				return err
			}
			d.put(id, Pair{Key: p.Key, Value: p.Value})
		}
		return nil
	case yaml.SequenceNode:
		for i := len(value.Content) - 1; i >= 0; i-- {
			c := Resolve(value.Content[i])
			if c.Kind != yaml.MappingNode {
				return &Error{Line: c.Line, Msg: "expected a mapping to merge (<<)"}
			}
			if err := d.merge(c); err != nil {
				return err
			}
		}
		return nil
	}
	return &Error{Line: value.Line, Msg: "expected a mapping or a list of mappings to merge (<<)"}
}

// identity returns a text that is the same for keys that are equal in Python,
// where 1, 1.0 and True are one key.
func identity(key *yaml.Node) (string, error) {
	kind, v := read(key)
	switch v := v.(type) {
	case string:
		return "s" + v, nil
	case bool:
		if v {
			return "1", nil
		}
		return "0", nil
	case *big.Int:
		return v.String(), nil
	case float64:
		if v == math.Trunc(v) && !math.IsInf(v, 0) {
			i, _ := big.NewFloat(v).Int(nil)
			return i.String(), nil
		}
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case time.Time:
		return "t" + v.Format(time.RFC3339Nano), nil
	}
	if kind == Null {
		return "null", nil
	}
	k := Resolve(key)
	if k.Kind == yaml.ScalarNode && k.Style == 0 && k.Value == "=" {
		return "s=", nil // PyYAML takes it as a string where it is a key
	}
	return "", &Error{Line: key.Line, Msg: fmt.Sprintf("a key must be plain text, but is %s", article(kind))}
}

func article(k Kind) string {
	switch k {
	case Sequence, Mapping:
		return "a " + k.String()
	}
	return "not a value"
}
