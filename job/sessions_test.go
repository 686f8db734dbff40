package job_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duosim"
	"dls/sinks"
)

// fussy is a receiver that resets a connection as soon as it reads a line that holds
// a text. What it read on a connection counts when that ends in order.
type fussy struct {
	l    net.Listener
	hate string

	mu          sync.Mutex
	lines       []string
	connections int
	breaks      int // how many connections that brought lines are reset in the end
}

func newFussy(t *testing.T, hate string) *fussy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fussy{l: l, hate: hate}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go f.read(conn.(*net.TCPConn))
		}
	}()
	return f
}

func (f *fussy) read(conn *net.TCPConn) {
	defer conn.Close()
	var lines []string
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if f.hate != "" && strings.Contains(line, f.hate) {
			conn.SetLinger(0)
			return
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return
		}
		lines = append(lines, line)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.connections++
	if len(lines) > 0 && f.breaks > 0 {
		f.breaks--
		conn.SetLinger(0)
		return
	}
	f.lines = append(f.lines, lines...)
}

func (f *fussy) port() int { return f.l.Addr().(*net.TCPAddr).Port }

func (f *fussy) got() (lines [][]byte, connections int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.lines {
		lines = append(lines, []byte(l))
	}
	return lines, f.connections
}

// children makes the world an MSP's, of n children with a few records each.
func (w *world) children(n int) {
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.text.msp = true
	for i := range n {
		id := fmt.Sprintf("DACHILD%013d", i)
		w.sim.AddAccount(duosim.Account{ID: id, Name: "Child", Parent: parent})
	}
	if err := w.sim.Start(); err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		w.fill(fmt.Sprintf("DACHILD%013d", i), 3, time.Now().Add(-time.Hour), uint64(i))
	}
}

// The pages of many children share sessions: connections are few, and so are the
// writes: no more than sessions × streams with news.
func TestSessionsAreFew(t *testing.T) {
	t.Parallel()
	const n, news = 100, 30
	s := newScene(t, &fault{})
	siem := &sink{id: "siem"}
	s.text.servers = s.text.servers[1:]
	s.text.endpoints = map[string][]string{"siem": {"auth"}}
	children, store := s.family(n, siem)
	s.run(func() { s.clean(s.sync()) })
	if got := len(siem.lines); got != 3*n || siem.sessions > n/4 {
		t.Errorf("%d lines in %d sessions, want %d in few", got, siem.sessions, 3*n)
	}
	family := s.duo
	s.duo = func(d *duosim.Server) {
		family(d)
		for i, id := range children[:news] {
			d.Add(id, "auth", duosim.Generator{Seed: uint64(n + i)}.Generate("auth", 3, s.now.Add(-10*time.Minute), time.Second)...)
		}
	}
	siem.sessions, store.written = 0, 0
	s.run(func() { s.clean(s.sync()) })
	if got := len(siem.lines); got != 3*(n+news) || store.written < news || store.written > siem.sessions*news {
		t.Errorf("%d lines, %d checkpoints written after %d sessions, want %d lines and at most %d checkpoints a session",
			got, store.written, siem.sessions, 3*(n+news), news)
	}
}

// A record that makes the receiver end the connection fails its own stream by name; the
// 799 others, with pages in the same session, are delivered, and once.
func TestSessionPoison(t *testing.T) {
	t.Parallel()
	const n = 800
	s := newScene(t, &fault{})
	fussy := &sink{id: "siem", confirm: func(lines []string) error {
		time.Sleep(5 * time.Second)
		if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "POISON") }) {
			return errors.New("the receiver ended the connection")
		}
		return nil
	}}
	s.text.servers = s.text.servers[1:]
	s.text.endpoints = map[string][]string{"siem": {"auth"}}
	children, _ := s.family(n, fussy)
	victim := children[17]
	duo := s.duo
	s.duo = func(d *duosim.Server) {
		duo(d)
		bad := duosim.Generator{Seed: n}.Generate("auth", 1, s.now.Add(-30*time.Minute), time.Second)[0]
		bad.Raw = append(bytes.TrimSuffix(bytes.TrimSpace(bad.Raw), []byte("}")), `, "note": "POISON"}`...)
		d.Add(victim, "auth", bad)
	}
	for range 2 { // the next run has nothing for the others, and fails that stream again
		s.run(func() {
			fussy.sessions = 0
			failed := s.sync().Failed()
			if fussy.sessions > n/10 {
				t.Errorf("%d sessions: the page was not found by halves", fussy.sessions)
			}
			if len(failed) != 1 || failed[0].Account != victim || !strings.Contains(failed[0].Err.Error(), "refused this page") {
				t.Errorf("failed: %v", failed)
			}
			var want []string
			for _, id := range children {
				if id != victim {
					want = append(want, s.lines(id, "auth")...)
				}
			}
			exactly(t, want, fussy.got())
		})
	}
}

