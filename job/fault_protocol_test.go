package job_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"dls/sinks/sinktest"
)

var (
	overRELP = map[string]any{"protocol": "RELP"}
	overHEC  = map[string]any{"protocol": "HEC", "token": hecToken, "plaintext": true}
)

// relpFaults are what a receiver of RELP, or what lies before it, does wrong.
var relpFaults = []fault{
	{
		name: "RELP receiver refuses connections", what: "tries for `--retry-for`, then says so; the next run sends everything",
		mend: listens, err: refused, hint: "check that the receiver is running", server: overRELP, memory: true,
	},
	{
		name: "RELP receiver stops and returns after two minutes", what: "waits for it; the run succeeds",
		breaks: restarts, repeats: unconfirmed, server: overRELP, memory: true,
	},
	{
		name: "RELP connection is reset in mid-page", what: "sends again what is not confirmed",
		breaks: behaves(resetsIn(100_000), resetsIn(10)), server: overRELP, memory: true,
	},
	{
		name: "RELP receiver takes a record and ends the connection before the answer", what: "sends again what is not confirmed",
		breaks: relp(sinktest.RELPTakeAndEnd, sinktest.RELPCut), repeats: unconfirmed, server: overRELP, memory: true,
	},
	{
		name: "RELP receiver announces its end in mid-page", what: "sends again what is not confirmed",
		breaks: relp(sinktest.RELPServerClose), repeats: unconfirmed, server: overRELP, memory: true,
	},
	{
		name: "RELP receiver stalls", what: "gives the connection up after 30 s without an answer, and sends again",
		breaks: relp(sinktest.RELPSilent), repeats: unconfirmed, server: overRELP, memory: true,
	},
	{
		name: "RELP receiver answers late", what: "waits, as long as answers come", server: overRELP, memory: true,
		breaks: func(s *scene) {
			s.behaves((&sinktest.RELPServer{Answer: func(n int, _ []byte) sinktest.RELPAnswer {
				if n%200 == 0 {
					time.Sleep(20 * time.Second)
				}
				return sinktest.RELPTake
			}}).Behave)
			s.listen()
		},
	},
	{
		name: "RELP receiver refuses a record (500) every time", what: "fails the stream once the page was alone five times; the next run sends it",
		breaks: relpAlways(sinktest.RELPRefuse), mend: wellBehaved, repeats: unconfirmed, server: overRELP, memory: true,
		err: "refused this page 5 times", hint: "the receiver",
	},
	{
		name: "record above the receiver's limit makes it end the RELP connection", what: "fails the stream once the page was alone five times, and names the limit",
		breaks: relpAlways(sinktest.RELPEnd), mend: wellBehaved, repeats: unconfirmed, server: overRELP, memory: true,
		err: "refused this page 5 times", hint: "size limit",
	},
	{
		name: "RELP receiver answers a transaction that it was never given", what: "sends again what is not confirmed",
		breaks: relp(sinktest.RELPWrongTxnr), repeats: unconfirmed, server: overRELP, memory: true,
	},
	{
		name: "what answers does not speak RELP", what: "counts nothing, and says so",
		breaks: behaves(forever(sinktest.Says("220 mail.example ESMTP\r\n", sinktest.Discard))...), mend: wellBehaved, server: overRELP, memory: true,
		err: "RELP", hint: "RELP",
	},
	{
		name: "proxy before a RELP receiver has lost it", what: "counts nothing, since nothing answers; the next run sends everything",
		breaks: behaves(forever(loses(20 * time.Second))...), mend: wellBehaved, server: overRELP, memory: true,
		err: "no progress for 5m0s", hint: "RELP input",
	},
	{
		name: "RELPSSL connection is reset in mid-page", what: "sends again what is not confirmed",
		breaks: behaves(resetsIn(100_000), resetsIn(3000)), server: map[string]any{"protocol": "RELPSSL"}, tls: true, memory: true,
	},
	{
		name: "RELPSSL receiver stops and returns after two minutes", what: "waits for it; the run succeeds",
		breaks: restarts, repeats: unconfirmed, server: map[string]any{"protocol": "RELPSSL"}, tls: true, memory: true,
	},
	{
		name: "RELPSSL receiver's certificate has expired", what: "sends nothing and says so at once",
		breaks: shows(sinktest.CertificateOptions{NotAfter: time.Now().Add(-time.Hour)}), mend: showsGood,
		server: map[string]any{"protocol": "RELPSSL"}, tls: true, memory: true,
		err: "certificate has expired", hint: "renew the certificate",
	},
	{
		name: "rsyslog (imrelp, `queue.type=\"Direct\"`) is killed in mid-run, behind haproxy, nginx and socat too", what: "sends again what is not confirmed",
		test: "TestWholeKills", repeats: unconfirmed,
	},
}

