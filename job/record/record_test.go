package record

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTime(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UTC()
	}
	for _, tt := range []struct {
		in   string
		unit time.Duration
		want string
	}{
		{`"2026-11-20T08:15:30.123456+00:00"`, time.Second, "2026-11-20T08:15:30.123456Z"},
		{`"2026-11-20T08:15:30.123+00:00"`, time.Second, "2026-11-20T08:15:30.123Z"},
		{`"2026-11-20T08:15:30+00:00"`, time.Second, "2026-11-20T08:15:30Z"},
		{`"2026-11-20T08:15:30Z"`, time.Second, "2026-11-20T08:15:30Z"},
		{`"2026-11-20T10:15:30.5+02:00"`, time.Second, "2026-11-20T08:15:30.5Z"},
		{`"2026-11-20T10:15:30.5+0200"`, time.Second, "2026-11-20T08:15:30.5Z"},
		{`"2026-11-20T08: 15: 30+00: 00"`, time.Second, "2026-11-20T08:15:30Z"},
		{`"2026-11-20T08:15:30.000001"`, time.Second, "2026-11-20T08:15:30.000001Z"},
		{`1795335330`, time.Second, "2026-11-22T08:15:30Z"},
		{`"1795335330"`, time.Second, "2026-11-22T08:15:30Z"},
		{`1795335330123`, time.Millisecond, "2026-11-22T08:15:30.123Z"},
	} {
		got, ok := Time([]byte(tt.in), tt.unit)
		if !ok || !got.Equal(at(tt.want)) {
			t.Errorf("Time(%s) = %v, %v, want %s", tt.in, got, ok, tt.want)
		}
	}
	for _, in := range []string{``, `null`, `""`, `true`, `{}`, `"yesterday"`, `-1`, `1.5`, `99999999999999999`, `"0001-01-01T00:00:00Z"`, `"9999-01-01T00:00:00Z"`} {
		if got, ok := Time([]byte(in), time.Second); ok {
			t.Errorf("Time(%s) = %v, want none", in, got)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		`"a"`: "a", `""`: "", `"a\"\u00e9"`: `a"é`, `12`: "12", `-1.5`: "-1.5", `null`: "", `true`: "", ``: "", `{"a":1}`: "", `[1]`: "",
	} {
		if got := Text([]byte(in)); got != want {
			t.Errorf("Text(%s) = %q, want %q", in, got, want)
		}
		if got := Empty([]byte(in)); got != (want == "") {
			t.Errorf("Empty(%s) = %v", in, got)
		}
	}
}

// walk lists the members and elements of a text with their place.
func walk(b []byte) ([]string, error) {
	var all []string
	_, err := Object(b, 0, func(key []byte, i int) (int, error) {
		if i < len(b) && b[i] == '[' {
			return Array(b, i, func(i int) (int, error) {
				end, err := Skip(b, i)
				if err == nil {
					all = append(all, string(key)+"[]="+string(b[i:end]))
				}
				return end, err
			})
		}
		end, err := Skip(b, i)
		if err == nil {
			all = append(all, string(key)+"="+string(b[i:end]))
		}
		return end, err
	})
	return all, err
}

func TestWalk(t *testing.T) {
	got, err := walk([]byte(" {\"a\" : 1 ,\"b\":[ {\"x\":[1,\"]}\"]} , \"q\\\"\\\\\" ,null ],\"c\":{},\"d\":\"\\\\\"}tail"))
	want := []string{"a=1", `b[]={"x":[1,"]}"]}`, `b[]="q\"\\"`, "b[]=null", "c={}", `d="\\"`}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for _, in := range []string{
		``, `[`, `{`, `{"a`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{1:1}`, `{"a":[`, `{"a":[1`, `{"a":[1,]}`, `{"a":{]`,
		`{"a":"\`, `{"a":` + strings.Repeat("[", 100000),
	} {
		if got, err := walk([]byte(in)); err == nil {
			t.Errorf("%.40q: no error, but %q", in, got)
		}
	}
}

// FuzzTime holds the short way through the usual form against package time.
func FuzzTime(f *testing.F) {
	f.Add("2026-11-20T08:15:30.123456+00:00")
	f.Add("2024-02-29T23:59:59.999999+00:00")
	f.Add("2026-02-29T24:60:60.000000+00:00")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := usual([]byte(`"` + s + `"`))
		if !ok {
			return
		}
		want, err := time.Parse(time.RFC3339, s)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q is %v, not %v, %v", s, got, want, err)
		}
	})
}

func BenchmarkTime(b *testing.B) {
	text := []byte(`"2026-11-20T08:15:30.123456+00:00"`)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Time(text, time.Second); !ok {
			b.Fatal("no time")
		}
	}
}