// A server that took a page after it had failed it alone is not believed when it fails
// another one as often as one that is to blame.
func TestSessionsFailAtRandom(t *testing.T) {
	t.Parallel()
	const n = 20
	s := newScene(t, &fault{})
	var mu sync.Mutex
	tries := map[string]int{}
	random := &sink{id: "siem", confirm: func(lines []string) error {
		mu.Lock()
		defer mu.Unlock()
		tries[lines[0]]++
		unlucky := strings.Contains(lines[0], "DACHILD0000000000000")
		if len(lines) > 3 || tries[lines[0]] < 3 || unlucky && tries[lines[0]] < 9 {
			return errors.New("the receiver ended the connection")
		}
		return nil
	}}
	s.text.servers = s.text.servers[1:]
	s.text.endpoints = map[string][]string{"siem": {"auth"}}
	s.family(n, random)
	s.run(func() { s.clean(s.sync()) })
	if got := len(random.lines); got != 3*n {
		t.Errorf("%d lines, want %d", got, 3*n)
	}
}

// No page is to blame for a session that could not be opened.
func TestSessionsNotOpened(t *testing.T) {
	t.Parallel()
	s := newScene(t, &fault{})
	tries := 0
	busy := &sink{id: "siem", open: func() error {
		if tries++; tries < 8 {
			return errors.New("too many connections")
		}
		return nil
	}}
	s.text.servers = s.text.servers[1:]
	s.text.endpoints = map[string][]string{"siem": {"auth"}}
	s.family(1, busy)
	s.run(func() { s.clean(s.sync()) })
}

// slowSink is a server in memory whose sessions take their time to be confirmed, and
// whose second one fails as soon as it gets a page.
type slowSink struct {
	mu       sync.Mutex
	sessions int
	lines    []string // of sessions that count
}

func (s *slowSink) ID() string     { return "victim" }
func (s *slowSink) MaxRecord() int { return 0 }

func (s *slowSink) Check(context.Context) (sinks.Report, error) { return sinks.Report{}, nil }

func (s *slowSink) Open(context.Context) (sinks.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	return &slowSession{sink: s, number: s.sessions}, nil
}

type slowSession struct {
	sink   *slowSink
	number int
	lines  []string
}

func (s *slowSession) Send(_ context.Context, b sinks.Batch) ([]sinks.Refused, error) {
	if s.number == 2 {
		return nil, errors.New("the receiver ended the connection")
	}
	s.lines = append(s.lines, slices.Collect(strings.Lines(string(b.Lines)))...)
	return nil, nil
}

func (s *slowSession) Confirm(context.Context) error {
	time.Sleep(30 * time.Second)
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.lines = append(s.sink.lines, s.lines...)
	return nil
}

func (s *slowSession) Failed() <-chan struct{} { return nil }
func (s *slowSession) Abort()                  {}

