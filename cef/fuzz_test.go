package cef_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"dls/cef"
)

// The tests below take a line apart with parse and compare it with what package
// encoding/json finds in the record. The tables say once more, and in another
// way, what the mappings say.

// expected is a part of a line: its name and paths to its value, or the value.
type expected struct {
	key, label string
	limit      int
	paths      []string
	constant   string
}

var expectedHeaders = map[string][2]expected{
	"auth":        {{constant: "authentication"}, {constant: "authentication"}},
	"telephony":   {{constant: "telephony"}, {constant: "telephony"}},
	"adminaction": {{constant: "administrator"}, {paths: []string{"action"}, constant: "administrator"}},
	"activity": {
		{paths: []string{"action_extended.name", "action.name", "action"}, constant: "activity"},
		{paths: []string{"actor.type"}, constant: "activity"},
	},
}

var expectedFields = map[string][]expected{
	"auth": {
		{"dhost", "", 1023, []string{"access_device.hostname"}, ""},
		{"src", "", 0, []string{"access_device.ip"}, ""},
		{"cs1", "integration", 4000, []string{"application.name"}, ""},
		{"cs2", "event_type", 4000, []string{"event_type"}, ""},
		{"cs3", "factor", 4000, []string{"factor"}, ""},
		{"outcome", "", 63, []string{"result"}, ""},
		{"rt", "", 0, []string{"isotimestamp", "timestamp"}, ""},
		{"duser", "", 1023, []string{"user.name"}, ""},
		{"externalId", "", 40, []string{"txid"}, ""},
	},
	"telephony": {
		{"cs1", "context", 4000, []string{"context"}, ""},
		{"cs2", "credits", 4000, []string{"credits"}, ""},
		{"cs3", "event_type", 4000, nil, "telephony"},
		{"cs4", "phone", 4000, []string{"phone"}, ""},
		{"rt", "", 0, []string{"ts", "isotimestamp", "timestamp"}, ""},
		{"cs5", "type", 4000, []string{"type"}, ""},
		{"externalId", "", 40, []string{"telephony_id"}, ""},
	},
	"adminaction": {
		{"cs1", "action", 4000, []string{"action"}, ""},
		{"msg", "", 1023, []string{"description"}, ""},
		{"cs2", "event_type", 4000, nil, "administrator"},
		{"cs3", "object", 4000, []string{"object"}, ""},
		{"rt", "", 0, []string{"timestamp", "isotimestamp"}, ""},
		{"cs4", "type", 4000, []string{"type"}, ""},
		{"suser", "", 1023, []string{"username"}, ""},
		{"externalId", "", 40, nil, ""},
	},
	"activity": {
		{"src", "", 0, []string{"access_device.ip.address", "access_device.ip"}, ""},
		{"act", "", 63, []string{"action.name", "action"}, ""},
		{"suser", "", 1023, []string{"actor.name"}, ""},
		{"rt", "", 0, []string{"ts"}, ""},
		{"msg", "", 1023, []string{"target.details"}, ""},
		{"outcome", "", 63, []string{"outcome.result", "outcome"}, ""},
		{"cs1", "integration_name", 4000, []string{"application.name"}, ""},
		{"cs2", "integration_type", 4000, []string{"application.type"}, ""},
		{"externalId", "", 40, []string{"activity_id"}, ""},
	},
}

// partly are the paths whose objects are taken apart by another path.
var partly = map[string]bool{"activity access_device.ip": true, "activity action": true, "activity outcome": true}

// expect returns what a receiver must see of a record that is valid JSON.
func expect(endpoint string, record []byte, child string) (signature, name string, fields []pair) {
	header := func(e expected, limit int) string {
		if text, _, ok := lookup(endpoint, record, e.paths); ok && text != "" {
			return visible(cut(text, limit), true)
		}
		return e.constant
	}
	signature = header(expectedHeaders[endpoint][0], 1023)
	name = header(expectedHeaders[endpoint][1], 512)

	for _, e := range expectedFields[endpoint] {
		text, isString, ok := lookup(endpoint, record, e.paths)
		switch {
		case e.key == "rt":
			if text, ok = epoch(endpoint, record, e.paths); !ok {
				continue
			}
		case e.key == "src":
			fields = append(fields, addressFields(text, isString, ok)...)
			continue
		case e.key == "externalId":
			if !ok || text == "" || len([]rune(text)) > 40 {
				sum := sha256.Sum256([]byte(strings.Trim(string(record), " \t\r\n") + child))
				text = hex.EncodeToString(sum[:20])
			}
		case !ok && e.constant == "":
			continue
		case !ok:
			text = e.constant
		}
		if e.label != "" {
			fields = append(fields, pair{e.key + "Label", e.label})
		}
		if e.key != "rt" {
			text = visible(cut(text, e.limit), false)
		}
		fields = append(fields, pair{e.key, text})
	}
	if child != "" {
		fields = append(fields, pair{"cs6Label", "child_account_id"}, pair{"cs6", visible(cut(child, 4000), false)})
	}
	return signature, name, fields
}

