package pyyaml

import "testing"

func TestNeedsQuotes(t *testing.T) {
	for want, texts := range map[bool][]string{
		true: {
			"", " a", "a ", "a\n", "a\nb", "a\tb", "\x00", "a\x7f", "\u0085", "\u2028", "\ufeff", "\xff",
			"~", "null", "yes", "On", "y", "N", "true", "TRUE",
			"0", "12", "-12", "+1", "0644", "08", "0o17", "0x1F", "0b1", "1_000", "12345678901234567890",
			"1.5", "1.", ".5", "-.5", "1e3", "1e10", "1E-3", "4111e5", ".inf", "-.INF", ".nan",
			"1:30", "1:99", "190:20:30", "2024-01-02", "2024-01-02T10:00:00Z", "2024-1-2x",
			"<<", "=", "-", "--", "- a", "-a", "?a", ":a", ",a", "[a", "{a", "a]", "a,b", "#a", "&a", "*a", "!a", "|", ">", "'a", `"a`, "%a", "@a", "`a",
			"a: b", "a:", "a #b", "a?b", "---", "...", "... a",
		},
		false: {
			"a", "abc def", "TCPSSL", "1.0.0", "127.0.0.1", "/tmp", `C:\duo`, "a:b", "https://example.com/a", "a#b", "it's",
			"api-abcd1234.duosecurity.com", "1e", "e3", "0xg", "inf", "nan", "yess", "Zürich", "日本", "😀", "a=b", "1 2",
		},
	} {
		for _, s := range texts {
			if got := NeedsQuotes(s); got != want {
				t.Errorf("NeedsQuotes(%q) = %v", s, got)
			}
		}
	}
}

// FuzzNeedsQuotes holds the promise against another reader: what needs no
// quotes comes back as the same string, as a value and as a key, in both styles.
func FuzzNeedsQuotes(f *testing.F) {
	for _, s := range []string{"", "a", "a: b", "yes", "1e3", "a #b", "C:\\duo", "?", "日本", "a\r", "--- a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if NeedsQuotes(s) || len(s) > 1000 {
			return
		}
		for _, form := range []struct {
			text string
			at   int // of the scalar in the content
		}{{"- " + s + "\n", 0}, {"[" + s + "]\n", 0}, {"k: " + s + "\n", 1}, {"{k: " + s + "}\n", 1}, {s + ": v\n", 0}} {
			doc, err := Parse([]byte(form.text))
			if err != nil {
				t.Fatalf("%q does not parse: %v", form.text, err)
			}
			n := Resolve(doc).Content[form.at]
			if n.Value != s || n.Style != 0 || n.ShortTag() != "!!str" || KindOf(n) != String {
				t.Fatalf("%q reads %q, %s, %v", form.text, n.Value, n.ShortTag(), KindOf(n))
			}
		}
	})
}
