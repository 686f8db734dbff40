package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"dls/job/config/pyyaml"

	"gopkg.in/yaml.v3"
)

// version is the format that this package reads.
const version = "1.0.0"

// root returns the file's mapping. It is nil when the file is none of this
// version's, where all other rules would only mislead.
func (p *parser) root(data []byte) *section {
	doc, err := pyyaml.Parse(data)
	if err != nil {
		e, _ := errors.AsType[*pyyaml.Error](err)
		p.add(&Error{Line: e.Line, Rule: "not valid YAML: " + e.Msg, Hint: syntaxHint(e.Msg)})
		return nil
	}
	n := pyyaml.Resolve(doc)
	switch pyyaml.KindOf(n) {
	case pyyaml.Mapping:
	case pyyaml.Null:
		p.add(&Error{Line: 1, Rule: "the file is empty"})
		return nil
	default:
		p.add(&Error{Line: n.Line, Rule: "the file must be a mapping of keys (" + strings.Join(known[""], ", ") + ")"})
		return nil
	}
	if e := versionError(n); e != nil {
		p.add(e)
		return nil
	}
	return p.newSection("", "", n.Line, n)
}

// oldKeys are the top-level keys of the format before 1.0.0, which had no version.
var oldKeys = []string{"duoclient", "logs", "transport", "recoverFromCheckpoint"}

const upgradeHint = "run: dls upgrade-config OLD NEW"

// versionError tells of a file of another version. A version that is missing
// from a file with no old keys, or is no text, is left to the ordinary rules.
func versionError(n *yaml.Node) *Error {
	pairs, err := pyyaml.Pairs(n)
	if err != nil {
		return nil
	}
	v := pyyaml.Get(pairs, "version")
	if v == nil || pyyaml.KindOf(v) == pyyaml.Null {
		for _, key := range oldKeys {
			if pyyaml.Get(pairs, key) != nil {
				return &Error{Line: n.Line, Key: "version", Rule: "is missing: this is a file of duologsync before version 1.0.0", Hint: upgradeHint}
			}
		}
		return nil
	}
	got, ok := pyyaml.Text(v)
	if !ok || got == "" || got == version {
		return nil
	}
	e := &Error{Line: v.Line, Key: "version", Value: showText(got)}
	switch c, ok := compareVersions(got, version); {
	case !ok || c == 0:
		e.Rule = "must be '" + version + "'"
		if inQuotes(got) {
			e.Hint = hintQuotes
		}
	case c < 0:
		e.Rule, e.Hint = "is older than '"+version+"'", upgradeHint
	default:
		e.Rule = "is newer than '" + version + "', the version that this dls reads"
	}
	return e
}

// compareVersions compares two versions of three numbers; ok is false when one
// of them is something else.
func compareVersions(a, b string) (c int, ok bool) {
	parse := func(s string) (v []uint64) {
		for part := range strings.SplitSeq(s, ".") {
			n, err := strconv.ParseUint(part, 10, 32)
			if err != nil {
				return nil
			}
			v = append(v, n)
		}
		return v
	}
	va, vb := parse(a), parse(b)
	if len(va) != 3 || len(vb) != 3 {
		return 0, false
	}
	return slices.Compare(va, vb), true
}

// syntaxHint helps with the slips that the files at hand suffer from.
func syntaxHint(msg string) string {
	switch {
	case strings.Contains(msg, "tab character"):
		return "indent with blanks, not tabs"
	case strings.Contains(msg, "cannot start any token"):
		return "indent with blanks, not tabs, and put text that begins with @ or ` in quotes"
	case strings.Contains(msg, "unknown escape character"):
		return "put a Windows path in single quotes"
	case strings.Contains(msg, "UTF-8"), strings.Contains(msg, "control characters"):
		return "save the file as UTF-8"
	case strings.Contains(msg, "mapping values are not allowed"):
		return "the indentation may be off, or text with a colon needs quotes"
	case strings.Contains(msg, "did not find expected"), strings.Contains(msg, "could not find expected"):
		return "the indentation may be off, or a quote or bracket is not closed"
	case strings.Contains(msg, "unexpected end of stream"):
		return "a quote is not closed"
	}
	return ""
}
