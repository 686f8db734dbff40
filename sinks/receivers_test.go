//go:build unix

package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"
)

// The tests of this file run real receivers, with the configurations of
// docs/receivers.md as they stand there, but for ports and directories, where -whole is
// given. Each is skipped where its program is not installed; .ci/steps/receivers
// installs them.

// documented returns the configuration that docs/receivers.md has under a name.
func documented(t *testing.T, name string) string {
	t.Helper()
	return sinktest.Documented(t, "../docs/receivers.md", name)
}

// receiver is a real one.
type receiver struct {
	dir     string
	port    int
	program string
	args    []string // FILE stands for the configuration, DIR for dir

	config  string
	out     string // the file that records are stored in
	running *sinktest.Program
}

// documentedReceiver prepares a receiver with a configuration of the document: the
// port is another, and so are the directories /var/log and /etc/dls.
func documentedReceiver(t *testing.T, name, program string, args ...string) *receiver {
	t.Helper()
	r := &receiver{dir: t.TempDir(), port: sinktest.FreePort(t), program: program, args: args}
	config := documented(t, name)
	port := regexp.MustCompile(`\b(?:2514|5140|6514|8088|20514|54525)\b`)
	if ports := port.FindAllString(config, -1); len(ports) != 1 {
		t.Fatalf("%d ports in configuration %q", len(ports), name)
	}
	r.config = port.ReplaceAllString(config, strconv.Itoa(r.port))
	r.config = regexp.MustCompile(`/(?:var/log|etc/dls)/`).ReplaceAllString(r.config, r.dir+"/")
	r.out = filepath.Join(r.dir, "duo.log")
	return r
}

// start starts the receiver and waits until it listens.
func (r *receiver) start(t *testing.T) {
	t.Helper()
	file := sinktest.Configuration(t, r.config)
	args := make([]string, len(r.args))
	for i, arg := range r.args {
		args[i] = strings.NewReplacer("FILE", file, "DIR", r.dir).Replace(arg)
	}
	r.running = sinktest.Start(t, r.port, r.program, args...)
}

// revive starts the receiver again if it has ended, and waits until s reaches it.
func (r *receiver) revive(t *testing.T, s sinks.Sink) {
	t.Helper()
	await(t, "the receiver is reached", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
		if err != nil {
			r.running.Kill()
			r.start(t)
		} else {
			c.Close()
		}
		_, err = s.Check(t.Context())
		return err == nil
	})
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("too late until %s", what)
		}
	}
}

// stored returns how often the receiver has each line.
func (r *receiver) stored(t *testing.T) map[string]int {
	t.Helper()
	data, err := os.ReadFile(r.out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	have := make(map[string]int)
	if strings.HasSuffix(r.program, "otelcol") {
		data = otelBodies(t, data)
	}
	for line := range bytes.Lines(data) {
		have[string(line)]++
	}
	return have
}

// otelBodies returns the bodies of the records in a file of OTLP's JSON as lines.
func otelBodies(t *testing.T, data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		var logs struct {
			ResourceLogs []struct {
				ScopeLogs []struct {
					LogRecords []struct {
						Body struct {
							StringValue string
							KvlistValue struct {
								Values []struct {
									Key   string
									Value struct{ StringValue string }
								}
							}
						}
						Attributes []struct {
							Key   string
							Value struct{ StringValue string }
						}
					}
				}
			}
		}
		if json.Unmarshal(line, &logs) != nil {
			continue // it is being written
		}
		for _, r := range logs.ResourceLogs {
			for _, s := range r.ScopeLogs {
				for _, l := range s.LogRecords {
					text := l.Body.StringValue
					if object := l.Body.KvlistValue.Values; len(object) > 0 { // of HEC, in any order
						fields := make(map[string]string)
						for _, v := range object {
							fields[v.Key] = v.Value.StringValue
						}
						text = fmt.Sprintf(`{"id": %q, "pad": %q}`, fields["id"], fields["pad"])
					}
					for _, a := range l.Attributes {
						if a.Key == "message" { // of syslog
							text = a.Value.StringValue
						}
					}
					out = append(out, text+"\n"...)
				}
			}
		}
	}
	return out
}

