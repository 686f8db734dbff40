package cef_test

import (
	"testing"
	"time"
)

func TestTime(t *testing.T) {
	tests := []struct{ name, json, want string }{
		{"seconds", `1772600767`, "1772600767000"},
		{"seconds as text", `"1772600767"`, "1772600767000"},
		{"seconds with a fraction", `1772600767.0899`, "1772600767089"},
		{"seconds with a short fraction", `1772600767.5`, "1772600767500"},
		{"zero", `0`, "0"},
		{"milliseconds", `1772600767089`, "1772600767089"},
		{"milliseconds with a fraction", `1772600767089.9`, "1772600767089"},
		{"last second taken for one", `99999999999`, "99999999999000"},
		{"first millisecond taken for one", `100000000000`, "100000000000"},
		{"end of the year 9999", `253402300799999`, "253402300799999"},
		{"after the year 9999", `253402300800000`, ""},
		{"too many digits", `1234567890123456789012345`, ""},
		{"negative", `-1`, ""},
		{"exponent", `1.7e9`, ""},
		{"microseconds", `"2026-03-04T05:06:07.089123+00:00"`, "1772600767089"},
		{"milliseconds", `"2026-03-04T05:06:07.089+00:00"`, "1772600767089"},
		{"one digit", `"2026-03-04T05:06:07.9+00:00"`, "1772600767900"},
		{"nanoseconds and more", `"2026-03-04T05:06:07.0899999999999999999+00:00"`, "1772600767089"},
		{"cut, not rounded", `"2026-03-04T05:06:07.999999+00:00"`, "1772600767999"},
		{"no fraction", `"2026-03-04T05:06:07+00:00"`, "1772600767000"},
		{"Z", `"2026-03-04T05:06:07Z"`, "1772600767000"},
		{"Z and a fraction", `"2026-03-04T05:06:07.089Z"`, "1772600767089"},
		{"east", `"2026-03-04T10:36:07.089+05:30"`, "1772600767089"},
		{"west", `"2026-03-04T00:06:07.089-05:00"`, "1772600767089"},
		{"offset without a colon", `"2026-03-04T05:06:07.089+0000"`, "1772600767089"},
		{"no offset", `"2026-03-04T05:06:07.089"`, "1772600767089"},
		{"escaped", `"2026\u002d03-04T05:06:07Z"`, "1772600767000"},
		{"leap day", `"2028-02-29T00:00:00Z"`, "1835395200000"},
		{"no leap day", `"2027-02-29T00:00:00Z"`, ""},
		{"before the epoch", `"1969-12-31T23:59:59Z"`, ""},
		{"the epoch", `"1970-01-01T00:00:00Z"`, "0"},
		{"no time", `"yesterday"`, ""},
		{"empty", `""`, ""},
		{"point only", `"."`, ""},
		{"point at the end", `"1772600767."`, ""},
		{"two points", `"1772600767.0.1"`, ""},
		{"date only", `"2026-03-04"`, ""},
		{"blank behind", `"2026-03-04T05:06:07Z "`, ""},
		{"field behind", `"2026-03-04T05:06:07Z act=x"`, ""},
		{"true", `true`, ""},
		{"null", `null`, ""},
		{"list", `["2026-03-04T05:06:07Z"]`, ""},
		{"object", `{}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := fields(t, "activity", `{"ts": `+test.json+`}`, "")["rt"]
			if got != test.want || ok != (test.want != "") {
				t.Errorf("%s: rt=%q, want %q", test.json, got, test.want)
			}
		})
	}
}

// The first field that holds a time counts.
func TestTimeSources(t *testing.T) {
	tests := []struct{ name, endpoint, record, want string }{
		{"auth", "auth", `{"timestamp": 1772600767, "isotimestamp": "2026-03-04T05:06:07.089+00:00"}`, "1772600767089"},
		{"auth without text", "auth", `{"timestamp": 1772600767}`, "1772600767000"},
		{"auth with null", "auth", `{"timestamp": 1772600767, "isotimestamp": null}`, "1772600767000"},
		{"auth with bad text", "auth", `{"timestamp": 1772600767, "isotimestamp": "soon"}`, "1772600767000"},
		{"auth without a time", "auth", `{"timestamp": "x", "isotimestamp": "soon"}`, ""},
		{"adminaction", "adminaction", `{"timestamp": 1772600767, "isotimestamp": "2026-03-04T05:06:07+00:00"}`, "1772600767000"},
		{"adminaction without number", "adminaction", `{"isotimestamp": "2026-03-04T05:06:07+00:00"}`, "1772600767000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := fields(t, test.endpoint, test.record, "")["rt"]; got != test.want {
				t.Errorf("rt=%q, want %q", got, test.want)
			}
		})
	}
}

// The host's time zone changes the prefix and nothing else. The record's offset
// is one that the zone has too, which time.Parse treats in a way of its own.
func TestTimeZoneOfTheHost(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	for _, zone := range []*time.Location{time.UTC, time.FixedZone("east", 5*3600+1800), time.FixedZone("west", -5*3600)} {
		time.Local = zone
		for _, ts := range []string{"05:06:07.089+00:00", "10:36:07.089+05:30", "00:06:07.089-05:00", "05:06:07.089"} {
			if got := fields(t, "activity", `{"ts": "2026-03-04T`+ts+`"}`, "")["rt"]; got != "1772600767089" {
				t.Errorf("in zone %s: rt of %s = %s", zone, ts, got)
			}
		}
	}
}
