package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// python holds JSON texts and what Python's json.dumps(json.loads(text)) makes of
// them.
var python = []struct{ in, want string }{
	{`{}`, `{}`},
	{`{"a":1}`, `{"a": 1}`},
	{`{ "a" : [ 1 , 2,3 ] , "b" : { } , "c" : [ ] }`, `{"a": [1, 2, 3], "b": {}, "c": []}`},
	{`{"a":"\/"}`, `{"a": "/"}`},
	{`{"a":"\u0041\u00e9\u00E9"}`, `{"a": "A\u00e9\u00e9"}`},
	{"{\"a\":\"\u00e9\u65e5\u672c\U0001f600\"}", `{"a": "\u00e9\u65e5\u672c\ud83d\ude00"}`},
	{`{"a":"\ud83d\ude00"}`, `{"a": "\ud83d\ude00"}`},
	{`{"a":"\ud83d"}`, `{"a": "\ud83d"}`},
	{`{"a":"\ude00\ud83d"}`, `{"a": "\ude00\ud83d"}`},
	{"{\"a\":\"\x7f~ \"}", `{"a": "\u007f~ "}`},
	{`{"a":"\u007f\u0080\u001f\u0000"}`, `{"a": "\u007f\u0080\u001f\u0000"}`},
	{`{"a":"\b\f\n\r\t\"\\"}`, `{"a": "\b\f\n\r\t\"\\"}`},
	{`{"a":"\u0008\u000c\u000a\u000d\u0009\u0022\u005c\u002f"}`, `{"a": "\b\f\n\r\t\"\\/"}`},
	{`{"a":"<>&\u2028"}`, `{"a": "<>&\u2028"}`},
	{"{\"a\":\"\u2028\u202e\ufeff\uffff\"}", `{"a": "\u2028\u202e\ufeff\uffff"}`},
	{`{"a":true,"b":false,"c":null}`, `{"a": true, "b": false, "c": null}`},
	{`{"a":-0.0,"b":12345678901234567890,"c":1.5,"d":0}`, `{"a": -0.0, "b": 12345678901234567890, "c": 1.5, "d": 0}`},
	{"{\"\u00e9\\n\":\"k\"}", `{"\u00e9\n": "k"}`},
	{`{"a":{"b":{"c":[[],[{}],"x"]}}}`, `{"a": {"b": {"c": [[], [{}], "x"]}}}`},
	{"{\"a\"\t:\r\n1}", `{"a": 1}`},
	{`{"a":"\ud83dx\ude00"}`, `{"a": "\ud83dx\ude00"}`},
	{"{\"a\":\"\\ud83d\U0001f600\"}", `{"a": "\ud83d\ud83d\ude00"}`},
}

// appendLine writes a text that must be an object and nothing else, with a new Writer.
func appendLine(dst, in []byte, extra ...Extra) ([]byte, error) {
	out, end, err := NewWriter(nil, extra...).Append(dst, in, 0)
	if err == nil && space(in, end) != len(in) {
		err = errAt(end)
	}
	return out, err
}

func TestWriterFields(t *testing.T) {
	in := []byte(`[ {"a":{"x":1},"b" : "t" , "c":[{"a":2}],"a":null,"e":{"d":7}}, 5]`)
	w := NewWriter([]string{"a", "b", "c", "d"}, NewExtra("b", "new"))
	w.Values[3] = []byte("stale")
	line, end, err := w.Append(nil, in, 2)
	if err != nil || string(in[end:]) != ", 5]" {
		t.Errorf("ended at %q, %v", in[end:], err)
	}
	if diff := cmp.Diff(`{"a": {"x": 1}, "b": "new", "c": [{"a": 2}], "a": null, "e": {"d": 7}}`+"\n", string(line)); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([4][]byte{[]byte("null"), []byte(`"t"`), []byte(`[{"a":2}]`), nil}, w.Values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

func TestWriterAsPython(t *testing.T) {
	for _, tt := range python {
		got, err := appendLine([]byte("before|"), []byte(tt.in))
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
		}
		if diff := cmp.Diff("before|"+tt.want+"\n", string(got)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.in, diff)
		}
	}
}

