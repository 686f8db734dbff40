package sinks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"

	"github.com/google/go-cmp/cmp"
)

const token = "B5A79AAD-D822-46CC-80D1-819F80D7BFB0"

// hec returns a sink for a collector, over pipes, in the clear.
func hec(t *testing.T, h *sinktest.HEC, change ...func(*sinks.Options)) sinks.Sink {
	t.Helper()
	h.T = t
	return newSink(t, sinks.HEC, func(c net.Conn) { h.Serve(c, nil) }, append([]func(*sinks.Options){func(o *sinks.Options) {
		o.HEC.Token, o.HEC.Plaintext, o.HEC.Host = token, true, "duo.example.com"
	}}, change...)...)
}

// stored returns the records that a collector has, as lines.
func stored(h *sinktest.HEC) string {
	var b bytes.Buffer
	for _, e := range h.Events() {
		b.Write(e.Line())
	}
	return b.String()
}

// inVirtualTime runs a test of a collector. What serves a pipe ends with it.
func inVirtualTime(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func TestHEC(t *testing.T) {
	inVirtualTime(t, "events", func(t *testing.T) {
		h := &sinktest.HEC{Token: token}
		s := hec(t, h)
		b := sinks.Batch{Endpoint: "auth", Lines: []byte("{\"a\": 1.50, \"b\": \"\\u00e9\"}\nCEF:0|Duo|\"\\|Zoë\n"), Times: []int64{1795397942007, -1}}
		if refused, err := sinks.Deliver(t.Context(), s, b); err != nil || refused != nil {
			t.Fatal(refused, err)
		}
		want := []sinktest.HECEvent{
			{Time: "1795397942.007", Host: "duo.example.com", Source: "dls", SourceType: "duo:auth", Event: json.RawMessage(`{"a": 1.50, "b": "\u00e9"}`)},
			{Host: "duo.example.com", Source: "dls", SourceType: "duo:auth", Event: json.RawMessage(`"CEF:0|Duo|\"\\|Zoë"`)},
		}
		if diff := cmp.Diff(want, h.Events()); diff != "" {
			t.Error(diff)
		}
	})
	inVirtualTime(t, "metadata", func(t *testing.T) {
		h := &sinktest.HEC{}
		s := hec(t, h, func(o *sinks.Options) { o.HEC.Source, o.HEC.SourceType, o.HEC.Index = `a"b`, "duo", "security" })
		if _, err := sinks.Deliver(t.Context(), s, batch("{}\n")); err != nil {
			t.Fatal(err)
		}
		want := []sinktest.HECEvent{{Host: "duo.example.com", Source: `a"b`, SourceType: "duo", Index: "security", Event: json.RawMessage(`{}`)}}
		if diff := cmp.Diff(want, h.Events()); diff != "" {
			t.Error(diff)
		}
	})
	inVirtualTime(t, "batches", func(t *testing.T) {
		h := &sinktest.HEC{}
		s := hec(t, h, func(o *sinks.Options) { o.HEC.MaxBatchBytes = 100_000 })
		lines := page("a", 1000, 1000)
		session, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := session.Send(t.Context(), sinks.Batch{Lines: lines}); err != nil {
				t.Fatal(err)
			}
		}
		if err := session.Confirm(t.Context()); err != nil {
			t.Fatal(err)
		}
		if stored(h) != strings.Repeat(string(lines), 2) {
			t.Error("what is stored is not what was sent")
		}
		if h.Requests() != 22 || h.Channels() != 1 {
			t.Errorf("%d requests, %d channels", h.Requests(), h.Channels())
		}
	})
}

