package job_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dls/job/duosim"
	"dls/sinks"
	"dls/sinks/sinktest"
)

// receiverFaults are what a receiver does wrong.
var receiverFaults = []fault{
	{
		name: "receiver resets after some lines", what: "sends the page again",
		breaks: behaves(sinktest.ResetAfter(1), sinktest.ResetAfter(500)), repeats: unconfirmed,
	},
	{
		name: "receiver closes early with data unread", what: "sends the page again",
		breaks: behaves(sinktest.CloseAfter(1)), repeats: unconfirmed,
	},
	{
		name: "receiver closes before reading", what: "sends the page again",
		breaks: behaves(sinktest.CloseAtOnce), repeats: unconfirmed,
	},
	{
		name: "receiver reads all and then resets", what: "sends the page again: nothing proves that it was kept",
		breaks: behaves(sinktest.ResetAtEnd), repeats: unconfirmed,
	},
	{
		name: "receiver resets every time", what: "tries for `--retry-for`, then says so; the next run sends the page",
		breaks: behaves(forever(sinktest.ResetAfter(10))...), mend: wellBehaved, repeats: unconfirmed,
		err: "no progress for 5m0s", hint: "the receiver's log may say why",
	},
	{
		name: "receiver refuses connections", what: "tries for `--retry-for`, then says so; the next run sends everything",
		mend: listens, err: refused, hint: "check that the receiver is running",
	},
	{
		name: "receiver stops and returns after two minutes", what: "waits for it; the run succeeds",
		breaks: restarts, repeats: unconfirmed,
	},
	{
		name: "receiver takes nothing (black hole)", what: "gives the connection up after 30 s without movement, and says so",
		breaks: blackHole, mend: wellBehaved, repeats: unconfirmed, real: true,
		err: "within 300ms", hint: "check that the receiver is not stuck",
	},
	{
		name: "receiver's system takes everything, the receiver reads nothing and never closes",
		what: "cannot be told from a slow close: counts what the system acknowledged, and warns",
		breaks: func(s *scene) {
			s.behaves(sinktest.BlackHole)
			s.sink = hurry
			s.listen()
			s.few()
		},
		mend: wellBehaved, real: true, tells: true, missing: "what the system took; the run warns",
		warns: "does not close the connection",
	},
	{
		name: "receiver reads slowly", what: "waits as long as something moves",
		breaks: func(s *scene) {
			s.behaves(sinktest.Slow(4<<10, time.Millisecond))
			s.listen()
		},
		real: true,
	},
	{
		name: "receiver never closes after the half-close", what: "counts what the receiver's system acknowledged, and warns once",
		breaks: func(s *scene) {
			s.behaves(sinktest.NeverClose)
			s.sink = hurry
			s.listen()
		},
		real: true, tells: true, warns: "does not close the connection",
	},
	{
		name: "receiver ends its stream early but goes on to acknowledge", what: "sends the page again",
		breaks: behaves(sinktest.EndAfter(1)), repeats: unconfirmed,
	},
	{
		name: "one of an endpoint's two receivers is down", what: "moves the checkpoint only when both have confirmed",
		repeats: unconfirmed, err: refused, hint: "check that the receiver is running",
		breaks: func(s *scene) { s.text.endpoints["siem"] = slices.Concat(bystanders, []string{victim}) },
		mend: func(s *scene) {
			s.listen()
			s.want = map[string][]string{victim: slices.Concat(s.want[victim], s.want[victim]), "telephony": s.want["telephony"], "auth": s.want["auth"]}
		},
	},

	{
		name: "TLS receiver resets after some lines", what: "sends the page again",
		breaks: behaves(sinktest.ResetAfter(1), sinktest.ResetAfter(500)), repeats: unconfirmed, tls: true,
	},
	{
		name: "TLS receiver closes early with data unread", what: "sends the page again",
		breaks: behaves(sinktest.CloseAfter(1)), repeats: unconfirmed, tls: true,
	},
	{
		name: "TLS stream is cut without close_notify", what: "sends the page again",
		breaks: behaves(sinktest.CutAfter(100)), repeats: unconfirmed, tls: true,
	},
	{
		name: "TLS receiver closes in the end without close_notify", what: "counts it as closed: everything was read",
		breaks: behaves(forever(sinktest.CutAtEnd)...), tls: true,
	},
	{
		name: "TLS handshake is never answered", what: "gives up, and says so; the next run sends everything",
		breaks: func(s *scene) {
			s.behaves(sinktest.Mute)
			s.sink = hurry
			s.listen()
		},
		mend: wellBehaved, real: true, tls: true, err: "no TLS handshake within", hint: "no firewall drops the traffic",
	},
	{
		name: "receiver's certificate has expired", what: "sends nothing and says so at once",
		breaks: shows(sinktest.CertificateOptions{NotAfter: time.Now().Add(-time.Hour)}), mend: showsGood, tls: true,
		err: "certificate has expired", hint: "renew the certificate",
	},
	{
		name: "receiver's certificate has another name", what: "sends nothing and says so at once",
		breaks: shows(sinktest.CertificateOptions{Names: []string{"other.example"}}), mend: showsGood, tls: true,
		err: "certificate", hint: "set server_name",
	},
	{
		name: "receiver's certificate is of an unknown authority", what: "sends nothing and says so at once",
		breaks: func(s *scene) {
			s.listen()
			s.shows(sinktest.NewAuthority(s.t).Issue(s.t, sinktest.CertificateOptions{}))
		},
		mend: showsGood, tls: true,
		err: "unknown authority", hint: "cert_filepath must hold the authority",
	},
	{
		name: "receiver does not speak TLS", what: "sends nothing and says so at once",
		breaks: func(s *scene) {
			s.listen()
			s.behaves(func(c *sinktest.Conn) { c.TCP.Write([]byte("220 mail.example ESMTP\r\n")); sinktest.Discard(c) })
		},
		mend: wellBehaved, tls: true, err: "TLS", hint: "use its TLS port",
	},

	{
		name: "UDP port is closed", what: "says so (ICMP); the next run sends everything. UDP confirms nothing else",
		breaks: (*scene).few,
		mend:   listens, udp: true, real: true, repeats: unconfirmed,
		err: refused, hint: "check that the receiver is running",
	},
	{
		name: "record larger than a datagram", what: "keeps the record in a file, counts it and warns",
		test: "TestFaultOversize",
	},
	{
		name: "rsyslog (imtcp) is stopped and started in mid-run", what: "waits for it; the run succeeds",
		test: "TestFaultRsyslog/plain", repeats: unconfirmed,
	},
	{
		name: "rsyslog (imtcp over TLS) is stopped and started in mid-run", what: "waits for it; the run succeeds",
		test: "TestFaultRsyslog/TLS", repeats: unconfirmed,
	},
}

