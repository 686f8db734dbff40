// Package upgrade brings an old configuration of duologsync to the version that
// is in use, as duologsync's upgrade_config.py does.
//
// Start with [Config], which is pure, or [File], which reads and writes files.
// What differs between two versions is a [changeset] in the table changesets;
// the next version is one more entry. Where the original gives a result, this
// one gives the same document, but for what Config lists; where the original
// crashes, this one gives the evident result or one error that names the key.
// The result is not checked against the rules of its version: that is the
// caller's.
package upgrade

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dls/job/config/pyyaml"

	"gopkg.in/yaml.v3"
)

// Version is the version that Config upgrades to.
const Version = "1.0.0"

// maxSize bounds a configuration in bytes, before and after its aliases are
// written out. maxDepth bounds how deep it is nested, since each level is
// written as indentation.
const (
	maxSize  = 1 << 20
	maxDepth = 64
)

// Result is an upgraded configuration.
type Result struct {
	// Data is the new file: UTF-8, without the old file's comments and anchors.
	// Strings are quoted so that readers of YAML 1.1 and of YAML 1.2 see strings.
	Data []byte
	// From and To are the versions of the old and the new file. A file without a
	// version is of version 0.0.0.
	From, To string
	// Unchanged tells that the old file is of the newest version already; Data is
	// its bytes.
	Unchanged bool
	// Notes are sentences for the user, without a full stop: what was left out,
	// what changed in meaning, and what needs a look. They quote keys, no values.
	Notes []string
}

// Config upgrades a configuration file to [Version]. Types are those that PyYAML
// reads. A file that says it is of that version is returned byte for byte. It
// differs from upgrade_config.py in this:
//
//   - no cert_filepath is made up where the old file names no certificate;
//   - a polling duration that is text is read as the number it spells, or
//     refused, instead of being repeated sixty times;
//   - parts that have a default may be missing, or empty where that crashed;
//   - files of July 2020, which name a logFilepath, are understood.
//
// Errors name the key, and the line where there is one; they quote no value but
// that of version. Config does not keep or change old; it is safe for concurrent
// use.
func Config(old []byte) (*Result, error) {
	doc, err := parse(old)
	if err != nil {
		return nil, err
	}
	from, err := doc.version()
	if err != nil {
		return nil, err
	}
	if from == Version {
		return &Result{Data: slices.Clone(old), From: from, To: from, Unchanged: true}, nil
	}
	for at := from; at != Version; {
		if at, err = doc.step(at); err != nil {
			return nil, err
		}
	}
	data, err := doc.render("Made by dls upgrade-config from a file of version " + from + ".")
	if err != nil {
		return nil, err
	}
	return &Result{Data: data, From: from, To: Version, Notes: doc.notes}, nil
}

// version returns the version that the document says it is of, which is Version
// or one that has a changeset.
func (d *document) version() (string, error) {
	n, err := d.get("version")
	if err != nil {
		return "", err
	}
	if empty(n) {
		return oldest, nil
	}
	v, ok := pyyaml.Text(n)
	if !ok {
		return "", wrong(n, "version", "text such as '"+Version+"'")
	}
	if v == Version || slices.ContainsFunc(changesets, func(c changeset) bool { return c.from == v }) {
		return v, nil
	}
	if newer(v) {
		return "", fmt.Errorf("version %q is newer than %s, the newest that this dls knows", v, Version)
	}
	return "", fmt.Errorf("version %q is unknown; a file of version %s has this version or none", v, oldest)
}

// newer tells whether v has the form of a version and is newer than Version.
func newer(v string) bool {
	parse := func(v string) ([]int, bool) {
		var nums []int
		for part := range strings.SplitSeq(v, ".") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 0 {
				return nil, false
			}
			nums = append(nums, n)
		}
		return nums, true
	}
	a, ok := parse(v)
	b, _ := parse(Version)
	return ok && slices.Compare(a, b) > 0
}

// step applies the changeset for a document of a version and returns the version
// that it has then.
func (d *document) step(from string) (string, error) {
	for _, c := range changesets {
		if c.from != from || c.is != nil && !c.is(d) {
			continue
		}
		for _, change := range c.changes {
			if err := change.apply(d); err != nil {
				return "", err
			}
		}
		return c.to, d.set("version", text(c.to))
	}
	return "", errors.New("no changeset for version " + strconv.Quote(from))
}

// empty tells whether a value is missing or null.
func empty(n *yaml.Node) bool { return n == nil || pyyaml.KindOf(n) == pyyaml.Null }

// wrong is the error of a value of the wrong type.
func wrong(n *yaml.Node, path, want string) error {
	return fmt.Errorf("line %d: %q must be %s, but is of type %s", n.Line, path, want, pyyaml.KindOf(n))
}
