package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dls/job/duo"

	"github.com/google/go-cmp/cmp"
)

const testSecret = "not-a-real-secret-key"

// absolute is the path of a file that need not be there.
var absolute = filepath.Join(os.TempDir(), "absent", "file.pem")

// base is the smallest file there is.
const base = `version: '1.0.0'
servers:
  - id: siem
    hostname: siem.example.com
    port: 6514
    protocol: TCP
account:
  ikey: DIXXXXXXXXXXXXXXXXXX
  skey: ` + testSecret + `
  hostname: api-1234abcd.duosecurity.com
  endpoint_server_mappings:
    - endpoints: [auth]
      server: siem
`

func baseConfig() *Config {
	return &Config{
		LogFile:       filepath.Join("/tmp", "duologsync.log"),
		Offset:        180 * 24 * time.Hour,
		Timeout:       2 * time.Minute,
		Overlap:       10 * time.Minute,
		Checkpointing: true,
		Directory:     "/tmp",
		Servers:       []Server{plainServer("siem", "siem.example.com", 6514, TCP)},
		Account:       Account{IKey: "DIXXXXXXXXXXXXXXXXXX", SKey: NewSecret(testSecret), Hostname: "api-1234abcd.duosecurity.com"},
		Routes:        []Route{{duo.Named("auth"), []int{0}}},
	}
}

// plainServer is a server as it is without any of the keys that may be missing.
func plainServer(id, host string, port int, protocol Protocol) Server {
	return Server{
		ID: id, Hostname: host, Port: port, Protocol: protocol, Settle: 5 * time.Second,
		Syslog: Syslog{Envelope: Bare, Framing: Newline, Facility: 16},
	}
}

// edit replaces parts of the base, given as pairs of old and new. An empty old
// text puts the new one at the end of the file.
func edit(t *testing.T, edits ...string) string {
	t.Helper()
	text := base
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("the file has no %q", edits[i])
		}
		if edits[i] == "" {
			text += edits[i+1]
		} else {
			text = strings.Replace(text, edits[i], edits[i+1], 1)
		}
	}
	return text
}

