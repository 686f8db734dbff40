package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"

	"github.com/google/go-cmp/cmp"
)

// pipes dials a server at the other end of a pipe: for tests in virtual time.
func pipes(serve func(net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serve(theirs)
		return ours, nil
	}
}

// newSink returns a sink whose connections go to serve.
func newSink(t *testing.T, protocol sinks.Protocol, serve func(net.Conn), change ...func(*sinks.Options)) sinks.Sink {
	t.Helper()
	o := sinks.Options{ID: "siem", Protocol: protocol, Hostname: "siem.example.com", Port: 2514, Dial: pipes(serve)}
	for _, f := range change {
		f(&o)
	}
	s, err := sinks.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func batch(lines string) sinks.Batch { return sinks.Batch{Endpoint: "auth", Lines: []byte(lines)} }

func TestRELP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got bytes.Buffer
		s := newSink(t, sinks.RELP, func(c net.Conn) {
			err := new(sinktest.RELPServer).Serve(c, func(message []byte) {
				text, ok := sinktest.CutRFC5424(message)
				if !ok {
					t.Errorf("message %q", message)
				}
				got.Write(append(text, '\n'))
			})
			if err != nil {
				t.Error(err)
			}
		})
		lines := string(page("a", 1000, 300))
		session, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if refused, err := session.Send(t.Context(), batch(lines)); err != nil || refused != nil {
				t.Fatal(refused, err)
			}
		}
		time.Sleep(time.Hour) // an idle session is none that stalls
		if err := session.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got.String() != strings.Repeat(lines, 3) {
			t.Error("what was received is not what was sent")
		}
		session.Abort() // harmless
		if _, err := session.Send(t.Context(), batch("a\n")); err == nil {
			t.Error("a session that is over takes records")
		}
	})
}

// What a server does to one record of 300 must fail the session, whether it kept
// the record or not.
func TestRELPFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer sinktest.RELPAnswer
		want   string // in the error
	}{
		{"refused", sinktest.RELPRefuse, `the receiver refused record 201 of the session: "500 not today"`},
		{"unanswered", sinktest.RELPSilent, "the receiver answered none of 1 records within 30s"},
		{"ended", sinktest.RELPEnd, "the receiver ended the connection with "},
		{"answer lost", sinktest.RELPTakeAndEnd, "the receiver ended the connection with "},
		{"cut in the answer", sinktest.RELPCut, "the receiver ended the connection with "},
		{"serverclose", sinktest.RELPServerClose, "the receiver ended the connection with "},
		{"garbage", sinktest.RELPGarbage, `the receiver does not speak RELP as it should: 'H' where a number begins`},
		{"foreign answer", sinktest.RELPWrongTxnr, "the receiver does not speak RELP as it should: an answer to 1202, which awaits none"},
	} {
		for _, last := range []bool{false, true} { // whether the record is the last of the session
			t.Run(fmt.Sprintf("%s, last: %t", tt.name, last), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := &sinktest.RELPServer{Answer: func(n int, _ []byte) sinktest.RELPAnswer {
						if n == 200 {
							return tt.answer
						}
						return sinktest.RELPTake
					}}
					s := newSink(t, sinks.RELP, func(c net.Conn) { server.Serve(c, func([]byte) {}) })
					n := 300
					if last {
						n = 201
					}
					session, err := s.Open(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					_, err = session.Send(t.Context(), sinks.Batch{Lines: page("a", n, 100)})
					if err == nil {
						err = session.Confirm(t.Context())
					}
					if err == nil || !strings.Contains(err.Error(), tt.want) && !strings.Contains(err.Error(), "closed pipe") {
						t.Errorf("error %v, want %q", err, tt.want)
					}
					if last && !strings.Contains(err.Error(), tt.want) {
						t.Errorf("error %v, want %q", err, tt.want)
					}
					<-session.Failed()
				})
			})
		}
	}
}