// relp makes the victim's receiver do so with the 500th message of a connection, a
// connection each, and behave well from then on.
func relp(turns ...sinktest.RELPAnswer) func(*scene) {
	var all []sinktest.Behaviour
	for _, do := range turns {
		all = append(all, (&sinktest.RELPServer{Answer: func(n int, _ []byte) sinktest.RELPAnswer {
			if n >= 499 {
				return do
			}
			return sinktest.RELPTake
		}}).Behave)
	}
	return behaves(all...)
}

// relpAlways makes the victim's receiver do so with one record, whenever it comes.
func relpAlways(do sinktest.RELPAnswer) func(*scene) {
	return func(s *scene) {
		hated := []byte(s.want[victim][pageSize+300])
		s.behaves((&sinktest.RELPServer{Answer: func(_ int, message []byte) sinktest.RELPAnswer {
			if bytes.HasSuffix(message, hated) {
				return do
			}
			return sinktest.RELPTake
		}}).Behave)
		s.listen()
	}
}

// hecFaults are what a collector, or what lies before it, does wrong.
var hecFaults = []fault{
	{
		name: "collector refuses connections", what: "tries for `--retry-for`, then says so; the next run sends everything",
		mend: listens, err: refused, hint: "check that the receiver is running", server: overHEC, memory: true,
	},
	{
		name: "collector stops and returns after two minutes", what: "waits for it; the run succeeds",
		breaks: restarts, repeats: unconfirmed, server: overHEC, memory: true,
	},
	{
		name: "collector resets in the middle of a request", what: "sends again what is not confirmed",
		breaks: behaves(resetsIn(20_000), resetsIn(10)), server: overHEC, memory: true,
	},
	{
		name: "collector ends the connection in place of an answer", what: "sends again what is not confirmed", server: overHEC, memory: true,
		breaks: collector(func(n int, _ http.ResponseWriter) bool {
			if n%3 == 0 {
				panic(http.ErrAbortHandler)
			}
			return false
		}), repeats: unconfirmed,
	},
	{
		name: "collector stalls", what: "gives the request up after 60 s, and sends again", repeats: unconfirmed, server: overHEC, memory: true,
		breaks: late(func(n int) time.Duration {
			if n < 2 {
				return 5 * time.Minute
			}
			return 0
		}),
	},
	{
		name: "collector answers late", what: "waits, up to 60 s for each request", server: overHEC, memory: true,
		breaks: late(func(int) time.Duration { return 50 * time.Second }),
	},
	{
		name: "401: collector does not know the token", what: "says so at once", server: overHEC, memory: true,
		breaks: func(s *scene) { s.hec.Token = "another"; s.listen() }, mend: func(s *scene) { s.hec.Token = hecToken },
		err: "Invalid token", hint: "copy it from the collector's settings",
	},
	{
		name: "403: token is disabled", what: "says so at once", server: overHEC, memory: true,
		breaks: collector(says(403, 1, "Token disabled")), mend: healthy, err: "Token disabled", hint: "enable the token",
	},
	{
		name: "400: token must not write to the index", what: "says so at once", server: overHEC, memory: true,
		breaks: collector(says(400, 7, "Incorrect index")), mend: healthy, err: "Incorrect index", hint: "servers[].index",
	},
	{
		name: "503 for a while", what: "backs off, and goes on", server: overHEC, memory: true,
		breaks: collector(func(n int, w http.ResponseWriter) bool { return n%3 != 2 && says(503, 9, "Server is busy")(n, w) }),
	},
	{
		name: "503 for ever: collector is busy", what: "tries for `--retry-for`, then says so", server: overHEC, memory: true,
		breaks: collector(says(503, 9, "Server is busy")), mend: healthy, err: "Server is busy", hint: "the receiver",
	},
	{
		name: "429 with Retry-After of a collector", what: "waits as long as it says", server: overHEC, memory: true,
		breaks: collector(func(n int, w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "45")
			return n == 0 && says(429, 9, "Server is busy")(n, w)
		}),
	},
	{
		name: "413: request is too large", what: "sends smaller requests", server: overHEC, memory: true,
		breaks: func(s *scene) { s.hec.MaxBytes = 50_000; s.listen() },
	},
	{
		name: "200 that is none of a collector's", what: "counts nothing; tries for `--retry-for`, then says so", server: overHEC, memory: true,
		breaks: collector(func(_ int, w http.ResponseWriter) bool { w.Write([]byte("<html>It works!</html>")); return true }), mend: healthy,
		err: "without the code of success", hint: "may be no HTTP Event Collector",
	},
	{
		name: "redirect to a login page in place of a collector", what: "does not follow it with the token, and says so", server: overHEC, memory: true,
		breaks: collector(func(_ int, w http.ResponseWriter) bool {
			w.Header().Set("Location", "https://login.example/")
			w.WriteHeader(302)
			return true
		}), mend: healthy, err: "302", hint: "configure the address that takes events",
	},
	{
		name: "one record is refused as invalid data (400)", what: "keeps the record in `<endpoint>_oversize.ndjson`, counts it and warns, exit code 3; the others go on", test: "TestFaultKept/HEC_refuses", repeats: unconfirmed,
	},
	{
		name: "indexer acknowledges after a while", what: "waits, up to two minutes without news", server: overHEC, memory: true,
		breaks: func(s *scene) {
			s.hec.Acks, s.hec.Indexed = true, func(_ int64, n int) bool { return n > 10 }
			s.listen()
		},
	},
	{
		name: "indexer never acknowledges", what: "counts nothing; tries for `--retry-for`, then says so", repeats: unconfirmed, server: overHEC, memory: true,
		breaks: func(s *scene) {
			s.hec.Acks, s.hec.Indexed = true, func(int64, int) bool { return false }
			s.listen()
		},
		mend: func(s *scene) { s.hec.Indexed = nil },
		err:  "did not acknowledge within 2m0s", hint: "indexers are behind or down",
	},
	{
		name: "proxy before a collector has lost it", what: "counts nothing, since nothing answers; the next run sends everything", server: overHEC, memory: true,
		breaks: behaves(forever(loses(20 * time.Second))...), mend: wellBehaved, err: "ended the connection without an answer", hint: "a proxy does so when what is behind it is down",
	},
	{
		name: "collector is killed in mid-run, behind haproxy, nginx and socat too", what: "sends again what is not confirmed",
		test: "TestWholeKills", repeats: unconfirmed,
	},
}

