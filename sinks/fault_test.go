package sinks_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"
)

var trials = flag.Int("trials", 5, "how often each fault of a receiver is tried")

// TestNoLossGoesUnnoticed is the promise of the package: whatever a receiver
// does, either it got every line or Deliver returned an error.
func TestNoLossGoesUnnoticed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behave func(lines int) sinktest.Behaviour // of a page of so many lines
		always bool                               // the delivery fails in any case
	}{
		{"closes early", func(n int) sinktest.Behaviour { return sinktest.CloseAfter(rand.IntN(n)) }, false},
		{"closes without close_notify early", func(n int) sinktest.Behaviour { return sinktest.CutAfter(rand.IntN(n)) }, false},
		{"resets early", func(n int) sinktest.Behaviour { return sinktest.ResetAfter(rand.IntN(n)) }, true},
		{"resets at the end", func(int) sinktest.Behaviour { return sinktest.ResetAtEnd }, true},
		{"closes at once", func(int) sinktest.Behaviour { return sinktest.CloseAtOnce }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forEach(t, streams(t), func(t *testing.T, tr transport) {
				// The receiver's behaviour changes from trial to trial.
				var next atomic.Pointer[sinktest.Behaviour]
				s, r := tr.start(t, func(c *sinktest.Conn) { (*next.Load())(c) })
				lost, failed := 0, 0
				for i := range *trials {
					// From a line to more than a receive buffer holds.
					n := 1 + rand.IntN(500)
					lines := page(fmt.Sprint("t", i), n, 1+rand.IntN(1400))
					behave := tt.behave(n)
					next.Store(&behave)
					err := deliver(t.Context(), s, lines)
					received := r.Take()
					switch {
					case err != nil:
						failed++
						if _, ok := errors.AsType[*sinks.PermanentError](err); ok {
							t.Errorf("permanent: %v", err)
						}
					case tt.always:
						t.Errorf("trial %d: no error", i)
					case !hasAll(received, lines):
						lost++
					}
				}
				t.Logf("%d trials: %d failed and said so, %d lost unnoticed", *trials, failed, lost)
				if lost > 0 {
					t.Errorf("%d of %d deliveries were lost unnoticed", lost, *trials)
				}
			})
		})
	}
}

// TestBrokenAnywhere holds every protocol to the same promise while a connection
// to a good receiver breaks after any number of bytes.
func TestBrokenAnywhere(t *testing.T) {
	for name, how := range map[string]sinktest.Break{
		"reset": sinktest.Reset, "closed": sinktest.Close, "stalled": sinktest.Stall, "silent": sinktest.Silence,
	} {
		t.Run(name, func(t *testing.T) {
			forEach(t, transports(t), func(t *testing.T, tr transport) {
				if tr.protocol == sinks.UDP {
					t.Skip("datagrams have no connection")
				}
				if how == sinktest.Stall && !tr.answers() {
					t.Skip("what the nearest system takes counts: see TestBlackHole")
				}
				certain := tr.protocol != sinks.HEC // which compresses: the break may come too late
				n := *trials
				if how == sinktest.Stall || how == sinktest.Silence {
					n, certain = max(1, n/4), how == sinktest.Stall && certain // each waits for a time-out
				}
				for i := range n {
					lines := page(fmt.Sprint("t", i), 1+rand.IntN(200), 1+rand.IntN(1000))
					_, r := tr.start(t, nil)
					after := rand.IntN(len(lines))
					if how == sinktest.Silence {
						after = rand.IntN(400) // of the answers
					}
					s := tr.sink(t, sinktest.Between(t, r, how, after), func(o *sinks.Options) {
						o.Warn = func(string) {}
						switch how {
						case sinktest.Reset, sinktest.Close:
							// It must be seen before the session ends: it is long over by then.
							o.Settle = time.Minute
						default:
							impatient(o)
						}
					})
					err := deliver(t.Context(), s, lines)
					switch {
					case err == nil && !hasAll(r.Lines(), lines):
						t.Errorf("trial %d: after %d bytes: everything counts, and %d lines were received", i, after, len(r.Lines()))
					case err == nil && certain:
						t.Errorf("trial %d: after %d of more than %d bytes: no error", i, after, len(lines))
					case err != nil:
						if _, ok := errors.AsType[*sinks.PermanentError](err); ok {
							t.Errorf("trial %d: permanent: %v", i, err)
						}
					}
				}
			})
		})
	}
}

