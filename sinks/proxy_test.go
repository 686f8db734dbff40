//go:build unix

package sinks_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"
)

// proxy is one that stands before a receiver.
type proxy struct{ sinktest.Proxy }

var proxies = func() (all []proxy) {
	for _, p := range sinktest.Proxies {
		all = append(all, proxy{p})
	}
	return all
}()

// before starts the proxy before a backend and returns a sink for it.
func (p proxy) before(t *testing.T, backend int, change ...func(*sinks.Options)) sinks.Sink {
	t.Helper()
	ca := sinktest.NewAuthority(t)
	leaf := ca.Issue(t, sinktest.CertificateOptions{})
	tr := transport{protocol: sinks.TCP, host: "127.0.0.1", options: sinks.Options{Settle: 5 * time.Second}}
	if p.TLS {
		tr.protocol, tr.options.CertFile = sinks.TCPSSL, sinktest.WriteFile(t, ca.CertPEM())
	}
	port := sinktest.FreePort(t)
	p.Start(t, port, backend, sinktest.WriteFile(t, leaf.CertPEM(), leaf.KeyPEM(t)))
	return tr.sink(t, port, change...)
}

// A proxy takes records for a backend that refuses them; no number of them counts.
func TestProxyBackendRefuses(t *testing.T) {
	needsWhole(t)
	for _, p := range proxies {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			s := p.before(t, sinktest.FreePort(t))
			var running sync.WaitGroup
			for _, n := range []int{1, 3, 900} {
				running.Go(func() {
					start := time.Now()
					err := deliver(t.Context(), s, page("a", n, 1000))
					t.Logf("%d records: after %v: %v", n, time.Since(start).Round(time.Millisecond), err)
					if err == nil {
						t.Errorf("%d records count, and nobody has them", n)
					} else if sinks.Hint(err) == "" {
						t.Errorf("no hint for %v", err)
					}
				})
			}
			running.Go(func() {
				if _, err := s.Check(t.Context()); err == nil {
					t.Error("a check finds nothing wrong")
				}
			})
			running.Wait()
		})
	}
}

// With its backend in order a proxy looks like a receiver.
func TestProxy(t *testing.T) {
	needsWhole(t)
	for _, p := range proxies {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			r := sinktest.Listen(t, sinktest.Options{})
			s := p.before(t, r.Port(), func(o *sinks.Options) { o.Settle = time.Second })
			lines := page("a", 900, 1000)
			if err := deliver(t.Context(), s, lines); err != nil {
				t.Fatal(err)
			}
			if !hasAll(r.Wait(t, 900), lines) {
				t.Error("not everything was received")
			}
		})
	}
}

// A backend that dies in the middle of a session takes no record unnoticed.
func TestProxyBackendDies(t *testing.T) {
	needsWhole(t)
	const pages = 24
	for _, p := range proxies {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			var running sync.WaitGroup
			for range 5 {
				r := sinktest.Listen(t, sinktest.Options{Behave: sinktest.ResetAfter(rand.IntN(pages * 1000))})
				s := p.before(t, r.Port(), func(o *sinks.Options) { o.Settle = time.Second })
				running.Go(func() {
					session, err := s.Open(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					defer session.Abort()
					for i := range pages {
						if _, err = session.Send(t.Context(), sinks.Batch{Lines: page(fmt.Sprint(i), 1000, 600)}); err != nil {
							break
						}
					}
					if err == nil {
						err = session.Confirm(t.Context())
					}
					if n := len(r.Lines()); err == nil && n < pages*1000 {
						t.Errorf("all of %d records count, and %d were received", pages*1000, n)
					}
				})
			}
			running.Wait()
		})
	}
}

// What TCP cannot see, however long the connection is held open, or unless it is
// held open for longer: each case is measured, and said in the documentation.
func TestProxyUnseen(t *testing.T) {
	needsWhole(t)
	lines := page("a", 3, 1000)
	for _, tt := range []struct {
		name    string
		proxy   proxy
		settle  time.Duration
		noticed bool // is, in any case
		backend func(t *testing.T) int
	}{
		{"backend is unreachable, settle above its time-outs", proxy{sinktest.Proxy{Start: sinktest.HAProxy("", "timeout connect 1s", "")}}, 5 * time.Second, true, unreachable},
		{"backend is unreachable, settle below its time-outs", proxy{sinktest.Proxy{Start: sinktest.HAProxy("", "timeout connect 1s", "")}}, 2 * time.Second, false, unreachable},
		{"backend is frozen", proxy{sinktest.Proxy{Start: sinktest.HAProxy("", "timeout connect 5s", "")}}, time.Second, false, frozen},
		{"backend is frozen behind nginx", proxy{sinktest.Proxy{Start: sinktest.Nginx(false)}}, time.Second, false, frozen},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := tt.proxy.before(t, tt.backend(t), func(o *sinks.Options) {
				o.Settle, o.CloseTimeout = tt.settle, 100*time.Millisecond
				o.Warn = func(msg string) { t.Log("warning:", msg) }
			})
			start := time.Now()
			err := deliver(t.Context(), s, lines)
			t.Logf("settle %v: after %v: error %v", tt.settle, time.Since(start).Round(time.Millisecond), err)
			if tt.noticed && err == nil {
				t.Error("the records count, and nobody has them")
			}
		})
	}
}

// unreachable returns the port of a listener whose queue is full, so that the
// system drops what would connect.
func unreachable(t *testing.T) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	sinktest.Fill(t, port)
	return port
}

// frozen returns the port of a receiver that takes nothing.
func frozen(t *testing.T) int {
	t.Helper()
	return sinktest.Listen(t, sinktest.Options{Behave: sinktest.BlackHole}).Port()
}

// Python's stock server, with a handler that raises.
func TestPythonSocketserver(t *testing.T) {
	needsWhole(t)
	const server = `
import select, socketserver, sys
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        if sys.argv[2] == "at our end":
            poll = select.poll()
            poll.register(self.request, select.POLLRDHUP)
            poll.poll()
        else:
            self.request.recv(10)
        raise ValueError("cannot parse this")
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    def handle_error(self, request, address): pass
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
`
	for _, tt := range []struct {
		when    string
		noticed bool
	}{{"at once", true}, {"at our end", false}} {
		t.Run("raises "+tt.when, func(t *testing.T) {
			t.Parallel()
			port := sinktest.FreePort(t)
			sinktest.Start(t, port, "python3", "-c", server, fmt.Sprint(port), tt.when)
			s := transport{protocol: sinks.TCP, host: "127.0.0.1"}.sink(t, port, func(o *sinks.Options) { o.Settle = time.Second })
			for _, n := range []int{1, 3, 250} {
				err := deliver(t.Context(), s, page("a", n, 500))
				t.Logf("%d records: error %v", n, err)
				if tt.noticed && err == nil {
					t.Errorf("%d records count, and nobody has them", n)
				}
			}
		})
	}
}
