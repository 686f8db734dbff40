package config

import (
	"fmt"
	"math"
	"math/big"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dls/job/config/pyyaml"

	"gopkg.in/yaml.v3"
)

// section is one mapping of the file. Its getters report what is wrong with a
// value and then tell that there is none, so that rules go on to the next key.
type section struct {
	*parser
	path    string
	pattern string // the path with servers[] for servers[0]
	line    int
	absent  bool // missing or refused as a whole: no key of it is asked for

	required []string
	values   map[string]entry
}

type entry struct {
	line int
	node *yaml.Node // aliases followed
}

// newSection reads a mapping whose keys must be among those known at pattern.
func (p *parser) newSection(path, pattern string, line int, n *yaml.Node) *section {
	s := &section{parser: p, path: path, pattern: pattern, line: line, values: map[string]entry{}}
	pairs, err := pyyaml.Pairs(n)
	if err != nil {
		e := err.(*pyyaml.Error)
		p.add(&Error{Line: e.Line, Key: path, Rule: e.Msg})
		s.absent = true
		return s
	}
	for _, pair := range pairs {
		line := pair.Key.Line
		name, ok := pyyaml.Text(pair.Key)
		if !ok || !slices.Contains(known[pattern], name) {
			p.unknownKey(s, pattern, line, pair.Key.Value) // an alias by its name: what it stands for may be the secret
			continue
		}
		for _, d := range pair.Duplicates {
			p.addWarning(line, "%s: stands on line %d already; what stands last counts, so remove the other", s.at(name), d.Line)
		}
		// A mapping begins at its key, and an empty value's own line may be the next.
		if pair.Value.Kind == yaml.ScalarNode && pair.Value.Value != "" {
			line = pair.Value.Line
		}
		s.values[name] = entry{line, pyyaml.Resolve(pair.Value)}
	}
	return s
}

func (s *section) at(name string) string {
	if s.path == "" {
		return name
	}
	return s.path + "." + name
}

// has tells whether a key has a value: a blank one counts as missing.
func (s *section) has(name string) bool {
	_, ok := s.value(name)
	return ok
}

// value returns what a key holds, if the key has a value.
func (s *section) value(name string) (entry, bool) {
	v, ok := s.values[name]
	if !ok || pyyaml.KindOf(v.node) == pyyaml.Null {
		return entry{}, false
	}
	return v, true
}

// fail reports a key, with its value if it has one.
func (s *section) fail(name, rule, hint string) {
	if s.absent {
		return
	}
	e := &Error{Line: s.line, Key: s.at(name), Rule: rule, Hint: hint}
	if v, ok := s.values[name]; ok {
		e.Line, e.Value = v.line, show(v.node)
	}
	if slices.Contains(secretKeys, name) {
		e.Value = ""
	}
	s.add(e)
}

// warn notes something about a key that is there.
func (s *section) warn(name, text string) {
	s.addWarning(s.values[name].line, "%s: %s", s.at(name), text)
}

const (
	ruleRequired = "is required"
	ruleEmpty    = "must not be empty"
)

// sub returns the section of a key, absent if it is missing, blank or no mapping.
func (s *section) sub(name string) *section {
	v, ok := s.value(name)
	path := s.at(name)
	switch {
	case !ok:
	case pyyaml.KindOf(v.node) != pyyaml.Mapping:
		s.failShape(name, "must be a mapping of keys")
	default:
		return s.newSection(path, strings.TrimPrefix(s.pattern+"."+name, "."), v.line, v.node)
	}
	return &section{parser: s.parser, path: path, absent: true}
}

// failShape reports a scalar where a mapping or a list belongs. Its text is not
// shown: it may be keys run into each other, one of them the secret.
func (s *section) failShape(name, rule string) {
	v := s.values[name]
	s.add(&Error{Line: v.line, Key: s.at(name), Rule: rule})
}

// failEmpty reports a key without a value.
func (s *section) failEmpty(name string) {
	hint := "give it a value or remove the key"
	if slices.Contains(s.required, name) {
		hint = ""
	}
	s.fail(name, ruleEmpty, hint)
}

// require reports each key that is missing. It comes before the key's getter.
func (s *section) require(names ...string) {
	s.required = append(s.required, names...)
	for _, name := range names {
		if _, blank := s.values[name]; blank && !s.has(name) {
			s.failEmpty(name)
		} else if !blank {
			s.fail(name, ruleRequired, "")
		}
	}
}

