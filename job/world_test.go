package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/sinks/sinktest"
)

const (
	parent = "DAPARENT000000000000"
	ikey   = "DIAAAAAAAAAAAAAAAAAA"
	skey   = "not-a-real-secret-not-a-real-secret-not-"
)

// world is all that a run meets: a simulated Duo, receivers, and a directory
// with the configuration and the checkpoints.
type world struct {
	t    *testing.T
	sim  *duosim.Server
	dir  string
	text settings
	log  lockedBuffer
}

// settings is what the tests vary of the configuration.
type settings struct {
	format   string
	api      map[string]any // added to dls_settings.api
	settings map[string]any // added to dls_settings
	enabled  bool
	// checkpointing is added to dls_settings.checkpointing.
	checkpointing map[string]any
	hostname      string // of Duo's API, where it is not the simulated one
	servers       []server
	msp           bool
	blockList     []string
	skey          string
	endpoints     map[string][]string // by server id; nil: all of them to each server
}

type server struct {
	id, protocol string
	port         int
	cert         string
	more         map[string]any // other keys, or other values
}

// newWorld returns a world with one account and one TCP receiver of good
// behaviour.
func newWorld(t *testing.T) (*world, *sinktest.Receiver) {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), text: settings{format: "JSON", enabled: true, skey: skey}}
	w.sim = duosim.New(duosim.Account{ID: parent, Name: "Parent", Ikey: ikey, Skey: skey, MSP: true})
	if err := w.sim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.sim.Close)
	if err := os.WriteFile(w.path("ca.pem"), w.sim.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	siem := sinktest.Listen(t, sinktest.Options{})
	w.text.servers = []server{{id: "siem", protocol: "TCP", port: siem.Port()}}
	return w, siem
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// child adds a child account and makes the world that of an MSP.
func (w *world) child(id, name string) {
	w.t.Helper()
	w.text.msp = true
	w.sim.AddAccount(duosim.Account{ID: id, Name: name, Parent: parent})
	if err := w.sim.Start(); err != nil {
		w.t.Fatal(err)
	}
}

// config writes the configuration and reads it as the program does.
func (w *world) config() *config.Config {
	w.t.Helper()
	var servers, mappings []map[string]any
	for _, s := range w.text.servers {
		one := map[string]any{"id": s.id, "hostname": "127.0.0.1", "port": s.port, "protocol": s.protocol, "settle": 0}
		if s.cert != "" {
			one["cert_filepath"] = s.cert
		}
		maps.Copy(one, s.more)
		if p := one["protocol"]; p == "RELP" || p == "RELPSSL" || p == "HEC" {
			delete(one, "settle")
		}
		servers = append(servers, one)
		names := duo.Names()
		if w.text.endpoints != nil {
			names = w.text.endpoints[s.id]
		} else if w.text.msp || w.text.format == "CEF" {
			names = []string{"auth", "telephony", "activity", "adminaction"}
		}
		mappings = append(mappings, map[string]any{"endpoints": names, "server": s.id})
	}
	api := map[string]any{"ca_filepath": w.path("ca.pem")}
	for k, v := range w.text.api {
		api[k] = v
	}
	hostname := w.sim.Host(parent)
	if w.text.hostname != "" {
		hostname = w.text.hostname
	}
	account := map[string]any{
		"ikey": ikey, "skey": w.text.skey, "hostname": hostname, "is_msp": w.text.msp,
		"endpoint_server_mappings": mappings,
	}
	if len(w.text.blockList) > 0 {
		account["block_list"] = w.text.blockList
	}
	checkpointing := map[string]any{"enabled": w.text.enabled, "directory": w.path("state")}
	for k, v := range w.text.checkpointing {
		checkpointing[k] = v
	}
	doc := map[string]any{
		"version": "1.0.0",
		"dls_settings": map[string]any{
			"log_filepath":  w.path("dls.log"),
			"log_format":    w.text.format,
			"api":           api,
			"checkpointing": checkpointing,
		},
		"servers": servers,
		"account": account,
	}
	for k, v := range w.text.settings {
		doc["dls_settings"].(map[string]any)[k] = v
	}
	// JSON is YAML.
	data, err := json.Marshal(doc)
	if err != nil {
		w.t.Fatal(err)
	}
	path := w.path("config.yml")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := config.Load(path, config.Env{})
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// options are those of a run that gives up on nothing that a test breaks for a
// moment, and on the rest quickly.
func (w *world) options() job.Options {
	return job.Options{
		Version: "test", RetryFor: 0, Grace: time.Second,
		Places: []string{}, // what lies about on this machine is not part of a test
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)),
	}
}

// sync runs the job.
func (w *world) sync(change ...func(*job.Options)) *job.Summary {
	w.t.Helper()
	sum, err := w.try(change...)
	if err != nil {
		w.t.Fatal(err)
	}
	return sum
}

