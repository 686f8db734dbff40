package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dls/job/duo"
	"dls/sinks/sinktest"
)

// simulate starts the simulated Duo and returns the configuration that it wrote, and
// what ends it.
func simulate(t *testing.T, args ...string) (path string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		n := command(ctx, append([]string{"simulate"}, args...), in, &stderr)
		in.Close()
		code <- n
	}()
	sc := bufio.NewScanner(out)
	for sc.Scan() && !strings.HasPrefix(sc.Text(), "Ctrl-C") {
		if command, found := strings.CutPrefix(sc.Text(), "    dls check "); found {
			path = command
		}
	}
	go io.Copy(io.Discard, out)
	stop = func() int {
		cancel()
		n := <-code
		if n != exitDone {
			t.Errorf("stderr:\n%s", &stderr)
		}
		return n
	}
	if path == "" {
		t.Fatalf("exit code %d", stop())
	}
	return path, stop
}

// dls carries a command line out and returns what it prints.
func dls(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, wrong bytes.Buffer
	if code := command(t.Context(), args, &out, &wrong); code != want {
		t.Fatalf("dls %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, &out, &wrong)
	}
	return out.String(), wrong.String()
}

// The configuration that a simulation writes works, and is taken away at the end.
func TestSimulate(t *testing.T) { // it sets the environment, and cannot run beside others
	path, stop := simulate(t, "--backlog", "30", "--records", "0", "--latency", "0s", "--accounts", "2", "--fault", "502", "--fault-every", "4")
	_, log := dls(t, exitDone, "sync", "-v", "--retry-for", "1m", path)
	if n := strings.Count(log, "delivered 30,"); n != 8 {
		t.Errorf("%d streams delivered all, want 8:\n%s", n, log)
	}
	if code := stop(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("the directory is still there: %v", err)
	}
}

// On a screen an audit shows each account once, above its streams.
func TestAuditOnAScreen(t *testing.T) {
	path, stop := simulate(t, "--backlog", "5", "--records", "0", "--latency", "0s", "--accounts", "2")
	defer stop()
	dls(t, exitDone, "sync", path)
	for _, columns := range []string{"80", "40"} {
		t.Setenv("COLUMNS", columns)
		table, _ := dls(t, exitDone, "audit", "--since", "2d", path)
		if regexp.MustCompile(".{"+columns+"}").MatchString(table) || strings.Count(table, "\nCustomer 2 (DASIM") != 1 {
			t.Errorf("%s columns:\n%s", columns, table)
		}
	}
}

// A configuration of one's own gives the receivers, and nothing of its account.
func TestSimulateWithOwnReceivers(t *testing.T) {
	t.Parallel()
	siem := sinktest.Listen(t, sinktest.Options{})
	dir := t.TempDir()
	own := filepath.Join(dir, "own.yml")
	text := `version: '1.0.0'
dls_settings: {log_format: CEF}
servers:
  - &siem {id: mine, hostname: 127.0.0.1, port: ` + strconv.Itoa(siem.Port()) + `, protocol: TCP, settle: 0}
account:
  ikey: DIOWN000000000000000
  skey: ` + scriptSecret + `
  hostname: api-12345678.duosecurity.com
  endpoint_server_mappings:
    - {endpoints: [auth, activity], server: mine}
`
	if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path, stop := simulate(t, own, "--directory", filepath.Join(dir, "sim"), "--backlog", "10", "--latency", "0s")
	written, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(written), scriptSecret) || strings.Contains(string(written), "DIOWN") || !strings.Contains(string(written), "mine") {
		t.Errorf("%v, the configuration is\n%s", err, written)
	}
	dls(t, exitDone, "sync", path)
	lines := siem.Take()
	if len(lines) != 20 || !bytes.Contains(lines[0], []byte("CEF:0")) {
		t.Errorf("%d lines, want 20 of CEF", len(lines))
	}
	if code := stop(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the named directory is gone: %v", err)
	}

	out, _ := dls(t, exitDone, "demo", "--server", "mine", own)
	if n := len(siem.Take()); n != 160 || !strings.Contains(out, "All 160 are confirmed") {
		t.Errorf("the demo sent %d records:\n%s", n, out)
	}
	_, wrong := dls(t, exitNone, "demo", "--server", "other", own)
	if !strings.Contains(wrong, `--server "other": the configuration has no such server`) {
		t.Errorf("an unknown server: %s", wrong)
	}
}

// In its directory a simulation replaces what another one wrote, and nothing else.
func TestSimulateDirectory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		plant func(dir string) error
		want  string
	}{
		{"another simulation", func(string) error { return nil }, ""},
		{"a configuration", func(dir string) error { return os.WriteFile(filepath.Join(dir, "config.yml"), []byte("mine"), 0o600) },
			`config.yml": it is there already`},
		{"certificates", func(dir string) error { return os.Remove(filepath.Join(dir, "config.yml")) }, `ca.pem": it is there already`},
		{"a link", func(dir string) error {
			from, to := filepath.Join(dir, "config.yml"), filepath.Join(dir, "other")
			return errors.Join(os.Rename(from, to), os.Symlink(to, from))
		}, `config.yml": it is a symbolic link`},
		{"no directory", func(dir string) error {
			path := filepath.Join(dir, "checkpoints")
			return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600))
		}, `checkpoints": something else has the name`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := []string{"--directory", t.TempDir(), "--backlog", "1", "--latency", "0s"}
			path, stop := simulate(t, args...)
			stop()
			if err := tt.plant(filepath.Dir(path)); err != nil {
				t.Skip("it cannot be planted here:", err)
			}
			if tt.want == "" {
				_, stop := simulate(t, args...)
				stop()
				return
			}
			before, _ := os.ReadFile(path)
			_, wrong := dls(t, exitNone, append([]string{"simulate"}, args...)...)
			after, _ := os.ReadFile(path)
			if !bytes.Equal(before, after) || !strings.Contains(wrong, tt.want) {
				t.Errorf("the configuration is %q now; stderr %q, want %q", after, wrong, tt.want)
			}
		})
	}
}

