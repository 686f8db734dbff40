package cef_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dls/cef"
)

// What becomes of a text, as bytes in the line: in a field of the extension, and
// in the header where it differs.
func TestEscaping(t *testing.T) {
	tests := []struct{ name, json, extension, header string }{
		{"plain", `a b'c,d`, `a b'c,d`, ""},
		{"quote", `say \"x\"`, `say "x"`, ""},
		{"solidus", `a\/b`, `a/b`, ""},
		{"pipe", `a|b`, `a|b`, `a\|b`},
		{"equals", `a=b`, `a\=b`, `a=b`},
		{"backslash", `a\\b`, `a\\b`, ""},
		{"backslash at the end", `a\\`, `a\\`, ""},
		{"backslash before a pipe", `\\|`, `\\|`, `\\\|`},
		{"backslash before n", `\\n`, `\\n`, ""},
		{"look-alike of a field", `x duser=root`, `x duser\=root`, `x duser=root`},
		{"look-alike of a header", `x|5|act=y`, `x|5|act\=y`, `x\|5\|act=y`},
		{"line feed", `a\nb`, `a\nb`, "a b"},
		{"carriage return", `a\rb`, `a\rb`, "a b"},
		{"both", `a\r\nMar 04 00:00:00 h CEF:0|x`, `a\r\nMar 04 00:00:00 h CEF:0|x`, `a  Mar 04 00:00:00 h CEF:0\|x`},
		{"tab, vertical tab, form feed", `a\tb\u000bc\fd`, "a b c d", ""},
		{"next line", `a\u0085b`, "a b", ""},
		{"line and paragraph separator", `a\u2028b\u2029c`, "a b c", ""},
		{"separators as UTF-8", "a\u0085b\u2028c\u2029d", "a b c d", ""},
		{"NUL, backspace, escape, DEL, C1", `a\u0000b\bc\u001bd\u007fe\u009bf`, "a\uFFFDb\uFFFDc\uFFFDd\uFFFDe\uFFFDf", ""},
		{"unescaped control characters", "a\nb\rc\td\x00e\x7ff", "a\\nb\\rc d\uFFFDe\uFFFDf", "a b c d\uFFFDe\uFFFDf"},
		{"not ASCII", "Zoë 日本 \U0001F600", "Zoë 日本 \U0001F600", ""},
		{"not ASCII, escaped", `Zo\u00eb \u65E5\u672c \ud83d\uDE00`, "Zoë 日本 \U0001F600", ""},
		{"direction of writing", `a\u202eb\u2066c\u2069d\u200fe\u061cf`, "a\uFFFDb\uFFFDc\uFFFDd\uFFFDe\uFFFDf", ""},
		{"what is not seen", "a\u200bb\ufeffc\u00add\u2060e\U000E0041f\u3164g\u034fh\u180ei", "a\uFFFDb\uFFFDc\uFFFDd\uFFFDe\uFFFDf\uFFFDg\uFFFDh\uFFFDi", ""},
		{"joiners in Latin text", "ad\u200dmin\u200c \u00e9\u200d\u200d", "ad\uFFFDmin\uFFFD \u00e9\uFFFD\uFFFD", ""},
		{"joiners where they belong", `\u0639\u0644\u06cc\u200c\u0631\u0636\u0627 \ud83d\udc69\u200d\ud83d\udcbb \u2764\ufe0f \u0627\u200d\u200d`, "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627 \U0001F469\u200d\U0001F4BB \u2764\ufe0f \u0627\u200d\uFFFD", ""},
		{"signs of format that are seen", "\u0601\u06dd", "\u0601\u06dd", ""},
		{"lone surrogates", `a\ud83db\ude00c\ud83d`, "a\uFFFDb\uFFFDc\uFFFD", ""},
		{"surrogates the wrong way round", `\ude00\ud83d`, "\uFFFD\uFFFD", ""},
		{"high surrogate before a pair", `\ud83d\ud83d\ude00`, "\uFFFD\U0001F600", ""},
		{"high surrogate before another escape", `\ud83d\n`, "\uFFFD\\n", "\uFFFD "},
		{"not UTF-8", "a\xffb\xc3c\xe2\x80d\xed\xa0\xbde", "a\uFFFDb\uFFFDc\uFFFD\uFFFDd\uFFFD\uFFFD\uFFFDe", ""},
		{"broken off UTF-8 before an escape", "a\xe2\x80\\u00a8", "a\uFFFD\uFFFD\u00a8", ""},
		{"spaces at both ends", "  a  ", "  a  ", ""},
		{"only spaces", "  ", "  ", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			record := `{"action": "` + test.json + `", "activity_id": "id", "actor": {"name": "` + test.json + `"}}`
			header := test.header
			if header == "" {
				header = test.extension
			}
			want := "|1.2.3|" + header + "|activity|5|act=" + test.extension + " suser=" + test.extension + " externalId=id\n"
			_, got, _ := strings.Cut(line(t, "activity", record, ""), "DuoLogSync")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if _, err := parse(line(t, "activity", record, "")); err != nil {
				t.Errorf("parse: %v", err)
			}
		})
	}
}