// A proxy that has lost its receiver may end its own stream and go on to
// acknowledge: then the early end is all there is to notice.
func TestEndOfStreamBeforeOurs(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		s, _ := tr.start(t, func(c *sinktest.Conn) {
			c.TCP.SetReadBuffer(64 << 10)
			sinktest.EndAfter(1)(c)
		})
		if err := deliver(t.Context(), s, flood()); err == nil {
			t.Error("no error although the receiver's stream ended before ours")
		} else if sinks.Hint(err) == "" {
			t.Errorf("no hint for %v", err)
		}
	})
}

func TestCloseWithoutCloseNotifyAfterOurs(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, sinktest.CutAtEnd)
		lines := page("a", 100, 100)
		if err := deliver(t.Context(), s, lines); err != nil {
			t.Error(err)
		}
		if !hasAll(r.Lines(), lines) {
			t.Error("not everything was received")
		}
	})
}

func TestBlackHole(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		s, _ := tr.start(t, func(c *sinktest.Conn) {
			c.TCP.SetReadBuffer(64 << 10)
			sinktest.BlackHole(c)
		}, impatient, func(o *sinks.Options) { o.DialTimeout = time.Minute })
		err := deliver(t.Context(), s, flood())
		if err == nil {
			t.Fatal("no error although nobody read")
		}
		if !strings.Contains(err.Error(), "took no data") {
			t.Errorf("error %v", err)
		}
		if sinks.Hint(err) == "" {
			t.Errorf("no hint for %v", err)
		}
	})
}

// unproved holds a delivery to a receiver that leaves the connection open to what
// counts where the system does not tell what was acknowledged: nothing.
func unproved(t *testing.T, err error) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), "this system does not tell") || sinks.Hint(err) == "" {
		t.Errorf("error %v, hint %q", err, sinks.Hint(err))
	}
}

// TCP cannot tell a receiver that does not read from one that does, as long as
// its system has room: acknowledged counts, with a warning.
func TestBlackHoleSmallPage(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		warnings := 0
		s, _ := tr.start(t, sinktest.BlackHole, func(o *sinks.Options) {
			o.CloseTimeout = 50 * time.Millisecond
			o.Warn = func(string) { warnings++ }
			if !tells {
				impatient(o)
			}
		})
		if !tells {
			unproved(t, deliver(t.Context(), s, page("a", 10, 100)))
			return
		}
		for range 2 {
			if err := deliver(t.Context(), s, page("a", 10, 100)); err != nil {
				t.Error(err)
			}
		}
		if warnings != 1 {
			t.Errorf("%d warnings, want 1", warnings)
		}
	})
}

func TestMuteTLSServer(t *testing.T) {
	tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1"}
	tr.options.CertFile = sinktest.WriteFile(t, sinktest.NewAuthority(t).CertPEM())
	s, _ := tr.start(t, sinktest.Mute, impatient)
	err := deliver(t.Context(), s, []byte("a\n"))
	if err == nil || !strings.Contains(err.Error(), "no TLS handshake within 100ms") {
		t.Errorf("error %v", err)
	}
}

func TestSlowReceiver(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, sinktest.Slow(16<<10, time.Millisecond))
		lines := page("slow", 1000, 1000)
		if err := deliver(t.Context(), s, lines); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(lines, bytes.Join(r.Lines(), nil)) {
			t.Error("what was received is not what was sent")
		}
	})
}

