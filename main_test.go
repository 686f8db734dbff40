package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"dls/job/config"
	"dls/job/duosim"
	"dls/job/schedule"
	"dls/sinks/sinktest"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// programs are what the test binary can be run as, by the names it is called by.
var programs = map[string]func(){"dls": main}

func TestMain(m *testing.M) {
	testscript.Main(m, programs)
}

// TestScripts runs the real program as its users do. Each script finds a
// simulated Duo and a receiver running, and their addresses in the environment.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"records":  records,
			"long":     long,
			"received": received,
			"deny":     deny,
			"code":     code,
			"calls":    calls,
			"envsubst": envsubst,
			"pinged":   pinged,
		},
	})
}

// A job definition accounts for every file that a run reads.
func TestScheduledFiles(t *testing.T) {
	dir := t.TempDir()
	path, key := filepath.Join(dir, "config.yml"), filepath.Join(dir, "skey")
	text := `version: '1.0.0'
dls_settings:
  api: {ca_filepath: /etc/dls/ca.pem}
servers:
  - {id: plain, hostname: 127.0.0.1, port: 5140, protocol: TCP, cert_filepath: /unused.pem}
  - {id: unmapped, hostname: 127.0.0.1, port: 6515, protocol: TCPSSL, cert_filepath: /tmp/unused.pem}
  - {id: tls, hostname: 127.0.0.1, port: 6514, protocol: TCPSSL, cert_filepath: /etc/dls/siem.pem, key_filepath: /etc/dls/siem.key}
account:
  ikey: DISCRIPT000000000000
  skey_filepath: ` + strconv.Quote(key) + `
  hostname: api-12345678.duosecurity.com
  endpoint_server_mappings:
    - {endpoints: [auth], server: tls}
`
	for name, data := range map[string]string{path: text, key: scriptSecret} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(path, config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	want := []schedule.File{
		{Key: "dls_settings.api.ca_filepath", Path: "/etc/dls/ca.pem"},
		{Key: "account.skey_filepath", Path: key},
		{Key: "servers[2].cert_filepath", Path: "/etc/dls/siem.pem"},
		{Key: "servers[2].key_filepath", Path: "/etc/dls/siem.key"},
	}
	if diff := cmp.Diff(want, files(cfg)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

const (
	scriptAccount = "DASCRIPT000000000000"
	scriptSecret  = "not-a-real-secret-not-a-real-secret-not-"
	scriptToken   = "not-a-real-token"
)

// worldKey is where a script's world lies among its values.
type worldKey struct{}

type scriptWorld struct {
	sim       *duosim.Server
	siem      *sinktest.Receiver
	collector *sinktest.Receiver // of HEC
	udp       *sinktest.Receiver
	tb        testing.TB

	mu    sync.Mutex
	pings []string // the paths of calls to the dead-man switch
}

func setup(env *testscript.Env) error {
	tb := env.T().(testing.TB)
	sim := duosim.New(duosim.Account{ID: scriptAccount, Name: "Script", Ikey: "DISCRIPT000000000000", Skey: scriptSecret, MSP: true})
	if err := sim.Start(); err != nil {
		return err
	}
	env.Defer(sim.Close)
	w := &scriptWorld{sim: sim, siem: sinktest.Listen(tb, sinktest.Options{}), tb: tb}
	hec := &sinktest.HEC{T: tb, Token: scriptToken, Refuse: func(event []byte) bool { return len(event) > 20_000 }}
	w.collector = sinktest.Listen(tb, sinktest.Options{Behave: hec.Behave})
	w.udp = sinktest.ListenUDP(tb, sinktest.Options{})
	env.Values[worldKey{}] = w
	alarm := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pings = append(w.pings, r.URL.Path)
	}))
	env.Defer(alarm.Close)
	env.Setenv("ALARM", alarm.URL)
	if err := os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), sim.CAPEM(), 0o600); err != nil {
		return err
	}
	env.Setenv("DUO", sim.Host(scriptAccount))
	env.Setenv("SIEM_PORT", strconv.Itoa(w.siem.Port()))
	env.Setenv("HEC_PORT", strconv.Itoa(w.collector.Port()))
	env.Setenv("UDP_PORT", strconv.Itoa(w.udp.Port()))
	env.Setenv("TOKEN", scriptToken)
	env.Setenv("FREE_PORT", strconv.Itoa(sinktest.FreePort(tb)))
	env.Setenv("SECRET", scriptSecret)
	return os.Mkdir(filepath.Join(env.WorkDir, "state"), 0o700)
}