// A session whose peer goes away between pages fails by itself, and counts
// nevertheless if every record was answered.
func TestRELPServerCloseWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		s := newSink(t, sinks.RELP, func(c net.Conn) {
			go func() {
				<-stop
				io.WriteString(c, "0 serverclose 0\n")
			}()
			new(sinktest.RELPServer).Serve(c, func([]byte) {})
		})
		session, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.Send(t.Context(), batch("a\nb\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case <-session.Failed():
			t.Error("failed before its time")
		default:
		}
		close(stop)
		<-session.Failed()
		if err := session.Confirm(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRELPOpen(t *testing.T) {
	raw := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			defer c.Close()
			c.Read(make([]byte, 1000))
			io.WriteString(c, answer)
		}
	}
	relp := func(s sinktest.RELPServer) func(net.Conn) {
		return func(c net.Conn) { s.Serve(c, func([]byte) {}) }
	}
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		want  string
	}{
		{"closed", func(c net.Conn) { c.Read(make([]byte, 1000)); c.Close() }, "ended the connection instead of opening a RELP session"},
		{"mute", func(c net.Conn) { io.Copy(io.Discard, c) }, "the receiver did not answer RELP's open within 30s"},
		{"deaf", func(net.Conn) {}, "the receiver did not answer RELP's open within 30s"},
		{"refused", relp(sinktest.RELPServer{Code: "500 go away"}), `the receiver refused RELP's open: "500 go away`},
		{"no syslog", relp(sinktest.RELPServer{Offers: "relp_version=0\ncommands=eventlog"}), "does not offer to take messages of syslog"},
		{"no version", relp(sinktest.RELPServer{Offers: "commands=syslog"}), "does not offer to take messages of syslog"},
		{"HTTP", raw("HTTP/1.1 400 Bad Request\r\n"), "the receiver answers in HTTP"},
		{"TLS", raw("\x15\x03\x01\x00\x02\x02\x0a"), "the receiver answers in TLS"},
		{"syslog", raw("<13>hello\n"), "does not speak RELP as it should: '<' where a number begins"},
		{"long", raw("1 rsp 999999999 200"), "an answer of 999999999 bytes"},
		{"ten digits", raw("1 rsp 1000000000 200"), "a number of more than nine digits"},
		{"long command", raw("1 " + strings.Repeat("r", 33) + " 6 200 OK\n"), "in the command"},
		{"no command", raw("1  6 200 OK\n"), "in the command"},
		{"other txnr", raw("2 rsp 6 200 OK\n"), `"rsp" 2 answers open`},
		{"other command", raw("1 syslog 6 200 OK\n"), `"syslog" 1 answers open`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSink(t, sinks.RELP, tt.serve)
				_, err := s.Open(t.Context())
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v looks like the end of the caller's context", err)
				}
			})
		})
	}
}

func TestRELPCheck(t *testing.T) {
	for _, noClose := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newSink(t, sinks.RELP, func(c net.Conn) {
				(&sinktest.RELPServer{NoClose: noClose}).Serve(c, func(m []byte) { t.Errorf("message %q", m) })
			})
			report, err := s.Check(t.Context())
			if err != nil || report.Closed == noClose || report.Proves == "" {
				t.Error(report, err)
			}
		})
	}
}

// The end of the context, and Abort, end whatever the session waits for.
func TestRELPCancelled(t *testing.T) {
	stop := errors.New("stop")
	silent := func(c net.Conn) {
		(&sinktest.RELPServer{Answer: func(int, []byte) sinktest.RELPAnswer { return sinktest.RELPSilent }}).Serve(c, func([]byte) {})
	}
	deaf := func(c net.Conn) {
		c.Read(make([]byte, 1000))
		io.WriteString(c, "1 rsp 37 200 OK\nrelp_version=0\ncommands=syslog\n")
	}
	for name, serve := range map[string]func(net.Conn){"unanswered": silent, "not taken": deaf} {
		for _, n := range []int{1, 1000} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					session, err := newSink(t, sinks.RELP, serve).Open(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(time.Second, func() { cancel(stop) })
					_, err = session.Send(ctx, sinks.Batch{Lines: page("a", n, 100)})
					if err == nil {
						err = session.Confirm(ctx)
					}
					if !errors.Is(err, stop) {
						t.Errorf("error %v, want %v", err, stop)
					}
					if err := session.Confirm(t.Context()); err == nil {
						t.Error("a cancelled session was confirmed")
					}

					session, err = newSink(t, sinks.RELP, serve).Open(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					time.AfterFunc(time.Second, session.Abort)
					_, err = session.Send(t.Context(), sinks.Batch{Lines: page("a", n, 100)})
					if err == nil {
						err = session.Confirm(t.Context())
					}
					if err == nil || !strings.Contains(err.Error(), "over") && !strings.Contains(err.Error(), "closed pipe") {
						t.Errorf("error %v of an aborted session", err)
					}
				})
			})
		}
	}
}

func TestRELPMaxRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		s := newSink(t, sinks.RELP, func(c net.Conn) {
			new(sinktest.RELPServer).Serve(c, func(m []byte) {
				text, _ := sinktest.CutRFC5424(m)
				got = append(got, string(text))
			})
		}, func(o *sinks.Options) { o.MaxRecordBytes = 3 })
		refused, err := sinks.Deliver(t.Context(), s, batch("abc\nabcd\nx\n"))
		want := []sinks.Refused{{Index: 1, Reason: "its 4 bytes are more than the 3 that the server takes"}}
		if diff := cmp.Diff(want, refused); diff != "" || err != nil {
			t.Error(err, diff)
		}
		if diff := cmp.Diff([]string{"abc", "x"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// cutConn ends a connection once so many bytes were written to it.
type cutConn struct {
	net.Conn
	left int
}

func (c *cutConn) Write(b []byte) (int, error) {
	if len(b) < c.left {
		c.left -= len(b)
		return c.Conn.Write(b)
	}
	n, _ := c.Conn.Write(b[:c.left])
	c.left = 0
	c.Close()
	return n, net.ErrClosed
}

// Wherever the receiver's answers end: what it was not asked to confirm is
// confirmed only if it has it all.
func TestAnswersCutAnywhere(t *testing.T) {
	const records = 20
	lines := string(page("a", records, 50))
	for _, tt := range []struct {
		name     string
		protocol sinks.Protocol
		answers  int // bytes of all
		serve    func(t *testing.T, c net.Conn, got *bytes.Buffer)
	}{
		{"RELP", sinks.RELP, 500, func(t *testing.T, c net.Conn, got *bytes.Buffer) {
			new(sinktest.RELPServer).Serve(c, func(m []byte) {
				text, _ := sinktest.CutRFC5424(m)
				got.Write(append(text, '\n'))
			})
		}},
		{"HEC", sinks.HEC, 2000, func(t *testing.T, c net.Conn, got *bytes.Buffer) {
			(&sinktest.HEC{T: t, Acks: true}).Serve(c, func(e sinktest.HECEvent) { got.Write(e.Line()) })
		}},
	} {
		confirmed := 0
		for cut := 1; cut < tt.answers; cut += 3 {
			synctest.Test(t, func(t *testing.T) {
				var got bytes.Buffer
				conns := 0
				s := newSink(t, tt.protocol, func(c net.Conn) {
					if conns++; conns > 1 {
						c.Close()
						return
					}
					tt.serve(t, &cutConn{c, cut}, &got)
				}, func(o *sinks.Options) { o.HEC.Token, o.HEC.Plaintext, o.HEC.MaxBatchBytes = token, true, 500 })
				_, err := sinks.Deliver(t.Context(), s, batch(lines))
				synctest.Wait()
				if err == nil {
					confirmed++
					if got.String() != lines {
						t.Errorf("%s, cut after %d bytes: confirmed, but not stored", tt.name, cut)
					}
				}
			})
		}
		if confirmed == 0 || confirmed > tt.answers/6 {
			t.Errorf("%s: %d of %d deliveries confirmed: the answers are not cut where they are", tt.name, confirmed, tt.answers/3)
		}
	}
}