func TestNeverCloses(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		var warnings []string
		s, r := tr.start(t, sinktest.NeverClose, func(o *sinks.Options) {
			o.CloseTimeout = 50 * time.Millisecond
			o.Warn = func(msg string) { warnings = append(warnings, msg) }
			if !tells {
				impatient(o)
			}
		})
		first, second := page("first", 10, 100), page("second", 1000, 1000)
		if !tells {
			unproved(t, deliver(t.Context(), s, first))
			return
		}
		if err := deliver(t.Context(), s, first); err != nil {
			t.Fatal(err)
		}
		// Were the close waited for once more, the test would hang.
		sinks.SetCloseTimeout(s, time.Hour)
		if err := deliver(t.Context(), s, second); err != nil {
			t.Fatal(err)
		}
		if received := r.Wait(t, 1010); !hasAll(received, first) || !hasAll(received, second) {
			t.Error("not everything was received")
		}
		if len(warnings) != 1 {
			t.Errorf("%d warnings, want 1: %q", len(warnings), warnings)
		}
	})
}

// A receiver that once left a connection open is still caught when it resets
// with data unread.
func TestResetAfterNeverClose(t *testing.T) {
	if !tells {
		t.Skip("nothing counts with such a receiver where the system does not tell what was acknowledged")
	}
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		s, _ := tr.start(t, sinktest.InTurn(sinktest.NeverClose, sinktest.ResetAfter(1)), func(o *sinks.Options) {
			o.CloseTimeout = 50 * time.Millisecond
			o.Warn = func(string) {}
		})
		if err := deliver(t.Context(), s, page("first", 10, 100)); err != nil {
			t.Fatal(err)
		}
		sinks.SetCloseTimeout(s, time.Minute)
		if err := deliver(t.Context(), s, flood()); err == nil {
			t.Error("no error although the receiver reset the connection")
		}
	})
}

func TestRetryAfterFault(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, sinktest.InTurn(sinktest.ResetAfter(1), sinktest.ReadAll))
		lines := page("a", 100, 1000)
		if err := deliver(t.Context(), s, lines); err == nil {
			t.Error("no error although the receiver reset the connection")
		}
		r.Take()
		if err := deliver(t.Context(), s, lines); err != nil {
			t.Error(err)
		}
		if !hasAll(r.Lines(), lines) {
			t.Error("not everything was received by the second delivery")
		}
	})
}

// TLS 1.3 lets a client finish its handshake before the server has looked at
// the client's certificate.
func TestClientCertificateRefused(t *testing.T) {
	ca, other := sinktest.NewAuthority(t), sinktest.NewAuthority(t)
	stranger := other.Issue(t, sinktest.CertificateOptions{Client: true})
	expired := ca.Issue(t, sinktest.CertificateOptions{Client: true, NotAfter: time.Now().Add(-time.Hour)})
	for _, tt := range []struct {
		name string
		pem  [][]byte
	}{
		{"missing", nil},
		{"unknown authority", [][]byte{stranger.CertPEM(), stranger.KeyPEM(t)}},
		{"expired", [][]byte{expired.CertPEM(), expired.KeyPEM(t)}},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+", "+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				config := ca.Issue(t, sinktest.CertificateOptions{}).Server(ca)
				config.MaxVersion = version
				tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: config}}
				tr.options.CertFile = sinktest.WriteFile(t, append([][]byte{ca.CertPEM()}, tt.pem...)...)
				s, r := tr.start(t, nil)
				check := func(err error) {
					t.Helper()
					if e, ok := errors.AsType[*sinks.PermanentError](err); !ok || !strings.Contains(e.Hint, "client certificate") {
						t.Errorf("error %v, hint %q", err, sinks.Hint(err))
					}
				}
				for range 3 {
					check(deliver(t.Context(), s, []byte("a\n")))
					check(deliver(t.Context(), s, page("a", 1000, 1400)))
				}
				_, err := s.Check(t.Context())
				check(err)
				if n := len(r.Lines()); n != 0 {
					t.Errorf("%d lines received", n)
				}
			})
		}
	}
}