// Where the text of a number is not Python's own, it is kept: what Duo sent is
// the evidence. Bytes that Python would refuse to read are made harmless.
func TestWriterUnlikePython(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"a":2.50}`, `{"a": 2.50}`},
		{`{"a":1e25}`, `{"a": 1e25}`},
		{`{"a":1E+400}`, `{"a": 1E+400}`},
		{`{"a":-0}`, `{"a": -0}`},
		{`{"a":1,"a":2}`, `{"a": 1, "a": 2}`},
		{"{\"a\":\"\xff\xc3\"}", `{"a": "\ufffd\ufffd"}`},
		{"{\"a\":\"\xed\xa0\x80\"}", `{"a": "\ufffd\ufffd\ufffd"}`},
		{"{\"a\":\"line\nbreak\x00\"}", `{"a": "line\nbreak\u0000"}`},
	} {
		got, err := appendLine(nil, []byte(tt.in))
		if diff := cmp.Diff(tt.want+"\n", string(got)); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", tt.in, err, diff)
		}
	}
}

func TestWriterExtra(t *testing.T) {
	extra := []Extra{NewExtra("eventtype", "authentication"), NewExtra("host", "api-ä\".example")}
	for _, tt := range []struct{ in, want string }{
		{`{}`, `{"eventtype": "authentication", "host": "api-\u00e4\".example"}`},
		{`{"a":{"host":1}}`, `{"a": {"host": 1}, "eventtype": "authentication", "host": "api-\u00e4\".example"}`},
		{`{"host":[1,"x"],"z":null}`, `{"host": "api-\u00e4\".example", "z": null, "eventtype": "authentication"}`},
		{`{"h\u006fst":1}`, `{"host": "api-\u00e4\".example", "eventtype": "authentication"}`},
	} {
		got, err := appendLine(nil, []byte(tt.in), extra...)
		if diff := cmp.Diff(tt.want+"\n", string(got)); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", tt.in, err, diff)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600)
	for _, in := range []string{
		``, ` `, `1`, `null`, `[]`, `"x"`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":1e}`, `{"a":-}`, `{"a":NaN}`, `{"a":tru}`, `{"a":truex}`,
		`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"`, `{"a":"\`, `{"a":[1,]}`, `{"a":[}`, `{}x`, `{} {}`, deep,
	} {
		if out, err := appendLine(nil, []byte(in)); err == nil {
			t.Errorf("%.40q: no error, but %.40q", in, out)
		}
	}
}

// FuzzWriter holds the writer against encoding/json, an independent reader:
// what is valid must come out as one line of ASCII that means the same.
func FuzzWriter(f *testing.F) {
	for _, tt := range python {
		f.Add([]byte(tt.in))
	}
	f.Add([]byte("{\"a\":\"\xff\x01\"}"))
	f.Add([]byte(`{"":[{"":-1.0E-2}]}`))
	f.Add([]byte(" {}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := appendLine(nil, in)
		if err != nil {
			if valid(in) {
				t.Fatalf("refused valid JSON %q: %v", in, err)
			}
			return
		}
		body, ended := bytes.CutSuffix(out, []byte("\n"))
		if !ended || bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q became %q, no line of ASCII", in, out)
		}
		if !json.Valid(body) {
			t.Fatalf("%q became %q, no JSON", in, out)
		}
		if !json.Valid(in) {
			return // raw control characters, which were escaped
		}
		if diff := cmp.Diff(tokens(t, in), tokens(t, body)); diff != "" {
			t.Fatalf("%q became %q (-want +got):\n%s", in, out, diff)
		}
		again, err := appendLine(nil, body)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q is not stable: %q, %v", out, again, err)
		}
	})
}

// valid tells whether in is an object as RFC 8259 has it, no deeper than the
// writer goes.
func valid(in []byte) bool {
	return json.Valid(in) && bytes.HasPrefix(bytes.TrimLeft(in, " \t\r\n"), []byte("{")) && bytes.Count(in, []byte("{"))+bytes.Count(in, []byte("[")) <= maxDepth
}

// tokens are the tokens of a text in order; strings as UTF-16, so that nothing
// is hidden by a replacement character.
func tokens(t *testing.T, in []byte) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(in))
	dec.UseNumber()
	var all []string
	for {
		tok, err := dec.Token()
		if err != nil {
			break
		}
		if s, ok := tok.(string); ok {
			tok = utf16.Encode([]rune(s))
		}
		all = append(all, fmt.Sprintf("%T %v", tok, tok))
	}
	return all
}

// sample is a record of the size and shape of an authentication.
var sample = []byte(`{"access_device":{"browser":"Chrome","browser_version":"126.0.6478.127","epkey":"EP1234567890ABCDEFGH","flash_version":"uninstalled","hostname":null,"ip":"198.51.100.23","is_encryption_enabled":true,"is_firewall_enabled":"unknown","is_password_set":true,"java_version":"uninstalled","location":{"city":"Zürich","country":"Switzerland","state":"Zürich"},"os":"Mac OS X","os_version":"14.5","security_agents":[{"security_agent":"Cisco Secure Endpoint","version":"1.24.1.975"}]},"adaptive_trust_assessments":{"more_secure_auth":{"features_version":"3.0","model_version":"2024.02.01.002","policy_enabled":true,"reason":"Normal level of trust; no detection of known attack pattern","trust_level":"NORMAL"},"remember_me":{"features_version":"3.0","model_version":"2024.02.01.002","policy_enabled":false,"reason":"Known Access IP","trust_level":"NORMAL"}},"alias":"unknown","application":{"key":"DI1234567890ABCDEFGH","name":"VPN \"Zürich\""},"auth_device":{"ip":"203.0.113.7","key":"DP1234567890ABCDEFGH","location":{"city":"Bern","country":"Switzerland","state":"Bern"},"name":"+41 79 555 01 01"},"email":"anna.beispiel@example.com","event_type":"authentication","factor":"duo_push","isotimestamp":"2026-11-20T08:15:30.123456+00:00","ood_software":null,"reason":"user_approved","result":"success","timestamp":1795335330,"trusted_endpoint_status":"not trusted","txid":"0f3c1a52-6f0e-4b8e-9c57-0d2b6a7c8e9f","user":{"groups":["Staff","VPN users"],"key":"DU1234567890ABCDEFGH","name":"anna"}}`)

func TestWriterAllocates(t *testing.T) {
	w := NewWriter([]string{"txid", "isotimestamp", "timestamp"}, NewExtra("eventtype", "authentication"), NewExtra("host", "api-12345678.duosecurity.com"))
	records := [][]byte{sample, []byte(`{"host":{"a":1},"` + strings.Repeat("b", maxSegment) + `":2}`)}
	for k := range 2 * len(w.start.next) { // more than are looked for
		records = append(records, fmt.Appendf(nil, `{"k%d":%d}`, k, k))
	}
	dst := make([]byte, 0, 2*len(sample))
	if n := testing.AllocsPerRun(100, func() {
		for _, r := range records {
			var err error
			if dst, _, err = w.Append(dst[:0], r, 0); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations per round of records that were seen before, want 0", n)
	}
}

// What is kept is bounded, and what is not kept is written all the same.
func TestWriterForgets(t *testing.T) {
	w := NewWriter([]string{"id"})
	for k := range 2 * maxSegments {
		in := fmt.Sprintf(`{"k%d": 1, "id": %d}`, k, k)
		line, _, err := w.Append(nil, []byte(in), 0)
		if string(line) != in+"\n" || string(w.Values[0]) != fmt.Sprint(k) || err != nil {
			t.Fatalf("%s became %s with id %s, %v", in, line, w.Values[0], err)
		}
	}
	if len(w.known) != maxSegments {
		t.Errorf("%d segments are kept, want %d", len(w.known), maxSegments)
	}
}

// same holds a Writer that has written other texts, good and broken, against new
// ones.
func same(t *testing.T, w *Writer, in []byte) {
	t.Helper()
	type result struct {
		Line   string
		End    int
		Err    string
		Values [4]string
		Nil    [4]bool
	}
	write := func(w *Writer) (r result) {
		line, end, err := w.Append([]byte("before|"), in, 0)
		r.Line, r.End, r.Err = string(line), end, fmt.Sprint(err)
		for k, v := range w.Values {
			r.Values[k], r.Nil[k] = string(v), v == nil
		}
		return r
	}
	if diff := cmp.Diff(write(NewWriter(w.Names, w.extra...)), write(w)); diff != "" {
		t.Fatalf("%q after other records (-new +used):\n%s", in, diff)
	}
}

// FuzzWriterLearns has a Writer write the lines of a text, twice each.
func FuzzWriterLearns(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":"x"}}` + "\n" + `{"a":null,"b":{"c":["y",{}]}}` + "\n" + `{"a":1,"b":{"c":"x"]}`))
	f.Add([]byte(`{"a":{},"b":[],"x":1}` + "\n" + `{"a":{},"b":[` + "\n" + `{"x":{"a":1},"a":[{}]}` + "\n" + `{"x":1,"a":tru}`))
	f.Add([]byte(`{"d":1,"a": 1}` + "\n" + `{"d":1,"a":  1}` + "\n" + `{"d":1 ,"a":1}` + "\n" + `{"d":1 ,"a":"\"\\\u00e9"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		w := NewWriter([]string{"a", "b", "c", "d"}, NewExtra("x", "new"), NewExtra("y", ""))
		for range 2 {
			for text := range bytes.SplitSeq(in, []byte("\n")) {
				same(t, w, text)
			}
		}
	})
}

// TestWriterLearns has a Writer write records of many shapes, some broken.
func TestWriterLearns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	var value func(depth int) string
	list := func(brackets, blank string, item func() string) string {
		var items []string
		for range random.IntN(4) {
			items = append(items, item()+blank)
		}
		return brackets[:1] + blank + strings.Join(items, ","+blank) + brackets[1:]
	}
	object := func(depth int) string {
		blank := pick("", "", " ", "\n\t")
		return list("{}", blank, func() string {
			return pick(`"a"`, `"b"`, `"c"`, `"d"`, `"x"`, `"y"`, `"\u0078"`, `"e"`) + pick(":", ":", ": ", " : ") + value(depth+1)
		})
	}
	value = func(depth int) string {
		if depth < 4 {
			switch random.IntN(4) {
			case 0:
				return object(depth)
			case 1:
				return list("[]", pick("", " "), func() string { return value(depth + 1) })
			}
		}
		return pick("null", "true", "false", "0", "-1.5e3", `""`, `"text"`, `"\"é\u00e9\\"`, `"more than sixteen bytes of text"`, `",\":{"`)
	}
	w := NewWriter([]string{"a", "b", "c", "d"}, NewExtra("x", "new"), NewExtra("y", ""))
	for k := range 20000 {
		if k%200 == 0 {
			w = NewWriter(w.Names, w.extra...)
		}
		in := []byte(object(0))
		switch random.IntN(6) {
		case 0:
			in = in[:random.IntN(len(in))]
		case 1:
			in[random.IntN(len(in))] = pick(`"`, `{`, `}`, `[`, `]`, `,`, `:`, ` `, `\`, `1`, `x`)[0]
		}
		same(t, w, in)
		same(t, w, in)
	}
}