// collector makes the victim's collector handle requests for events, if before
// returns true.
func collector(before func(n int, w http.ResponseWriter) bool) func(*scene) {
	return func(s *scene) {
		s.hec.Before = func(n int, w http.ResponseWriter, _ []sinktest.HECEvent) bool { return before(n, w) }
		s.listen()
	}
}

// says gives an answer of a collector.
func says(status, code int, text string) func(int, http.ResponseWriter) bool {
	return func(_ int, w http.ResponseWriter) bool { sinktest.HECSay(w, status, code, text); return true }
}

// late makes the victim's collector let requests wait.
func late(d func(n int) time.Duration) func(*scene) {
	return func(s *scene) { s.hec.Late = d; s.listen() }
}

// healthy mends the victim's collector.
func healthy(s *scene) { s.hec.Before = nil }

// A record that the server does not take is kept, byte for byte, in a file, and told;
// all others are delivered, and the next run does not ask for it again.
func TestFaultKept(t *testing.T) {
	most := map[string]any{"max_record_bytes": 8000}
	with := func(more map[string]any) map[string]any {
		all := map[string]any{}
		for _, m := range []map[string]any{most, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	for name, f := range map[string]*fault{
		"TCP":           {server: most},
		"octet-counted": {server: with(map[string]any{"envelope": "rfc5424", "framing": "octet-counted"})},
		"RELP":          {server: with(overRELP)},
		"HEC":           {server: with(overHEC)},
		"HEC refuses":   {server: overHEC, repeats: unconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.memory = true
			s := newScene(t, f)
			s.few()
			if name == "HEC refuses" {
				s.hec.Refuse = func(event []byte) bool { return len(event) > 8000 }
			}
			big := s.long(20, 8000)
			s.listen()
			s.run(func() {
				sum := s.sync()
				s.clean(sum)
				for _, r := range sum.Results {
					hit := r.Endpoint == victim
					if (r.Oversize == 1) != hit || r.Kept != hit || hit && r.Longest != len(dumps(t, big.Raw)) {
						s.t.Errorf("%s: kept %d (%t), longest %d", r.Endpoint, r.Oversize, r.Kept, r.Longest)
					}
				}
				if !sum.Kept() {
					s.t.Error("the run does not say that something is kept")
				}
			})
			s.run(func() { s.clean(s.sync()) })
			s.count(1)
			kept, err := os.ReadFile(s.path("state", victim+"_oversize.ndjson"))
			if want := dumps(t, big.Raw) + "\n"; err != nil || string(kept) != want {
				t.Errorf("kept %d bytes, want %d; %v", len(kept), len(want), err)
			}
			if !strings.Contains(s.log.String(), "_oversize.ndjson") {
				t.Error("no warning")
			}
		})
	}
}
