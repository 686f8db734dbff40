package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"dls/sinks"
	"dls/sinks/sinktest"

	"github.com/google/go-cmp/cmp"
)

// transport is one way of delivering that the conformance suite is run on.
type transport struct {
	name     string
	protocol sinks.Protocol
	host     string // as configured

	receiver sinktest.Options // how a receiver is started; nil behaviour: that of a line a record
	options  sinks.Options    // of the sink, but for the receiver's port
}

// answers reports whether the receiving program itself says what it has taken.
func (tr transport) answers() bool {
	return tr.protocol == sinks.RELP || tr.protocol == sinks.RELPSSL || tr.protocol == sinks.HEC
}

// transports returns all that this machine has.
func transports(t testing.TB) []transport {
	t.Helper()
	ca := sinktest.NewAuthority(t)
	server := ca.Issue(t, sinktest.CertificateOptions{})
	client := ca.Issue(t, sinktest.CertificateOptions{Client: true})
	caFile := sinktest.WriteFile(t, ca.CertPEM())
	clientFile := sinktest.WriteFile(t, ca.CertPEM(), client.CertPEM(), client.KeyPEM(t))

	all := []transport{
		{name: "TCP", protocol: sinks.TCP},
		{name: "TLS", protocol: sinks.TCPSSL,
			receiver: sinktest.Options{TLS: server.Server(nil)},
			options:  sinks.Options{CertFile: caFile}},
		{name: "TLS client certificate", protocol: sinks.TCPSSL,
			receiver: sinktest.Options{TLS: server.Server(ca)},
			options:  sinks.Options{CertFile: clientFile}},
		{name: "UDP", protocol: sinks.UDP},
		{name: "TCP counted", protocol: sinks.TCP,
			receiver: sinktest.Options{Behave: sinktest.ReadCounted},
			options:  sinks.Options{Syslog: sinks.SyslogOptions{Envelope: sinks.RFC5424, Framing: sinks.OctetCounted}}},
		{name: "RELP", protocol: sinks.RELP,
			receiver: sinktest.Options{Behave: new(sinktest.RELPServer).Behave}},
		{name: "RELP TLS client certificate", protocol: sinks.RELPSSL,
			receiver: sinktest.Options{TLS: server.Server(ca), Behave: new(sinktest.RELPServer).Behave},
			options:  sinks.Options{CertFile: clientFile}},
		{name: "HEC", protocol: sinks.HEC,
			receiver: sinktest.Options{Behave: (&sinktest.HEC{T: t, Token: token}).Behave},
			options:  sinks.Options{HEC: sinks.HECOptions{Token: token, Plaintext: true}}},
		{name: "HEC TLS", protocol: sinks.HEC,
			receiver: sinktest.Options{TLS: server.Server(nil), Behave: (&sinktest.HEC{T: t, Token: token, Acks: true}).Behave},
			options:  sinks.Options{CertFile: caFile, HEC: sinks.HECOptions{Token: token}}},
	}
	for i := range all {
		all[i].host, all[i].receiver.Host = "127.0.0.1", "127.0.0.1"
	}
	if !sinktest.HasIPv6() {
		t.Log("no ::1 on this machine: IPv4 only")
		return all
	}
	for _, tr := range slices.Clone(all) {
		tr.name += " IPv6"
		tr.host, tr.receiver.Host = "[::1]", "::1"
		all = append(all, tr)
	}
	return all
}

// streams returns those that have a line a record in a stream.
func streams(t testing.TB) []transport {
	t.Helper()
	return slices.DeleteFunc(transports(t), func(tr transport) bool {
		return tr.protocol == sinks.UDP || tr.receiver.Behave != nil
	})
}

// forEach runs a test for each transport, in parallel.
func forEach(t *testing.T, all []transport, f func(t *testing.T, tr transport)) {
	t.Helper()
	for _, tr := range all {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			f(t, tr)
		})
	}
}

// start starts a receiver and a sink for it. Its timeouts are long enough never
// to be met by a receiver that is merely on a slow machine.
func (tr transport) start(t testing.TB, behave sinktest.Behaviour, change ...func(*sinks.Options)) (sinks.Sink, *sinktest.Receiver) {
	t.Helper()
	o := tr.receiver
	if behave != nil {
		o.Behave = behave
	}
	var r *sinktest.Receiver
	if tr.protocol == sinks.UDP {
		r = sinktest.ListenUDP(t, o)
	} else {
		r = sinktest.Listen(t, o)
	}
	return tr.sink(t, r.Port(), change...), r
}