// Texts that are not a record's own are escaped like those that are.
func TestEscapingOfVersionAndChild(t *testing.T) {
	f := formatter()
	f.Version = "1|2\\3\n4"
	b, err := f.Append(nil, cef.For("auth"), []byte(`{"txid": "id"}`), "DA=1\n\x00 x=y")
	if err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(string(b), "DuoLogSync")
	want := `|1\|2\\3 4|authentication|authentication|5|externalId=id cs6Label=child_account_id cs6=DA\=1\n` + "\uFFFD" + ` x\=y` + "\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCompactJSON(t *testing.T) {
	tests := []struct{ name, json, want string }{
		{"blanks", "{ \"a b\" :\t[ 1 ,\r\n-2e+05, \" c \" ] }", `{"a b":[1,-2e+05," c "]}`},
		{"escapes stay JSON's", `["a\"\\", "\u00e9\n", "\ud83d"]`, `["a\\"\\\\","\\u00e9\\n","\\ud83d"]`},
		{"equals and pipe", `{"a=b": "|"}`, `{"a\=b":"|"}`},
		{"control characters", "[\"a\nb\x00\u2028\"]", "[\"a\\nb\uFFFD \"]"},
		{"quote after backslashes", `["\\\\", "\\\"", 1]`, `["\\\\\\\\","\\\\\\"",1]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, got, _ := strings.Cut(line(t, "auth", `{"factor": `+test.json+`, "txid": "id"}`, ""), " cs3=")
			if diff := cmp.Diff(test.want+" externalId=id\n", got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Each limit counts characters before escaping: a value of just that length is
// whole, and of a longer one just that much is left.
func TestLimits(t *testing.T) {
	tests := []struct {
		endpoint, path, key string
		limit               int
	}{
		{"auth", "access_device.hostname", "dhost", 1023},
		{"auth", "application.name", "cs1", 4000},
		{"auth", "event_type", "cs2", 4000},
		{"auth", "factor", "cs3", 4000},
		{"auth", "result", "outcome", 63},
		{"auth", "user.name", "duser", 1023},
		{"telephony", "context", "cs1", 4000},
		{"telephony", "credits", "cs2", 4000},
		{"telephony", "phone", "cs4", 4000},
		{"telephony", "type", "cs5", 4000},
		{"adminaction", "action", "cs1", 4000},
		{"adminaction", "description", "msg", 1023},
		{"adminaction", "object", "cs3", 4000},
		{"adminaction", "type", "cs4", 4000},
		{"adminaction", "username", "suser", 1023},
		{"activity", "action.name", "act", 63},
		{"activity", "actor.name", "suser", 1023},
		{"activity", "target.details", "msg", 1023},
		{"activity", "outcome.result", "outcome", 63},
		{"activity", "application.name", "cs1", 4000},
		{"activity", "application.type", "cs2", 4000},
		{"activity", "action.name", "signature id", 1023},
		{"activity", "actor.type", "name", 512},
		{"adminaction", "action", "name", 512},
	}
	for _, test := range tests {
		t.Run(test.endpoint+" "+test.key, func(t *testing.T) {
			// Each character is escaped in one way or other.
			for unit, json := range map[string]string{
				"=": "=", "\\": `\\`, "|": "|", "é": `\u00e9`, "\U0001F600": `\ud83d\ude00`, "日": "日",
			} {
				for _, more := range []int{0, 1, 100} {
					value := `"` + strings.Repeat(json, test.limit+more) + `"`
					got := part(t, test.endpoint, nest(test.path, value), test.key)
					if want := strings.Repeat(unit, test.limit); got != want {
						t.Errorf("%d of %q: %d characters are left, want %d",
							test.limit+more, unit, len([]rune(got)), test.limit)
					}
				}
			}
			// A list is text like any other.
			list := `["` + strings.Repeat("x", test.limit) + `"]`
			if got := part(t, test.endpoint, nest(test.path, list), test.key); got != list[:test.limit] {
				t.Errorf("of a list %q is left", got)
			}
		})
	}
	t.Run("child", func(t *testing.T) {
		child := strings.Repeat("=", 4001)
		if got := fields(t, "auth", "{}", child)["cs6"]; got != child[:4000] {
			t.Errorf("%d characters are left", len(got))
		}
	})
	t.Run("version", func(t *testing.T) {
		f := formatter()
		f.Version = strings.Repeat("|", 32)
		b, err := f.Append(nil, cef.For("auth"), []byte("{}"), "")
		if err != nil {
			t.Fatal(err)
		}
		e, err := parse(string(b))
		if err != nil {
			t.Fatal(err)
		}
		if e.Header[3] != f.Version[:31] {
			t.Errorf("version %q", e.Header[3])
		}
	})
}

// nest returns the record that has just the value at the path.
func nest(path, value string) string {
	key, rest, deeper := strings.Cut(path, ".")
	if deeper {
		value = nest(rest, value)
	}
	return `{"` + key + `": ` + value + `}`
}

// part returns a field or a part of the header of a record's line.
func part(t *testing.T, endpoint, record, key string) string {
	t.Helper()
	e, err := parse(line(t, endpoint, record, ""))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	switch key {
	case "signature id":
		return e.Header[4]
	case "name":
		return e.Header[5]
	}
	return fields(t, endpoint, record, "")[key]
}