var (
	withPort = regexp.MustCompile(`^(?:\[([^\]]*)\](?:[:#.](\d{1,5}))?|([^:]+):(\d{1,5})|(.+)(?:#| port )(\d{1,5})|(.+)p(\d{1,5})|(.*:.*)\.(\d{1,5}))$`)
	hostText = regexp.MustCompile(`^(?i:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?)$`)
)

// addressFields are the fields that an address is written as.
func addressFields(text string, isString, ok bool) []pair {
	whole := strings.Trim(text, " ")
	if !ok || isString && whole == "" {
		return nil
	}
	unknown := []pair{{"cs5Label", "access_device_ip"}, {"cs5", visible(cut(whole, 4000), false)}}
	if !isString {
		return unknown
	}
	isIP := func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Zone() == "" }
	isHost := func(s string) bool {
		return hostText.MatchString(s) && len(s) <= 255 && strings.ContainsFunc(s, func(r rune) bool { return r == '_' || unicode.IsLetter(r) })
	}
	host, port := whole, ""
	if m := withPort.FindStringSubmatch(whole); m != nil && !isIP(whole) {
		for i := 1; i < len(m); i += 2 {
			if m[i] == "" {
				continue
			}
			bracketed, named := i == 1, i == 3 || i == 5
			if n, _ := strconv.Atoi(m[i+1]); n <= 65535 && (isIP(m[i]) || named && isHost(m[i])) {
				host, port = m[i], m[i+1]
			} else if bracketed {
				return unknown
			}
		}
	}
	key := "src"
	switch {
	case isIP(host):
	case isHost(host):
		key = "shost"
	default:
		return unknown
	}
	fields := []pair{{key, host}}
	if port != "" {
		fields = append(fields, pair{"spt", port})
	}
	return fields
}

// lookup returns the text of the first path that leads to a value, and whether
// the value is a string.
func lookup(endpoint string, record []byte, paths []string) (text string, isString, ok bool) {
	for _, path := range paths {
		value := json.RawMessage(record)
		for key := range strings.SplitSeq(path, ".") {
			var object map[string]json.RawMessage
			if json.Unmarshal(value, &object) != nil {
				value = nil
				break
			}
			value = object[key]
		}
		value = bytes.Trim(value, " \t\r\n")
		if len(value) == 0 || string(value) == "null" || value[0] == '{' && partly[endpoint+" "+path] {
			continue
		}
		switch value[0] {
		case '"':
			if err := json.Unmarshal(value, &text); err != nil {
				panic(err)
			}
			return text, true, true
		case '{', '[':
			var b bytes.Buffer
			if err := json.Compact(&b, value); err != nil {
				panic(err)
			}
			return b.String(), false, true
		}
		return string(value), false, true
	}
	return "", false, false
}

// epoch returns the text of the first path that leads to a time.
func epoch(endpoint string, record []byte, paths []string) (string, bool) {
	for _, path := range paths {
		text, isString, _ := lookup(endpoint, record, []string{path})
		if digits, fraction, _ := strings.Cut(text, "."); len(digits) > 0 && len(digits) < 19 && strings.Trim(digits+fraction, "0123456789") == "" && !strings.HasSuffix(text, ".") {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil {
				panic(err)
			}
			if n < 1e11 {
				n, _ = strconv.ParseInt(digits+(fraction + "000")[:3], 10, 64)
			}
			if n <= 253402300799999 {
				return strconv.FormatInt(n, 10), true
			}
			continue
		}
		if !isString {
			continue
		}
		for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
			t, err := time.Parse(layout, text)
			if err == nil && t.Unix() >= 0 && t.UTC().Year() <= 9999 {
				return strconv.FormatInt(t.UnixMilli(), 10), true
			}
		}
	}
	return "", false
}

func cut(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit])
	}
	return s
}

// hidden are the characters that are not seen or turn the direction of writing.
var hidden = regexp.MustCompile(`[\x{ad}\x{61c}\x{180e}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{206f}\x{feff}\x{fff0}-\x{fffb}\x{1bca0}-\x{1bca3}\x{1d173}-\x{1d17a}\x{13430}-\x{1343f}\x{e0000}-\x{e00ff}\x{e01f0}-\x{e0fff}\x{34f}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{3164}\x{ffa0}]`)

// visible replaces the characters that cannot stand in a line.
func visible(s string, header bool) string {
	before := rune(0)
	return strings.Map(func(r rune) rune {
		last := before
		before = r
		if r == '\u200c' || r == '\u200d' {
			if last < '\u0600' || unicode.Is(unicode.Cf, last) || last == '\u2028' || last == '\u2029' || hidden.MatchString(string(last)) {
				before = 0
				return '\uFFFD'
			}
			return r
		}
		if hidden.MatchString(string(r)) {
			return '\uFFFD'
		}
		switch {
		case !header && (r == '\n' || r == '\r'):
			return r
		case unicode.IsSpace(r) && unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r):
			return '\uFFFD'
		}
		return r
	}, string([]rune(s))) // each byte that is no UTF-8 is a rune U+FFFD
}

