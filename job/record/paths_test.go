package record

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPaths(t *testing.T) {
	paths := NewPaths("a.b", "a", "c.d.e", "f")
	for _, test := range []struct {
		in   string
		want map[string]string
	}{
		{`{}`, map[string]string{}},
		{`{"a":{"b":1},"c":{"d":{"e":[1]}},"f":{"x":2}}`, map[string]string{"a.b": "1", "c.d.e": "[1]", "f": `{"x":2}`}},
		{`{"a":"b","f":null,"c":{"d":[{"e":1}]}}`, map[string]string{"a": `"b"`}},
		{`{"a":{"b":1},"a":{"x":1}}`, map[string]string{}},
		{` { "\u0061" : { "b" : "\"" } , "a.b" : 2 } `, map[string]string{"a.b": `"\""`}},
	} {
		var found Found
		if _, err := paths.Find([]byte(test.in), &found); err != nil {
			t.Errorf("%s: %v", test.in, err)
		}
		got := map[string]string{}
		for _, path := range []string{"a.b", "a", "c.d.e", "f"} {
			if v := found.At(paths.Slot(path)); v != nil {
				got[path] = string(v)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.in, diff)
		}
	}
}

func TestAppendText(t *testing.T) {
	for in, want := range map[string]string{
		``: "", `plain é`: "plain é", `\"\\\/\b\f\n\r\t`: "\"\\/\b\f\n\r\t", `\u00e9\ud83d\ude00.`: "é😀.",
		`\ud83d`: "\ufffd", `\ud83dx`: "\ufffdx", `\ude00\ud83d\n`: "\ufffd\ufffd\n", `\ud83d\u0041`: "\ufffdA",
	} {
		if got := string(AppendText(nil, []byte(in))); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
