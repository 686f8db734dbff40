package pyyaml

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

func TestParseErrors(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), c-1)
	}
	tests := []struct {
		name, in string
		line     int
		msg      string // a part of it
	}{
		{"unclosed quote", "a: 1\nb: \"x\nc: 2\nd: 3\n", 2, "unexpected end of stream"},
		{"unclosed list", "# c\na:\n  b: [1, 2\n  c: 3\nd: 4\n", 3, "did not find expected ',' or ']'"},
		{"indented too far", "a: 1\nb: 2\n  c: 3\nd: 4\n", 3, "mapping values are not allowed"},
		{"outdented", "# c\na:\n    b: 1\n  c: 2\nd: 3\n", 4, "did not find expected key"},
		{"tab", "a:\n\tb: 1\n", 2, "cannot start any token"},
		{"not UTF-8", "a: 1\nb: \xff\n", 2, "invalid leading UTF-8"},
		{"unknown anchor", "a: 1\nb: *x\n", 2, "names an anchor that is not there"},
		{"control character", "a: 1\nb: \x01\n", 2, "control characters"},
		{"backslash in double quotes", "a: 1\nb: \"C:\\duo\"\n", 2, "unknown escape character"},
		{"second document", "a: 1\n---\nb: 1\n", 2, "second document"},
		{"alias inside its anchor", "a: 1\nb: &x\n  - *x\n", 3, "inside its own anchor"},
		{"merge of itself", "a: &x\n  <<: *x\n", 2, "inside its own anchor"},
		{"alias bomb", bomb, 5, "grows past 100000 nodes"},
		{"many nodes", strings.Repeat("- a\n", MaxNodes), MaxNodes, "grows past"},
		{"deep", strings.Repeat("[", 20000), 1, "exceeded max depth"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.in))
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("error %v (%T), want an *Error", err, err)
			}
			if e.Line != tt.line || !strings.Contains(e.Msg, tt.msg) {
				t.Errorf("error %q, want line %d: … %s …", e, tt.line, tt.msg)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name, in string
		want     Kind
	}{
		{"empty", "", Null},
		{"blank", "\n\n", Null},
		{"comment", "# nothing\n", Null},
		{"marker", "---\n", Null},
		{"marker and end", "---\na: 1\n...\n", Mapping},
		{"byte order mark", "\ufeffa: 1\n", Mapping},
		{"CRLF", "a: 1\r\nb:\r\n  - 2\r\n", Mapping},
		{"scalar", "yes\n", Bool},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := Parse([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := KindOf(doc); got != tt.want {
				t.Errorf("kind %v, want %v", got, tt.want)
			}
		})
	}
}

// TestPairs holds the order and values of PyYAML 6.0.3's dicts.
func TestPairs(t *testing.T) {
	tests := []struct {
		name, in string // of the list, the last mapping is asked for
		want     string
	}{
		{"own", "- {b: 1, a: 2}", "b=1 a=2"},
		{"repeated", "- {a: 1, b: 2, a: 3, a: 4}", "a=4(lines 1 1) b=2"},
		{"equal in Python", "- {1: a, 1.0: b, yes: c, 0x1: d, '1': e}", "0x1=d(lines 1 1 1) 1=e"},
		{"merge", "- &x {a: 1, b: 2}\n- {c: 3, b: 4, <<: *x}", "a=1 b=4 c=3"},
		{"first of a list wins", "- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y]}", "a=1 b=2"},
		{"last of several wins", "- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: *x, <<: *y}", "a=2 b=2"},
		{"nested", "- &x {a: 1}\n- &y {<<: *x, b: 2}\n- {<<: *y}", "a=1 b=2"},
		{"quoted is a key", "- {'<<': 1}", "<<=1"},
		{"alias as key", "- &k a\n- {*k : 1}", "a=1"},
		{"value key", "- {=: 1}", "==1"},
		{"null key", "- {~: 1, null: 2}", "null=2(lines 1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pairs, err := Pairs(last(t, tt.in))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range pairs {
				s := Resolve(p.Key).Value + "=" + Resolve(p.Value).Value
				if len(p.Duplicates) > 0 {
					s += "(lines"
					for _, d := range p.Duplicates {
						s += fmt.Sprint(" ", d.Line)
					}
					s += ")"
				}
				got = append(got, s)
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("pairs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPairsErrors(t *testing.T) {
	for in, want := range map[string]string{
		"- [a]":                      "line 1: expected a mapping",
		"- {[a]: 1}":                 "line 1: a key must be plain text, but is a list",
		"- {{a: 1}: 1}":              "line 1: a key must be plain text, but is a mapping",
		"- {!foo a: 1}":              "line 1: a key must be plain text, but is not a value",
		"-\n  <<: 1":                 "line 2: expected a mapping or a list of mappings to merge (<<)",
		"- {<<: [1]}":                "line 1: expected a mapping to merge (<<)",
		"- &x {[a]: 1}\n- {<<: *x}":  "line 1: a key must be plain text, but is a list",
		"- &x {<<: 1}\n- {<<: [*x]}": "line 1: expected a mapping or a list of mappings to merge (<<)",
	} {
		_, err := Pairs(last(t, in))
		if err == nil || err.Error() != want {
			t.Errorf("Pairs of %q: error %v, want %s", in, err, want)
		}
	}
}

func last(t *testing.T, list string) *yaml.Node {
	t.Helper()
	doc, err := Parse([]byte(list))
	if err != nil {
		t.Fatal(err)
	}
	items := Resolve(doc).Content
	return items[len(items)-1]
}

func TestGet(t *testing.T) {
	pairs, err := Pairs(last(t, "- {1: a, x: b}"))
	if err != nil {
		t.Fatal(err)
	}
	if n := Get(pairs, "x"); n == nil || n.Value != "b" {
		t.Errorf("Get x = %v", n)
	}
	if n := Get(pairs, "1"); n != nil {
		t.Errorf("Get 1 = %v, but the key is a number", n.Value)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "a: [1, {b: c}]\n", "a: &a [*a]", "? - a\n: b", "a: !!int x\n<<: {b: 1}\n", "- |\n  a\n- >-\n  b\n", "%TAG ! x\n---\n!a b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse(data)
		if err != nil {
			e, ok := err.(*Error)
			if !ok || e.Line < 1 || e.Msg == "" {
				t.Errorf("error %#v without a position", err)
			}
			return
		}
		walk(doc)
	})
}

func walk(n *yaml.Node) {
	n = Resolve(n)
	if KindOf(n) == Mapping {
		pairs, err := Pairs(n)
		if err != nil {
			return
		}
		for _, p := range pairs {
			walk(p.Value)
		}
		return
	}
	for _, c := range n.Content {
		walk(c)
	}
}
