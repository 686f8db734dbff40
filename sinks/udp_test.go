package sinks_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"

	"github.com/google/go-cmp/cmp"
)

func TestUDPOversize(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("the system's own limit for a datagram is lower (net.inet.udp.maxdgram)")
	}
	tr := transport{protocol: sinks.UDP, host: "127.0.0.1"}
	s, r := tr.start(t, nil)
	fits, over := page("fits", 1, 65507), page("over", 1, 65508)
	if len(fits) != 65507 || len(over) != 65508 {
		t.Fatal(len(fits), len(over))
	}
	lines := bytes.Join([][]byte{[]byte("first\n"), over, fits, over, []byte("last\n")}, nil)
	refused, err := sinks.Deliver(t.Context(), s, sinks.Batch{Lines: lines})
	if err != nil {
		t.Fatal(err)
	}
	if len(refused) != 2 || refused[0].Index != 1 || refused[1].Index != 3 {
		t.Errorf("refused %v", refused)
	}
	got := r.Wait(t, 3)
	if string(got[0]) != "first\n" || !bytes.Equal(got[1], fits) || string(got[2]) != "last\n" {
		t.Error("the other records were not received as sent")
	}
}

// A refusal outweighs an oversize record: the page is to be delivered again.
func TestUDPOversizeAndRefused(t *testing.T) {
	tr := transport{protocol: sinks.UDP, host: "127.0.0.1"}
	s := tr.sink(t, sinktest.FreePort(t))
	err := deliver(t.Context(), s, append(page("over", 1, 70000), "last\n"...))
	if err == nil {
		t.Fatal("no error")
	}
}

// As many records as a default receive buffer holds arrive even if the receiver
// reads only when all is sent, in order and one a datagram.
func TestUDPFraming(t *testing.T) {
	tr := transport{protocol: sinks.UDP, host: "127.0.0.1"}
	s, r := tr.start(t, nil)
	lines := page("a", 60, 300)
	if err := deliver(t.Context(), s, lines); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(split(lines), text(r.Wait(t, 60))); diff != "" {
		t.Errorf("datagrams (-want +got):\n%s", diff)
	}
}

// In an envelope the datagram is the message, without a newline (RFC 5426).
func TestUDPEnvelope(t *testing.T) {
	tr := transport{protocol: sinks.UDP, host: "127.0.0.1"}
	s, r := tr.start(t, nil, func(o *sinks.Options) { o.Syslog.Envelope = sinks.RFC5424 })
	most := s.MaxRecord()
	lines := []byte(strings.Repeat("a", most) + "\n" + strings.Repeat("b", most+1) + "\n")
	refused, err := sinks.Deliver(t.Context(), s, sinks.Batch{Endpoint: "auth", Lines: lines})
	if err != nil || len(refused) != 1 || refused[0].Index != 1 {
		t.Fatal(refused, err)
	}
	text, ok := sinktest.CutRFC5424(r.Wait(t, 1)[0])
	if !ok || string(text) != strings.Repeat("a", most) {
		t.Errorf("datagram of %d bytes, RFC 5424: %t", len(text), ok)
	}
}

// A refusal is noticed while nothing is sent, and fails the session.
func TestUDPSessionRefused(t *testing.T) {
	s := transport{protocol: sinks.UDP, host: "127.0.0.1"}.sink(t, sinktest.FreePort(t), func(o *sinks.Options) { o.Settle = time.Minute })
	session := open(t, s, []byte("a\n"))
	<-session.Failed()
	if err := session.Confirm(t.Context()); err == nil || !strings.Contains(sinks.Hint(err), "running") {
		t.Errorf("error %v, hint %q", err, sinks.Hint(err))
	}
	if _, err := session.Send(t.Context(), sinks.Batch{Lines: []byte("b\n")}); err == nil {
		t.Error("a session that has failed took a record")
	}
}

// A port at which nobody listens is no page's fault, though a socket can be opened.
func TestUDPRefusedBlamesNoPage(t *testing.T) {
	tr := transport{protocol: sinks.UDP, host: "127.0.0.1"}
	g := sinks.NewGroup(t.Context(), tr.sink(t, sinktest.FreePort(t)))
	defer g.Close()
	_, r, err := g.Send(t.Context(), pageOf("a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	<-r.Done()
	if failed := r.Err(); failed == nil || failed.Pages != 0 {
		t.Errorf("error %v, want one that blames no page", failed)
	}
}