// A session that fails while an older one settles does not make the stream send again
// what the older one carried.
func TestOlderSessionCounts(t *testing.T) {
	t.Parallel()
	s := newScene(t, &fault{})
	s.listen()
	s.duo = func(d *duosim.Server) { d.Inject(duosim.Match{Endpoint: victim, Skip: 1}, duosim.HTML(503)) } // the first session is sealed meanwhile
	slow := &slowSink{}
	s.options = func(o *job.Options) {
		o.SetReceiver(func(server config.Server) (sinks.Sink, error) {
			if server.ID == "victim" {
				return slow, nil
			}
			return sinks.New(job.ServerOptions(server))
		})
	}
	s.run(func() { s.clean(s.sync()) })
	if n := len(slow.lines); n != len(s.want[victim]) || slow.sessions < 3 {
		t.Errorf("%d lines in %d sessions count, want %d", n, slow.sessions, len(s.want[victim]))
	}
}

// A server whose certificate file is unfit stops its own streams, by name.
func TestSessionUnmade(t *testing.T) {
	w, siem := newWorld(t)
	if err := os.WriteFile(w.path("bad.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.text.servers = append(w.text.servers, server{id: "bad", protocol: "TCPSSL", port: 6514, cert: w.path("bad.pem")})
	w.text.endpoints = map[string][]string{"siem": {"auth"}, "bad": {"activity"}}
	w.fill(parent, 3, time.Now().Add(-time.Hour), 1)
	sum := w.sync()
	failed := sum.Failed()
	if len(failed) != 1 || failed[0].Endpoint != "activity" || !strings.Contains(failed[0].Err.Error(), "cert_filepath") || failed[0].Hint() == "" {
		t.Errorf("failed: %v", failed)
	}
	exactly(t, w.lines(parent, "auth"), siem.Take())
}

// deadSink is a server that is down.
type deadSink struct{}

var errDead = errors.New("connection refused")

func (deadSink) ID() string                                        { return "siem" }
func (deadSink) MaxRecord() int                                    { return 0 }
func (deadSink) Check(context.Context) (sinks.Report, error)       { return sinks.Report{}, errDead }
func (deadSink) Open(context.Context) (s sinks.Session, err error) { return nil, errDead }

// Once a server is known to be down nothing is fetched for it, by streams that have not
// begun either: they would hold slots and memory until their pages fail.
func TestNothingFetchedForServerDown(t *testing.T) {
	t.Parallel()
	s := newScene(t, &fault{})
	s.listen()
	var mu sync.Mutex
	calls := map[string]int{}
	s.wire = func(network http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			calls[path.Base(r.URL.Path)]++
			mu.Unlock()
			return network.RoundTrip(r)
		})
	}
	s.options = func(o *job.Options) {
		o.Parallel, o.Endpoints = 1, bystanders
		o.SetReceiver(func(config.Server) (sinks.Sink, error) { return deadSink{}, nil })
	}
	s.run(func() { s.sync() }) // each stream notes where it begins, which takes Duo's answer
	clear(calls)
	s.run(func() {
		for _, r := range s.sync().Results {
			if !errors.Is(r.Err, errDead) {
				t.Errorf("%s: %v", r.Name(), r.Err)
			}
		}
	})
	if len(calls) != 1 {
		t.Errorf("calls to Duo: %v, want those of the stream that found the server down", calls)
	}
}

// Sessions that carry the pages of many streams fail, and take all of these back to
// what counts: everything comes again, and the next run has nothing to do.
func TestSessionFails(t *testing.T) {
	t.Parallel()
	const n = 40
	w, _ := newWorld(t)
	f := newFussy(t, "")
	f.breaks = 3
	w.text.servers[0].port = f.port()
	w.children(n)
	patient := func(o *job.Options) { o.RetryFor = 5 * time.Minute }
	sum := w.sync(patient)
	w.clean(sum)
	var want []string
	retries := 0
	for _, r := range sum.Results {
		want = append(want, w.lines(r.Account, "auth")...)
		retries += r.Retries
	}
	lines, _ := f.got()
	exactly(t, want, lines)
	if retries < 3 {
		t.Errorf("%d retries: the run met no fault", retries)
	}
	w.clean(w.sync(patient))
	if again, _ := f.got(); len(again) != len(lines) {
		t.Errorf("%d records came again", len(again)-len(lines))
	}
}