// check compares the line of a record with what is expected.
func check(t *testing.T, endpoint string, record []byte, version, child string) {
	t.Helper()
	f := formatter()
	f.Version = version
	b, err := f.Append(nil, cef.For(endpoint), record, child)
	if err != nil {
		var object map[string]any // nil for null
		if json.Unmarshal(record, &object) == nil && object != nil && depth(record) <= 512 {
			t.Fatalf("error for a good record: %v", err)
		}
		return
	}
	e, err := parse(string(b))
	if err != nil {
		t.Fatalf("parse: %v\n%q", err, b)
	}
	if !json.Valid(record) {
		// Control characters in strings are all that we let through and
		// encoding/json does not.
		blank := bytes.Map(func(r rune) rune { return max(r, ' ') }, record)
		if !json.Valid(blank) {
			t.Fatalf("a line for what is no JSON: %q", b)
		}
		return
	}

	signature, name, fields := expect(endpoint, record, child)
	want := event{
		Time:   "Mar 04 06:07:08",
		Host:   "siem-feed",
		Header: []string{"0", "Duo Security", "DuoLogSync", visible(cut(version, 31), true), signature, name, "5"},
		Fields: fields,
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("%s (-want +got)\n%s", endpoint, diff)
	}
}

// depth returns how deep the brackets of a valid JSON text are nested.
func depth(record []byte) int {
	d := json.NewDecoder(bytes.NewReader(record))
	deep, deepest := 0, 0
	for {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			deep++
			deepest = max(deepest, deep)
		case json.Delim('}'), json.Delim(']'):
			deep--
		}
	}
}

// FuzzRecord formats any bytes, and finds again in the line just what they hold.
func FuzzRecord(f *testing.F) {
	for _, record := range records {
		f.Add([]byte(record), "1.2.3", "")
		f.Add([]byte(record), "1|\n\\", "DA0EXAMPLE0EXAMPLE0B")
	}
	f.Add([]byte(`{"action": {"name": "x\ud83d\ude00\ud83d y=z|\\"}, "action": [1, {"a": null}], "ts": 1e3, "txid": 5}`), "", "x")
	f.Add([]byte("{\"user\":{\"name\":\"\xff\xe2\x80\\u2028\"},\"us\\u0065r\":{},\"factor\":{\"a\" : [ ]}}"), "", "\xff")
	f.Fuzz(func(t *testing.T, record []byte, version, child string) {
		for endpoint := range records {
			check(t, endpoint, record, version, child)
		}
	})
}

// FuzzText puts a text wherever a record can have one, next to another text.
func FuzzText(f *testing.F) {
	for _, text := range []string{
		"plain", "", " ", "  a  ", "a=b", " act=x", "|", "||5|act=x", `\`, `\\n`, `\=`, "\n", "\r\n", "a\tb", "\x00", "\x7f", "\u0085", "\u2028\u2029",
		"\xff\xfe", "\xed\xa0\xbd", "\U0001F600 \u202e", "x\nMar 04 06:07:08 h CEF:0|a|b|c|d|e|5|act=x", strings.Repeat("=", 4001),
		"203.0.113.112:1234", "[2001:db8::7]:1234", "2001:db8::7#1234", "2001:db8::7", "fe80::1%eth0", "host.example:1", "1.2.3.4.5", "unknown",
		"a\u200b\u202e\ufeffb", "\u0627\u200d\u200c\u200d", "\u06dd\u200d",
		"1772600767", "2026-03-04T05:06:07.089123+00:00",
	} {
		f.Add(text, "other")
		f.Add("a", text)
	}
	f.Fuzz(func(t *testing.T, text, other string) {
		for endpoint, list := range expectedFields {
			var paths []string
			header := expectedHeaders[endpoint]
			for _, e := range slices.Concat(list, header[:]) {
				paths = append(paths, e.paths...)
			}
			record := make(map[string]any)
			for i, path := range paths {
				set(record, path, []string{text, other}[i%2])
			}
			check(t, endpoint, appendJSON(nil, record), text, other)
			record = make(map[string]any)
			for _, path := range paths {
				set(record, path, []any{text, map[string]any{other: text}})
			}
			check(t, endpoint, appendJSON(nil, record), text, other)
		}
	})
}

// set gives the record a value at the path, unless something is on the way.
func set(record map[string]any, path string, value any) {
	key, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		if record[key] == nil {
			record[key] = value
		}
		return
	}
	if record[key] == nil {
		record[key] = make(map[string]any)
	}
	if object, ok := record[key].(map[string]any); ok {
		set(object, rest, value)
	}
}

// appendJSON is json.Marshal, except that bytes which are no UTF-8 stay.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for key, value := range v {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ", "...)
			}
			dst = append(appendJSON(dst, key), ": "...)
			dst = appendJSON(dst, value)
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, value := range v {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendJSON(dst, value)
		}
		return append(dst, ']')
	case string:
		dst = append(dst, '"')
		for _, c := range []byte(v) {
			switch {
			case c == '"' || c == '\\':
				dst = append(dst, '\\', c)
			case c < ' ':
				dst = fmt.Appendf(dst, `\u%04x`, c)
			default:
				dst = append(dst, c)
			}
		}
		return append(dst, '"')
	}
	panic(fmt.Sprintf("no JSON for a %T", v))
}