func (w *world) try(change ...func(*job.Options)) (*job.Summary, error) {
	w.t.Helper()
	opts := w.options()
	for _, f := range change {
		f(&opts)
	}
	return job.Sync(context.Background(), w.config(), opts)
}

// shares runs n shares of the job at once, in which no stream may fail.
func (w *world) shares(n int) []*job.Summary {
	w.t.Helper()
	cfg := w.config()
	sums := make([]*job.Summary, n)
	var runs sync.WaitGroup
	for k := range n {
		runs.Go(func() {
			opts := w.options()
			opts.Shard = job.Shard{K: k, N: n}
			sum, err := job.Sync(w.t.Context(), cfg, opts)
			if err != nil {
				w.t.Error(err)
				return
			}
			w.clean(sum)
			sums[k] = sum
		})
	}
	runs.Wait()
	return sums
}

// clean fails the test if a stream failed.
func (w *world) clean(sum *job.Summary) {
	w.t.Helper()
	for _, r := range sum.Failed() {
		w.t.Errorf("%s: %v", r.Name(), r.Err)
	}
}

// add adds records to an endpoint.
func (w *world) add(account, endpoint string, records ...duosim.Record) {
	w.sim.Add(account, endpoint, records...)
}

// fill adds n records of each endpoint, spread over the time since from.
func (w *world) fill(account string, n int, from time.Time, seed uint64) {
	step := time.Since(from.Add(duosim.Delay)) / time.Duration(n+1)
	for _, name := range duo.Names() {
		w.add(account, name, duosim.Generator{Seed: seed, Jitter: true}.Generate(name, n, from, step)...)
	}
}

// lines are the lines that duologsync makes of what Duo shows of the streams of
// an account, made by a formatter of the tests' own.
func (w *world) lines(account string, names ...string) []string {
	w.t.Helper()
	var all []string
	for _, name := range names {
		var extra string
		switch {
		case account != parent:
			extra = fmt.Sprintf(`, "child_account_id": "%s"}`, account)
		case name == "auth":
			extra = fmt.Sprintf(`, "eventtype": "authentication", "host": "%s"}`, w.sim.Host(parent))
		case name == "adminaction":
			extra = fmt.Sprintf(`, "eventtype": "administrator", "host": "%s"}`, w.sim.Host(parent))
		default:
			extra = "}"
		}
		for r := range w.sim.Visible(account, name) {
			all = append(all, strings.TrimSuffix(dumps(w.t, r.Raw), "}")+extra)
		}
	}
	return all
}

// dumps writes a JSON text as Python's json.dumps does: with spaces behind separators,
// and in ASCII.
func dumps(t *testing.T, raw []byte) string {
	t.Helper()
	out := make([]byte, 0, len(raw)+len(raw)/8)
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case ' ', '\t', '\r', '\n':
		case ',', ':':
			out = append(out, c, ' ')
		case '"':
			from, plain := i, true
			for i++; raw[i] != '"'; i++ {
				plain = plain && raw[i] != '\\' && raw[i] >= ' ' && raw[i] < 0x7f
				if raw[i] == '\\' {
					i++
				}
			}
			quoted := raw[from : i+1]
			if plain {
				out = append(out, quoted...)
				continue
			}
			var s string
			if err := json.Unmarshal(quoted, &s); err != nil {
				t.Fatal(err)
			}
			out = append(out, '"')
			for _, r := range s {
				switch short := strings.IndexRune("\"\\\b\f\n\r\t", r); {
				case short >= 0:
					out = append(out, '\\', `"\bfnrt`[short])
				case r >= 0x10000:
					out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
				case r < ' ' || r >= 0x7f:
					out = fmt.Appendf(out, `\u%04x`, r)
				default:
					out = append(out, byte(r))
				}
			}
			out = append(out, '"')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// tally compares what was received with what should have been: how many lines
// are missing, how many came more often than they should, and how many nobody
// knows.
func tally(want []string, got [][]byte) (missing, repeated, unknown int) {
	at := make(map[string]int, len(want))
	open := make([]int, 0, len(want))
	for _, line := range want {
		i, ok := at[line]
		if !ok {
			i = len(open)
			at[line], open = i, append(open, 0)
		}
		open[i]++
	}
	for _, line := range got {
		switch i, known := at[string(bytes.TrimSuffix(line, []byte("\n")))]; {
		case !known:
			unknown++
		case open[i] > 0:
			open[i]--
		default:
			repeated++
		}
	}
	for _, n := range open {
		missing += n
	}
	return missing, repeated, unknown
}

// exactly fails the test unless each line was received once.
func exactly(t *testing.T, want []string, got [][]byte) {
	t.Helper()
	if missing, repeated, unknown := tally(want, got); missing+repeated+unknown > 0 {
		t.Errorf("of %d lines %d are missing, %d repeated, %d unknown", len(want), missing, repeated, unknown)
	}
}

// lockedBuffer is a buffer that several goroutines may write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
