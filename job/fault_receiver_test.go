package job_test

import (
	"io"
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
		name: "peer ends the connection while it settles", what: "sends the page again: what it carried does not count", memory: true, server: settles,
		breaks: behaves(sinktest.CloseIdle(1, 2*time.Second), sinktest.CloseIdle(1, 4*time.Second)), repeats: unconfirmed,
	},
	{
		name: "proxy whose backend refuses takes everything and ends the connection", what: "tries for `--retry-for`, then says so; the next run sends everything", memory: true, server: settles,
		breaks: behaves(forever(loses(3 * time.Second))...), mend: wellBehaved,
		err: "no progress for 5m0s", hint: "a proxy does so when what is behind it is down",
	},
	{
		name: "proxy loses its backend in mid-run, with a page in its memory", what: "sends the page again once the proxy ends the connection, within `settle`", memory: true, server: settles,
		breaks: behaves(loses(time.Second), loses(0)),
	},
	{
		name: "backend refuses behind haproxy, nginx, socat, stunnel (TCP, RELP, HEC; 1, 3 and 900 records)", what: "fails with exit code 1; the next run sends everything",
		test: "TestWholeRefused",
	},
	{
		name: "backend is killed in mid-run of 24,000 records behind haproxy, nginx, socat, stunnel (TCP, `settle` 5 s)", what: "sends again what is not confirmed",
		test: "TestWholeKills", repeats: unconfirmed,
	},
	{
		name: "proxy tries to reach its backend for longer than `settle` (haproxy: 20 s as often configured; nginx: 60 s)",
		what: "TCP cannot see it: counts what the proxy's system acknowledged, and warns that it does not close. Set `settle` above that time, or use RELP or HEC",
		breaks: func(s *scene) {
			s.behaves(sinktest.BlackHole)
			s.sink = func(o *sinks.Options) { hurry(o); o.Settle = 50 * time.Millisecond }
			s.listen()
			s.few()
		},
		mend: wellBehaved, real: true, tells: true, missing: "what went into the proxy: 3 of 3 behind haproxy and nginx", warns: "does not close the connection",
	},
	{
		name: "receiver reads up to our end, and then forgets what it read (a handler that raises, a shutdown with data unread)",
		what: "TCP cannot see it: it looks the same as a receiver. Use RELP or HEC", memory: true, server: settles,
		breaks: behaves(forever(sinktest.Discard)...), missing: "what it forgets: 1, 3 and 250 of as many with Python's `socketserver`",
	},
	{
		name: "receiver of octet-counted syslog resets in mid-page", what: "sends the page again, whole messages from the start of a connection", memory: true,
		server: map[string]any{"envelope": "rfc5424", "framing": "octet-counted", "settle": 5},
		breaks: behaves(resetsIn(100_000), resetsIn(10)),
	},
	{
		name: "receiver of octet-counted syslog over TLS stops and returns after two minutes", what: "waits for it; the run succeeds", memory: true, tls: true,
		server: map[string]any{"envelope": "rfc5424", "framing": "octet-counted", "settle": 5},
		breaks: restarts, repeats: unconfirmed,
	},
	{name: "network breaks once the connection stands", what: "fails; the next run sends everything", test: "TestNetworkCut"},
	{name: "session fails that carries the pages of many streams", what: "takes each of them back to what counts, and sends them again", test: "TestSessionFails", repeats: unconfirmed},
	{name: "record makes the receiver end the connection", what: "fails its own stream by name; the others with pages in that session are delivered", test: "TestSessionPoison"},
	{name: "record above the limit of rsyslog (imrelp), whose connection carries the pages of 800 streams", what: "fails its own stream by name; the 799 others are delivered", test: "TestWholePoison", repeats: unconfirmed},
	{name: "receiver fails connections at random, or cannot be connected to for a while", what: "tries for `--retry-for`, and blames no page", test: "TestSessionsFailAtRandom", repeats: unconfirmed},
	{name: "receiver takes nothing while another one is in order", what: "goes on with the other's streams, in the slots and the memory that are left to them", test: "TestServerStalls"},
	{name: "record longer than `max_record_bytes` (TCP, RELP, HEC, octet-counted)", what: "keeps the record in `<endpoint>_oversize.ndjson`, counts it and warns, exit code 3", test: "TestFaultKept"},
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
		good := s.good()
		s.behaves(func(c *sinktest.Conn) {
			i := int(n.Add(1)) - 1
			if i >= len(turns) {
				good(c)
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
func wellBehaved(s *scene) { s.behaves(s.good()) }

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
				where := s.outside
				if s.fault.memory {
					where = func(do func()) { do() }
				}
				where(s.close)
				go func() {
					time.Sleep(2 * time.Minute)
					where(s.listen)
				}()
			}
			return next.RoundTrip(r)
		})
	}
}

// settles is a server of TCP as it is by default.
var settles = map[string]any{"settle": 5}

// loses takes everything and throws it away, as a proxy does that has nobody to give
// it to, and ends the connection after d.
func loses(d time.Duration) sinktest.Behaviour {
	return func(c *sinktest.Conn) {
		c.TCP.SetReadDeadline(time.Now().Add(d))
		io.Copy(io.Discard, c.Stream())
		c.TCP.Close()
	}
}

// resetsIn takes some bytes and resets the connection.
func resetsIn(n int64) sinktest.Behaviour {
	return func(c *sinktest.Conn) {
		io.CopyN(io.Discard, c.Stream(), n)
		c.TCP.SetLinger(0)
		c.TCP.Close()
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

// long adds a record of more than n bytes to the victim's, after another one.
func (s *scene) long(after, n int) duosim.Record {
	r := duosim.Record{At: s.records[victim][after].At.Add(time.Millisecond), ID: "00000000-0000-4000-8000-000000000000"}
	r.Raw = []byte(`{"activity_id":"` + r.ID + `","ts":"` + r.At.UTC().Format("2006-01-02T15:04:05.000000-07:00") + `","text":"` + strings.Repeat("x", n) + `"}`)
	s.records[victim] = append(s.records[victim], r)
	return r
}

// roundTripper is a function as an [http.RoundTripper].
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