// expect waits until the receiver has every line of the pages, and nothing else; once
// each where once is set, else a receiver that was killed may have torn some of them
// beside the whole ones.
func (r *receiver) expect(t *testing.T, once bool, pages ...[]byte) {
	t.Helper()
	want, heads := make(map[string]bool), make(map[string]bool)
	head := func(line string) string { id, _, _ := strings.Cut(line, ","); return id }
	for _, p := range pages {
		for line := range strings.Lines(string(p)) {
			want[line], heads[head(line)] = true, true
		}
	}
	var have map[string]int
	await(t, "all is stored", func() bool {
		have = r.stored(t)
		missing := 0
		for line := range want {
			if have[line] == 0 {
				missing++
			}
		}
		return missing == 0
	})
	repeated, torn := 0, 0
	for line, n := range have {
		switch {
		case want[line]:
			repeated += n - 1
		case !once && heads[head(line)]: // the receiver was killed while it wrote
			torn++
		default:
			t.Fatalf("a line that was not sent: %.200q", line)
		}
	}
	if once && repeated > 0 {
		t.Errorf("%d records are stored twice", repeated)
	}
	t.Logf("%d of %d records whole, %d repeated, %d torn", len(want), len(want), repeated, torn)
}

// sink returns a sink for the receiver.
func (r *receiver) sink(t *testing.T, o sinks.Options) sinks.Sink {
	t.Helper()
	o.ID, o.Hostname, o.Port = "siem", "127.0.0.1", r.port
	o.Settle = 100 * time.Millisecond
	s, err := sinks.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// certificates writes what the configurations of the document name, and returns
// our own file.
func (r *receiver) certificates(t *testing.T) string {
	t.Helper()
	ca := sinktest.NewAuthority(t)
	server := ca.Issue(t, sinktest.CertificateOptions{})
	client := ca.Issue(t, sinktest.CertificateOptions{Client: true, Names: []string{"dls.example.com"}})
	for name, content := range map[string][]byte{
		"ca.pem": ca.CertPEM(), "receiver.pem": server.CertPEM(), "receiver.key": server.KeyPEM(t),
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sinktest.WriteFile(t, ca.CertPEM(), client.CertPEM(), client.KeyPEM(t))
}

func rsyslog(t *testing.T, name string) *receiver {
	t.Helper()
	return documentedReceiver(t, name, "rsyslogd", "-n", "-f", "FILE", "-i", "DIR/pid")
}

// syslogNG runs syslog-ng from its packages unpacked at $DLS_SYSLOG_NG.
func syslogNG(t *testing.T, name string) *receiver {
	t.Helper()
	root := os.Getenv("DLS_SYSLOG_NG")
	if root == "" {
		t.Skip("syslog-ng: DLS_SYSLOG_NG does not name its unpacked packages")
	}
	lib := root + "/usr/lib/syslog-ng"
	modules, err := filepath.Glob(lib + "/[0-9]*")
	if err != nil || len(modules) != 1 {
		t.Fatalf("modules of syslog-ng below %q: %q, %v", root, modules, err)
	}
	for _, pattern := range []string{"/usr/lib/*-linux-gnu", "/lib/*-linux-gnu"} {
		libraries, _ := filepath.Glob(root + pattern)
		lib += ":" + strings.Join(libraries, ":")
	}
	return documentedReceiver(t, name, "env", "LD_LIBRARY_PATH="+lib, root+"/usr/sbin/syslog-ng", "-F", "--no-caps",
		"-f", "FILE", "-R", "DIR/persist", "-c", "DIR/ctl", "-p", "DIR/pid", "--module-path="+modules[0])
}

func otelCollector(t *testing.T, name string) *receiver {
	t.Helper()
	program := os.Getenv("DLS_OTELCOL")
	if program == "" {
		t.Skip("OpenTelemetry Collector: DLS_OTELCOL does not name a build of sinks/sinktest/otelcol")
	}
	return documentedReceiver(t, name, program, "--config", "FILE", "--set=service.telemetry.metrics.level=none")
}

// counted is for receivers of syslog that find the end of a record by its length.
var counted = sinks.SyslogOptions{Envelope: sinks.RFC5424, Framing: sinks.OctetCounted}

// Each documented configuration stores every record whole, up to its limit.
func TestDocumentedReceivers(t *testing.T) {
	needsWhole(t)
	for _, tt := range []struct {
		name    string
		prepare func(t *testing.T, name string) *receiver
		o       sinks.Options
		tls     bool
		longest int  // record that the document promises
		bom     bool // the receiver keeps a byte order mark as part of the message
	}{
		{"rsyslog imtcp", rsyslog, sinks.Options{Protocol: sinks.TCP}, false, 128 << 10, false},
		{"rsyslog imtcp TLS", rsyslog, sinks.Options{Protocol: sinks.TCPSSL}, true, 128 << 10, false},
		{"rsyslog imrelp", rsyslog, sinks.Options{Protocol: sinks.RELP}, false, 127 << 10, true},
		{"rsyslog imrelp TLS", rsyslog, sinks.Options{Protocol: sinks.RELPSSL}, true, 127 << 10, true},
		{"syslog-ng network", syslogNG, sinks.Options{Protocol: sinks.TCP}, false, 128 << 10, false},
		{"syslog-ng syslog", syslogNG, sinks.Options{Protocol: sinks.TCPSSL, Syslog: counted}, true, 127 << 10, false},
		{"otel tcplog", otelCollector, sinks.Options{Protocol: sinks.TCP}, false, 1 << 20, false},
		{"otel splunk_hec", otelCollector, sinks.Options{Protocol: sinks.HEC, HEC: sinks.HECOptions{Token: token, Plaintext: true}}, false, 1 << 20, false},
		{"otel syslog", otelCollector, sinks.Options{Protocol: sinks.TCP, Syslog: counted}, false, 1 << 20, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.prepare(t, tt.name)
			if tt.tls {
				tt.o.CertFile = r.certificates(t)
			}
			r.start(t)
			s := r.sink(t, tt.o)
			if _, err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			session, err := s.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer session.Abort()
			var pages [][]byte
			for i := range 24 {
				pages = append(pages, page(fmt.Sprint("p", i), 1000, 400+100*i))
			}
			pages = append(pages, page("long", 1, tt.longest-100), []byte("CEF:0|Duo Security|Zoë|\n"))
			start := time.Now()
			for _, p := range pages {
				if _, err := session.Send(t.Context(), sinks.Batch{Endpoint: "auth", Lines: p}); err != nil {
					t.Fatal(err)
				}
			}
			if err := session.Confirm(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Logf("confirmed within %v", time.Since(start).Round(time.Millisecond))
			if tt.bom {
				last := len(pages) - 1
				pages[last] = append([]byte("\xEF\xBB\xBF"), pages[last]...)
			}
			r.expect(t, true, pages...)
		})
	}
}

// insist delivers a page until it is confirmed, and returns how often that failed.
func insist(t *testing.T, s sinks.Sink, p []byte, repair func()) (failed int) {
	t.Helper()
	for {
		err := deliver(t.Context(), s, p)
		if err == nil {
			return failed
		}
		if failed++; failed == 5 {
			t.Fatal(err)
		}
		repair()
	}
}

// deliverThroughKills delivers n pages through s, sends the receiver a signal at
// some moment of each third, and revives it.
func (r *receiver) deliverThroughKills(t *testing.T, s sinks.Sink, n int) (pages [][]byte) {
	t.Helper()
	failed := 0
	for i := range n {
		p := page(fmt.Sprint("p", i), 1000, 1400)
		pages = append(pages, p)
		if i%3 == 2 {
			process, sig := r.running, []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[i%2]
			timer := time.AfterFunc(rand.N(15*time.Millisecond), func() { process.Signal(sig) })
			failed += insist(t, s, p, func() { r.revive(t, s) })
			timer.Stop()
			r.revive(t, s)
			continue
		}
		failed += insist(t, s, p, func() { r.revive(t, s) })
	}
	t.Logf("%d signals: %d deliveries failed and were repeated", n/3, failed)
	return pages
}

// With queue.type="Direct" rsyslog answers what it has written: a restart or a kill
// in mid-run loses nothing of what was confirmed.
func TestIMRELPRestart(t *testing.T) {
	needsWhole(t)
	r := rsyslog(t, "rsyslog imrelp")
	r.start(t)
	s := r.sink(t, sinks.Options{Protocol: sinks.RELP})
	r.expect(t, false, r.deliverThroughKills(t, s, 20)...)
}

// Behind a proxy whose backend is down nothing is confirmed, and nothing is lost
// when the backend is killed at some moment.
func TestIMRELPBehindProxy(t *testing.T) {
	needsWhole(t)
	documentedHAProxy := proxy{sinktest.Proxy{Name: "documented haproxy", Start: func(t testing.TB, port, backend int, _ string) {
		config := strings.NewReplacer("bind :2514\n", fmt.Sprintf("bind 127.0.0.1:%d\n", port),
			"192.0.2.10:2514", fmt.Sprintf("127.0.0.1:%d", backend)).Replace(sinktest.Documented(t, "../docs/receivers.md", "haproxy"))
		sinktest.Start(t, port, "haproxy", "-db", "-f", sinktest.Configuration(t, config))
	}}}
	for _, p := range append([]proxy{documentedHAProxy}, proxies...) {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			r := rsyslog(t, "rsyslog imrelp")
			s := p.before(t, r.port, func(o *sinks.Options) {
				o.Protocol = map[bool]sinks.Protocol{false: sinks.RELP, true: sinks.RELPSSL}[p.TLS]
			})
			for _, n := range []int{1, 3, 900} {
				if err := deliver(t.Context(), s, page("down", n, 1400)); err == nil {
					t.Errorf("%d records are confirmed although nothing is behind the proxy", n)
				}
			}
			r.start(t)
			r.revive(t, s)
			r.expect(t, false, r.deliverThroughKills(t, s, 12)...)
		})
	}
}