// text returns a string that is not empty.
func (s *section) text(name string) (string, bool) {
	v, ok := s.value(name)
	if !ok {
		return "", false
	}
	switch rule, hint := textRule(v.node); rule {
	case "":
		return v.node.Value, true
	case ruleEmpty:
		s.failEmpty(name)
	default:
		s.fail(name, rule, hint)
	}
	return "", false
}

// textRule returns what is wrong with a node that must be a string.
func textRule(n *yaml.Node) (rule, hint string) {
	switch kind := pyyaml.KindOf(n); kind {
	case pyyaml.String:
		if n.Value == "" {
			return ruleEmpty, ""
		}
		return "", ""
	case pyyaml.Null:
		return ruleEmpty, ""
	case pyyaml.Sequence, pyyaml.Mapping, pyyaml.Other:
		return "must be text", ""
	case pyyaml.Invalid:
		return "must be text", "put it in quotes"
	default:
		return "must be text, but is read as " + article(kind), "put it in quotes"
	}
}

func article(k pyyaml.Kind) string {
	if k == pyyaml.Int {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// choice returns the index of the one word, of several, that a key holds. The
// hint is for words that are not like any of them.
func (s *section) choice(name, hint string, words ...string) (int, bool) {
	text, ok := s.text(name)
	if !ok {
		return 0, false
	}
	i := slices.Index(words, text)
	if i < 0 {
		if near := slices.IndexFunc(words, func(w string) bool { return strings.EqualFold(w, text) }); near >= 0 {
			hint = "write " + words[near]
			if words[near] == strings.ToUpper(words[near]) {
				hint += ", in capitals"
			}
		} else if inQuotes(text) {
			hint = hintQuotes
		} else if near := nearest(text, words); near != "" {
			hint = didYouMean(near)
		}
		s.fail(name, "must be "+enumerate(words), hint)
		return 0, false
	}
	return i, true
}

// enumerate returns words as "a, b or c".
func enumerate(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// boolean returns a boolean, or what it is when the key is missing or blank.
func (s *section) boolean(name string, missing bool) bool {
	v, ok := s.value(name)
	if !ok {
		return missing
	}
	if b, ok := pyyaml.Boolean(v.node); ok {
		return b
	}
	switch {
	case pyyaml.KindOf(v.node) == pyyaml.String && pyyaml.Plain(v.node.Value) == pyyaml.Bool:
		s.fail(name, "must be true or false", "write it without quotes")
	default:
		s.fail(name, "must be true or false", "")
	}
	return missing
}

// number returns a finite number.
func (s *section) number(name string) (float64, bool) {
	v, ok := s.value(name)
	if !ok {
		return 0, false
	}
	if i, ok := pyyaml.BigInt(v.node); ok {
		s.noteSpelling(name, v.node.Value, i)
		f, _ := new(big.Float).SetInt(i).Float64()
		return f, true
	}
	if f, ok := pyyaml.Float64(v.node); ok && !math.IsInf(f, 0) && !math.IsNaN(f) {
		return f, true
	}
	s.failNumber(name, "must be a number")
	return 0, false
}

// whole returns a whole number of a range.
func (s *section) whole(name string, low, high int64, hint string) (int, bool) {
	v, ok := s.value(name)
	if !ok {
		return 0, false
	}
	i, ok := pyyaml.BigInt(v.node)
	if !ok {
		s.failNumber(name, "must be a whole number")
		return 0, false
	}
	if !i.IsInt64() || i.Int64() < low || i.Int64() > high {
		rule := fmt.Sprintf("must be between %d and %d", low, high)
		if high > 99_999 { // a port has no comma
			rule = "must be between " + thousands(low) + " and " + thousands(high)
		}
		if other := spelling(v.node.Value, i); other != "" {
			hint = other
		}
		s.fail(name, rule, hint)
		return 0, false
	}
	s.noteSpelling(name, v.node.Value, i)
	return int(i.Int64()), true
}

// thousands returns a number with commas.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func (s *section) failNumber(name, rule string) {
	n := s.values[name].node
	hint := ""
	switch kind := pyyaml.KindOf(n); {
	case kind != pyyaml.String:
	case n.Style == 0:
		hint = "write it in digits"
	case pyyaml.Plain(n.Value) == pyyaml.Int || pyyaml.Plain(n.Value) == pyyaml.Float:
		hint = "write it without quotes"
	}
	s.fail(name, rule, hint)
}

// noteSpelling warns of a number that means something else than it seems to.
func (s *section) noteSpelling(name, written string, i *big.Int) {
	if other := spelling(written, i); other != "" {
		s.warn(name, other)
	}
}

// spelling tells what a number is read as where YAML 1.1 does not read it as
// people do: 0644 is octal, 1:30 is ninety.
func spelling(written string, i *big.Int) string {
	plain := strings.ReplaceAll(strings.TrimPrefix(written, "+"), "_", "")
	if plain == i.String() || len(written) > maxShown {
		return ""
	}
	return fmt.Sprintf("%s is read as %s", written, i)
}

// list returns the items of a list that is not empty.
func (s *section) list(name, shape string) []*yaml.Node {
	v, ok := s.value(name)
	if !ok {
		return nil
	}
	switch kind := pyyaml.KindOf(v.node); {
	case kind != pyyaml.Sequence:
		s.failShape(name, "must be "+shape)
	case len(v.node.Content) == 0 && slices.Contains(s.required, name):
		s.failEmpty(name)
	default:
		return v.node.Content
	}
	return nil
}

// item is one string of a list of strings.
type item struct {
	*section
	path string
	line int
	text string
}

func (i item) warn(text string) {
	i.addWarning(i.line, "%s: %q %s", i.path, i.text, text)
}

func (i item) fail(rule, hint string) {
	i.add(&Error{Line: i.line, Key: i.path, Value: showText(i.text), Rule: rule, Hint: hint})
}

// filePath returns the path of a file or directory. One that depends on the working
// directory is a warning.
func (s *section) filePath(name string) (string, bool) {
	text, ok := s.text(name)
	if ok {
		s.warnRelative(name, text)
	}
	return text, ok
}

func (s *section) warnRelative(name, path string) {
	if path == "" || filepath.IsAbs(path) || s.env.Elsewhere { // another system may write paths otherwise
		return
	}
	more := ""
	if strings.HasPrefix(path, "~") {
		more = ", and ~ stands for no home directory here"
	}
	s.warn(name, "is relative to the working directory, which a scheduler may choose otherwise"+more+"; write the whole path")
}

// texts returns the strings of a list that has nothing but strings.
func (s *section) texts(name, shape string) []item {
	var items []item
	for i, n := range s.list(name, shape) {
		it := item{section: s, path: fmt.Sprintf("%s[%d]", s.at(name), i), line: n.Line}
		n = pyyaml.Resolve(n)
		if rule, hint := textRule(n); rule != "" {
			s.add(&Error{Line: it.line, Key: it.path, Value: show(n), Rule: rule, Hint: hint})
			continue
		}
		it.text = n.Value
		items = append(items, it)
	}
	return items
}

// sections returns the mappings of a list that has nothing but mappings.
func (s *section) sections(name, shape string) []*section {
	var list []*section
	for i, n := range s.list(name, shape) {
		path := fmt.Sprintf("%s[%d]", s.at(name), i)
		if pyyaml.KindOf(n) != pyyaml.Mapping {
			s.add(&Error{Line: n.Line, Key: path, Rule: "must be a mapping of keys"})
			list = append(list, &section{parser: s.parser, path: path, absent: true})
			continue
		}
		list = append(list, s.newSection(path, s.at(name)+"[]", n.Line, n))
	}
	return list
}

// maxShown is the most characters of a value that a message shows.
const maxShown = 64

// show returns a scalar as messages print it.
func show(n *yaml.Node) string {
	switch pyyaml.KindOf(n) {
	case pyyaml.Null, pyyaml.Sequence, pyyaml.Mapping:
		return ""
	case pyyaml.String, pyyaml.Invalid, pyyaml.Other:
		return showText(n.Value)
	}
	if sensitive(n.Value) || len(n.Value) > maxShown {
		return ""
	}
	return n.Value
}

func showText(s string) string {
	if s == "" || sensitive(s) {
		return ""
	}
	if r := []rune(s); len(r) > maxShown {
		s = string(r[:maxShown]) + "…"
	}
	return strconv.Quote(s)
}

// A secret key of Duo has 40 letters and digits; a token of a collector is a UUID.
var secretShape = regexp.MustCompile(`[A-Za-z0-9]{40}|(?i:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})|(?i:skey|token) *[:=]|@`)

// sensitive tells whether a text that stands in a wrong place may be or hold a
// secret: the secret key, keys that ran into each other, a proxy's password.
func sensitive(s string) bool { return secretShape.MatchString(s) }
