package sinks_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"
)

// inBubble runs a test for each transport of streams over a network in memory, in
// virtual time, with sessions that settle for 5 s.
func inBubble(t *testing.T, f func(t *testing.T, tr transport)) {
	t.Helper()
	for _, tr := range streams(t) {
		if strings.Contains(tr.name, "IPv6") {
			continue
		}
		now := time.Now()
		t.Run(tr.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(now)) // or no certificate is valid yet
				network := new(sinktest.Network)
				tr.receiver.Network, tr.options.Dial, tr.options.Settle = network, network.Dial, 5*time.Second
				f(t, tr)
			})
		})
	}
}

// open opens a session and sends a page.
func open(t *testing.T, s sinks.Sink, lines []byte) sinks.Session {
	t.Helper()
	session, err := s.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Abort)
	if _, err := session.Send(t.Context(), sinks.Batch{Lines: lines}); err != nil {
		t.Fatal(err)
	}
	return session
}

// over reports whether a session's peer has ended it.
func over(s sinks.Session) bool {
	synctest.Wait()
	select {
	case <-s.Failed():
		return true
	default:
		return false
	}
}

// What a peer does in the time for which a session must stay in order.
func TestSettle(t *testing.T) {
	lines := page("a", 3, 200)
	for _, tt := range []struct {
		name      string
		behave    sinktest.Behaviour
		err, hint string // parts of them; of no error when both are empty
	}{
		{name: "in order", behave: sinktest.ReadAll},
		{name: "banner", behave: sinktest.Says("220 collector ready\r\n", sinktest.ReadAll)},
		{name: "idle time-out above settle", behave: sinktest.CloseIdle(0, 6*time.Second)},
		{name: "idle time-out below settle", behave: sinktest.CloseIdle(0, 3*time.Second),
			err: "closed the connection 3s after it had everything", hint: "idle time-out is below 5s"},
		{name: "closes at once", behave: sinktest.CloseAfter(3), err: "closed the connection", hint: "what is behind it is down"},
		{name: "resets", behave: sinktest.ResetAfter(3), hint: "what is behind it is down"},
		{name: "cut", behave: sinktest.CutAfter(3), err: "closed the connection", hint: "what is behind it is down"},
		{name: "ends its stream and goes on to take", behave: sinktest.EndAfter(3), err: "closed the connection", hint: "what is behind it is down"},
		{name: "answers in HTTP", behave: sinktest.Says("HTTP/1.1 400 Bad Request\r\n\r\n", sinktest.NeverClose),
			err: "answers in HTTP", hint: "web server"},
		{name: "resets at the end", behave: sinktest.ResetAtEnd, hint: "log may say"},
		{name: "never closes, and the system does not tell", behave: sinktest.NeverClose,
			err: "did not close the connection", hint: "load balancer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, tr transport) {
				s, r := tr.start(t, tt.behave)
				start := time.Now()
				err := deliver(t.Context(), s, lines)
				if tt.hint == "" {
					if err != nil || !hasAll(r.Lines(), lines) {
						t.Errorf("error %v, %d lines received", err, len(r.Lines()))
					}
					if took := time.Since(start); took != 5*time.Second {
						t.Errorf("confirmed after %v of virtual time", took)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(sinks.Hint(err), tt.hint) {
					t.Errorf("error %v, hint %q", err, sinks.Hint(err))
				}
				if strings.Contains(sinks.Hint(err), "TCPSSL") && tr.protocol == sinks.TCPSSL {
					t.Errorf("hint %q for TCPSSL", sinks.Hint(err))
				}
				// What a check says of such a receiver, which it sends nothing.
				if strings.Contains(tt.name, "HTTP") || strings.Contains(tt.name, "idle") {
					if _, err := s.Check(t.Context()); err == nil {
						t.Error("the check found nothing")
					}
				}
			})
		})
	}
}

// A connection that ends at once may be that of a receiver which wants the length before
// each record: the hint says so where it is not sent.
func TestHintOfFraming(t *testing.T) {
	for _, framing := range []sinks.Framing{sinks.NewlineFraming, sinks.OctetCounted} {
		inBubble(t, func(t *testing.T, tr transport) {
			tr.options.Syslog.Framing = framing
			s, _ := tr.start(t, sinktest.CloseAfter(0))
			err := deliver(t.Context(), s, page("a", 3, 200))
			if named := strings.Contains(sinks.Hint(err), "framing: octet-counted"); err == nil || named != (framing != sinks.OctetCounted) {
				t.Errorf("%s: error %v, hint %q", framing, err, sinks.Hint(err))
			}
		})
	}
}

