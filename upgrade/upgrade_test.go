package upgrade

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dls/job/config/pyyaml"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// TestFiles compares the bytes, since they are for people to read.
func TestFiles(t *testing.T) {
	tests := []struct {
		name  string
		notes []string
	}{
		{"full", []string{"the comments of the old file are left out"}},
		{"windows", nil},
		{"july2020", []string{
			`"logs.polling.duration" is 120 or more, and taken as seconds`,
			`"recoverFromCheckpoint.enabled" is false, so each run would send everything from offset on again; consider true for dls_settings.checkpointing.enabled`,
		}},
		{"odd", []string{
			`"transport.port" stands more than once; the last one, on line 25, counts`,
			"the comments of the old file are left out",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result, err := Config(testdata(t, tt.name+".old.yml"))
			if err != nil {
				t.Fatal(err)
			}
			want := Result{From: "0.0.0", To: "1.0.0", Notes: tt.notes, Data: testdata(t, tt.name+".new.yml")}
			if diff := cmp.Diff(string(want.Data), string(result.Data)); diff != "" {
				t.Errorf("new file (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(&want, result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

// A variation replaces a part of full.old.yml and of full.new.yml.
type variation struct {
	name     string
	old, by  string // "" for both: no change
	new, got string
	notes    []string
}

const (
	oldCert = "  certFileDir: \"/srv/duo/tls\"\n  certFileName: \"ca.pem\"\n"
	newCert = "    cert_filepath: /srv/duo/tls/ca.pem\n"
	oldLog  = "  logDir: \"/srv/duo/log\"\n"
	newLog  = "  log_filepath: /srv/duo/log/duologsync.log\n"
)

var variations = []variation{
	{"version 0.0.0", "duoclient:\n", "version: 0.0.0\nduoclient:\n", "", "", nil},
	{"null version", "duoclient:\n", "version:\nduoclient:\n", "", "", nil},

	{"no certificate", oldCert, "", newCert, "", nil},
	{"null certificate", oldCert, "  certFileDir:\n  certFileName: ~\n", newCert, "", nil},
	{"empty certificate", oldCert, "  certFileDir: ''\n  certFileName: ''\n", newCert, "", nil},
	{"certificate without name", "  certFileName: \"ca.pem\"\n", "", "tls/ca.pem", "tls/", []string{
		`"transport.certFileName" is missing, so the certificate has a directory only; look at cert_filepath`,
	}},
	{"certificate without directory", "  certFileDir: \"/srv/duo/tls\"\n", "", "/srv/duo/tls/ca.pem", "/ca.pem", []string{
		`"transport.certFileDir" is missing, so the certificate is looked for in the root directory; look at cert_filepath`,
	}},
	{"certificate by its later name", oldCert, "  certFilepath: /x.pem\n", newCert, "    certFilepath: /x.pem\n", []string{
		`"transport.certFilepath" is kept as it is; version 1.0.0 calls it cert_filepath`,
	}},

	{"no log directory", oldLog, "", newLog, "", []string{`"logs.logDir" is missing; the default counts`}},
	{"null log directory", oldLog, "  logDir:\n", newLog, "", []string{`"logs.logDir" is empty; the default counts`}},
	{"empty log directory", oldLog, "  logDir: ''\n", "/srv/duo/log/", "/", []string{
		`"logs.logDir" is empty, which makes the root directory that of the log file; look at dls_settings.log_filepath`,
	}},
	{"trailing slash", "/srv/duo/log", "/srv/duo/log/", "log/duologsync", "log//duologsync", nil},
	{"backslash in the log only", "\"/srv/duo/log\"", `C:\duo`, "/srv/duo/log/", `C:\duo/`, nil},
	{"variable in the log", "\"/srv/duo/log\"", `$HOME`, "/srv/duo/log/", `$HOME/`, nil},

	{"log format", oldLog, oldLog + "  log_format: CEF\n", "", "", []string{
		`"logs.log_format" is replaced by what version 1.0.0 starts with; look whether the new file says what you want`,
	}},
	{"same log format", oldLog, oldLog + "  log_format: JSON\n", "", "", nil},
	{"log file beside log directory", oldLog, oldLog + "  logFilepath: /x\n", newLog, newLog + "  logFilepath: /x\n", nil},

	{"one minute", "duration: 5", "duration: 1", "timeout: 300", "timeout: 60", nil},
	{"half a minute", "duration: 5", "duration: .5", "timeout: 300", "timeout: 30.0", nil},
	{"exponent", "duration: 5", "duration: 1.0e+20", "timeout: 300", "timeout: 6.0e+21", nil},
	{"infinite", "duration: 5", "duration: -.inf", "timeout: 300", "timeout: -.inf", nil},
	{"base 60", "duration: 5", "duration: 1:30", "timeout: 300", "timeout: 5400", nil},
	{"huge", "duration: 5", "duration: 99999999999999999999", "timeout: 300", "timeout: 5999999999999999999940", nil},
	{"true minute", "duration: 5", "duration: yes", "timeout: 300", "timeout: 60", nil},
	{"false minute", "duration: 5", "duration: off", "timeout: 300", "timeout: 0", nil},
	{"minutes as text", "duration: 5", "duration: '5'", "timeout: 300", "timeout: '" + strings.Repeat("5", 60) + "'", []string{
		`"logs.polling.duration" is text, which cannot be turned into seconds: write timeout as a number of seconds, such as 300`,
	}},
	{"a word for the minutes", "duration: 5", "duration: Soon ", "timeout: 300", "timeout: '" + strings.Repeat("Soon", 60) + "'", []string{
		`"logs.polling.duration" is text, which cannot be turned into seconds: write timeout as a number of seconds, such as 300`,
	}},
	{"no duration", "    duration: 5 # minutes\n", "", "    timeout: 300\n", "", []string{
		`"logs.polling.duration" is missing; the default counts`,
	}},
	{"null duration", "duration: 5", "duration:", "    timeout: 300\n", "", []string{
		`"logs.polling.duration" is empty; the default counts`,
	}},
	{"more days than there are", "daysinpast: 90", "daysinpast: 365", "offset: 90", "offset: 365", nil},
	{"part of a day", "daysinpast: 90", "daysinpast: 90.5", "offset: 90", "offset: 90.5", nil},
	{"null days", "daysinpast: 90", "daysinpast:", "offset: 90", "offset: null", nil},
	{"no days", "    daysinpast: 90\n", "", "    offset: 90\n", "", []string{
		`"logs.polling.daysinpast" is missing; the default counts`,
	}},
	{"no polling", "  polling:\n    duration: 5 # minutes\n    daysinpast: 90\n", "", "  api:\n    offset: 90\n    timeout: 300\n", "", []string{
		`"logs.polling.duration" is missing; the default counts`,
		`"logs.polling.daysinpast" is missing; the default counts`,
	}},
	{"null polling", "polling:\n    duration: 5 # minutes\n    daysinpast: 90\n", "polling:\n", "  api:\n    offset: 90\n    timeout: 300\n", "", []string{
		`"logs.polling.duration" is missing; the default counts`,
		`"logs.polling.daysinpast" is missing; the default counts`,
	}},

	{"one endpoint", `["auth", "telephony", "adminaction"]`, "[auth]", "        - telephony\n        - adminaction\n", "", nil},
	{"no endpoint", `["auth", "telephony", "adminaction"]`, "[]", "endpoints:\n        - auth\n        - telephony\n        - adminaction\n", "endpoints: []\n", nil},
	{"unknown endpoint", `"telephony"`, `"offline enrollment"`, "telephony", "offline enrollment", nil},
	{"more about endpoints", "  endpoints:\n", "  endpoints:\n    skipped: [auth]\n", "", "", []string{
		`"logs.endpoints" has no place in the new version, and what else it holds is left out`,
	}},

	{"no recovery", "recoverFromCheckpoint:\n  enabled: True\n", "", "    enabled: true\n", "", []string{
		`"recoverFromCheckpoint.enabled" is missing; the default counts`,
	}},
	{"null recovery", "  enabled: True\n", "", "    enabled: true\n", "", []string{
		`"recoverFromCheckpoint.enabled" is missing; the default counts`,
	}},
	{"recovery off", "enabled: True", "enabled: off", "enabled: true", "enabled: false", []string{
		`"recoverFromCheckpoint.enabled" is false, so each run would send everything from offset on again; consider true for dls_settings.checkpointing.enabled`,
	}},
	{"recovery is text", "enabled: True", "enabled: Never", "enabled: true", "enabled: Never", nil},
	{"no checkpoint directory", "  checkpointDir: \"/srv/duo/state\"\n", "", "    directory: /srv/duo/state\n", "", []string{
		`"logs.checkpointDir" is missing; the default counts`,
	}},

	{"no port", "  port: 6514\n", "", "    port: 6514\n", "", nil},
	{"port is text", "port: 6514", "port: '6514'", "port: 6514", "port: '6514'", nil},
	{"lower case", "\"TCPSSL\"", "tcp", "TCPSSL", "tcp", nil},
	{"no secret", "  skey: \"f1f2f3f4f5f6f7f8f9f0f1f2f3f4f5f6f7f8f9f0\"\n", "", "  skey: f1f2f3f4f5f6f7f8f9f0f1f2f3f4f5f6f7f8f9f0\n", "", nil},
	{"empty keys", "\"DIEXAMPLEEXAMPLE0001\"", "\"\"", "DIEXAMPLEEXAMPLE0001", "''", nil},

	{"more keys", "duoclient:\n", "proxy: {host: p, port: 3128}\nduoclient:\n  proxy: x\n",
		"account:\n", "proxy: {host: p, port: 3128}\naccount:\n  proxy: x\n", nil},
	{"keys of the new version", "duoclient:\n", "account: {ikey: x}\nservers: [{id: x}]\ndls_settings: 1\nduoclient:\n  hostname: y\n", "", "", []string{
		`"duoclient.hostname" is replaced by "duoclient.host"`,
		`"account" is replaced by "duoclient"`,
		`"servers" is replaced by what version 1.0.0 starts with; look whether the new file says what you want`,
		`"dls_settings" is replaced by "logs"`,
	}},
	{"id of a receiver", "transport:\n", "transport:\n  id: mine\n", "", "", []string{
		`"transport.id" is replaced by what version 1.0.0 starts with; look whether the new file says what you want`,
	}},
	{"duplicate section", "logs:\n", "logs: {}\nlogs:\n", "", "", []string{
		`"logs" stands more than once; the last one, on line 9, counts`,
	}},
}

func TestConfig(t *testing.T) {
	const comments = "the comments of the old file are left out"
	for _, tt := range variations {
		t.Run(tt.name, func(t *testing.T) {
			result, err := Config(vary(t, "full.old.yml", tt.old, tt.by))
			if err != nil {
				t.Fatal(err)
			}
			want := values(t, vary(t, "full.new.yml", tt.new, tt.got))
			if diff := cmp.Diff(want, values(t, result.Data)); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
			var notes []string
			for _, n := range result.Notes {
				if n != comments {
					notes = append(notes, n)
				}
			}
			if diff := cmp.Diff(tt.notes, notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJuly2020 varies july2020.old.yml.
func TestJuly2020(t *testing.T) {
	const (
		seconds = `"logs.polling.duration" is 120 or more, and taken as seconds`
		off     = `"recoverFromCheckpoint.enabled" is false, so each run would send everything from offset on again; consider true for dls_settings.checkpointing.enabled`
	)
	for _, tt := range []variation{
		{"minutes", "duration: 240", "duration: 2", "timeout: 240", "timeout: 120", []string{off}},
		{"fewest seconds", "duration: 240", "duration: 120.0", "timeout: 240", "timeout: 120.0", []string{seconds, off}},
		{"most minutes", "duration: 240", "duration: 119", "timeout: 240", "timeout: 7140", []string{off}},
		{"no duration", "    duration: 240\n", "", "    timeout: 240\n", "", []string{`"logs.polling.duration" is missing; the default counts`, off}},
		{"empty log file", "\"/srv/duo/dls.log\"", "''", "  log_filepath: /srv/duo/dls.log\n", "", []string{`"logs.logFilepath" is empty, and left out`, seconds, off}},
		{"empty log format", "\"CEF\"", "''", "CEF", "JSON", []string{seconds, `"logs.log_format" is empty, and left out`, off}},
		{"no log format", "  log_format: \"CEF\"\n", "", "CEF", "JSON", []string{seconds, off}},
		{"empty certificate", "\"/srv/duo/tls/ca.pem\"", "", "    cert_filepath: /srv/duo/tls/ca.pem\n", "", []string{`"transport.certFilepath" is empty, and left out`, seconds, off}},
		{"certificate by its older names", "certFilepath: \"/srv/duo/tls/ca.pem\"", "certFileDir: /old\n  certFileName: x.pem", "/srv/duo/tls/ca.pem", "/old/x.pem", []string{seconds, off}},
		{"null log directory", "logs:\n", "logs:\n  logDir:\n", "", "", []string{seconds, off}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			result, err := Config(vary(t, "july2020.old.yml", tt.old, tt.by))
			if err != nil {
				t.Fatal(err)
			}
			want := values(t, vary(t, "july2020.new.yml", tt.new, tt.got))
			if diff := cmp.Diff(want, values(t, result.Data)); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.notes, result.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodings(t *testing.T) {
	want := values(t, testdata(t, "full.new.yml"))
	old := string(testdata(t, "full.old.yml"))
	utf16 := "\xff\xfe"
	for _, r := range old {
		utf16 += string([]byte{byte(r), byte(r >> 8)})
	}
	for name, data := range map[string]string{
		"byte order mark": "\ufeff" + old,
		"CRLF":            strings.ReplaceAll(old, "\n", "\r\n"),
		"UTF-16":          utf16,
		"no final break":  strings.TrimSuffix(old, "\n"),
		"markers":         "---\n" + old + "...\n",
	} {
		t.Run(name, func(t *testing.T) {
			result, err := Config([]byte(data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, values(t, result.Data)); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnchanged(t *testing.T) {
	for name, data := range map[string]string{
		"new":                 string(testdata(t, "full.new.yml")),
		"old body":            "version: '1.0.0'\n" + string(testdata(t, "full.old.yml")),
		"with comments, CRLF": "# mine\r\nversion: 1.0.0\r\n\r\nservers: []   \r\n",
		"byte order mark":     "\ufeffversion: \"1.0.0\"",
	} {
		t.Run(name, func(t *testing.T) {
			result, err := Config([]byte(data))
			if err != nil {
				t.Fatal(err)
			}
			want := &Result{Data: []byte(data), From: "1.0.0", To: "1.0.0", Unchanged: true}
			if diff := cmp.Diff(want, result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	bomb := "a: &a [" + strings.Repeat("x, ", 100) + "]\n"
	for c := 'b'; c <= 'h'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10))
	}
	const skey = "\"f1f2f3f4f5f6f7f8f9f0f1f2f3f4f5f6f7f8f9f0\""
	tests := []struct{ name, old, by, want string }{
		{"no duoclient host", "  host: \"api-example1.duosecurity.com\"\n", "", `"duoclient.host" is missing`},
		{"null duoclient", "duoclient:\n", "duoclient:\nother:\n", `line 2: "duoclient" is empty`},
		{"no duoclient", "duoclient:\n", "other:\n", `"duoclient" is missing`},
		{"duoclient is text", "duoclient:\n", "duoclient: x\nother:\n", `line 2: "duoclient" must be a mapping, but is of type string`},
		{"no endpoints", "  endpoints:\n    enabled: [\"auth\", \"telephony\", \"adminaction\"]\n", "", `"logs.endpoints" is missing`},
		{"no enabled endpoints", "    enabled: [\"auth\", \"telephony\", \"adminaction\"]\n", "    x: y\n", `"logs.endpoints.enabled" is missing`},
		{"endpoints is a list", "  endpoints:\n    enabled: [\"auth\", \"telephony\", \"adminaction\"]\n", "  endpoints: [auth]\n", `line 10: "logs.endpoints" must be a mapping, but is of type list`},
		{"no logs", "logs:\n", "log:\n", `"logs" is missing`},
		{"logs is a list", "logs:\n", "logs: [1]\nlog:\n", `line 8: "logs" must be a mapping, but is of type list`},
		{"log directory is a number", "\"/srv/duo/log\"", "12", `line 9: "logs.logDir" must be text, but is of type integer`},
		{"no transport", "transport:\n", "x:\n", `"transport" is missing`},
		{"no transport host", "  host: \"siem.example.net\"\n", "", `"transport.host" is missing`},
		{"certificate is a number", "\"ca.pem\"", "1.5", `line 22: "transport.certFileName" must be text, but is of type float`},
		{"duration is a list", "duration: 5", "duration: [5]", `line 13: "logs.polling.duration" must be a number of minutes, but is of type list`},
		{"duration is a date", "duration: 5", "duration: 2020-01-01", `line 13: "logs.polling.duration" must be a number of minutes, but is of type timestamp`},
		{"polling is a list", "polling:\n    duration: 5 # minutes\n    daysinpast: 90\n", "polling: [5]\n", `line 12: "logs.polling" must be a mapping, but is of type list`},
		{"recovery is a switch", "recoverFromCheckpoint:\n  enabled: True\n", "recoverFromCheckpoint: True\n", `line 24: "recoverFromCheckpoint" must be a mapping, but is of type boolean`},

		{"empty version", "duoclient:\n", "version: ''\nduoclient:\n", `version "" is unknown; a file of version 0.0.0 has this version or none`},
		{"unknown version", "duoclient:\n", "version: 0.5.0\nduoclient:\n", `version "0.5.0" is unknown; a file of version 0.0.0 has this version or none`},
		{"newer version", "duoclient:\n", "version: 1.0.1\nduoclient:\n", `version "1.0.1" is newer than 1.0.0, the newest that this dls knows`},
		{"much newer version", "duoclient:\n", "version: '10'\nduoclient:\n", `version "10" is newer than 1.0.0, the newest that this dls knows`},
		{"version is a number", "duoclient:\n", "version: 1.0\nduoclient:\n", `line 2: "version" must be text such as '1.0.0', but is of type float`},
		{"version is a list", "duoclient:\n", "version: []\nduoclient:\n", `line 2: "version" must be text such as '1.0.0', but is of type list`},

		{"Windows path in double quotes", "/srv/duo/log", `C:\duo\log`, "line 9: found unknown escape character"},
		{"Python tag", "\"/srv/duo/log\"", "!!python/tuple [1, 2]", `line 9: "logs.logDir" has a tag or a form that is not read here; text must be quoted`},
		{"tag in a secret", skey, "!f1f2f3", `line 4: "duoclient.skey" has a tag or a form that is not read here; text must be quoted`},
		{"asterisk in a secret", skey, "*f1f2f3", ""},
		{"asterisk and ampersand in a secret", skey, "&f1f2f3 [*f1f2f3]", ""},
		{"at sign in a secret", skey, "@f1f2f3", "line 4: found character that cannot start any token"},
		{"key is a list", "recoverFromCheckpoint:\n", "[x]: y\nrecoverFromCheckpoint:\n", "line 24: a key must be plain text, but is a list"},
		{"second document", "transport:\n", "---\ntransport:\n", "line 17: a second document begins, but only one is read"},
		{"deep", "\"auth\"", strings.Repeat("[", 65) + strings.Repeat("]", 65), ""},
		{"bomb of nodes", "duoclient:\n", bomb + "duoclient:\n", ""},
		{"bomb of text", "duoclient:\n", "a: &a " + strings.Repeat("x", 10_000) + "\nb: [" + strings.Repeat("*a, ", 1000) + "]\nduoclient:\n", ""},
		{"large", "duoclient:\n", strings.Repeat("#\n", maxSize/2) + "duoclient:\n", "the file is larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			result, err := Config(vary(t, "full.old.yml", tt.old, tt.by))
			if err == nil || result != nil {
				t.Fatalf("result %v, error %v", result, err)
			}
			if tt.want == "" {
				if strings.Contains(err.Error(), "f1f2f3") {
					t.Error("the error has the secret")
				}
				return
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoMapping(t *testing.T) {
	for in, want := range map[string]string{
		"":           "the file is empty",
		"# nothing":  "the file is empty",
		"~":          "the file is empty",
		"\n- a":      "line 2: the file is not a mapping of keys to values",
		"skey: x: y": "line 1: mapping values are not allowed in this context",
		"secret":     "line 1: the file is not a mapping of keys to values",
		"{}":         `"duoclient" is missing`,
	} {
		_, err := Config([]byte(in))
		if err == nil || err.Error() != want {
			t.Errorf("Config(%q): error %v, want %s", in, err, want)
		}
	}
}

// TestChangesets holds that each version leads to Version, and that all files
// of a version have a changeset.
func TestChangesets(t *testing.T) {
	all := map[string]bool{}
	for _, c := range changesets {
		if all[c.from] {
			t.Errorf("a changeset of version %s comes after one for all its files", c.from)
		}
		all[c.from] = c.is == nil
	}
	for from, ok := range all {
		if !ok {
			t.Errorf("not all files of version %s have a changeset", from)
		}
	}
	for _, c := range changesets {
		if _, ok := all[c.to]; !ok && c.to != Version {
			t.Errorf("no changeset from version %s", c.to)
		}
		if newer(c.to) || c.from == c.to {
			t.Errorf("a changeset from version %s leads to %s", c.from, c.to)
		}
	}
}

func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	old := string(testdata(f, "full.old.yml"))
	for _, v := range variations {
		f.Add([]byte(strings.Replace(old, v.old, v.by, 1)))
	}
	for _, secret := range []string{`" \n x\u0085\u2028\0😀 "`, "|\n    a\n     b\n\n", "'- x: y #'", "? x", "<<", "=", "0o14", "1_000", "12:30:45", "y", "\ufeffx"} {
		f.Add([]byte(strings.Replace(old, `"DIEXAMPLEEXAMPLE0001"`, secret, 1)))
	}
	f.Fuzz(func(t *testing.T, old []byte) {
		result, err := Config(old)
		if err != nil {
			if result != nil {
				t.Error("a result beside an error")
			}
			return
		}
		if len(result.Data) > 200*maxSize {
			t.Errorf("%d bytes become %d", len(old), len(result.Data))
		}
		again, err := Config(result.Data)
		if err != nil {
			t.Fatalf("the result is not read: %v", err)
		}
		if !again.Unchanged {
			t.Error("the result is upgraded again")
		}
		if result.Unchanged {
			return
		}
		// What was not moved must be as it was.
		before, after := values(t, old), values(t, result.Data)
		client, ok := at(before, "duoclient").(map[string]any)
		if !ok {
			t.Fatal("a file without duoclient is upgraded")
		}
		account := at(after, "account").(map[string]any)
		for _, key := range []string{`"host"`, `"hostname"`, `"endpoint_server_mappings"`} {
			delete(client, key)
			delete(account, key)
		}
		if diff := cmp.Diff(client, account); diff != "" {
			t.Errorf("account (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(at(before, "duoclient", "host"), at(after, "account", "hostname")); at(before, "duoclient", "host") != nil && diff != "" {
			t.Errorf("hostname (-want +got):\n%s", diff)
		}
	})
}

// at returns the value at the end of a path of text keys.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[fmt.Sprintf("%q", k)]
	}
	return v
}

func testdata(t testing.TB, name string) []byte {
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vary replaces the first old in a file of testdata.
func vary(t *testing.T, name, old, by string) []byte {
	data := string(testdata(t, name))
	if !strings.Contains(data, old) {
		t.Fatalf("%s has no %q", name, old)
	}
	return []byte(strings.Replace(data, old, by, 1))
}

// values returns a document's values with the types that PyYAML gives them.
func values(t testing.TB, data []byte) any {
	doc, err := pyyaml.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return typed(t, doc)
}

func typed(t testing.TB, n *yaml.Node) any {
	n = pyyaml.Resolve(n)
	switch kind := pyyaml.KindOf(n); kind {
	case pyyaml.Null:
		return nil
	case pyyaml.Bool:
		b, _ := pyyaml.Boolean(n)
		return b
	case pyyaml.Int:
		i, _ := pyyaml.BigInt(n)
		return "integer " + i.String()
	case pyyaml.Float:
		f, _ := pyyaml.Float64(n)
		return fmt.Sprintf("float %x", f) // not-a-number equals itself
	case pyyaml.Timestamp:
		return "timestamp " + n.Value
	case pyyaml.String:
		s, _ := pyyaml.Text(n)
		return fmt.Sprintf("%q", s)
	case pyyaml.Mapping:
		pairs, err := pyyaml.Pairs(n)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		for _, p := range pairs {
			m[fmt.Sprint(typed(t, p.Key))] = typed(t, p.Value)
		}
		return m
	default:
		list := []any{kind.String(), n.ShortTag(), n.Value}
		for _, c := range n.Content {
			list = append(list, typed(t, c))
		}
		return list
	}
}
