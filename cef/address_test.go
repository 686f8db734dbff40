package cef_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddress(t *testing.T) {
	const other = "cs5Label=access_device_ip cs5="
	long := strings.Repeat("a", 63) + "."
	tests := []struct{ json, want string }{
		{`"203.0.113.112"`, "src=203.0.113.112"},
		{`" 203.0.113.112 "`, "src=203.0.113.112"},
		{`"2001:DB8::7"`, "src=2001:DB8::7"},
		{`"::ffff:203.0.113.1"`, "src=::ffff:203.0.113.1"},
		{`"\u0032001:db8::1"`, "src=2001:db8::1"},

		{`"203.0.113.112:1234"`, "src=203.0.113.112 spt=1234"},
		{`"203.0.113.112#0"`, "src=203.0.113.112 spt=0"},
		{`"203.0.113.112 port 65535"`, "src=203.0.113.112 spt=65535"},
		{`"[2001:db8::7]:1234"`, "src=2001:db8::7 spt=1234"},
		{`"[2001:db8::7]#1234"`, "src=2001:db8::7 spt=1234"},
		{`"[2001:db8::7].1234"`, "src=2001:db8::7 spt=1234"},
		{`"[2001:db8::7]"`, "src=2001:db8::7"},
		{`"[203.0.113.1]:5"`, "src=203.0.113.1 spt=5"},
		{`"2001:db8::7#1234"`, "src=2001:db8::7 spt=1234"},
		{`"2001:db8::7.1234"`, "src=2001:db8::7 spt=1234"},
		{`"2001:db8::7p1234"`, "src=2001:db8::7 spt=1234"},
		{`"2001:db8::7 port 1234"`, "src=2001:db8::7 spt=1234"},
		{`"2001:db8::7:1234"`, "src=2001:db8::7:1234"}, // an address as it stands
		{`"2a02:cf40:add:4002:91f2:a9b2:e09a:6fc6:1234"`, other + "2a02:cf40:add:4002:91f2:a9b2:e09a:6fc6:1234"},

		{`"laptop-7.example.com"`, "shost=laptop-7.example.com"},
		{`"laptop_7"`, "shost=laptop_7"},
		{`"example.com."`, "shost=example.com."},
		{`"laptop:1234"`, "shost=laptop spt=1234"},
		{`"laptop#1234"`, "shost=laptop spt=1234"},
		{`"ap1234"`, "shost=ap1234"},
		{`"` + strings.Repeat(long, 3) + `com"`, "shost=" + strings.Repeat(long, 3) + "com"},

		{`"203.0.113.112:65536"`, other + "203.0.113.112:65536"},
		{`"203.0.113"`, other + "203.0.113"},
		{`"203.0.113.256"`, other + "203.0.113.256"},
		{`"203.0.113.01"`, other + "203.0.113.01"},
		{`"203.0.113.1.5"`, other + "203.0.113.1.5"},
		{`"fe80::1%eth0"`, other + "fe80::1%eth0"},
		{`"[2001:db8::7"`, other + "[2001:db8::7"},
		{`"[laptop]:1"`, other + "[laptop]:1"},
		{`"-laptop"`, other + "-laptop"},
		{`"a..b"`, other + "a..b"},
		{`"."`, other + "."},
		{`"` + strings.Repeat(long, 4) + `com"`, other + strings.Repeat(long, 4) + "com"},
		{`"not an=address\n|\u202e"`, other + `not an\=address\n|` + "\uFFFD"},
		{`"1.2.3.4, 5.6.7.8"`, other + "1.2.3.4, 5.6.7.8"},
		{`17`, other + "17"},
		{`["1.2.3.4"]`, other + `["1.2.3.4"]`},
		{`{"v4": "1.2.3.4"}`, other + `{"v4":"1.2.3.4"}`},

		{`""`, ""},
		{`"  "`, ""},
		{`null`, ""},
	}
	for _, tt := range tests {
		want := tt.want
		if want != "" {
			want += " "
		}
		_, got, _ := strings.Cut(line(t, "auth", `{"access_device": {"ip": `+tt.json+`}, "txid": "t"}`, ""), "|5|")
		if diff := cmp.Diff(want+"externalId=t\n", got); diff != "" {
			t.Errorf("auth with %s (-want +got):\n%s", tt.json, diff)
		}
		_, got, _ = strings.Cut(line(t, "activity", `{"access_device": {"ip": {"address": `+tt.json+`}}, "activity_id": "t"}`, ""), "|5|")
		if diff := cmp.Diff(want+"externalId=t\n", got); diff != "" {
			t.Errorf("activity with %s (-want +got):\n%s", tt.json, diff)
		}
	}
}
