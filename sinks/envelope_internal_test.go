package sinks

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestEnvelope(t *testing.T) {
	const ms = 1795397942123 // 2026-11-23T01:39:02.123Z
	host, pid := hostname(), os.Getpid()
	local := time.UnixMilli(ms).Local().Format("Jan _2 15:04:05")
	for _, tt := range []struct {
		name   string
		o      SyslogOptions
		record string
		ms     int64
		want   string // %s: this host, %d: the process
	}{
		{"rfc5424", SyslogOptions{Envelope: RFC5424}, `{"a": 1}`, ms,
			`<134>1 2026-11-23T01:39:02.123Z %s dls %d auth - {"a": 1}` + "\n"},
		{"time unknown", SyslogOptions{Envelope: RFC5424}, "x", -1, "<134>1 2000-01-01T00:00:00.000Z %s dls %d auth - x\n"},
		{"time no header can hold", SyslogOptions{Envelope: RFC5424}, "x", 1 << 60, "<134>1 2000-01-01T00:00:00.000Z %s dls %d auth - x\n"},
		{"UTF-8", SyslogOptions{Envelope: RFC5424}, "Zoë", ms, "<134>1 2026-11-23T01:39:02.123Z %s dls %d auth - \xEF\xBB\xBFZoë\n"},
		{"no UTF-8", SyslogOptions{Envelope: RFC5424}, "Zo\xEB", ms, "<134>1 2026-11-23T01:39:02.123Z %s dls %d auth - Zo\xEB\n"},
		{"bytes as they are", SyslogOptions{Envelope: RFC5424}, "\x00 \r", ms, "<134>1 2026-11-23T01:39:02.123Z %s dls %d auth - \x00 \r\n"},
		{"facility by name", SyslogOptions{Envelope: RFC5424, Facility: "authpriv"}, "x", ms, "<86>1 2026-11-23T01:39:02.123Z %s dls %d auth - x\n"},
		{"facility by number", SyslogOptions{Envelope: RFC5424, Facility: "0"}, "x", ms, "<6>1 2026-11-23T01:39:02.123Z %s dls %d auth - x\n"},
		{"rfc3164", SyslogOptions{Envelope: RFC3164}, "Zoë", ms, "<134>" + local + " %s dls[%d]: Zoë\n"},
		{"counted", SyslogOptions{Envelope: RFC5424, Framing: OctetCounted}, "x", ms, "COUNT <134>1 2026-11-23T01:39:02.123Z %s dls %d auth - x"},
		{"counted alone", SyslogOptions{Framing: OctetCounted}, "Zoë", ms, "4 Zoë"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, err := newWrapper(Options{Protocol: TCP, Syslog: tt.o})
				if err != nil {
					t.Fatal(err)
				}
				b := Batch{Endpoint: "auth", Lines: []byte(tt.record + "\n"), Times: []int64{tt.ms}}
				h := w.header(b)
				want := tt.want
				if strings.Contains(want, "%") {
					want = fmt.Sprintf(want, host, pid)
				}
				if rest, ok := strings.CutPrefix(want, "COUNT "); ok {
					want = fmt.Sprintf("%d %s", len(rest), rest)
				}
				before := []byte("before")
				if got := string(h.appendFrame(before, 0, b.Lines)); got != "before"+want {
					t.Errorf("got  %q\nwant %q", got, "before"+want)
				}
				if n := len(h.appendMessage(nil, 0, b.Lines)) - len(tt.record); n > w.overhead() {
					t.Errorf("%d bytes more than the record, overhead %d", n, w.overhead())
				}
			})
		})
	}
}

func TestNoEnvelope(t *testing.T) {
	for _, o := range []SyslogOptions{{}, {Envelope: NoEnvelope, Framing: NewlineFraming}} {
		if w, err := newWrapper(Options{Protocol: TCP, Syslog: o}); w != nil || err != nil {
			t.Error(w, err)
		}
	}
}

func TestEnvelopeErrors(t *testing.T) {
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Protocol: TCP, Syslog: SyslogOptions{Envelope: "RFC5424"}}, `envelope "RFC5424" is not one of none, rfc5424, rfc3164`},
		{Options{Protocol: TCP, Syslog: SyslogOptions{Framing: "lf"}}, `framing "lf" is not one of newline, octet-counted`},
		{Options{Protocol: UDP, Syslog: SyslogOptions{Framing: OctetCounted}}, "framing octet-counted is for protocols TCP and TCPSSL, not UDP"},
		{Options{Protocol: RELP, Syslog: SyslogOptions{Envelope: NoEnvelope}}, "envelope none does not go with protocol RELP"},
		{Options{Protocol: TCP, Syslog: SyslogOptions{Facility: "24"}}, `facility "24" is neither a name`},
		{Options{Protocol: TCP, Syslog: SyslogOptions{Facility: "local8"}}, `facility "local8" is neither a name`},
		{Options{Protocol: TCP, Syslog: SyslogOptions{Facility: "-1"}}, `facility "-1" is neither a name`},
	} {
		if _, err := newWrapper(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

// No name can break a header: its field is not empty, not too long, and has
// neither blanks nor brackets nor anything that is not ASCII.
func FuzzHeaderField(f *testing.F) {
	for _, s := range []string{"", "host.example.com", "a b", "x[1]:", "Zoë", "\x00\n<134>", "\xff", strings.Repeat("a", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := headerField(s, 32)
		if got == "" || len(got) > 32 || strings.ContainsAny(got, " \t\r\n[]<>:=\"") || !utf8.ValidString(got) {
			t.Errorf("%q became %q", s, got)
		}
		for _, c := range got {
			if c <= ' ' || c > '~' {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}
