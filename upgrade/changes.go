package upgrade

import "gopkg.in/yaml.v3"

// changeset is what turns a file of one version into one of the next.
type changeset struct {
	from, to string
	// is picks among the changesets of one version: the first that holds is
	// taken. Nil holds for every file.
	is func(*document) bool
	// changes are made in their order.
	changes []change
}

// change is one change of a changeset: an add, a move, an edit or a remove.
// Paths are of the document as it stands when the change's turn comes.
type change interface{ apply(*document) error }

// need says what it means when the key of a change is missing.
type need int

const (
	required  need = iota // an error
	defaulted             // a note: the new version has a default
	silent                // nothing
)

func (w need) missing(d *document, path string) error {
	switch w {
	case required:
		return d.missing(path)
	case defaulted:
		d.note("%q is missing; the default counts", path)
	}
	return nil
}

// add puts a new value at a path. What is there already is replaced with a note,
// or kept if asked for.
type add struct {
	path  string
	value func() *yaml.Node
	keep  bool
}

func (c add) apply(d *document) error {
	old, err := d.get(c.path)
	if err != nil || old != nil && c.keep {
		return err
	}
	value := c.value()
	if lost(old) && (old.Value == "" || old.Value != value.Value) {
		d.note("%q is replaced by what version %s starts with; look whether the new file says what you want", c.path, Version)
	}
	return d.set(c.path, value)
}

// lost tells whether a value holds something that its replacement loses.
func lost(n *yaml.Node) bool { return n != nil && (n.Kind == yaml.ScalarNode || len(n.Content) > 0) }

// move takes a value with all that is in it to another path, in place of what is
// there.
type move struct {
	from, to string
	need     need
}

func (c move) apply(d *document) error {
	n, err := d.get(c.from)
	if err != nil {
		return err
	}
	if n == nil {
		return c.need.missing(d, c.from)
	}
	if old, err := d.get(c.to); err != nil {
		return err
	} else if lost(old) {
		d.note("%q is replaced by %q", c.to, c.from)
	}
	if err := d.cut(c.from); err != nil {
		return err
	}
	return d.set(c.to, n)
}

// edit gives a value that is there another one, or removes it where the new one
// is nil.
type edit struct {
	path string
	need need
	to   func(d *document, path string, old *yaml.Node) (*yaml.Node, error)
}

func (c edit) apply(d *document) error {
	old, err := d.get(c.path)
	if err != nil {
		return err
	}
	if old == nil {
		return c.need.missing(d, c.path)
	}
	n, err := c.to(d, c.path, old)
	if err != nil {
		return err
	}
	if n == nil {
		return d.cut(c.path)
	}
	return d.set(c.path, n)
}

// remove deletes a key. Whatever is in it goes with it, with a note.
type remove struct{ path string }

func (c remove) apply(d *document) error {
	n, err := d.get(c.path)
	if err != nil {
		return err
	}
	if n != nil && len(n.Content) > 0 {
		d.note("%q has no place in the new version, and what else it holds is left out", c.path)
	}
	return d.cut(c.path)
}
