//go:build unix

package job_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dls/job"
	"dls/job/duosim"
	"dls/sinks/sinktest"
)

// The tests of this file run the built program before real proxies. They take their
// time: .ci/steps/balancers runs them.
var wholeKills = flag.Int("wholekills", 1, "how often a backend is killed behind each proxy, with each protocol")

// backend is what stands behind a proxy, and stores what it takes before it says so.
type backend interface {
	start()
	kill()
	// stored are the lines that it has, of all its lives.
	stored() [][]byte
}

// simBackend is a receiver of the tests' own.
type simBackend struct {
	t       *testing.T
	options sinktest.Options
	now     atomic.Pointer[sinktest.Receiver]
	lines   [][]byte
}

func (b *simBackend) start() { b.now.Store(sinktest.Listen(b.t, b.options)) }
func (b *simBackend) kill() {
	if r := b.now.Load(); r != nil {
		r.Close()
	}
}

func (b *simBackend) stored() [][]byte {
	if r := b.now.Load(); r != nil {
		b.lines = append(b.lines, r.Take()...)
	}
	return b.lines
}

// relpBackend is rsyslog with imrelp as docs/receivers.md has it.
type relpBackend struct {
	t       *testing.T
	dir     string
	port    int
	config  string
	head    []byte // how each record begins
	running *sinktest.Program
}

func newRELPBackend(t *testing.T, port int) *relpBackend {
	b := &relpBackend{t: t, dir: t.TempDir(), port: port}
	b.config = sinktest.Configuration(t, strings.NewReplacer("2514", strconv.Itoa(port), "/var/log/", b.dir+"/").
		Replace(sinktest.Documented(t, "../docs/receivers.md", "rsyslog imrelp")))
	return b
}

func (b *relpBackend) start() {
	b.running = sinktest.Start(b.t, b.port, "rsyslogd", "-n", "-f", b.config, "-i", filepath.Join(b.dir, "pid"))
}

func (b *relpBackend) kill() {
	if b.running != nil {
		b.running.Kill()
	}
}

func (b *relpBackend) stored() (lines [][]byte) {
	data, err := os.ReadFile(filepath.Join(b.dir, "duo.log"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Error(err)
	}
	for line := range bytes.Lines(data) {
		if i := bytes.LastIndex(line, b.head); i > 0 && len(b.head) > 0 {
			line = line[i:] // what a kill has cut stands before the first record of the next life
		}
		if bytes.HasPrefix(line, []byte("{")) && bytes.HasSuffix(line, []byte("}\n")) {
			lines = append(lines, line)
		}
	}
	return lines
}

// wholeWorld is a world whose one server is a proxy.
type wholeWorld struct {
	*world
	backend backend
	want    []string
}

// newWhole returns a world with n records of one endpoint, of which the program is to
// deliver all by a protocol through a proxy; behind it there is nothing yet.
func newWhole(t *testing.T, p sinktest.Proxy, protocol string, n int) *wholeWorld {
	t.Helper()
	w, _ := newWorld(t)
	ca := sinktest.NewAuthority(t)
	leaf := ca.Issue(t, sinktest.CertificateOptions{})
	port, behind := sinktest.FreePort(t), sinktest.FreePort(t)
	p.Start(t, port, behind, sinktest.WriteFile(t, leaf.CertPEM(), leaf.KeyPEM(t)))

	more := map[string]any{"protocol": protocol}
	one := server{id: "siem", port: port}
	if p.TLS {
		one.cert = sinktest.WriteFile(t, ca.CertPEM())
	}
	from := time.Now().Add(-time.Duration(n+600) * time.Second)
	w.add(parent, victim, duosim.Generator{Seed: uint64(n), Jitter: true}.Generate(victim, n, from, time.Second)...)
	o := &wholeWorld{world: w, want: w.lines(parent, victim)}
	sim := &simBackend{t: t, options: sinktest.Options{Port: behind}}
	o.backend = sim
	switch protocol {
	case "TCP":
		more["settle"] = 5
	case "RELP":
		b := newRELPBackend(t, behind)
		key, _, _ := strings.Cut(o.want[0], ":")
		b.head = []byte(key)
		o.backend = b
	case "HEC":
		maps.Copy(more, map[string]any{"token": hecToken, "plaintext": !p.TLS})
		sim.options.Behave = (&sinktest.HEC{T: t, Token: hecToken, Acks: true}).Behave
	}
	if p.TLS && protocol != "HEC" {
		more["protocol"] = protocol + "SSL"
	}
	one.more = more
	w.text.servers = []server{one}
	w.text.endpoints = map[string][]string{"siem": {victim}}
	w.config()
	return o
}

// sync runs the program and returns its exit code and what it said.
func (w *wholeWorld) sync(retryFor string) (code int, said string) {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), program(w.t), "sync", "--retry-for", retryFor, w.path("config.yml")).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	} else if err != nil {
		w.t.Fatal(err)
	}
	return 0, string(out)
}

