package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestServer(t *testing.T) {
	tests := []struct {
		name     string
		protocol string // and the keys after it
		want     func(*Server)
		warnings []string
	}{
		{"blank keys", "TCP\n    settle:\n    envelope: ~\n    framing:\n    facility:\n    max_record_bytes:\n    token:\n    path:\n    proxy:\n    cert_filepath:", func(s *Server) {}, nil},
		{"settle", "UDP\n    settle: 0", func(s *Server) { s.Protocol, s.Settle = UDP, 0 }, nil},
		{"long settle", "TCP\n    settle: 300", func(s *Server) { s.Settle = 5 * time.Minute }, nil},
		{"syslog", "TCP\n    envelope: rfc5424\n    framing: octet-counted\n    facility: Security\n    max_record_bytes: 8192", func(s *Server) {
			s.Syslog = Syslog{RFC5424, OctetCounted, 13}
			s.MaxRecordBytes = 8192
		}, nil},
		{"facility as a number", "UDP\n    envelope: rfc3164\n    facility: 23\n    max_record_bytes: 65507", func(s *Server) {
			s.Protocol, s.MaxRecordBytes, s.Syslog = UDP, 65507, Syslog{RFC3164, Newline, 23}
		}, nil},
		{"facility without an envelope", "TCP\n    facility: 0", func(s *Server) { s.Syslog.Facility = 0 }, []string{
			"c.yml:7: servers[0].facility: has no effect without an envelope (rfc5424 or rfc3164)",
		}},
		{"counted without an envelope", "TCP\n    framing: octet-counted", func(s *Server) { s.Syslog.Framing = OctetCounted }, []string{
			"c.yml:7: servers[0].framing: counts records that are no messages of syslog: a receiver may take their start for a header; set envelope: rfc5424",
		}},
		{"RELP", "RELP\n    server_name: x", func(s *Server) {
			s.Protocol, s.Syslog.Envelope, s.ServerName = RELP, RFC5424, "x"
		}, []string{"c.yml:7: servers[0].server_name: has no effect with protocol RELP"}},
		{"RELP over TLS", "RELPSSL\n    cert_filepath: '" + absolute + "'\n    envelope: rfc3164", func(s *Server) {
			s.Protocol, s.CertFile, s.Syslog.Envelope = RELPTLS, absolute, RFC3164
		}, nil},
		{"HEC", "HEC\n    token: t", func(s *Server) {
			s.Protocol = EventCollector
			s.HEC = HEC{Token: NewSecret("t"), Path: "/services/collector/event", MaxBatchBytes: 1_000_000}
		}, nil},
		{"HEC, all keys", "HEC\n    token: t\n    path: /x/y\n    host: h\n    source: s\n    sourcetype: st\n    index: i\n    max_batch_bytes: 5000\n    cert_filepath: '" + absolute + "'\n    max_record_bytes: 480\n    proxy: {proxy_server: 'u:p%40@p', proxy_port: 3128}", func(s *Server) {
			s.Protocol, s.CertFile, s.MaxRecordBytes = EventCollector, absolute, 480
			s.HEC = HEC{
				Token: NewSecret("t"), Path: "/x/y", Host: "h", Source: "s", SourceType: "st", Index: "i", MaxBatchBytes: 5000,
				Proxy: Proxy{"p", 3128, "u", NewSecret("p@")},
			}
		}, nil},
		{"HEC in the clear", "HEC\n    token: t\n    plaintext: true\n    cert_filepath: '" + absolute + "'", func(s *Server) {
			s.Protocol, s.CertFile = EventCollector, absolute
			s.HEC = HEC{Token: NewSecret("t"), Path: "/services/collector/event", Plaintext: true, MaxBatchBytes: 1_000_000}
		}, []string{
			"c.yml:9: servers[0].cert_filepath: has no effect with plaintext: true",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse("c.yml", []byte(edit(t, "TCP", tt.protocol)), Env{})
			if err != nil {
				t.Fatal(err)
			}
			want := baseConfig()
			want.Warnings = tt.warnings
			tt.want(&want.Servers[0])
			if diff := cmp.Diff(want, got, secrets); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServerErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		protocol string
		want     []string
	}{
		{"ranges", "TCP\n    settle: 301\n    max_record_bytes: 479\n    facility: 24", []string{
			"7: servers[0].settle: 301: must be between 0 and 300 seconds",
			"8: servers[0].max_record_bytes: 479: must be between 480 and 67,108,864",
			"9: servers[0].facility: 24: must be between 0 and 23",
		}},
		{"words", "TCP\n    envelope: RFC5424\n    framing: octet\n    facility: locall0", []string{
			`7: servers[0].envelope: "RFC5424": must be none, rfc5424 or rfc3164 (write rfc5424)`,
			`8: servers[0].framing: "octet": must be newline or octet-counted (did you mean "octet-counted"?)`,
			`9: servers[0].facility: "locall0": must be a facility of syslog, such as local0, or a number between 0 and 23 (did you mean "local0"?)`,
		}},
		{"a datagram's limit", "UDP\n    max_record_bytes: 65508\n    framing: newline", []string{
			"7: servers[0].max_record_bytes: 65508: must be between 480 and 65507",
			`8: servers[0].framing: "newline": has no place with protocol UDP (it goes with TCP or TCPSSL)`,
		}},
		{"RELP", "RELPSSL\n    envelope: none\n    framing: newline\n    settle: 1\n    index: i", []string{
			"3: servers[0].cert_filepath: is required",
			`7: servers[0].envelope: "none": must be rfc5424 or rfc3164 with protocol RELPSSL`,
			`8: servers[0].framing: "newline": has no place with protocol RELPSSL (it goes with TCP or TCPSSL)`,
			"9: servers[0].settle: 1: has no place with protocol RELPSSL (it goes with TCP, TCPSSL or UDP)",
			`10: servers[0].index: "i": has no place with protocol RELPSSL (it goes with HEC)`,
		}},
		{"HEC", "HEC\n    envelope: none\n    path: services\n    max_batch_bytes: 999\n    token: ' t'", []string{
			`7: servers[0].envelope: "none": has no place with protocol HEC (it goes with TCP, TCPSSL, UDP, RELP or RELPSSL)`,
			`8: servers[0].path: "services": must be the path of an address, such as /services/collector/event (begin it with a slash; hostname and port have keys of their own)`,
			"9: servers[0].max_batch_bytes: 999: must be between 1,000 and 64,000,000",
			"10: servers[0].token: the token has blanks around it or control characters in it (copy it again from the collector's settings)",
		}},
		{"a token elsewhere", "TCP\n    token: secret-token\n    proxy: {proxy_server: p, proxy_port: 1}", []string{
			"7: servers[0].token: has no place with protocol TCP (it goes with HEC)",
			"8: servers[0].proxy: has no place with protocol TCP (it goes with HEC)",
		}},
		{"no token", "HEC", []string{
			"3: servers[0].token: the token is required (give it by one of servers[0].token, servers[0].token_filepath, $CREDENTIALS_DIRECTORY/siem.token, $DLS_TOKEN_SIEM, $DLS_TOKEN)",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("c.yml", []byte(edit(t, "TCP", tt.protocol)), Env{})
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Split(strings.ReplaceAll(err.Error(), "c.yml:", ""), "\n")
			if diff := cmp.Diff(tt.want, got, secrets); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.2.token": "of-a-credential\n", "file": "of-a-file\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	servers := func(ids ...string) string {
		text := "servers:\n"
		for _, id := range ids {
			text += "  - {id: " + id + ", hostname: h, port: 8088, protocol: HEC}\n"
		}
		return edit(t, "servers:\n", text, "protocol: TCP", "protocol: HEC\n    token_filepath: "+filepath.Join(dir, "file"))
	}
	for _, tt := range []struct {
		name string
		text string
		vars map[string]string
		want string // the tokens, or the error
	}{
		{"each source", servers("a-1", "b.2"), map[string]string{"DLS_TOKEN_A_1": "of-a-variable", "CREDENTIALS_DIRECTORY": dir}, "of-a-variable|of-a-credential|of-a-file"},
		{"the only one", edit(t, "TCP", "HEC"), map[string]string{"DLS_TOKEN": "t"}, "t"},
		{"not the only one", servers("a"), map[string]string{"DLS_TOKEN": "t"}, "c.yml:3: servers[0].token: the token is required (give it by one of servers[0].token, servers[0].token_filepath, $CREDENTIALS_DIRECTORY/a.token, $DLS_TOKEN_A)"},
		{"two sources", edit(t, "TCP", "HEC"), map[string]string{"DLS_TOKEN": "t", "DLS_TOKEN_SIEM": "u"}, "c.yml:3: servers[0].token: the token is given by $DLS_TOKEN_SIEM and by $DLS_TOKEN (keep one)"},
		{"a word before it", edit(t, "TCP", "HEC\n    token: Splunk 1111"), nil, "c.yml:7: servers[0].token: the token has a blank in it, or a letter that is not ASCII (write it alone: no word such as Splunk stands before it; or copy it again from the collector's settings)"},
		{"not ASCII", edit(t, "TCP", "HEC"), map[string]string{"DLS_TOKEN": "tökén"}, "c.yml:3: servers[0].token: the token has a blank in it, or a letter that is not ASCII (write it alone: no word such as Splunk stands before it; or copy it again from the collector's settings)"},
		{"one variable for two", servers("a.1", "A-1"), map[string]string{"DLS_TOKEN_A_1": "t"}, `c.yml:4: servers[1].id: "A-1": has its token in $DLS_TOKEN_A_1, as servers[0] has (give the servers ids that differ in letters and digits)`},
		{"an id that is a path", servers("'../x'"), nil, "c.yml:3: servers[0].token: the token is required (give it by one of servers[0].token, servers[0].token_filepath, $DLS_TOKEN____X)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("c.yml", []byte(tt.text), environment(tt.vars))
			var got string
			if err != nil {
				got = err.Error()
			} else {
				var tokens []string
				for _, s := range c.Servers {
					tokens = append(tokens, s.HEC.Token.Reveal())
				}
				got = strings.Join(tokens, "|")
			}
			if diff := cmp.Diff(tt.want, got, secrets); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAccountAndSettings(t *testing.T) {
	got, err := Parse("c.yml", []byte(edit(t, "  ikey", "  is_msp: true\n  child_domains: [.DuoSecurity.eu, duo.test]\n  ikey")), Env{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"duosecurity.eu", "duo.test"}, got.Account.ChildDomains); diff != "" {
		t.Errorf("domains (-want +got):\n%s", diff)
	}
	for _, tt := range []struct{ settings, want string }{
		{"api: {overlap: 1440.5}", "c.yml:14: dls_settings.api.overlap: 1440.5: must be between 0 and 1440 minutes (24 hours)"},
		{"api: {offset: 0.5}, checkpointing: {enabled: false}", "c.yml:14: dls_settings.checkpointing.enabled: false: without checkpoints every run sends the whole offset, and with one of 12h (dls_settings.api.offset) what lies between two runs may never be sent (set enabled to true, or offset to 1 or more)"},
	} {
		_, err := Parse("c.yml", []byte(edit(t, "", "dls_settings: {"+tt.settings+"}\n")), Env{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: error %v, want %s", tt.settings, err, tt.want)
		}
	}
	_, err = Parse("c.yml", []byte(edit(t, "  ikey", "  child_domains: ['https://duo.eu', 5]\n  ikey")), Env{})
	want := "c.yml:8: account.child_domains[1]: 5: must be text, but is read as an integer (put it in quotes)\n" +
		"c.yml:8: account.child_domains[0]: \"https://duo.eu\": is no domain (write names such as 'duosecurity.com')"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