// check and status tell the same of a stream, also where the last run has read beyond
// its newest record.
func TestCheckAndStatusAgree(t *testing.T) {
	path, stop := simulate(t, "--backlog", "5", "--records", "0", "--latency", "0s")
	defer stop()
	dls(t, exitDone, "sync", path)
	table, _ := dls(t, exitDone, "status", path)
	found, _ := dls(t, exitDone, "check", "--offline", path)
	for _, endpoint := range duo.Names() {
		until := regexp.MustCompile(`(?m)^` + endpoint + ` +ok +(\S+)`).FindStringSubmatch(table)
		if until == nil || !strings.Contains(found, "checkpoint of "+endpoint+": delivered up to "+until[1]+"\n") {
			t.Errorf("%s: status says\n%s\ncheck says\n%s", endpoint, table, found)
		}
	}
}

// A directory has one simulation at a time.
func TestSimulateBeside(t *testing.T) {
	dir := t.TempDir()
	quick := []string{"--backlog", "1", "--latency", "0s", "--directory"}
	path, stop := simulate(t, append(quick, dir)...)
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, wrong := dls(t, exitNone, append([]string{"simulate"}, append(quick, dir)...)...)
	if !strings.Contains(wrong, "another simulation runs there; name another directory") {
		t.Errorf("beside another one: %s", wrong)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, written) {
		t.Errorf("the configuration of the one that runs: %v\n%s", err, now)
	}
	stop()
	if _, stop := simulate(t, append(quick, dir)...); stop() != exitDone {
		t.Error("after that one's end")
	}
}

// The template serves as soon as it has a receiver: what is empty of its account may
// stay so, and what is missing of the receiver is said.
func TestSimulateTemplate(t *testing.T) {
	template, err := os.ReadFile("template_config.yml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.yml")
	write := func(edits ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.NewReplacer(edits...).Replace(string(template))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	for _, args := range [][]string{{"simulate", path}, {"demo", "--server", "siem", path}} {
		_, wrong := dls(t, exitUsage, args...)
		for _, want := range []string{"servers[0].hostname: must not be empty", "may stay empty"} {
			if !strings.Contains(wrong, want) || strings.Contains(wrong, "account.ikey") {
				t.Errorf("%s: no %q, or too much, in: %s", args[0], want, wrong)
			}
		}
	}
	siem := sinktest.Listen(t, sinktest.Options{})
	server := "    hostname: '127.0.0.1'\n    port: " + strconv.Itoa(siem.Port()) + "\n    protocol: "
	receiver := []string{"    hostname: ''\n", "", "    port: 6514\n", "", "    protocol: 'TCPSSL'\n", server + "TCP\n    settle: 0\n", "    cert_filepath: ''\n", ""}
	write(receiver...)
	simulated, stop := simulate(t, path, "--backlog", "10", "--latency", "0s", "--records", "0")
	dls(t, exitDone, "sync", "--begin", simulated)
	if n := len(siem.Take()); n != 30 {
		t.Errorf("%d lines, want 30", n)
	}
	stop()

	// A token from the environment is the run's, as ever.
	t.Setenv("DLS_TOKEN", "of-the-collector")
	receiver[5] = server + "HEC\n    plaintext: true\n"
	write(receiver...)
	_, stop = simulate(t, path, "--backlog", "1")
	stop()
}

// The demo comes out as it says, whatever the secrets of the machine.
func TestDemo(t *testing.T) {
	t.Setenv("DLS_SKEY", "of another account")
	t.Setenv("CREDENTIALS_DIRECTORY", t.TempDir())
	if err := os.WriteFile(filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), "skey"), []byte("of another account"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := dls(t, exitDone, "demo")
	for _, want := range []string{"The receiver dies in mid-run", "exit code", "0 missing", "CEF:0", "DELIVERED UP TO"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestSimulateUsage(t *testing.T) {
	for args, want := range map[string]string{
		"simulate --accounts=-1":           "--accounts=-1: from 0 to 2000",
		"simulate --late 101":              "--late=101: from 0 to 100",
		"simulate --over 180d":             "180 days",
		"simulate --fault fire":            `--fault: "fire" is none of "429"`,
		"simulate --fault 502 --latency x": "no duration",
		"demo some.yml":                    "only with --server",
		"demo --server siem":               "no configuration file",
	} {
		if _, got := dls(t, exitUsage, strings.Fields(args)...); !strings.Contains(got, want) {
			t.Errorf("%s: %s", args, got)
		}
	}
}

// The real job's configuration lends its receivers only when it is named.
func TestSimulateNotByEnvironment(t *testing.T) {
	t.Setenv("DLS_CONFIG", filepath.Join(t.TempDir(), "of-the-real-job.yml"))
	path, stop := simulate(t, "--backlog", "1", "--latency", "0s")
	written, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(written), "127.0.0.1") {
		t.Errorf("%v, the configuration is\n%s", err, written)
	}
	stop()
}