func TestParse(t *testing.T) {
	const twoServers = "servers:\n  - {id: b, hostname: '::1', port: 1024, protocol: UDP}\n"
	tests := []struct {
		name  string
		edits []string
		want  func(*Config)
	}{
		{"base", nil, func(*Config) {}},
		{"settings null", []string{"", "dls_settings:\n"}, func(*Config) {}},
		{"byte order mark, CRLF", []string{"version", "\ufeffversion", "\nservers", "\r\nservers"}, func(*Config) {}},
		{"everything", []string{"", `dls_settings:
  log_filepath: '` + absolute + `'
  log_format: CEF
  log_max_megabytes: 5
  api: {offset: 0.5, timeout: 300.5, overlap: 90, ca_filepath: '` + absolute + `'}
  checkpointing: {enabled: on, directory: '` + absolute + `'}
  proxy: {proxy_server: 'me:p:w@10.0.0.1', proxy_port: 80}
`}, func(c *Config) {
			c.LogFile, c.Format, c.LogMaxMegabytes = absolute, CEF, 5
			c.Offset, c.Timeout, c.Overlap, c.CAFile = 12*time.Hour, 300*time.Second+500*time.Millisecond, 90*time.Minute, absolute
			c.Directory = absolute
			c.Proxy = Proxy{"10.0.0.1", 80, "me", NewSecret("p:w")}
		}},
		{"no log", []string{"", "dls_settings: {log_filepath: " + os.DevNull + "}\n"}, func(c *Config) { c.LogFile = "" }},
		{"limits", []string{"", "dls_settings: {api: {offset: 180, timeout: 120, overlap: 1440}}\n", "6514", "65535"}, func(c *Config) {
			c.Overlap = 24 * time.Hour
			c.Servers[0].Port = 65535
		}},
		{"zero", []string{"", "dls_settings: {api: {offset: 0, overlap: 0}}\n"}, func(c *Config) { c.Offset, c.Overlap = 0, 0 }},
		{"huge timeout", []string{"", "dls_settings: {api: {timeout: 99999999999999999999}}\n"}, func(c *Config) { c.Timeout = maxTimeout }},
		{"short timeout", []string{"", "dls_settings: {api: {timeout: -5}}\n"}, func(c *Config) {
			c.Warnings = []string{"c.yml:14: dls_settings.api.timeout: -5 is less than 120 seconds, so 120 is used"}
		}},
		{"no checkpoints", []string{"", "dls_settings: {checkpointing: {enabled: No}}\n"}, func(c *Config) {
			c.Checkpointing = false
			c.Warnings = []string{"c.yml:14: dls_settings.checkpointing.enabled: without checkpoints every run sends all of the last 180 days again, and the overlap before them as far as Duo keeps it; what is older when a run comes is not sent"}
		}},
		{"octal port", []string{"6514", "06514"}, func(c *Config) {
			c.Servers[0].Port = 3404
			c.Warnings = []string{"c.yml:5: servers[0].port: 06514 is read as 3404"}
		}},
		{"privileged port", []string{"6514", "514\n    allow_privileged_port: yes"}, func(c *Config) { c.Servers[0].Port = 514 }},
		{"TLS", []string{"TCP", "TCPSSL\n    cert_filepath: '" + absolute + "'\n    key_filepath: '" + absolute + "'\n    server_name: logs"}, func(c *Config) {
			c.Servers[0].Protocol, c.Servers[0].CertFile, c.Servers[0].KeyFile, c.Servers[0].ServerName = TLS, absolute, absolute, "logs"
		}},
		{"TLS keys without TLS", []string{"TCP", "TCP\n    cert_filepath: /\n    server_name: logs"}, func(c *Config) {
			c.Servers[0].CertFile, c.Servers[0].ServerName = "/", "logs"
			c.Warnings = []string{"c.yml:8: servers[0].server_name: has no effect with protocol TCP"}
		}},
		{"API host with port", []string{"duosecurity.com", "duosecurity.com:8443"}, func(c *Config) {
			c.Account.Hostname = "api-1234abcd.duosecurity.com:8443"
		}},
		{"MSP", []string{"  ikey", "  is_msp: TRUE\n  block_list: [DA1, 'DA2']\n  ikey"}, func(c *Config) {
			c.Account.MSP, c.Account.BlockList = true, []string{"DA1", "DA2"}
		}},
		{"block list without MSP", []string{"  ikey", "  block_list: [DA1]\n  ikey"}, func(c *Config) {
			c.Account.BlockList = []string{"DA1"}
			c.Warnings = []string{"c.yml:8: account.block_list: has no effect unless is_msp is true"}
		}},
		{"block list of all kinds", []string{"  ikey", "  is_msp: yes\n  block_list: [1, '', DA1, ~, [DA2], 2.5, on, “DA3”, 'DA4 ']\n  ikey"}, func(c *Config) {
			c.Account.MSP, c.Account.BlockList = true, []string{"DA1", "“DA3”", "DA4 "}
			for _, one := range []string{"[0]: 1: ", "[1]: ", "[3]: ", "[4]: ", "[5]: 2.5: ", "[6]: on: "} {
				c.Warnings = append(c.Warnings, "c.yml:9: account.block_list"+one+"is no account id, and is ignored")
			}
			for _, one := range []string{`[7]: "“DA3”"`, `[8]: "DA4 "`} {
				c.Warnings = append(c.Warnings, "c.yml:9: account.block_list"+one+" has not the form of an account id: it leaves out only what Duo lists by exactly this name")
			}
		}},
		{"block list of another kind", []string{"  ikey", "  block_list: !!binary aGk=\n  ikey"}, func(c *Config) {
			c.Warnings = []string{"c.yml:8: account.block_list: is no list of account ids, and is ignored"}
		}},
		{"doubled keys", []string{"    port", "    port: x\n    port: 2\n    port", "account:", "account: [a]\naccount:", "", "version: '1.0.0'\ndls_settings:\ndls_settings: {log_format: xml, log_format: CEF}\n"}, func(c *Config) {
			c.Format = CEF
			for _, one := range []string{
				"7: servers[0].port: stands on line 5", "7: servers[0].port: stands on line 6",
				"10: account: stands on line 9", "17: version: stands on line 1", "19: dls_settings: stands on line 18",
				"19: dls_settings.log_format: stands on line 19",
			} {
				c.Warnings = append(c.Warnings, "c.yml:"+one+" already; what stands last counts, so remove the other")
			}
		}},
		{"relative paths", []string{"TCP", "TCPSSL\n    cert_filepath: ca.pem", "", "dls_settings: {log_filepath: ~/x, checkpointing: {directory: state}}\n"}, func(c *Config) {
			c.Servers[0].Protocol, c.Servers[0].CertFile, c.LogFile, c.Directory = TLS, "ca.pem", "~/x", "state"
			const relative = "is relative to the working directory, which a scheduler may choose otherwise"
			c.Warnings = []string{
				"c.yml:7: servers[0].cert_filepath: " + relative + "; write the whole path",
				"c.yml:15: dls_settings.log_filepath: " + relative + ", and ~ stands for no home directory here; write the whole path",
				"c.yml:15: dls_settings.checkpointing.directory: " + relative + "; write the whole path",
			}
		}},
		{"newer YAML", []string{"version", "# a\n%YAML 1.2\n---\nversion"}, func(c *Config) {}},
		{"routes", []string{"servers:\n", twoServers, "", `    - endpoints: [activity, auth]
      server: b
    - {endpoints: [trustmonitor, auth], server: b}
    - {endpoints: [adminaction, adminaction], server: siem}
`}, func(c *Config) {
			c.Servers = []Server{plainServer("b", "::1", 1024, UDP), c.Servers[0]}
			c.Routes = []Route{
				{duo.Named("auth"), []int{1, 0}},
				{duo.Named("activity"), []int{0}},
				{duo.Named("adminaction"), []int{1}},
				{duo.Named("trustmonitor"), []int{0}},
			}
			c.Warnings = []string{
				`c.yml:17: account.endpoint_server_mappings[2].endpoints[1]: "auth" is mapped to server "b" already; it is sent once`,
				`c.yml:18: account.endpoint_server_mappings[3].endpoints[1]: "adminaction" is mapped to server "siem" already; it is sent once`,
			}
		}},
		{"anchors and merges", []string{"- id: siem\n", "- &one\n    id: siem\n", "account:", "  - <<: *one\n    id: other\naccount:"}, func(c *Config) {
			c.Servers = append(c.Servers, c.Servers[0])
			c.Servers[1].ID = "other"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse("c.yml", []byte(edit(t, tt.edits...)), Env{})
			if err != nil {
				t.Fatal(err)
			}
			want := baseConfig()
			tt.want(want)
			if diff := cmp.Diff(want, got, secrets); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	settings := func(s string) []string { return []string{"", "dls_settings:\n" + s} }
	account := func(s string) []string { return []string{"  ikey", s + "\n  ikey"} }
	tests := []struct {
		name  string
		edits []string
		want  []string // lines of the error, without the path
	}{
		// The file and its version.
		{"empty", []string{base, ""}, []string{"1: the file is empty"}},
		{"comments only", []string{base, "# a\n"}, []string{"1: the file is empty"}},
		{"list", []string{base, "- a\n"}, []string{"1: the file must be a mapping of keys (version, dls_settings, servers, account)"}},
		{"text", []string{base, "version\n"}, []string{"1: the file must be a mapping of keys (version, dls_settings, servers, account)"}},
		{"no keys", []string{base, "{}\n"}, []string{"1: version: is required", "1: servers: is required", "1: account: is required"}},
		{"not YAML", []string{"port: 6514", "port: 6514\n\tx: y"}, []string{"6: not valid YAML: found a tab character that violates indentation (indent with blanks, not tabs)"}},
		{"indicator", []string{"siem.example", "@siem.example"}, []string{"4: not valid YAML: found character that cannot start any token (indent with blanks, not tabs, and put text that begins with @ or ` in quotes)"}},
		{"Windows path in double quotes", settings(`  log_filepath: "C:\duo"`), []string{"15: not valid YAML: found unknown escape character (put a Windows path in single quotes)"}},
		{"not UTF-8", []string{"siem.", "\xe9."}, []string{"4: not valid YAML: invalid trailing UTF-8 octet (save the file as UTF-8)"}},
		{"second document", []string{"", "---\na: b\n"}, []string{"14: not valid YAML: a second document begins, but only one is read"}},
		{"old format", []string{base, "logs: {a: b}\ntransport: {}\nwhatever: 1\n"}, []string{"1: version: is missing: this is a file of duologsync before version 1.0.0 (run: dls upgrade-config OLD NEW)"}},
		{"old format, version null", []string{base, "version:\nduoclient: {}\n"}, []string{"1: version: is missing: this is a file of duologsync before version 1.0.0 (run: dls upgrade-config OLD NEW)"}},
		{"older version", []string{"1.0.0", "0.9.10", "6514", "x"}, []string{"1: version: \"0.9.10\": is older than '1.0.0' (run: dls upgrade-config OLD NEW)"}},
		{"newer version", []string{"1.0.0", "1.0.1", "6514", "x"}, []string{"1: version: \"1.0.1\": is newer than '1.0.0', the version that this dls reads"}},
		{"unknown version", []string{"1.0.0", "one"}, []string{"1: version: \"one\": must be '1.0.0'"}},
		{"other spelling", []string{"1.0.0", "1.00.0"}, []string{"1: version: \"1.00.0\": must be '1.0.0'"}},
		{"version a number", []string{"'1.0.0'", "1.0"}, []string{"1: version: 1.0: must be text, but is read as a float (put it in quotes)"}},
		{"version empty", []string{"'1.0.0'", "''"}, []string{"1: version: must not be empty"}},

		// Keys.
		{"unknown keys", append(settings("  timeout: 5\n  log_formt: JSON\n  zzz: 1\n"), "servers", "Servers"), []string{
			"1: servers: is required",
			`2: Servers: unknown key (did you mean "servers"?)`,
			"15: dls_settings.timeout: unknown key (it belongs to dls_settings.api)",
			`16: dls_settings.log_formt: unknown key (did you mean "log_format"?)`,
			"17: dls_settings.zzz: unknown key (the keys here are log_filepath, log_format, log_max_megabytes, audit, api, checkpointing, proxy)",
		}},
		{"prefix of a key", []string{"hostname", "host"}, []string{
			"3: servers[0].hostname: is required",
			`4: servers[0].host: "siem.example.com": has no place with protocol TCP (did you mean "hostname"?)`,
		}},
		{"a number as key", account("  1: a"), []string{"8: account.1: unknown key (the keys here are ikey, skey, skey_filepath, hostname, endpoint_server_mappings, is_msp, block_list, child_domains)"}},
		{"a list as key", account("  [a]: b"), []string{"8: account: a key must be plain text, but is a list"}},

		// Sections.
		{"null account", []string{base, "version: '1.0.0'\naccount:\nservers:\n"}, []string{"2: account: must not be empty", "3: servers: must not be empty"}},
		{"text for sections", []string{base, "version: '1.0.0'\naccount: yes\nservers: a\ndls_settings: 3\n"}, []string{
			"2: account: must be a mapping of keys",
			"3: servers: must be a list of servers, each beginning with - id:",
			"4: dls_settings: must be a mapping of keys",
		}},
		{"wrong settings", settings("  api:\n  proxy: []\n"), []string{
			"16: dls_settings.proxy: must be a mapping of keys",
		}},
		{"empty lists", []string{base, "version: '1.0.0'\nservers: []\naccount: {ikey: a, skey: b, hostname: c, endpoint_server_mappings: [], block_list: []}\n"}, []string{
			"2: servers: must not be empty",
			"3: account.endpoint_server_mappings: must not be empty",
		}},
		{"items of another kind", []string{"  - id: siem", "  - a\n  - id: siem", "    - endpoints", "    - [a]\n    - endpoints"}, []string{
			"3: servers[0]: must be a mapping of keys",
			"13: account.endpoint_server_mappings[0]: must be a mapping of keys",
		}},
		{"all required keys", []string{base, "version: '1.0.0'\nservers:\n  - {}\naccount: {}\n"}, []string{
			"3: servers[0].id: is required",
			"3: servers[0].hostname: is required",
			"3: servers[0].port: is required",
			"3: servers[0].protocol: is required",
			"4: account.ikey: is required",
			"4: account.hostname: is required",
			"4: account.endpoint_server_mappings: is required",
			"4: account.skey: the secret key is required (give it by one of account.skey, account.skey_filepath, $CREDENTIALS_DIRECTORY/skey, $DLS_SKEY)",
		}},

		// Settings.
		{"settings out of range", settings("  log_format: json\n  log_max_megabytes: 0\n  log_filepath: ''\n  api: {offset: 180.5, timeout: .inf, overlap: -1, ca_filepath: }\n  checkpointing: {enabled: 'yes', directory: 5}\n"), []string{
			`15: dls_settings.log_format: "json": must be JSON or CEF (write JSON, in capitals)`,
			"16: dls_settings.log_max_megabytes: 0: must be between 1 and 1,000,000",
			"17: dls_settings.log_filepath: must not be empty (give it a value or remove the key)",
			"18: dls_settings.api.offset: 180.5: must be between 0 and 180 days",
			"18: dls_settings.api.timeout: .inf: must be a number",
			"18: dls_settings.api.overlap: -1: must be between 0 and 1440 minutes (24 hours)",
			`19: dls_settings.checkpointing.enabled: "yes": must be true or false (write it without quotes)`,
			"19: dls_settings.checkpointing.directory: 5: must be text, but is read as an integer (put it in quotes)",
		}},
		{"settings of other kinds", settings("  log_format: {}\n  log_max_megabytes: 1.5\n  api: {offset: true, timeout: 1e3, overlap: '10'}\n  checkpointing: {enabled: 1}\n"), []string{
			"15: dls_settings.log_format: must be text",
			"16: dls_settings.log_max_megabytes: 1.5: must be a whole number",
			"17: dls_settings.api.offset: true: must be a number",
			`17: dls_settings.api.timeout: "1e3": must be a number (write it in digits)`,
			`17: dls_settings.api.overlap: "10": must be a number (write it without quotes)`,
			"18: dls_settings.checkpointing.enabled: 1: must be true or false",
		}},
		{"proxy with scheme", settings("  proxy: {proxy_server: 'http://p:8080/', proxy_port: -1}\n"), []string{
			"15: dls_settings.proxy.proxy_port: -1: must be between 1 and 65535",
			`15: dls_settings.proxy.proxy_server: "http://p:8080/": must be a host name or an IP address (write "p", with the port 8080 under its own key)`,
		}},
		{"proxy with scheme and password", settings("  proxy: {proxy_server: 'http://u:pass@p', proxy_port: 1}\n"), []string{
			"15: dls_settings.proxy.proxy_server: must be a host, or user:password@host (write no scheme such as http://)",
		}},

		// Servers.
		{"low port", []string{"6514", "514"}, []string{"5: servers[0].port: 514: must be between 1024 and 65535 (allow_privileged_port: true on this server allows it)"}},
		{"port 0", []string{"6514", "0"}, []string{"5: servers[0].port: 0: must be between 1024 and 65535"}},
		{"port 0 though low ones are allowed", []string{"6514", "0\n    allow_privileged_port: true"}, []string{"5: servers[0].port: 0: must be between 1 and 65535"}},
		{"high port", []string{"6514", "65536"}, []string{"5: servers[0].port: 65536: must be between 1024 and 65535"}},
		{"octal port", []string{"6514", "0514"}, []string{"5: servers[0].port: 0514: must be between 1024 and 65535 (0514 is read as 332)"}},
		{"huge port", []string{"6514", "99999999999999999999"}, []string{"5: servers[0].port: 99999999999999999999: must be between 1024 and 65535"}},
		{"port as text", []string{"6514", `"6514"`}, []string{`5: servers[0].port: "6514": must be a whole number (write it without quotes)`}},
		{"port missing its value", []string{" 6514", ""}, []string{"5: servers[0].port: must not be empty"}},
		{"lower-case protocol", []string{"TCP", "tcpssl"}, []string{`6: servers[0].protocol: "tcpssl": must be TCP, TCPSSL, UDP, RELP, RELPSSL or HEC (write TCPSSL, in capitals)`}},
		{"TLS", []string{"TCP", "TLS"}, []string{`6: servers[0].protocol: "TLS": must be TCP, TCPSSL, UDP, RELP, RELPSSL or HEC (TLS is called TCPSSL here)`}},
		{"TLS without certificate", []string{"TCP", "TCPSSL"}, []string{"3: servers[0].cert_filepath: is required"}},
		{"TLS with empty certificate", []string{"TCP", "TCPSSL\n    cert_filepath: ''"}, []string{"7: servers[0].cert_filepath: must not be empty"}},
		{"TCP with empty certificate", []string{"TCP", "TCP\n    cert_filepath: ''"}, []string{"7: servers[0].cert_filepath: must not be empty (give it a value or remove the key)"}},
		{"number as id", []string{"id: siem", "id: 1", "server: siem", "server: 1"}, []string{
			"3: servers[0].id: 1: must be text, but is read as an integer (put it in quotes)",
			"13: account.endpoint_server_mappings[0].server: 1: must be text, but is read as an integer (put it in quotes)",
		}},
		{"id twice", []string{"account:", "  - {id: siem, hostname: h, port: 9999, protocol: UDP}\naccount:"}, []string{
			`7: servers[1].id: "siem": is the id of servers[0] too (give each server an id of its own)`,
		}},
		{"server's host", []string{"siem.example.com", "tcp://siem.example.com:514/"}, []string{
			`4: servers[0].hostname: "tcp://siem.example.com:514/": must be a host name or an IP address (write "siem.example.com", with the port 514 under its own key)`,
		}},
		{"server's host in brackets", []string{"siem.example.com", "'[::1]'"}, []string{
			`4: servers[0].hostname: "[::1]": must be a host name or an IP address (write "::1")`,
		}},

		// Account.
		{"API host with scheme", []string{"api-", "https://api-", "duosecurity.com", "duosecurity.com/"}, []string{
			`10: account.hostname: "https://api-1234abcd.duosecurity.com/": must be a host name, without scheme or path (write "api-1234abcd.duosecurity.com")`,
		}},
		{"API host with blanks", []string{"api-1234abcd.duosecurity.com", "' api-x.duosecurity.com:443 '"}, []string{
			`10: account.hostname: " api-x.duosecurity.com:443 ": must be a host name, without scheme or path (write "api-x.duosecurity.com:443")`,
		}},
		{"API host with a bad port", []string{"duosecurity.com", "duosecurity.com:99999"}, []string{
			`10: account.hostname: "api-1234abcd.duosecurity.com:99999": must be a host name, without scheme or path`,
		}},
		{"keys as numbers", []string{"DIXXXXXXXXXXXXXXXXXX", "12", testSecret, "0123"}, []string{
			"8: account.ikey: 12: must be text, but is read as an integer (put it in quotes)",
			"9: account.skey: must be text, but is read as an integer (put it in quotes)",
		}},
		{"keys in quotes", []string{"DIXXXXXXXXXXXXXXXXXX", "“DI”", testSecret, "‘abc’", "api-1234abcd.duosecurity.com", "\"'api-x.duosecurity.com'\"", "siem.example.com", "„siem“", "protocol: TCP", "protocol: ’TCP’", "version: '1.0.0'", "version: '1.0.0'"}, []string{
			`4: servers[0].hostname: "„siem“": must be a host name or an IP address (` + hintQuotes + ")",
			`6: servers[0].protocol: "’TCP’": must be TCP, TCPSSL, UDP, RELP, RELPSSL or HEC (` + hintQuotes + ")",
			`8: account.ikey: "“DI”": has quotes as a part of it (` + hintQuotes + ")",
			`9: account.skey: the secret key has quotes as a part of it (` + hintQuotes + ")",
			`10: account.hostname: "'api-x.duosecurity.com'": must be a host name, without scheme or path (` + hintQuotes + ")",
		}},
		{"version in curly quotes", []string{"'1.0.0'", "‘1.0.0’"}, []string{`1: version: "‘1.0.0’": must be '1.0.0' (` + hintQuotes + ")"}},
		{"keys with blanks", []string{"DIXXXXXXXXXXXXXXXXXX", "'DIX '", testSecret, "' abc'"}, []string{
			`8: account.ikey: "DIX ": has blanks around it (write "DIX")`,
			"9: account.skey: the secret key has blanks around it or control characters in it (copy it again from the Duo Admin Panel)",
		}},
		{"empty secret key", []string{testSecret, "''"}, []string{"9: account.skey: must not be empty (give it a value or remove the key)"}},
		{"is_msp and block_list", account("  is_msp: maybe\n  block_list: [1, '', DA1]"), []string{
			`8: account.is_msp: "maybe": must be true or false`,
		}},

		// Mappings.
		{"unknown endpoint", []string{"[auth]", "[auht, billing, 3]"}, []string{
			"12: account.endpoint_server_mappings[0].endpoints[2]: 3: must be text, but is read as an integer (put it in quotes)",
			`12: account.endpoint_server_mappings[0].endpoints[0]: "auht": is no endpoint (did you mean "auth"?)`,
			`12: account.endpoint_server_mappings[0].endpoints[1]: "billing": is no endpoint (there are "auth", "telephony", "activity", "adminaction", "trustmonitor")`,
		}},
		{"endpoints as text", []string{"[auth]", "auth"}, []string{"12: account.endpoint_server_mappings[0].endpoints: must be a list of endpoints, such as ['auth', 'activity']"}},
		{"unknown server", []string{"server: siem", "server: Siem1"}, []string{`13: account.endpoint_server_mappings[0].server: "Siem1": is no id of a server (did you mean "siem"?)`}},
		{"list of servers", []string{"server: siem", "server: [siem]"}, []string{"13: account.endpoint_server_mappings[0].server: must be text"}},
		{"trust monitor", append(settings("  log_format: CEF\n"), "[auth]", "[auth, trustmonitor]", "  ikey", "  is_msp: true\n  ikey"), []string{
			`13: account.endpoint_server_mappings[0].endpoints[1]: "trustmonitor": cannot be written as CEF (set dls_settings.log_format to JSON, or leave the endpoint out)`,
			`13: account.endpoint_server_mappings[0].endpoints[1]: "trustmonitor": cannot be fetched for child accounts (set is_msp to false, or leave the endpoint out)`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("c.yml", []byte(edit(t, tt.edits...)), Env{})
			if err == nil {
				t.Fatalf("no error, but %+v", c)
			}
			if _, ok := err.(*Errors); !ok {
				t.Errorf("error of type %T", err)
			}
			var got []string
			for line := range strings.SplitSeq(err.Error(), "\n") {
				got = append(got, strings.TrimPrefix(line, "c.yml:"))
			}
			if diff := cmp.Diff(tt.want, got, secrets); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

func environment(vars map[string]string) Env {
	return Env{Getenv: func(name string) string { return vars[name] }}
}

func TestEnv(t *testing.T) {
	state := "/var/lib/dls" + string(filepath.ListSeparator) + "/var/lib/other"
	temp := filepath.Join("a", "temp")
	env := environment(map[string]string{"STATE_DIRECTORY": state})
	env.TempDir = temp

	got, err := Parse("c.yml", []byte(base), env)
	if err != nil {
		t.Fatal(err)
	}
	want := baseConfig()
	want.LogFile, want.Directory = filepath.Join(temp, "duologsync.log"), "/var/lib/dls"
	if diff := cmp.Diff(want, got, secrets); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}

	got, err = Parse("c.yml", []byte(edit(t, "", "dls_settings: {checkpointing: {directory: mine}}\n")), env)
	if err != nil {
		t.Fatal(err)
	}
	if got.Directory != "mine" {
		t.Errorf("directory %q, want the file's", got.Directory)
	}

	if got, err = Parse("c.yml", []byte(base), Env{TempDir: temp}); err != nil || got.Directory != temp {
		t.Errorf("directory %q, %v; want the temp folder", got.Directory, err)
	}
}

func TestSecretSources(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("file", testSecret+"\n")
	credentials := filepath.Dir(write(filepath.Join("credentials", "skey"), testSecret+"\r\n"))
	other := filepath.Dir(write(filepath.Join("other", "unrelated"), "x"))
	standIn := filepath.Dir(write(filepath.Join("stand-in", "skey"), "\n"))

	const line = "  skey: " + testSecret + "\n"
	inFile := func(path string) []string { return []string{line, "  skey_filepath: '" + path + "'\n"} }
	tests := []struct {
		name  string
		edits []string
		env   map[string]string
		want  string // of the error, or empty
	}{
		{"in the config", nil, map[string]string{"CREDENTIALS_DIRECTORY": other}, ""},
		{"file", inFile(file), nil, ""},
		{"credential", []string{line, ""}, map[string]string{"CREDENTIALS_DIRECTORY": credentials}, ""},
		{"in the config, beside the stand-in of a credential", nil, map[string]string{"CREDENTIALS_DIRECTORY": standIn}, ""},
		{"variable", []string{line, ""}, map[string]string{"DLS_SKEY": testSecret}, ""},
		{"none", []string{line, ""}, map[string]string{"CREDENTIALS_DIRECTORY": other}, "7: account.skey: the secret key is required (give it by one of account.skey, account.skey_filepath, $CREDENTIALS_DIRECTORY/skey, $DLS_SKEY)"},
		{"config and variable", nil, map[string]string{"DLS_SKEY": "x"}, "9: account.skey: the secret key is given by account.skey and by $DLS_SKEY (keep one)"},
		{"all", []string{line, line + "  skey_filepath: x\n"}, map[string]string{"DLS_SKEY": "x", "CREDENTIALS_DIRECTORY": credentials}, "9: account.skey: the secret key is given by account.skey and by account.skey_filepath and by $CREDENTIALS_DIRECTORY/skey and by $DLS_SKEY (keep one)"},
		{"empty in the config, and variable", []string{testSecret, "''"}, map[string]string{"DLS_SKEY": "x"}, "9: account.skey: the secret key is given by account.skey and by $DLS_SKEY (keep one)"},
		{"two lines", inFile(write("two", "a\nb\n")), nil, "9: account.skey_filepath: the secret key has blanks around it or control characters in it (copy it again from the Duo Admin Panel)"},
		{"UTF-8 with a byte order mark", inFile(write("marked", "\ufeff"+testSecret+"\r\n")), nil, ""},
		{"UTF-16", inFile(write("utf16", "\xff\xfea\x00b\x00")), nil, "9: account.skey_filepath: the file is in UTF-16 (save it as UTF-8 or ASCII, in PowerShell with Set-Content -Encoding ascii)"},
		{"UTF-16 without a mark", inFile(write("utf16be", "\x00a\x00b")), nil, "9: account.skey_filepath: the file is in UTF-16 (save it as UTF-8 or ASCII, in PowerShell with Set-Content -Encoding ascii)"},
		{"file with quotes", inFile(write("quoted", "'"+testSecret+"'\n")), nil, "9: account.skey_filepath: the secret key has quotes as a part of it (write it alone, without any quotes)"},
		{"variable with curly quotes", []string{line, ""}, map[string]string{"DLS_SKEY": "“x”"}, "7: account.skey: the secret key has quotes as a part of it (write it alone, without any quotes)"},
		{"empty file", inFile(write("empty", "\n")), nil, "9: account.skey_filepath: the file is empty"},
		{"long file", inFile(write("long", strings.Repeat("x", maxSecret+1))), nil, "9: account.skey_filepath: the file cannot be read: it is too large: longer than 4096 bytes"},
		{"variable with a line break", []string{line, ""}, map[string]string{"DLS_SKEY": "x\n"}, "7: account.skey: the secret key has blanks around it or control characters in it (copy it again from the Duo Admin Panel)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("c.yml", []byte(edit(t, tt.edits...)), environment(tt.env))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if c.Account.SKey.Reveal() != testSecret || len(c.Warnings) > 0 {
					t.Errorf("another secret, or warnings %q", c.Warnings)
				}
				return
			}
			errs, ok := err.(*Errors)
			if !ok || len(errs.List) != 1 {
				t.Fatalf("error %v, want one", err)
			}
			errs.List[0].Value = "" // a path of this test
			if diff := cmp.Diff("c.yml:"+tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}

	_, err := Parse("c.yml", []byte(edit(t, inFile(filepath.Join(dir, "absent"))...)), Env{})
	if err == nil || !strings.Contains(err.Error(), "the file cannot be read: ") {
		t.Errorf("error %v of an absent file", err)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yml")
	if _, err := Load(path, Env{}); !os.IsNotExist(unwrap(err)) || !strings.HasPrefix(err.Error(), fmt.Sprintf("read config %q: ", path)) {
		t.Errorf("error %v of an absent file", err)
	}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Repeat("#", maxFile+1), 0o600)
	if _, err := Load(path, Env{}); err == nil || !strings.Contains(err.Error(), "longer than 262144 bytes") {
		t.Errorf("error %v of a long file", err)
	}
	write("x", 0o600)
	if _, err := Load(path, Env{}); err == nil || !strings.HasPrefix(err.Error(), path+":1: ") {
		t.Errorf("error %v, want path and line", err)
	}

	if runtime.GOOS == "windows" {
		return // modes mean nothing there
	}
	withoutSecret := strings.Replace(base, "  skey: "+testSecret+"\n", "", 1)
	env := environment(map[string]string{"DLS_SKEY": testSecret})
	for _, tt := range []struct {
		text string
		env  Env
		mode os.FileMode
		warn bool
	}{
		{base, Env{}, 0o600, false},
		{base, Env{}, 0o640, true},
		{base, Env{}, 0o604, true},
		{withoutSecret, env, 0o644, false},
		{withoutSecret + "dls_settings: {proxy: {proxy_server: 'u:p@h', proxy_port: 1}}\n", env, 0o644, true},
	} {
		write(tt.text, tt.mode)
		c, err := Load(path, tt.env)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if tt.warn {
			want = []string{path + ": holds a secret and can be read by other users; chmod 600 it"}
		}
		if diff := cmp.Diff(want, c.Warnings); diff != "" {
			t.Errorf("warnings with mode %o (-want +got):\n%s", tt.mode, diff)
		}
	}
}

// TestLoadRelative looks for the directory of checkpoints where they are.
func TestLoadRelative(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	here, beside := filepath.Join(home, "state"), filepath.Join(home, "etc", "state")
	for _, dir := range []string{here, beside} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(home, "etc", "config.yml")
	if err := os.WriteFile(path, []byte(base+"dls_settings: {checkpointing: {directory: state}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const key = ":14: dls_settings.checkpointing.directory: "
	relative := path + key + "is relative to the working directory, which a scheduler may choose otherwise; write the whole path"
	check := func(name, directory string, warnings ...string) {
		t.Helper()
		c, err := Load(path, Env{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(directory, c.Directory); diff != "" {
			t.Errorf("%s: directory (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(append([]string{relative}, warnings...), c.Warnings); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", name, diff)
		}
	}

	check("no checkpoints", "state")
	touch(filepath.Join(beside, "auth_checkpoint_DA1.json"))
	check("beside the file", beside, path+key+fmt.Sprintf("the checkpoints are not in the working directory's %q but in that beside the file, %q, which is used", here, beside))
	touch(filepath.Join(here, "authlog_checkpoint_data.txt"))
	want := path + key + fmt.Sprintf(`"state": is relative, and there are checkpoints in the working directory's (%q) and in that beside the file (%q) (write the whole path of the one that counts)`, here, beside)
	if _, err := Load(path, Env{}); err == nil || err.Error() != want {
		t.Errorf("both: error %v, want %s", err, want)
	}
	if err := os.RemoveAll(beside); err != nil {
		t.Fatal(err)
	}
	check("in the working directory", "state")
	if err := os.Symlink(here, beside); err == nil { // not everybody may on Windows
		check("one directory by two names", "state")
	}
}

// Who can write to the configuration can have the records sent elsewhere.
func TestLoadOpenToAll(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has access lists, not modes")
	}
	path := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(path, []byte(strings.Replace(base, "  skey: "+testSecret+"\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	env := environment(map[string]string{"DLS_SKEY": testSecret})
	for mode, want := range map[os.FileMode]int{0o664: 0, 0o646: 1} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, env)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Warnings) != want || want > 0 && !strings.Contains(c.Warnings[0], "any user of this machine can write to it") {
			t.Errorf("mode %o: warnings %q", mode, c.Warnings)
		}
	}
	// So it is with the files that it names.
	secret := filepath.Join(t.TempDir(), "skey")
	if err := errors.Join(os.WriteFile(secret, []byte(testSecret), 0o600), os.Chmod(secret, 0o602), os.Chmod(path, 0o600),
		os.WriteFile(path, []byte(strings.Replace(base, "  skey: "+testSecret+"\n", "  skey_filepath: "+secret+"\n", 1)), 0o600)); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{secret + ": any user of this machine can write to it; chmod go-w it"}
	if diff := cmp.Diff(want, c.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func unwrap(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = u.Unwrap()
	}
}

// TestSecretStaysSecret puts the secret key where people put it by mistake.
func TestSecretStaysSecret(t *testing.T) {
	const duoSecret = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCd"
	for _, secret := range []string{testSecret, duoSecret, "123456789012", "*starred-secret"} {
		for name, edits := range map[string][]string{
			"another type":     {testSecret, "[" + secret + "]"},
			"unknown key":      {"  ikey", "  secret: " + secret + "\n  ikey"},
			"top level":        {"", "skey: " + secret + "\n"},
			"no blank":         {"skey: " + testSecret, "skey:" + secret},
			"no blank, flow":   {base, "version: '1.0.0'\nservers: 1\naccount: {skey:" + secret + "}\n"},
			"only key":         {base, "account:\n  skey:" + secret + "\n"},
			"alias":            {testSecret, "&s " + secret, "server: siem", "server: *s"},
			"alias as key":     {testSecret, "&s " + secret, "  hostname: api", "  *s : 1\n  hostname: api"},
			"runs into ikey":   {"\n  skey:", "\n    skey:", "hostname: api-1234abcd", "hostname: https://x"},
			"twice":            {testSecret, secret + "\n  skey: 'a b '"},
			"unquoted":         {testSecret, secret, "6514", "x"},
			"blanks":           {testSecret, "'" + secret + " '"},
			"proxy":            {"", "dls_settings: {proxy: {proxy_server: 'http://u:" + secret + "@h', proxy_port: 1}}\n"},
			"proxy, bad host":  {"", "dls_settings: {proxy: {proxy_server: 'u:" + secret + "@h:1', proxy_port: 1}}\n"},
			"proxy without it": {"", "dls_settings: {proxy: {proxy_server: '" + secret + "@h', proxy_port: 1}}\n"},
		} {
			c, err := Parse("c.yml", []byte(edit(t, edits...)), Env{})
			if err == nil {
				t.Errorf("%s: no error, but %+v", name, c)
				continue
			}
			shown := err.Error() + fmt.Sprintf("%+v", err.(*Errors).List[0])
			if strings.Contains(shown, strings.TrimPrefix(secret, "*")) || strings.Contains(shown, testSecret) {
				t.Errorf("%s: the secret shows", name)
			}
		}
	}
	// Only Duo's own form can be told from an ordinary value.
	for _, edits := range [][]string{{"6514", duoSecret}, {"TCP", duoSecret}, {"[auth]", "[" + duoSecret + "]"}, {"server: siem", "server: " + duoSecret}, {testSecret + "\n", "''\n  skey_filepath: " + duoSecret + "\n"}} {
		_, err := Parse("c.yml", []byte(edit(t, edits...)), Env{})
		if err == nil || strings.Contains(err.Error(), duoSecret) {
			t.Errorf("in place of %q: no error, or the secret shows", edits[0])
		}
	}
}

// A token is no less secret than the secret key.
func TestTokenStaysSecret(t *testing.T) {
	const token = "B5A79AAD-D822-46CC-80D1-819F80D7BFB0"
	for name, edits := range map[string][]string{
		"with another protocol": {"TCP", "TCP\n    token: " + token},
		"with blanks":           {"TCP", "HEC\n    token: '" + token + " '"},
		"a list":                {"TCP", "HEC\n    token: [" + token + "]"},
		"an alias":              {"TCP", "HEC\n    token: &t " + token, "server: siem", "server: *t"},
		"in another place":      {"TCP", "HEC\n    token: x\n    path: " + token},
		"as an endpoint":        {"[auth]", "[" + token + "]"},
		"in quotes":             {"TCP", "HEC\n    token: “" + token + "”"},
	} {
		_, err := Parse("c.yml", []byte(edit(t, edits...)), Env{})
		if err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: no error, or the token shows: %v", name, err)
		}
	}
}

func TestSecretPrintsNothing(t *testing.T) {
	type hidden struct{ inner Secret }
	s := NewSecret(testSecret)
	c := baseConfig()
	c.Proxy.Password = s
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", s, "config", c)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", s, "config", c)
	for _, v := range []any{s, &s, c, hidden{s}, &hidden{s}, []Secret{s}, map[string]Secret{"a": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	if strings.Contains(out.String(), testSecret) || strings.Contains(out.String(), fmt.Sprintf("%x", testSecret)) {
		t.Error("the secret shows")
	}
	if got := fmt.Sprintf("%v %s %q %#v", s, s, s, s); got != "[secret] [secret] [secret] [secret]" {
		t.Errorf("printed as %s", got)
	}
	if got, none := s.Reveal(), (Secret{}).Reveal(); got != testSecret || none != "" {
		t.Errorf("revealed as %q, none as %q", got, none)
	}
}

func TestProxyURL(t *testing.T) {
	if u := (Proxy{}).URL(); u != nil {
		t.Errorf("URL %v of no proxy", u)
	}
	if got := (Proxy{Host: "::1", Port: 8080}).URL().String(); got != "http://[::1]:8080" {
		t.Errorf("URL %s", got)
	}
	u := Proxy{Host: "h", Port: 1, User: "u", Password: NewSecret("p@:")}.URL()
	if p, _ := u.User.Password(); p != "p@:" || u.User.Username() != "u" {
		t.Errorf("credentials changed")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte("version: '1.0.0'\nservers: &s\n- &a {id: x, <<: {port: 1}}\n- *a\naccount: {endpoint_server_mappings: *s}\ndls_settings: {api: {offset: 0x_}}\n"))
	if template, err := os.ReadFile(templatePath); err == nil {
		f.Add(template)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("c.yml", data, Env{})
		if err == nil {
			if len(c.Servers) == 0 || len(c.Routes) == 0 || c.Account.IKey == "" || c.Account.SKey.Reveal() == "" {
				t.Errorf("config without what every one has: %+v", c)
			}
			return
		}
		for _, e := range err.(*Errors).List {
			if e.Line < 1 || e.Rule == "" || strings.ContainsAny(e.Error(), "\n\r\x1b") {
				t.Errorf("error %q", e)
			}
		}
	})
}

// secrets compares the texts of secrets.
var secrets = cmp.Comparer(func(a, b Secret) bool { return a.Reveal() == b.Reveal() })