// overProxies calls do for each proxy and protocol.
func overProxies(t *testing.T, do func(t *testing.T, p sinktest.Proxy, protocol string)) {
	if !*whole {
		t.Skip("real proxies: -whole is not given; .ci/steps/balancers gives it")
	}
	program(t)
	for _, p := range sinktest.Proxies {
		for _, protocol := range []string{"TCP", "RELP", "HEC"} {
			t.Run(p.Name+"/"+protocol, func(t *testing.T) {
				t.Parallel()
				do(t, p, protocol)
			})
		}
	}
}

// A proxy whose backend refuses takes records that nobody gets: the run fails, however
// few they are, and the next one sends them.
func TestWholeRefused(t *testing.T) {
	overProxies(t, func(t *testing.T, p sinktest.Proxy, protocol string) {
		for _, n := range []int{1, 3, 900} {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				w := newWhole(t, p, protocol, n)
				code, said := w.sync("0s")
				if code != 1 || !strings.Contains(said, "dls: error: ") {
					t.Errorf("exit code %d, want 1:\n%s", code, said)
				}
				w.backend.start()
				// The proxy may think for a while that its backend is down.
				if code, said = w.sync("1m"); code != 0 {
					t.Errorf("the next run: exit code %d:\n%s", code, said)
				}
				within(t, "all is stored", func() bool { return len(w.backend.stored()) >= n })
				exactly(t, w.want, w.backend.stored())
			})
		}
	})
}

// A backend that is killed while a run is under way loses nothing of what counts: the
// run goes on, or the next one sends it.
func TestWholeKills(t *testing.T) {
	const n = 24_000
	var kills, missed, again atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d kills in mid-run of %d records: %d missing, %d repeated", kills.Load(), n, missed.Load(), again.Load())
	})
	overProxies(t, func(t *testing.T, p sinktest.Proxy, protocol string) {
		w := newWhole(t, p, protocol, n)
		w.backend.start()
		for i := range *wholeKills {
			if i > 0 { // from the start again
				if err := os.RemoveAll(w.path("state")); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(w.path("state"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			before := len(w.backend.stored())
			done := make(chan struct{})
			dead := make(chan struct{})
			go func() {
				defer close(dead)
				at := before + rand.IntN(n)
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for len(w.backend.stored()) < at {
					select {
					case <-tick.C:
					case <-done:
						return
					}
				}
				w.backend.kill()
				kills.Add(1)
				w.backend.stored()
				w.backend.start()
			}()
			code, said := w.sync("2m")
			close(done)
			<-dead
			if code != 0 {
				first := said
				if code, said = w.sync("2m"); code != 0 {
					t.Errorf("exit code %d:\n%s\nthe run before:\n%s", code, said, first)
				}
			}
			missing, repeated, unknown := tally(w.want, w.backend.stored()[before:])
			t.Logf("of %d records %d are missing, %d repeated, %d unknown", n, missing, repeated, unknown)
			missed.Add(int64(missing))
			again.Add(int64(repeated))
			if missing+unknown > 0 {
				t.Errorf("of %d records %d are missing, %d unknown", n, missing, unknown)
			}
		}
	})
}

// A record above its limit makes rsyslog's imrelp end the connection: it fails its own
// stream by name, and the 799 others, with pages in the same session, are delivered.
func TestWholePoison(t *testing.T) {
	if !*whole {
		t.Skip("real receivers: -whole is not given; .ci/steps/balancers gives it")
	}
	const n = 800
	w, _ := newWorld(t)
	b := newRELPBackend(t, sinktest.FreePort(t))
	w.text.servers = []server{{id: "siem", port: b.port, more: map[string]any{"protocol": "RELP"}}}
	w.children(n)
	victim := fmt.Sprintf("DACHILD%013d", 17)
	var want []string
	for i := range n {
		if id := fmt.Sprintf("DACHILD%013d", i); id != victim {
			want = append(want, w.lines(id, "auth")...)
		}
	}
	bad := duosim.Generate("auth", 1, time.Now().Add(-30*time.Minute), time.Second)[0]
	bad.Raw = fmt.Appendf(bytes.TrimSuffix(bytes.TrimSpace(bad.Raw), []byte("}")), `, "note": "%s"}`, strings.Repeat("x", 200<<10))
	w.add(victim, "auth", bad)
	b.start()
	failed := w.sync(func(o *job.Options) { o.RetryFor = 5 * time.Minute }).Failed()
	if len(failed) != 1 || failed[0].Account != victim || !strings.Contains(failed[0].Err.Error(), "refused this page") {
		t.Errorf("failed: %v", failed)
	}
	var got [][]byte
	for _, line := range b.stored() {
		if !bytes.Contains(line, []byte(victim)) {
			got = append(got, line)
		}
	}
	missing, repeated, unknown := tally(want, got)
	t.Logf("of %d records of the others %d are missing, %d repeated, %d unknown", len(want), missing, repeated, unknown)
	if missing+unknown > 0 || repeated > len(want)/10 {
		t.Errorf("of %d records of the others %d are missing, %d repeated, %d unknown", len(want), missing, repeated, unknown)
	}
}