func (tr transport) sink(t testing.TB, port int, change ...func(*sinks.Options)) sinks.Sink {
	t.Helper()
	o := tr.options
	o.ID, o.Protocol, o.Hostname, o.Port = "siem", tr.protocol, tr.host, port
	o.DialTimeout, o.StallTimeout, o.CloseTimeout = time.Minute, time.Minute, time.Minute
	o.Warn = func(msg string) { t.Errorf("unexpected warning: %s", msg) }
	for _, f := range change {
		f(&o)
	}
	s, err := sinks.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// impatient makes a sink give up soon on a receiver that will never do what is waited for.
func impatient(o *sinks.Options) {
	o.DialTimeout, o.StallTimeout, o.CloseTimeout = 100*time.Millisecond, 100*time.Millisecond, 100*time.Millisecond
}

// deliver delivers lines in a session of their own.
func deliver(ctx context.Context, s sinks.Sink, lines []byte) error {
	_, err := sinks.Deliver(ctx, s, sinks.Batch{Endpoint: "auth", Lines: lines})
	return err
}

// page makes n lines of about size bytes, unlike those of any other name.
func page(name string, n, size int) []byte {
	var b bytes.Buffer
	for i := range n {
		start := b.Len()
		fmt.Fprintf(&b, `{"id": "%s-%d", "pad": "`, name, i)
		b.WriteString(strings.Repeat("x", max(0, size-(b.Len()-start)-3)))
		b.WriteString("\"}\n")
	}
	return b.Bytes()
}

// hasAll reports whether every line of the page is among the received ones.
func hasAll(received [][]byte, page []byte) bool {
	have := make(map[string]bool, len(received))
	for _, line := range received {
		have[string(line)] = true
	}
	for line := range bytes.Lines(page) {
		if !have[string(line)] {
			return false
		}
	}
	return true
}

// flood is a page that is longer than all that the systems of both sides hold in
// their buffers for a receiver with a small one. It is never changed.
var flood = sync.OnceValue(func() []byte { return page("flood", 2000, 5000) })

func split(page []byte) []string {
	return slices.Collect(strings.Lines(string(page)))
}

func text(lines [][]byte) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = string(line)
	}
	return out
}

func TestDeliver(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		for _, tt := range []struct{ name, lines string }{
			{"one", "{\"a\": 1}\n"},
			{"several", "{\"a\": 1}\n{\"b\": \"\\u00e9\"}\nCEF:0|Duo Security|\n"},
			{"empty line", "a\n\nb\n"},
			{"bytes as they are", "\x00\xff\r\n \t\xc3\x28\n"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				if tr.protocol == sinks.HEC && !utf8.ValidString(tt.lines) {
					t.Skip("JSON has no such text")
				}
				s, r := tr.start(t, nil)
				lines := []byte(tt.lines)
				if err := deliver(t.Context(), s, lines); err != nil {
					t.Fatal(err)
				}
				want := split([]byte(tt.lines))
				if diff := cmp.Diff(want, text(r.Wait(t, len(want)))); diff != "" {
					t.Errorf("received (-want +got):\n%s", diff)
				}
				if string(lines) != tt.lines {
					t.Error("Deliver changed the lines")
				}
			})
		}
	})
}

func TestDeliverNothing(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		for _, lines := range [][]byte{nil, {}} {
			if err := deliver(t.Context(), s, lines); err != nil {
				t.Error(err)
			}
		}
		if n := r.Connections(); n != 0 {
			t.Errorf("%d connections for no lines", n)
		}
	})
}

func TestDeliverUnterminated(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		if err := deliver(t.Context(), s, []byte("a\nb")); err == nil {
			t.Error("no error for a record without its newline")
		}
		if n := len(r.Lines()); n != 0 {
			t.Errorf("%d lines received", n)
		}
	})
}

// A record that is too long is named, and all others of its batch are delivered.
func TestDeliverTooLong(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil, func(o *sinks.Options) { o.MaxRecordBytes = 100 })
		if s.MaxRecord() != 100 {
			t.Errorf("the longest record is %d", s.MaxRecord())
		}
		lines := slices.Concat(page("a", 2, 100), page("long", 1, 102), page("b", 1, 101), page("longer", 1, 5000))
		want := append(split(page("a", 2, 100)), split(page("b", 1, 101))...) // 100 bytes and a newline
		refused, err := sinks.Deliver(t.Context(), s, sinks.Batch{Endpoint: "auth", Lines: lines})
		if err != nil || len(refused) != 2 || refused[0].Index != 2 || refused[1].Index != 4 || refused[0].Reason == "" {
			t.Errorf("refused %v, error %v", refused, err)
		}
		if diff := cmp.Diff(want, text(r.Wait(t, len(want)))); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
	})
}

func TestDeliverBigPage(t *testing.T) {
	forEach(t, slices.DeleteFunc(transports(t), func(tr transport) bool { return tr.protocol == sinks.UDP }), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		lines := page("big", 4000, 1400)
		sent := bytes.Clone(lines)
		if err := deliver(t.Context(), s, sent); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(lines, bytes.Join(r.Lines(), nil)) {
			t.Error("what was received is not what was sent")
		}
		if !bytes.Equal(lines, sent) {
			t.Error("Deliver changed the lines")
		}
	})
}