// The same for a collector, which stores what it answers.
func TestHECBehindProxy(t *testing.T) {
	needsWhole(t)
	for _, p := range proxies {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			port := sinktest.FreePort(t)
			s := p.before(t, port, func(o *sinks.Options) {
				o.Protocol, o.HEC = sinks.HEC, sinks.HECOptions{Token: token, Plaintext: !p.TLS}
			})
			for _, n := range []int{1, 3, 900} {
				if err := deliver(t.Context(), s, page("down", n, 1400)); err == nil {
					t.Errorf("%d records are confirmed although nothing is behind the proxy", n)
				}
			}
			h := &sinktest.HEC{T: t, Token: token, Acks: true}
			up := func() *sinktest.Receiver {
				r := sinktest.Listen(t, sinktest.Options{Port: port, Behave: h.Behave})
				await(t, "the collector is reached", func() bool { _, err := s.Check(t.Context()); return err == nil })
				return r
			}
			failed := 0
			for i := range 4 {
				lines := page(fmt.Sprint("p", i), 1000, 1400)
				r := up()
				timer := time.AfterFunc(rand.N(15*time.Millisecond), r.Close)
				failed += insist(t, s, lines, func() { r.Close(); r = up() })
				timer.Stop()
				r.Close()
				have := make(map[string]bool)
				for _, e := range h.Events() {
					have[string(e.Line())] = true
				}
				for line := range strings.Lines(string(lines)) {
					if !have[line] {
						t.Fatalf("confirmed, but not stored: %.60q", line)
					}
				}
			}
			t.Logf("4 kills: %d deliveries failed and were repeated", failed)
		})
	}
}

// A record above the limit makes imrelp end the connection, which fails the
// session, again and again.
func TestIMRELPOversize(t *testing.T) {
	needsWhole(t)
	r := rsyslog(t, "rsyslog imrelp")
	r.start(t)
	s := r.sink(t, sinks.Options{Protocol: sinks.RELP})
	p := bytes.Join([][]byte{page("a", 10, 500), page("long", 1, 200<<10), page("b", 10, 500)}, nil)
	for range 2 {
		_, err := sinks.Deliver(context.Background(), s, sinks.Batch{Lines: p})
		if err == nil || !strings.Contains(sinks.Hint(err), "size limit") {
			t.Errorf("error %v, hint %q", err, sinks.Hint(err))
		}
	}
	if err := deliver(t.Context(), s, page("c", 10, 500)); err != nil {
		t.Error(err)
	}
}