func TestHECTooLarge(t *testing.T) {
	inVirtualTime(t, "split", func(t *testing.T) {
		h := &sinktest.HEC{MaxBytes: 20_000}
		s := hec(t, h)
		lines := page("a", 100, 1000)
		if refused, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: lines}); refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		if stored(h) != string(lines) {
			t.Error("what is stored is not what was sent")
		}
	})
	inVirtualTime(t, "one record", func(t *testing.T) {
		h := &sinktest.HEC{MaxBytes: 5000}
		s := hec(t, h)
		lines := join(page("a", 2, 100), page("long", 1, 6000), page("b", 2, 100))
		refused, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: lines})
		if err != nil || len(refused) != 1 || refused[0].Index != 2 || !strings.Contains(refused[0].Reason, "does not take a request of its") {
			t.Fatal(refused, err)
		}
		if want := string(join(page("a", 2, 100), page("b", 2, 100))); stored(h) != want {
			t.Errorf("stored %q", stored(h))
		}
	})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestHECRefusesRecords(t *testing.T) {
	bad := func(event []byte) bool { return bytes.Contains(event, []byte("bad")) }
	for _, unnamed := range []bool{false, true} {
		inVirtualTime(t, fmt.Sprintf("some, unnamed: %t", unnamed), func(t *testing.T) {
			h := &sinktest.HEC{Refuse: bad, Unnamed: unnamed}
			s := hec(t, h)
			lines := join(page("a", 30, 100), page("bad", 1, 100), page("b", 30, 100), page("bad", 1, 50))
			refused, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: lines})
			want := []sinks.Refused{{Index: 30, Reason: `the receiver refuses it: "Invalid data format"`}, {Index: 61, Reason: `the receiver refuses it: "Invalid data format"`}}
			if diff := cmp.Diff(want, refused); diff != "" || err != nil {
				t.Fatal(err, diff)
			}
			have := make(map[string]bool)
			for line := range strings.Lines(stored(h)) {
				have[line] = true
			}
			for line := range strings.Lines(string(lines)) {
				if have[line] == strings.Contains(line, "bad") {
					t.Errorf("stored: %t: %s", have[line], line)
				}
			}
		})
	}
	for _, fromOne := range []bool{false, true} {
		inVirtualTime(t, fmt.Sprintf("one of many, counted from one: %t", fromOne), func(t *testing.T) {
			h := &sinktest.HEC{Refuse: bad, FromOne: fromOne}
			refused, err := sinks.Deliver(t.Context(), hec(t, h), sinks.Batch{Lines: join(page("a", 500, 100), page("bad", 1, 100), page("b", 400, 100))})
			if err != nil || len(refused) != 1 || refused[0].Index != 500 {
				t.Fatal(err, refused)
			}
			if n := h.Requests(); n > 60 {
				t.Errorf("it took %d requests", n)
			}
		})
	}
	inVirtualTime(t, "all", func(t *testing.T) {
		s := hec(t, &sinktest.HEC{Refuse: func([]byte) bool { return true }})
		_, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: page("a", 1000, 100)})
		if err == nil || !strings.Contains(err.Error(), "refuses one record after the other: 101 so far") {
			t.Error(err)
		}
	})
}

