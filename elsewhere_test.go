package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"dls/job/schedule"
)

// Streams that look new are no good news where their checkpoints lie elsewhere.
func TestStatusElsewhere(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	config, stray := filepath.Join(dir, "config.yml"), filepath.Join(elsewhere, "auth_checkpoint.json")
	for name, data := range map[string]string{config: oneEndpoint(dir), stray: `{"ikey": "DISCRIPT000000000000"}`} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		places []string
		code   int
		want   string
	}{{[]string{dir}, exitDone, ""}, {[]string{dir, elsewhere}, exitNone, "auth_checkpoint.json in "}} {
		var stdout, stderr bytes.Buffer
		c := &statusCommand{Places: tt.places}
		c.Config = config
		code := c.run(t.Context(), &stdout, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.want) || !strings.Contains(stdout.String(), "never") {
			t.Errorf("exit code %d\n%s%s", code, &stdout, &stderr)
		}
	}
}

// oneEndpoint is a configuration with its checkpoints in a directory.
func oneEndpoint(dir string) string {
	return `version: '1.0.0'
dls_settings: {checkpointing: {directory: '` + dir + `'}}
servers: [{id: a, hostname: 127.0.0.1, port: 5140, protocol: TCP}]
account:
  ikey: DISCRIPT000000000000
  skey: ` + scriptSecret + `
  hostname: api-12345678.duosecurity.com
  endpoint_server_mappings: [{endpoints: [auth], server: a}]
`
}

// A job whose checkpoints would lie elsewhere than duologsync's tells how to bring
// them along.
func TestScheduleMoves(t *testing.T) {
	if runtime.GOOS != "linux" || !strings.HasPrefix(t.TempDir(), "/tmp/") {
		t.Skip("the temporary folder is not /tmp")
	}
	dir := t.TempDir()
	config, stray := filepath.Join(dir, "config.yml"), filepath.Join(dir, "auth_checkpoint_data.txt")
	for name, data := range map[string]string{config: oneEndpoint(dir), stray: `["1795397947000", "x"]`} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &scheduleCommand{Kind: string(schedule.Systemd), Every: period(5 * 60e9), Name: "dls-absent", Program: "/usr/local/bin/dls"}
	c.Config = config
	_, err := c.definition()
	for _, part := range []string{"must come along", "install -d -m 700 /var/lib/dls-absent && mv " + stray + " /var/lib/dls-absent/"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
	// What is refused for another reason says that alone.
	c.Program = "/tmp/dls"
	if _, err := c.definition(); err == nil || !strings.Contains(err.Error(), `program "/tmp/dls"`) || strings.Contains(err.Error(), "must come along") {
		t.Errorf("of a program that cannot be used: %v", err)
	}
}