func TestDeliverConcurrently(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		const goroutines, pages, records = 3, 2, 4
		var all []string
		var running sync.WaitGroup
		for g := range goroutines {
			for p := range pages {
				all = append(all, split(page(fmt.Sprint(g, "-", p), records, 200))...)
			}
			running.Go(func() {
				for p := range pages {
					if err := deliver(t.Context(), s, page(fmt.Sprint(g, "-", p), records, 200)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		got := text(r.Wait(t, len(all)))
		slices.Sort(all)
		slices.Sort(got)
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("received (-want +got):\n%s", diff)
		}
	})
}

func TestDeliverCancelledBefore(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		stop := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stop)
		if err := deliver(ctx, s, page("a", 3, 100)); !errors.Is(err, stop) {
			t.Errorf("error %v, want %v", err, stop)
		}
		if n := len(r.Lines()); n != 0 {
			t.Errorf("%d lines received", n)
		}
	})
}

func TestDeliverCancelledDuring(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		stop := errors.New("stop")
		for _, tt := range []struct {
			name   string
			lines  []byte
			before func(*sinktest.Conn) // what the receiver does before the context ends
		}{
			{"accepted", flood(), func(*sinktest.Conn) {}},
			{"writing", flood(), func(c *sinktest.Conn) { c.ReadLines(10) }},
			{"waiting for the end", page("a", 10, 100), func(c *sinktest.Conn) { c.ReadLines(-1) }},
		} {
			t.Run(tt.name, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				s, _ := tr.start(t, func(c *sinktest.Conn) {
					tt.before(c)
					cancel(stop)
					sinktest.NeverClose(c)
				})
				if err := deliver(ctx, s, tt.lines); !errors.Is(err, stop) {
					t.Errorf("error %v, want %v", err, stop)
				}
			})
		}
	})
}

// A page that was given up must not look to the receiver like one that is complete.
func TestCancelledPageDoesNotEndInOrder(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		returned, inOrder := make(chan struct{}), make(chan bool, 1)
		s, _ := tr.start(t, func(c *sinktest.Conn) {
			c.TCP.SetReadBuffer(64 << 10)
			c.ReadLines(1)
			cancel()
			<-returned
			inOrder <- c.ReadLines(-1)
		})
		err := deliver(ctx, s, flood())
		close(returned)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		if <-inOrder {
			t.Error("the stream of a cancelled page ended in order")
		}
	})
}

func TestUDPCancelledDuring(t *testing.T) {
	for _, tr := range transports(t) {
		if tr.protocol != sinks.UDP {
			continue
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			s, r := tr.start(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			// So many that pacing alone takes seconds.
			go func() { result <- deliver(ctx, s, page("a", 20000, 50)) }()
			r.Wait(t, 10)
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
		})
	}
}

func TestDeadlineOfTheCallerIsHis(t *testing.T) {
	forEach(t, streams(t), func(t *testing.T, tr transport) {
		s, _ := tr.start(t, sinktest.Mute)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := deliver(ctx, s, flood()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestRefused(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		r.Close()
		for _, n := range []int{1, 3} { // the one record of a page is refused as much as one of many
			err := deliver(t.Context(), s, page("a", n, 100))
			if err == nil {
				t.Fatal("no error although nothing listens")
			}
			if hint := sinks.Hint(err); !strings.Contains(hint, "running") {
				t.Errorf("hint %q for %v", hint, err)
			}
			if _, ok := errors.AsType[*sinks.PermanentError](err); ok {
				t.Errorf("permanent: %v", err)
			}
		}
	})
}

func TestErrorMessage(t *testing.T) {
	tr := transport{protocol: sinks.TCP, host: "127.0.0.1"}
	port := sinktest.FreePort(t)
	err := deliver(t.Context(), tr.sink(t, port), []byte("a\n"))
	// What follows is the system's.
	want := fmt.Sprintf(`connect to server "siem" (127.0.0.1:%d): `, port)
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "dial") {
		t.Errorf("got  %v\nwant %s…", err, want)
	}
}

func TestCheck(t *testing.T) {
	forEach(t, transports(t), func(t *testing.T, tr transport) {
		s, r := tr.start(t, nil)
		report, err := s.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(report.Remote, fmt.Sprint(":", r.Port())) {
			t.Errorf("remote %q, want port %d", report.Remote, r.Port())
		}
		if want := tr.protocol != sinks.UDP && tr.protocol != sinks.HEC; report.Closed != want {
			t.Errorf("closed: %t, want %t", report.Closed, want)
		}
		if tls := tr.receiver.TLS != nil; tls != (report.TLSVersion == "TLS 1.3") || tls != (report.Subject != "") || tls == report.NotAfter.IsZero() {
			t.Errorf("facts of TLS: %+v", report)
		}
		if want := strings.Contains(tr.name, "client"); report.ClientCert != want {
			t.Errorf("client certificate: %t, want %t", report.ClientCert, want)
		}
		if n := len(r.Lines()); n != 0 {
			t.Errorf("a check sent %d lines", n)
		}
	})
}