func TestHECBusy(t *testing.T) {
	inVirtualTime(t, "for a while", func(t *testing.T) {
		h := &sinktest.HEC{Before: func(n int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			switch n {
			case 0:
				w.Header().Set("Retry-After", "40")
				sinktest.HECSay(w, 503, 9, "Server is busy")
			case 1, 2, 3:
				sinktest.HECSay(w, 429, 26, "Queue at capacity")
			}
			return n < 4
		}}
		start := time.Now()
		if _, err := sinks.Deliver(t.Context(), hec(t, h), batch("{}\n")); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 43*time.Second || d > 48*time.Second {
			t.Errorf("it took %v", d)
		}
	})
	for _, after := range []string{"", "7200", "Fri, 31 Dec 1999 23:59:59 GMT", "-1", "99999999999999999999"} {
		inVirtualTime(t, "for ever, Retry-After "+after, func(t *testing.T) {
			h := &sinktest.HEC{Before: func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
				w.Header().Set("Retry-After", after)
				sinktest.HECSay(w, 503, 9, "Server is busy")
				return true
			}}
			start := time.Now()
			want := `the receiver answered 503 "Server is busy"`
			if after == "7200" {
				want += ", and asks to be left alone for 2h0m0s"
			}
			_, err := sinks.Deliver(t.Context(), hec(t, h), batch("{}\n"))
			if err == nil || !strings.HasSuffix(err.Error(), want) || permanent(err) {
				t.Error(err)
			}
			if d := time.Since(start); d > 2*time.Minute {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// A collector that says for how long it wants to be left alone gets no request before:
// the server is down, and no page is to blame.
func TestHECLeftAlone(t *testing.T) {
	inVirtualTime(t, "sent", func(t *testing.T) {
		h := &sinktest.HEC{Before: func(n int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			if n == 0 {
				w.Header().Set("Retry-After", "600")
				sinktest.HECSay(w, 429, 9, "Server is busy")
			}
			return n == 0
		}}
		s := hec(t, h)
		g := sinks.NewGroup(t.Context(), s)
		_, _, err := g.Send(t.Context(), batch("{}\n"), 0)
		if failed, ok := errors.AsType[*sinks.SessionError](err); !ok || !failed.Down {
			t.Fatalf("%v, want a session that failed because the server is down", err)
		}
		g.Close()
		time.Sleep(10*time.Minute - time.Second)
		_, err = s.Open(t.Context())
		_, checked := s.Check(t.Context())
		for _, err := range []error{err, checked} {
			if err == nil || !strings.HasSuffix(err.Error(), `the receiver answered 429 "Server is busy", and asks to be left alone for 10m0s`) {
				t.Errorf("a second before: %v", err)
			}
		}
		if n := h.Requests(); n != 1 {
			t.Errorf("%d requests for events", n)
		}
		time.Sleep(time.Second)
		if _, err := sinks.Deliver(t.Context(), s, batch("{}\n")); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}

// What a collector's wrong port does is named, and so is the time that was waited.
func TestHECWrongPort(t *testing.T) {
	cert := sinktest.WriteFile(t, sinktest.NewAuthority(t).CertPEM())
	inTheClear := func(o *sinks.Options) { o.HEC.Token, o.HEC.Plaintext = token, true }
	overTLS := func(o *sinks.Options) { o.HEC.Token, o.CertFile, o.DialTimeout = token, cert, 7*time.Second }
	reads := func(c net.Conn) { c.Read(make([]byte, 64<<10)) }
	for _, tt := range []struct {
		name      string
		change    func(*sinks.Options)
		serve     func(net.Conn)
		err, hint string // parts of them
	}{
		{"ends it", inTheClear, func(c net.Conn) { reads(c); c.Close() }, "ended the connection without an answer", "remove plaintext"},
		{"ends it at once", inTheClear, func(c net.Conn) { c.Close() }, "ended the connection without an answer", "a proxy does so"},
		{"an alert of TLS", inTheClear, func(c net.Conn) { reads(c); c.Write([]byte("\x15\x03\x01\x00\x02\x02F")); c.Close() }, "answers in TLS", "remove plaintext"},
		{"no handshake", overTLS, func(c net.Conn) { io.Copy(io.Discard, c) }, "no TLS handshake within 7s", "not stuck"},
		{"no TLS", overTLS, func(c net.Conn) { reads(c); c.Write([]byte("220 ready\r\n")); c.Close() }, "TLS", "or plaintext: true"},
	} {
		inVirtualTime(t, tt.name, func(t *testing.T) {
			_, err := newSink(t, sinks.HEC, tt.serve, tt.change).Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(sinks.Hint(err), tt.hint) {
				t.Errorf("error %v, hint %q", err, sinks.Hint(err))
			}
		})
	}
}

func permanent(err error) bool {
	_, ok := errors.AsType[*sinks.PermanentError](err)
	return ok
}

func TestHECAcknowledged(t *testing.T) {
	inVirtualTime(t, "in the end", func(t *testing.T) {
		h := &sinktest.HEC{Acks: true, Indexed: func(id int64, n int) bool { return n >= int(id) }}
		s := hec(t, h, func(o *sinks.Options) { o.HEC.MaxBatchBytes = 1000 })
		if _, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: page("a", 40, 100)}); err != nil {
			t.Error(err)
		}
	})
	inVirtualTime(t, "more than one answer holds", func(t *testing.T) {
		h := &sinktest.HEC{Acks: true, FirstAck: 1 << 60}
		s := hec(t, h, func(o *sinks.Options) { o.HEC.MaxBatchBytes = 1 })
		if _, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: page("a", 2500, 20)}); err != nil {
			t.Error(err)
		}
	})
	for after, want := range map[int]time.Duration{40: 40 * time.Second, 600: 0} {
		inVirtualTime(t, fmt.Sprintf("asked too soon, Retry-After %d", after), func(t *testing.T) {
			var first, last time.Time
			h := &sinktest.HEC{Acks: true, Asked: func(n int, w http.ResponseWriter) bool {
				if last = time.Now(); n > 0 {
					return false
				}
				first = last
				w.Header().Set("Retry-After", strconv.Itoa(after))
				sinktest.HECSay(w, 503, 9, "Server is busy")
				return true
			}}
			_, err := sinks.Deliver(t.Context(), hec(t, h), batch("{}\n"))
			if d := last.Sub(first); d != want || (err == nil) != (want > 0) {
				t.Errorf("asked again after %v, want %v; error %v", d, want, err)
			}
		})
	}
	inVirtualTime(t, "not one of them", func(t *testing.T) {
		h := &sinktest.HEC{Acks: true, Indexed: func(id int64, n int) bool { return id != 3 }}
		s := hec(t, h, func(o *sinks.Options) { o.HEC.MaxBatchBytes = 1000 })
		start := time.Now()
		_, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: page("a", 40, 100)})
		if err == nil || !strings.HasSuffix(err.Error(), "the receiver took the records but did not acknowledge within 2m0s that they are indexed (requests that are not acknowledged: 1)") {
			t.Error(err)
		}
		if !strings.Contains(sinks.Hint(err), "index") {
			t.Errorf("hint %q", sinks.Hint(err))
		}
		if d := time.Since(start); d > 2*time.Minute+time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// Behind a load balancer that does not keep a channel at one collector, or after a
// restart, two requests have the same ackId. That it is true proves one of them only.
func TestHECSameAckID(t *testing.T) {
	inVirtualTime(t, "twice", func(t *testing.T) {
		h := &sinktest.HEC{Acks: true, Before: func(n int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			if n == 0 {
				return false // the first collector's 0; the others', which store nothing, are
			}
			fmt.Fprint(w, `{"text":"Success","code":0,"ackId":0}`)
			return true
		}}
		s := hec(t, h, func(o *sinks.Options) { o.HEC.MaxBatchBytes = 1000 })
		_, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: page("a", 40, 100)})
		if err == nil || !strings.Contains(sinks.Hint(err), "load balancer") {
			t.Errorf("error %v, hint %q", err, sinks.Hint(err))
		}
	})
}

// What stands where the code of success does, and is not it, proves nothing.
func TestHECOddCode(t *testing.T) {
	for _, answer := range []string{
		`{"text":"Success"}`, `{"code":null}`, `{"code":"0"}`, `{"code":"unauthorized"}`, `{"code":0.5}`, `{"code":1e400}`, `{"code":[]}`, `{"code":{}}`,
		`{"code":9,"code":0}`, `{"code":0,"CODE":9}`, `{"code":0,"text":7}`, `{"code":0,"ackId":"x"}`, `{"code":0,"ackId":1,"ackId":2}`, `{"code":0}{"code":9}`, `[]`,
	} {
		inVirtualTime(t, answer, func(t *testing.T) {
			h := &sinktest.HEC{Before: func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
				fmt.Fprint(w, answer)
				return true
			}}
			_, err := sinks.Deliver(t.Context(), hec(t, h), sinks.Batch{Lines: page("a", 3, 100)})
			if err == nil || !strings.Contains(err.Error(), "without the code of success") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// The answer to a request that was stored is lost: nothing counts.
func TestHECAnswerLost(t *testing.T) {
	for name, before := range map[string]func(int, http.ResponseWriter, []sinktest.HECEvent) bool{
		"reset": func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool { panic(http.ErrAbortHandler) },
		"cut": func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			w.Header().Set("Content-Length", "30")
			w.Write([]byte(`{"text":"Success","co`))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"slow": func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			time.Sleep(10 * time.Minute)
			return false
		},
		"no code": func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			w.Write([]byte("<html>welcome</html>"))
			return true
		},
		"long": func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			fmt.Fprintf(w, `{"text":%q,"code":0}`, strings.Repeat("x", 100_000))
			return true
		},
		"elsewhere": func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			w.Header().Set("Location", "http://evil.example.com/")
			w.WriteHeader(307)
			return true
		},
		"server error": func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			sinktest.HECSay(w, 500, 8, "Internal server error")
			return true
		},
	} {
		inVirtualTime(t, name, func(t *testing.T) {
			h := &sinktest.HEC{Before: before}
			_, err := sinks.Deliver(t.Context(), hec(t, h), batch("{}\n"))
			if err == nil || len(err.Error()) > 300 || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), token) {
				t.Errorf("error %v", err)
			}
			if permanent(err) != (name == "elsewhere") {
				t.Errorf("permanent: %t: %v", permanent(err), err)
			}
			time.Sleep(time.Hour) // the slow one
		})
	}
}

