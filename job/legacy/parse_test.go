package legacy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	written := time.UnixMilli(1_795_400_000_000)
	tests := []struct {
		name string
		kind kind
		in   string
		at   int64 // milliseconds
		id   string
	}{
		{"auth", pairKind, "[\"1795397947000\", \"a-1\"]\n", 1795397947000, "a-1"},
		{"activity, telephony", millisIDKind, "\"1795397942401,a-1\"\n", 1795397942400, "a-1"},
		{"trustmonitor", millisKind, "1795397942371\n", 1795397942370, ""},
		{"adminaction", secondsKind, "1795397945\n", 1795397944000, ""},

		{"auth, seconds", pairKind, "1795397945", 1795397944000, ""},
		{"auth, milliseconds", pairKind, "1795397945123", 1795397945122, ""},
		{"auth, text with id", pairKind, `"1795397945123,x"`, 1795397945122, "x"},
		{"auth without txid", pairKind, `["1795397947", null]`, 1795397946000, ""},
		{"auth with txid None", pairKind, `["1795397947000","None"]`, 1795397947000, ""},
		{"auth with a number", pairKind, `[1795397947000,"x"]`, 1795397947000, "x"},
		{"telephony, seconds", millisIDKind, "1795397945", 1795397944000, ""},
		{"telephony, milliseconds", millisIDKind, "1795397945001", 1795397945000, ""},
		{"telephony, text", millisIDKind, `"1795397945001"`, 1795397945000, ""},
		{"telephony, text with seconds", millisIDKind, `"1795397945,x"`, 1795397944000, "x"},
		{"telephony, pair", millisIDKind, `["1795397945001","x"]`, 1795397945000, "x"},
		{"telephony without id", millisIDKind, `"1795397942401,None"`, 1795397942400, ""},
		{"id with a comma", millisIDKind, `"1795397942401,a,b"`, 1795397942400, "a,b"},
		{"trustmonitor, seconds", millisKind, "1795397945", 1795397944000, ""},
		{"adminaction, milliseconds", secondsKind, "1795397945001", 1795397945000, ""},

		{"blanks", secondsKind, " \r\n1795397945 \r\n", 1795397944000, ""},
		{"older than Duo keeps", secondsKind, "1500000000", 1499999999000, ""},
		{"at the time of writing", millisKind, "1795400000001", 1795400000000, ""},
		{"clock a little behind", millisKind, "1795400300001", 1795400300000, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parse(tt.kind, []byte(tt.in), written)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(position{time.UnixMilli(tt.at).UTC(), tt.id}, got); diff != "" {
				t.Errorf("checkpoint (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	const (
		noTime  = "it holds no time in seconds or milliseconds"
		damaged = "it is cut off or damaged"
		other   = "it holds no checkpoint that duologsync writes"
	)
	tests := []struct {
		in, want string
		kind     kind
	}{
		{in: "", want: "it is empty"},
		{in: " \n", want: "it is empty"},
		{in: "null\n", want: "it holds null, not a checkpoint"},
		{in: `["1795397947000", "a-`, want: damaged},
		{in: `"1795397942401,a`, want: damaged, kind: millisIDKind},
		{in: "[", want: damaged},
		{in: "\x00\x00\x00\x00", want: damaged},
		{in: "1795397945\n1795397946\n", want: "it is damaged: something follows the checkpoint"},
		{in: `["1795397947000","a"]]`, want: "it is damaged: something follows the checkpoint"},
		{in: "179539794", want: noTime, kind: secondsKind}, // torn
		{in: "179539794237", want: noTime, kind: millisKind},
		{in: "17953979423711", want: noTime},
		{in: "0000000000", want: "it is damaged: something follows the checkpoint"},
		{in: `"0000000000"`, want: noTime},
		{in: `"+795397945"`, want: noTime},
		{in: "-1795397945", want: noTime},
		{in: "1795397945.5", want: noTime},
		{in: "1.795397945e9", want: noTime},
		{in: `",a"`, want: noTime},
		{in: `"a,1795397945001"`, want: noTime},
		{in: `[null,"a"]`, want: noTime},
		{in: `["1795397947000"]`, want: other},
		{in: `["1795397947000","a","b"]`, want: other},
		{in: `["1795397947000",1]`, want: other},
		{in: "[]", want: other},
		{in: "{}", want: other},
		{in: "true", want: other},
		{in: strings.Repeat(" ", maxFile) + "1795397945", want: "it is too large"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.30q", tt.in), func(t *testing.T) {
			got, err := parse(tt.kind, []byte(tt.in), time.UnixMilli(1_795_400_000_000))
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("checkpoint %v, error %v", got, err)
			}
			if diff := cmp.Diff(&Error{tt.want, hint}, e); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestParseLegacyAhead has a record of 02:00 UTC, in a file written a minute
// later.
func TestParseAhead(t *testing.T) {
	const zone = ": duologsync ran in a time zone west of UTC, or the clock was wrong"
	newYork := time.FixedZone("EST", -5*3600)
	written := time.Date(2026, 11, 23, 2, 1, 0, 0, time.UTC)
	record := written.Add(-time.Minute)
	tests := []struct {
		name    string
		kind    kind
		in      string
		written time.Time
		want    *Error // nil: trusted
	}{
		{"west", millisIDKind, fmt.Sprintf(`"%d,a"`, record.Add(5*time.Hour).UnixMilli()+1), written.In(newYork), &Error{
			"it says 2026-11-23T07:00:00Z, which is 4h59m0s after it was written" + zone,
			hint + "; if duologsync ran in this host's time zone, that is 1795399200000",
		}},
		{"west, on a host in UTC", millisIDKind, fmt.Sprintf(`"%d,a"`, record.Add(5*time.Hour).UnixMilli()+1), written, &Error{
			"it says 2026-11-23T07:00:00Z, which is 4h59m0s after it was written" + zone, hint,
		}},
		{"further west than this host", millisIDKind, fmt.Sprintf(`"%d,a"`, record.Add(8*time.Hour).UnixMilli()+1), written.In(newYork), &Error{
			"it says 2026-11-23T10:00:00Z, which is 7h59m0s after it was written" + zone, hint,
		}},
		{"east", millisIDKind, fmt.Sprintf(`"%d,a"`, record.Add(-330*time.Minute).UnixMilli()+1), written.In(time.FixedZone("IST", 19800)), nil},
		{"clock", secondsKind, fmt.Sprint(record.Add(5 * time.Hour).Unix()), written.In(newYork), &Error{
			"it says 2026-11-23T06:59:59Z, which is 4h58m59s after it was written", hint,
		}},
		{"auth is in UTC", pairKind, fmt.Sprintf(`["%d","a"]`, record.UnixMilli()), written.In(newYork), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.kind, []byte(tt.in), tt.written)
			got, _ := errors.AsType[*Error](err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHint holds that what the hint says to write is read, and as early as
// it says.
func TestHint(t *testing.T) {
	for k := pairKind; k <= secondsKind; k++ {
		got, err := parse(k, []byte("1795399200000\n"), time.UnixMilli(1_795_400_000_000))
		want := position{At: time.UnixMilli(1_795_399_199_999).UTC()}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("kind %d: error %v, checkpoint (-want +got):\n%s", k, err, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, in := range []string{
		`["1795397947000", "a-1"]`, `"1795397942401,a-1"`, "1795397942371", "1795397945", "null", "", `["1795397947000", "a-`,
		"9999999999999", "1e400", `"9999999999"`, "[[[[", `"\ud800,\ud800"`,
	} {
		for k := pairKind; k <= secondsKind; k++ {
			f.Add(int(k), []byte(in))
		}
	}
	written := time.UnixMilli(1_795_400_000_000)
	f.Fuzz(func(t *testing.T, k int, data []byte) {
		got, err := parse(kind(k), data, written)
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.Problem == "" || e.Hint == "" {
				t.Errorf("error %#v", err)
			}
			if got != (position{}) && !got.At.After(written.Add(clockSlack)) {
				t.Error("a checkpoint beside an error")
			}
			return
		}
		if got.At.After(written.Add(clockSlack)) || got.At.Before(time.Unix(999_999_999, 0)) {
			t.Errorf("an impossible time is trusted: %v", got.At)
		}
		// The digits of the time are in the file, less one unit at most.
		ms := got.At.UnixMilli()
		for _, n := range []int64{ms, ms + 1, ms/1000 + 1} {
			if strings.Contains(string(data), fmt.Sprint(n)) {
				return
			}
		}
		if !strings.Contains(string(data), `\u00`) { // digits may be escaped
			t.Errorf("time %d is not that of the file", ms)
		}
	})
}