// A session carries pages one after another, with pauses, and counts as a whole.
func TestSessionOfSeveralPages(t *testing.T) {
	inBubble(t, func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		first, second := page("first", 10, 100), page("second", 2000, 1000)
		session := open(t, s, first)
		time.Sleep(time.Minute)
		if _, err := session.Send(t.Context(), sinks.Batch{Lines: second}); err != nil {
			t.Fatal(err)
		}
		if err := session.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if over(session) {
			t.Error("a confirmed session has failed")
		}
		if n := r.Connections(); n != 1 || !hasAll(r.Lines(), first) || !hasAll(r.Lines(), second) {
			t.Errorf("%d lines in %d connections", len(r.Lines()), n)
		}
		if _, err := session.Send(t.Context(), sinks.Batch{Lines: first}); err == nil {
			t.Error("a session that is over took a page")
		}
	})
}

// A peer that ends an idle session is noticed while nothing is sent.
func TestSessionEndsWhileIdle(t *testing.T) {
	for name, use := range map[string]func(context.Context, sinks.Session) error{
		"send": func(ctx context.Context, s sinks.Session) error {
			_, err := s.Send(ctx, sinks.Batch{Lines: []byte("b\n")})
			return err
		},
		"confirm": func(ctx context.Context, s sinks.Session) error { return s.Confirm(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, tr transport) {
				s, _ := tr.start(t, sinktest.CloseIdle(1, time.Minute))
				session := open(t, s, []byte("a\n"))
				if over(session) {
					t.Fatal("the session has failed too early")
				}
				<-session.Failed()
				if err := use(t.Context(), session); err == nil || !strings.Contains(err.Error(), "closed the connection") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestAbort(t *testing.T) {
	inBubble(t, func(t *testing.T, tr transport) {
		inOrder := make(chan bool, 1)
		s, _ := tr.start(t, func(c *sinktest.Conn) { inOrder <- c.ReadLines(-1) })
		session := open(t, s, []byte("a\n"))
		confirmed := make(chan error, 1)
		go func() { confirmed <- session.Confirm(t.Context()) }()
		synctest.Wait() // it settles
		session.Abort()
		session.Abort()
		if err := <-confirmed; err == nil || !strings.Contains(err.Error(), "session is over") {
			t.Errorf("error %v", err)
		}
		if over(session) {
			t.Error("our own end of the session is taken for the peer's")
		}
		if <-inOrder {
			t.Error("an aborted session ended in order")
		}
	})
}

func TestCancelledWhileItSettles(t *testing.T) {
	inBubble(t, func(t *testing.T, tr transport) {
		s, _ := tr.start(t, nil)
		session := open(t, s, []byte("a\n"))
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(2*time.Second, func() { cancel(stop) })
		if err := session.Confirm(ctx); !errors.Is(err, stop) {
			t.Errorf("error %v", err)
		}
	})
}

// A server of TLS answers with an alert to what is sent in the clear.
func TestTCPToTLSPort(t *testing.T) {
	tr := transport{protocol: sinks.TCP, host: "127.0.0.1"}
	s, _ := tr.start(t, func(c *sinktest.Conn) {
		c.ReadLines(1)
		sinktest.Says("\x15\x03\x01\x00\x02\x02\x46", sinktest.CloseAtOnce)(c)
	})
	err := deliver(t.Context(), s, []byte("{\"a\": 1}\n"))
	if e, ok := errors.AsType[*sinks.PermanentError](err); !ok || !strings.Contains(e.Hint, "TCPSSL") {
		t.Errorf("error %v, hint %q", err, sinks.Hint(err))
	}
}

func TestTLSToAWebServer(t *testing.T) {
	tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1"}
	tr.options.CertFile = sinktest.WriteFile(t, sinktest.NewAuthority(t).CertPEM())
	s, _ := tr.start(t, sinktest.Says("HTTP/1.1 400 Bad Request\r\n\r\n", sinktest.ReadAll))
	err := deliver(t.Context(), s, []byte("a\n"))
	if _, ok := errors.AsType[tls.RecordHeaderError](err); !ok || !strings.Contains(sinks.Hint(err), "web server") {
		t.Errorf("error %v, hint %q", err, sinks.Hint(err))
	}
}