func TestHECFinal(t *testing.T) {
	say := func(status, code int, text string) func(int, http.ResponseWriter, []sinktest.HECEvent) bool {
		return func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
			sinktest.HECSay(w, status, code, text)
			return true
		}
	}
	for _, tt := range []struct {
		status, code int
		text, hint   string
	}{
		{403, 1, "Token disabled", "enable the token"},
		{401, 2, "Token is required", "does not know the token"},
		{401, 3, "Invalid authorization", "does not know the token"},
		{403, 4, "Invalid token", "does not know the token"},
		{400, 7, "Incorrect index", "allow the index"},
		{400, 10, "Data channel is missing", "X-Splunk-Request-Channel"},
		{404, 404, "The requested URL was not found", "servers[].path"},
	} {
		inVirtualTime(t, tt.text, func(t *testing.T) {
			_, err := sinks.Deliver(t.Context(), hec(t, &sinktest.HEC{Before: say(tt.status, tt.code, tt.text)}), batch("{}\n"))
			if !permanent(err) || !strings.Contains(sinks.Hint(err), tt.hint) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, hint %q", err, sinks.Hint(err))
			}
		})
	}
}

func TestHECCheck(t *testing.T) {
	for _, tt := range []struct {
		name string
		hec  *sinktest.HEC
		path string
		want string // in the error
	}{
		{"in order", &sinktest.HEC{Token: token}, "", ""},
		{"token", &sinktest.HEC{Token: "another"}, "", `the receiver answered 403 "Invalid token"`},
		{"unhealthy", &sinktest.HEC{Unhealthy: true}, "", `the receiver answered 503 "HEC is unhealthy, queues are full"`},
		{"path", &sinktest.HEC{}, "/elsewhere", "the receiver answered 404"},
	} {
		inVirtualTime(t, tt.name, func(t *testing.T) {
			report, err := hec(t, tt.hec, func(o *sinks.Options) { o.HEC.Path = tt.path }).Check(t.Context())
			if tt.want == "" && (err != nil || report.Proves == "" || report.Remote == "") {
				t.Error(report, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if tt.hec.Requests() > 0 {
				t.Error("a check sent events")
			}
		})
	}
}

func TestHECCancelled(t *testing.T) {
	stop := errors.New("stop")
	for name, h := range map[string]func() *sinktest.HEC{
		"busy": func() *sinktest.HEC {
			return &sinktest.HEC{Before: func(_ int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
				sinktest.HECSay(w, 503, 9, "Server is busy")
				return true
			}}
		},
		"slow": func() *sinktest.HEC {
			return &sinktest.HEC{Before: func(int, http.ResponseWriter, []sinktest.HECEvent) bool { time.Sleep(time.Minute); return false }}
		},
		"not indexed": func() *sinktest.HEC {
			return &sinktest.HEC{Acks: true, Indexed: func(int64, int) bool { return false }}
		},
	} {
		inVirtualTime(t, name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(1500*time.Millisecond, func() { cancel(stop) })
			start := time.Now()
			if _, err := sinks.Deliver(ctx, hec(t, h()), batch("{}\n")); !errors.Is(err, stop) {
				t.Errorf("error %v, want %v", err, stop)
			}
			if d := time.Since(start); d != 1500*time.Millisecond {
				t.Errorf("it took %v", d)
			}
			time.Sleep(time.Hour)

			session, err := hec(t, h()).Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(1500*time.Millisecond, session.Abort)
			_, err = session.Send(t.Context(), batch("{}\n"))
			if err == nil {
				err = session.Confirm(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), "over") {
				t.Errorf("error %v of an aborted session", err)
			}
			time.Sleep(time.Hour)
		})
	}
}

func TestHECOptions(t *testing.T) {
	for _, tt := range []struct {
		hec  sinks.HECOptions
		want string
	}{
		{sinks.HECOptions{}, "protocol HEC needs a token"},
		{sinks.HECOptions{Token: "secret \n"}, "the token has a character that no token has"},
		{sinks.HECOptions{Token: "secret", Path: "x"}, `path "x" does not begin with /`},
		{sinks.HECOptions{Token: "secret", MaxBatchBytes: -1}, "max_batch_bytes -1 is negative"},
		{sinks.HECOptions{Token: "secret", Proxy: "http://user:secret@:x:y"}, "the proxy is no URL"},
	} {
		_, err := sinks.New(sinks.Options{ID: "s", Protocol: sinks.HEC, Hostname: "h", Port: 8088, HEC: tt.hec})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

// A proxy is used only if it is set, whatever the environment says.
func TestHECProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://env.example.com:1")
	for _, proxy := range []string{"", "http://user:secret@proxy.example.com:3128"} {
		inVirtualTime(t, proxy, func(t *testing.T) {
			dialled := make(map[string]bool)
			s := hec(t, &sinktest.HEC{}, func(o *sinks.Options) {
				o.HEC.Proxy = proxy
				dial := o.Dial
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					dialled[address] = true
					return dial(ctx, network, address)
				}
			})
			if _, err := sinks.Deliver(t.Context(), s, batch("{}\n")); err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{"siem.example.com:2514": true}
			if proxy != "" {
				want = map[string]bool{"proxy.example.com:3128": true}
			}
			if diff := cmp.Diff(want, dialled); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Of two faults that users make with TLS the hint names the cure.
func TestHECScheme(t *testing.T) {
	ca := sinktest.NewAuthority(t)
	server := ca.Issue(t, sinktest.CertificateOptions{})
	caFile := sinktest.WriteFile(t, ca.CertPEM())
	for _, tt := range []struct {
		name     string
		receiver sinktest.Options
		o        sinks.Options
		hint     string
	}{
		{"TLS to a plain port", sinktest.Options{}, sinks.Options{CertFile: caFile}, "plaintext: true"},
		{"plain to a TLS port", sinktest.Options{TLS: server.Server(nil)}, sinks.Options{HEC: sinks.HECOptions{Plaintext: true}}, "remove plaintext"},
		{"the system's roots", sinktest.Options{TLS: server.Server(nil)}, sinks.Options{}, "cert_filepath"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := tt.receiver.TLS
			tt.receiver.TLS = nil
			h := &sinktest.HEC{T: t}
			tt.receiver.Behave = h.Behave
			if config != nil {
				tt.receiver.Behave = h.BehaveTLS(config)
			}
			r := sinktest.Listen(t, tt.receiver)
			tt.o.ID, tt.o.Protocol, tt.o.Hostname, tt.o.Port, tt.o.HEC.Token = "siem", sinks.HEC, "127.0.0.1", r.Port(), token
			s, err := sinks.New(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = sinks.Deliver(t.Context(), s, batch("{}\n"))
			if !permanent(err) || !strings.Contains(sinks.Hint(err), tt.hint) {
				t.Errorf("error %v, hint %q", err, sinks.Hint(err))
			}
		})
	}
}