func worldOf(ts *testscript.TestScript) *scriptWorld { return ts.Value(worldKey{}).(*scriptWorld) }

// yesterday is when the day before the test's began (UTC).
var yesterday = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)

// records ENDPOINT N WHEN adds N records, a second apart, the first so long ago, or at
// a time of yesterday (15:04:05, UTC).
func records(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: records endpoint n when")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	at, err := time.Parse(time.TimeOnly, args[2])
	since := at.Sub(at.Truncate(24 * time.Hour))
	first := yesterday.Add(since)
	if err != nil {
		since, err = time.ParseDuration(args[2])
		ts.Check(err)
		first = time.Now().Add(-since)
	}
	g := duosim.Generator{Seed: uint64(since)}
	worldOf(ts).sim.Add(scriptAccount, args[0], g.Generate(args[0], n, first, time.Second)...)
}

// long ENDPOINT BYTES AGO adds a record that is longer than so many bytes, and not by
// much.
func long(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: long endpoint bytes ago")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ago, err := time.ParseDuration(args[2])
	ts.Check(err)
	r := duosim.Generator{Seed: uint64(n)}.Generate(args[0], 1, time.Now().Add(-ago), time.Second)[0]
	r.Raw = append(bytes.TrimSuffix(bytes.TrimSpace(r.Raw), []byte("}")), `, "note": "`+strings.Repeat("x", n)+`"}`...)
	worldOf(ts).sim.Add(scriptAccount, args[0], r)
}

// received N [hec|udp] checks how many records came since the last time, to the
// receiver of TCP unless another is named.
func received(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	r := w.siem
	switch {
	case neg || len(args) < 1 || len(args) > 2:
		ts.Fatalf("usage: received n [hec|udp]")
	case len(args) == 2 && args[1] == "hec":
		r = w.collector
	case len(args) == 2:
		r = w.udp
		n, err := strconv.Atoi(args[0])
		ts.Check(err)
		r.Wait(w.tb, n)
	}
	lines := r.Take()
	if fmt.Sprint(len(lines)) != args[0] {
		ts.Fatalf("received %d records, want %s", len(lines), args[0])
	}
}

// pinged PATH... checks which calls the dead-man switch got since the last time. The
// one at the start of a run may be overtaken by the run's end.
func pinged(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: pinged path...")
	}
	w := worldOf(ts)
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.pings
	w.pings = nil
	if len(args) == len(got)+1 && strings.HasSuffix(args[0], "/start") {
		args = args[1:]
	}
	if !slices.Equal(got, args) {
		ts.Fatalf("the dead-man switch was called at %q, want %q", got, args)
	}
}

// deny ENDPOINT takes the permission for an endpoint away.
func deny(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: deny endpoint")
	}
	worldOf(ts).sim.Deny(scriptAccount, args[0])
}

// calls N checks how many calls Duo got so far.
func calls(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: calls n")
	}
	if n := len(worldOf(ts).sim.Calls()); fmt.Sprint(n) != args[0] {
		ts.Fatalf("Duo got %d calls, want %s", n, args[0])
	}
}

// code N COMMAND... runs the command and checks its exit code.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code n command...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		exit, ok := errors.AsType[interface {
			error
			ExitCode() int
		}](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = strconv.Itoa(exit.ExitCode())
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// envsubst FILE... replaces $NAME in the files by the environment's values, and
// makes them as private as a file with a secret should be.
func envsubst(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: envsubst file...")
	}
	for _, name := range args {
		path := ts.MkAbs(name)
		data, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.Chmod(path, 0o600))
		ts.Check(os.WriteFile(path, []byte(os.Expand(string(data), ts.Getenv)), 0o600))
	}
}
