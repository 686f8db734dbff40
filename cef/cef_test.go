package cef_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/cef"
)

// formatter returns a formatter of which all is known.
func formatter() *cef.Formatter {
	f := cef.New("1.2.3")
	f.Host = "siem-feed"
	f.Now = func() time.Time { return time.Date(2026, 3, 4, 6, 7, 8, 0, time.UTC) }
	return f
}

// line returns the line of a record. It fails the test when there is none.
func line(t *testing.T, endpoint, record, child string) string {
	t.Helper()
	b, err := formatter().Append(nil, cef.For(endpoint), []byte(record), child)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	return string(b)
}

// fields returns the extension of a record's line.
func fields(t *testing.T, endpoint, record, child string) map[string]string {
	t.Helper()
	e, err := parse(line(t, endpoint, record, child))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	m := make(map[string]string)
	for _, p := range e.Fields {
		if _, ok := m[p.Key]; ok {
			t.Fatalf("two fields %s", p.Key)
		}
		m[p.Key] = p.Value
	}
	return m
}

// A plain record gives duologsync's line but for the differences listed here.
func TestLineAgainstDuologsync(t *testing.T) {
	tests := []struct {
		name, record, child string
		duologsync          string
		differences         []string // what duologsync has, what we have, and so on
	}{
		{
			name:       "auth",
			record:     authRecord,
			duologsync: "Mar 04 06:07:08 siem-feed CEF:0|Duo Security|DuoLogSync|1.2.3|authentication|authentication|5|dhost=None src=192.0.2.10 cs1Label=integration cs1=Example VPN gateway cs2Label=event_type cs2=authentication cs3Label=factor cs3=duo_push outcome=success rt=1772600767000 duser=ada\n",
			differences: []string{
				"dhost=None", "dhost=laptop-7",
				"rt=1772600767000", "rt=1772600767089",
				"\n", " externalId=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n",
			},
		},
		{
			name:       "auth",
			record:     authRecord,
			child:      "DA0EXAMPLE0EXAMPLE0B",
			duologsync: "Mar 04 06:07:08 siem-feed CEF:0|Duo Security|DuoLogSync|1.2.3|||5|dhost=None src=192.0.2.10 cs1Label=integration cs1=Example VPN gateway cs2Label=event_type cs2=None cs3Label=factor cs3=duo_push outcome=success rt=1772600767000 duser=ada\n",
			differences: []string{
				"|||", "|authentication|authentication|",
				"dhost=None", "dhost=laptop-7",
				"cs2=None", "cs2=authentication",
				"rt=1772600767000", "rt=1772600767089",
				"\n", " externalId=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 cs6Label=child_account_id cs6=DA0EXAMPLE0EXAMPLE0B\n",
			},
		},
		{
			name:       "telephony",
			record:     telephonyRecord,
			duologsync: "Mar 04 06:07:08 siem-feed CEF:0|Duo Security|DuoLogSync|1.2.3|||5|cs1Label=context cs1=authentication cs2Label=credits cs2=1 cs3Label=event_type cs3=None cs4Label=phone cs4=+15550100 rt=None cs5Label=type cs5=sms\n",
			differences: []string{
				"|||", "|telephony|telephony|",
				"cs3=None", "cs3=telephony",
				"rt=None", "rt=1772600767089",
				"\n", " externalId=11111111-2222-3333-4444-555555555555\n",
			},
		},
		{
			name:       "adminaction",
			record:     adminactionRecord,
			duologsync: "Mar 04 06:07:08 siem-feed CEF:0|Duo Security|DuoLogSync|1.2.3|administrator|user_update|5|cs1Label=action cs1=user_update msg={\"realname\": \"Ada L.\"} cs2Label=event_type cs2=administrator cs3Label=object cs3=ada rt=1772600767000 cs4Label=type cs4=None suser=Grace\n",
			differences: []string{
				"cs4Label=type cs4=None ", "",
				"\n", " externalId=2eebd70c8aabc272244731a083fb45994ea5d306\n",
			},
		},
		{
			name:       "activity",
			record:     activityRecord,
			duologsync: "Mar 04 06:07:08 siem-feed CEF:0|Duo Security|DuoLogSync|1.2.3|admin_login|admin|5|src=192.0.2.10 act=admin_login suser=Grace rt=2026-03-04T05:06:07.089123+00:00 msg={\"status\": \"active\"} outcome=None cs1Label=integration_name cs1=Example VPN gateway cs2Label=integration_type cs2=rest\n",
			differences: []string{
				"rt=2026-03-04T05:06:07.089123+00:00", "rt=1772600767089",
				"outcome=None", "outcome=SUCCESS",
				"\n", " externalId=66666666-7777-8888-9999-000000000000\n",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name+test.child, func(t *testing.T) {
			for i := 0; i < len(test.differences); i += 2 {
				if n := strings.Count(test.duologsync, test.differences[i]); n != 1 {
					t.Fatalf("%q is %d times in duologsync's line", test.differences[i], n)
				}
			}
			want := strings.NewReplacer(test.differences...).Replace(test.duologsync)
			if diff := cmp.Diff(want, line(t, test.name, test.record, test.child)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestLine(t *testing.T) {
	const prefix = "Mar 04 06:07:08 siem-feed CEF:0|Duo Security|DuoLogSync|1.2.3|"
	tests := []struct{ name, endpoint, record, want, why string }{
		{
			name:     "auth without values",
			endpoint: "auth",
			record:   `{"access_device": null, "application": null, "event_type": "enrollment", "factor": null, "isotimestamp": null, "txid": "t", "user": {"name": null}}`,
			want:     "authentication|authentication|5|cs2Label=event_type cs2=enrollment externalId=t",
			why:      "absent and null values go with their label; numbers of custom strings stay",
		},
		{
			name:     "auth with objects turned to text",
			endpoint: "auth",
			record:   `{"access_device": "laptop", "application": ["a"], "user": 7, "txid": "t"}`,
			want:     "authentication|authentication|5|externalId=t",
			why:      "a path that ends early leads nowhere",
		},
		{
			name:     "empty strings",
			endpoint: "auth",
			record:   `{"factor": "", "result": "", "txid": "t"}`,
			want:     "authentication|authentication|5|cs3Label=factor cs3= outcome= externalId=t",
			why:      "an empty text is a value",
		},
		{
			name:     "values that are no strings",
			endpoint: "telephony",
			record:   `{"context": true, "credits": 2.50, "phone": {"number" : "+1 555", "list": [ 1, "a b" ]}, "type": [ ], "telephony_id": 12}`,
			want:     `telephony|telephony|5|cs1Label=context cs1=true cs2Label=credits cs2=2.50 cs3Label=event_type cs3=telephony cs4Label=phone cs4={"number":"+1 555","list":[1,"a b"]} cs5Label=type cs5=[] externalId=12`,
			why:      "numbers keep their text, lists and objects become compact JSON",
		},
		{
			name:     "telephony v1",
			endpoint: "telephony",
			record:   `{"context": "enrollment", "credits": 0, "phone": "+15550100", "isotimestamp": "2026-03-04T05:06:07+00:00", "timestamp": 1772600767, "type": "phone", "telephony_id": "t"}`,
			want:     "telephony|telephony|5|cs1Label=context cs1=enrollment cs2Label=credits cs2=0 cs3Label=event_type cs3=telephony cs4Label=phone cs4=+15550100 rt=1772600767000 cs5Label=type cs5=phone externalId=t",
		},
		{
			name:     "activity with a plain action",
			endpoint: "activity",
			record:   `{"action": "admin_login", "activity_id": "a"}`,
			want:     "admin_login|activity|5|act=admin_login externalId=a",
		},
		{
			name:     "activity with an extended action",
			endpoint: "activity",
			record:   `{"action": null, "action_extended": {"name": "admin_self_activate"}, "actor": {"type": "user"}, "activity_id": "a"}`,
			want:     "admin_self_activate|user|5|externalId=a",
		},
		{
			name:     "activity with plain texts",
			endpoint: "activity",
			record:   `{"access_device": {"ip": "192.0.2.1"}, "outcome": "FAILURE", "activity_id": "a"}`,
			want:     "activity|activity|5|src=192.0.2.1 outcome=FAILURE externalId=a",
		},
		{
			name:     "activity with an action of unknown shape",
			endpoint: "activity",
			record:   `{"action": {"title": "x"}, "outcome": {}, "actor": {"type": ""}, "activity_id": "a"}`,
			want:     "activity|activity|5|externalId=a",
			why:      "an object that was to be taken apart is not printed whole; a header field is never empty",
		},
		{
			name:     "duplicate keys",
			endpoint: "activity",
			record:   `{"outcome": {"result": "FAILURE"}, "action": {"name": "x"}, "outcome": {"result": "SUCCESS"}, "action": "y", "actor": {"name": "n"}, "actor": null, "activity_id": "a"}`,
			want:     "y|activity|5|act=y outcome=SUCCESS externalId=a",
			why:      "the last counts, and all of it, as in Python",
		},
		{
			name:     "keys with escape sequences",
			endpoint: "auth",
			record:   `{"t\u0078id": "t", "user\\": {"name": "no"}, "us\u0065r": {"n\u0061me": "yes"}}`,
			want:     "authentication|authentication|5|duser=yes externalId=t",
		},
		{
			name:     "blanks",
			endpoint: "auth",
			record:   "\t{ \"txid\" :\r\n\"t\" , \"user\":{\"name\"\n:\"n\"}\n}\n",
			want:     "authentication|authentication|5|duser=n externalId=t",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := prefix + test.want + "\n"
			if diff := cmp.Diff(want, line(t, test.endpoint, test.record, "")); diff != "" {
				t.Errorf("%s (-want +got)\n%s", test.why, diff)
			}
		})
	}
}

func TestExternalID(t *testing.T) {
	id := func(record, child string) string { return fields(t, "auth", record, child)["externalId"] }
	hash := func(record, child string) string {
		t.Helper()
		got := id(record, child)
		if len(got) != 40 || strings.Trim(got, "0123456789abcdef") != "" {
			t.Errorf("externalId of %s = %q, want 40 hexadecimal digits", record, got)
		}
		return got
	}

	long := strings.Repeat("é", 40)
	if got := id(`{"txid": "`+long+`"}`, ""); got != long {
		t.Errorf("an id of 40 characters became %q", got)
	}

	seen := make(map[string]string)
	for _, record := range []string{
		`{}`, `{"txid": null}`, `{"txid": ""}`, `{"a": 1}`,
		`{"txid": "` + long + `a"}`, `{"txid": "` + long + `b"}`,
	} {
		for _, child := range []string{"", "DA0EXAMPLE0EXAMPLE0B"} {
			h := hash(record, child)
			if other, ok := seen[h]; ok {
				t.Errorf("%s and %s of child %q have the same hash", record, other, child)
			}
			seen[h] = record
		}
	}
	if hash(`{"a": 1}`, "") != hash("  {\"a\": 1}\n", "") {
		t.Error("blanks around a record change its hash")
	}
}

func TestFor(t *testing.T) {
	for name := range records {
		if cef.For(name) == nil {
			t.Errorf("no mapping for %s", name)
		}
	}
	for _, name := range []string{"trustmonitor", "", "Auth"} {
		if cef.For(name) != nil {
			t.Errorf("a mapping for %q", name)
		}
	}
}

func TestPrefix(t *testing.T) {
	at := time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	tests := []struct{ name, host, zone, want string }{
		{"plain", "siem-feed.example.com", "UTC", "Dec 31 23:59:59 siem-feed.example.com CEF:0|"},
		{"east", "h", "Asia/Kolkata", "Jan 01 05:29:59 h CEF:0|"},
		{"west", "h", "America/New_York", "Dec 31 18:59:59 h CEF:0|"},
		{"no name", "", "UTC", "Dec 31 23:59:59 - CEF:0|"},
		{"spaces", "my host\u00a0x\ty", "UTC", "Dec 31 23:59:59 my-host-x-y CEF:0|"},
		{"forged", "h CEF:0|a|b\nc\\=\x00", "UTC", "Dec 31 23:59:59 h-CEF:0-a-b-c--- CEF:0|"},
		{"not ASCII", "büro\xff\u2028", "UTC", "Dec 31 23:59:59 büro-- CEF:0|"},
		{"long", strings.Repeat("ü", 256), "UTC", "Dec 31 23:59:59 " + strings.Repeat("ü", 255) + " CEF:0|"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			zone, err := time.LoadLocation(test.zone)
			if err != nil {
				t.Skipf("time zones: %v", err)
			}
			f := formatter()
			f.Host = test.host
			f.Now = func() time.Time { return at.In(zone) }
			b, err := f.Append(nil, cef.For("auth"), []byte(authRecord), "")
			if err != nil {
				t.Fatal(err)
			}
			got, _, _ := strings.Cut(string(b), "Duo Security")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestZeroFormatter(t *testing.T) {
	b, err := new(cef.Formatter).Append(nil, cef.For("auth"), []byte(`{"txid": "t"}`), "")
	if err != nil {
		t.Fatal(err)
	}
	e, err := parse(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if e.Host != "-" || e.Header[3] != "" {
		t.Errorf("host %q, version %q", e.Host, e.Header[3])
	}
	if _, err := time.Parse("Jan 02 15:04:05", e.Time); err != nil {
		t.Error(err)
	}
}

func TestBare(t *testing.T) {
	f := formatter()
	f.Bare = true
	b, err := f.Append([]byte("before\n"), cef.For("auth"), []byte(authRecord), "")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(line(t, "auth", authRecord, ""), "CEF:0|")
	if diff := cmp.Diff("before\nCEF:0|"+rest, string(b)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNewHost(t *testing.T) {
	if f := cef.New("1"); f.Version != "1" || f.Host == "" || f.Now == nil {
		t.Errorf("New = %+v", f)
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	dst := append(make([]byte, 0, 1000), "before\n"...)
	got, err := formatter().Append(dst, cef.For("auth"), []byte(authRecord), "")
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + line(t, "auth", authRecord, ""); string(got) != want {
		t.Errorf("(-want +got)\n%s", cmp.Diff(want, string(got)))
	}

	got, err = formatter().Append(dst, cef.For("auth"), []byte(`{"user": {"name": "n"}`), "")
	if err == nil || string(got) != "before\n" {
		t.Errorf("Append of a bad record = %q, %v", got, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	f := formatter()
	var wg sync.WaitGroup
	for endpoint, record := range records {
		want := line(t, endpoint, record, "DA0EXAMPLE0EXAMPLE0B")
		for range 4 {
			wg.Go(func() {
				var dst []byte
				for range 200 {
					var err error
					dst, err = f.Append(dst[:0], cef.For(endpoint), []byte(record), "DA0EXAMPLE0EXAMPLE0B")
					if err != nil || string(dst) != want {
						t.Errorf("%s: error %v (-want +got)\n%s", endpoint, err, cmp.Diff(want, string(dst)))
						return
					}
				}
			})
		}
	}
	wg.Wait()
}
