package cef_test

import (
	"strings"
	"testing"

	"dls/cef"
)

func TestBadRecords(t *testing.T) {
	const secret = "Hunter2"
	for _, record := range []string{
		"", " ", "null", "true", "12", `"x"`, `[]`, `[{}]`, "x", "\x00", "\ufeff{}",
		"{", "}", "{}}", "{} {}", "{}x", "{},", `{"a"}`, `{"a":}`, `{"a" 1}`, `{"a":1,}`, `{,"a":1}`, `{"a":1 "b":2}`,
		`{"a":1;}`, `{a:1}`, `{'a':1}`, `{1:1}`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[1}`, `{"a":[}`, `{"a":[1,`,
		`{"a":{]}`, `{"a":tru}`, `{"a":True}`, `{"a":nul}`, `{"a":nulll}`, `{"a":None}`, `{"a":NaN}`, `{"a":-Infinity}`, `{"a":f`,
		`{"a":01}`, `{"a":-}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":1.e5}`, `{"a":1e}`, `{"a":1e+}`, `{"a":0x1}`, `{"a":1_0}`, `{"a":-01}`,
		`{"a":"` + secret, `{"` + secret, `{"` + secret + `":`, `{"a":"\`, `{"a":"\"}`, `{"a":"\x41"}`, `{"a":"\u12"}`, `{"a":"\u12G4"}`, `{"a":"\u`, `{"a":"\'"}`, `{"\u":1}`,
		`{"a":/**/1}`, "{\"a\":\v1}", "{\"a\":\u00a01}", "{\x00}",
	} {
		got, err := formatter().Append([]byte("before"), cef.For("auth"), []byte(record), "")
		if err == nil || string(got) != "before" {
			t.Errorf("Append(%q) = %q, %v; want an error", record, got, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the error quotes the record: %v", err)
		}
	}
}

// Numbers and literals of all forms are read to their end.
func TestGoodRecords(t *testing.T) {
	for _, value := range []string{
		"0", "-0", "0.0", "12.50", "1e5", "1E-05", "-1.25e+10", "123456789012345678901234567890", "true", "false", "[]", "{}", `[{"":[]}]`,
	} {
		for _, behind := range []string{"", " ", "\n"} {
			record := `{"x": ` + value + behind + `, "factor": ` + value + behind + `}`
			if got := fields(t, "auth", record, "")["cs3"]; got != value {
				t.Errorf("%s became %q", value, got)
			}
		}
	}
}

func TestDepth(t *testing.T) {
	const most = 512
	for _, brackets := range []struct{ open, closing string }{{"[", "]"}, {`{"a":`, "}"}} {
		nested := func(depth int) []byte {
			depth-- // the record itself
			return []byte(`{"a":` + strings.Repeat(brackets.open, depth) + "1" + strings.Repeat(brackets.closing, depth) + "}")
		}
		if _, err := formatter().Append(nil, cef.For("auth"), nested(most), ""); err != nil {
			t.Errorf("%d deep: %v", most, err)
		}
		if _, err := formatter().Append(nil, cef.For("auth"), nested(most+1), ""); err == nil {
			t.Errorf("%d deep: no error", most+1)
		}
		if _, err := formatter().Append(nil, cef.For("auth"), []byte(strings.Repeat(brackets.open, 1_000_000)), ""); err == nil {
			t.Error("a million deep: no error")
		}
	}
}