// behaves makes the victim's receiver behave so, a connection each, and well
// from then on.
func behaves(turns ...sinktest.Behaviour) func(*scene) {
	return func(s *scene) {
		var n atomic.Int64
		s.behaves(func(c *sinktest.Conn) {
			i := int(n.Add(1)) - 1
			if i >= len(turns) {
				sinktest.ReadAll(c)
				return
			}
			// A small buffer, so that data is unread when it closes.
			c.TCP.SetReadBuffer(64 << 10)
			turns[i](c)
		})
		s.listen()
	}
}

// forever is a behaviour for more connections than a run makes.
func forever(b sinktest.Behaviour) []sinktest.Behaviour {
	return slices.Repeat([]sinktest.Behaviour{b}, 1000)
}

// wellBehaved mends the victim's receiver.
func wellBehaved(s *scene) { s.behaves(sinktest.ReadAll) }

// listens starts the victim's receiver, well behaved.
func listens(s *scene) { s.listen() }

// hurry makes a sink as impatient as a test.
func hurry(o *sinks.Options) {
	o.DialTimeout, o.StallTimeout, o.CloseTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
}

func blackHole(s *scene) {
	s.behaves(func(c *sinktest.Conn) {
		c.TCP.SetReadBuffer(4 << 10)
		sinktest.BlackHole(c)
	})
	s.sink = hurry
	s.listen()
}

// restarts closes the victim's receiver when the second page is asked for, while
// the first one may be under way, and starts it again two minutes later.
func restarts(s *scene) {
	s.listen()
	asked := new(atomic.Int64)
	s.wire = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, victim) && asked.Add(1) == 2 {
				s.outside(s.close)
				go func() {
					time.Sleep(2 * time.Minute)
					s.outside(s.listen)
				}()
			}
			return next.RoundTrip(r)
		})
	}
}

// shows makes the victim's receiver show a certificate.
func shows(o sinktest.CertificateOptions) func(*scene) {
	return func(s *scene) {
		s.listen()
		s.shows(s.ca.Issue(s.t, o))
	}
}

func showsGood(s *scene) { s.shows(s.ca.Issue(s.t, sinktest.CertificateOptions{})) }

// few leaves each stream only as many records as a datagram socket's buffer holds.
func (s *scene) few() {
	few, lines := map[string][]duosim.Record{}, map[string][]string{}
	for name, records := range s.records {
		few[name], lines[name] = slices.Clip(records[:40]), slices.Clip(s.want[name][:40])
	}
	s.records, s.want = few, lines
}

// roundTripper is a function as an [http.RoundTripper].
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
