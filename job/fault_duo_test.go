package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duosim"
)

// duoFaults are what Duo, or what lies before it, does wrong. Where it can be,
// the first page is fine and the second call meets the fault.
var duoFaults = []fault{
	{name: "429 once", what: "waits and goes on", breaks: answers(duosim.TooMany())},
	{name: "429 with Retry-After", what: "waits as long as it says", breaks: answers(duosim.TooMany().With("Retry-After", "60"))},
	{name: "429 for a while", what: "backs off, at most `api.timeout` at a time", breaks: answers(duosim.TooMany().Times(5))},
	{
		name: "429 for ever", what: "keeps what is delivered, says so, goes on in the next run",
		breaks: answers(duosim.TooMany().Forever()), mend: heal,
		err: "no progress for 5m0s: Duo answered 429", hint: "Duo limits calls",
	},
	{name: "500 once", what: "tries again", breaks: answers(duosim.Error(50001, "Unknown internal server error", ""))},
	{
		name: "500 for ever", what: "tries for `--retry-for`, then says so",
		breaks: answers(duosim.Error(50001, "Unknown internal server error", "").Forever()), mend: heal,
		err: "no progress for 5m0s: Duo answered 500 (code 50001)", hint: "status.duo.com",
	},
	{name: "502 with a page of HTML", what: "tries again", breaks: answers(duosim.HTML(502).Times(3))},
	{
		name: "503 for two minutes before each page", what: "tries again; the clock of `--retry-for` starts anew with each page that counts",
		breaks: func(s *scene) {
			s.listen()
			s.duo = func(d *duosim.Server) {
				for i := range 3 {
					d.Inject(duosim.Match{Endpoint: victim, Skip: i}, duosim.HTML(503).Times(8))
				}
			}
		},
	},
	{
		name: "503 for ever", what: "tries for `--retry-for`, then says so",
		breaks: answers(duosim.HTML(503).Forever()), mend: heal,
		err: "Duo answered 503", hint: "status.duo.com",
	},
	{
		name: "401: unknown integration key", what: "says so at once",
		breaks: answers(duosim.Error(40102, "Invalid integration key in request credentials", "").Forever()), mend: heal,
		err: "Duo answered 401 (code 40102)", hint: "check account.ikey and account.hostname",
	},
	{
		name: "401: wrong secret key", what: "says so at once, for every stream", all: true,
		breaks: func(s *scene) { s.listen(); s.text.skey = strings.Repeat("x", 40) }, mend: func(s *scene) { s.text.skey = skey },
		err: "Duo answered 401 (code 40103)", hint: "check account.skey",
	},
	{
		name: "clock is 20 minutes off", what: "explains it by the `Date` of Duo's answer", all: true,
		breaks: func(s *scene) { s.listen(); s.clock = 20 * time.Minute }, mend: func(s *scene) { s.clock = 0 },
		err: "Duo answered 401 (code 40105)", hint: "set this machine's clock: it is",
	},
	{
		name: "403 on one endpoint", what: "names the permission; the other endpoints go on",
		breaks: func(s *scene) { s.listen(); s.duo = func(d *duosim.Server) { d.Deny(parent, victim) } }, mend: heal,
		err: "Duo answered 403", hint: `the permission "Grant read log"`,
	},
	{
		name: "403 on one child account", what: "names the permission; the other children go on",
		test: "TestFaultChild",
	},
	{
		name: "404: the endpoint is gone", what: "says so at once",
		breaks: answers(duosim.Error(40401, "Resource not found", "").Forever()), mend: heal,
		err: "Duo answered 404", hint: "Duo knows no such endpoint",
	},
	{name: "connection is reset in place of an answer", what: "tries again", breaks: answers(duosim.Reset().Times(3))},
	{
		name: "Duo does not answer (hang)", what: "gives the call up after 90 s, and tries again", real: true,
		breaks: hangs(10*time.Second, duosim.Hang()),
	},
	{
		name: "Duo hangs for ever", what: "tries for `--retry-for`, then says so", real: true,
		breaks: hangs(500*time.Millisecond, duosim.Hang().Forever()), mend: healWire,
		err: "no progress for 500ms: call Duo", hint: "check that this machine reaches account.hostname",
	},
	{
		name: "answer comes a drop at a time", what: "gives the call up after three minutes, and tries again", real: true,
		breaks: hangs(10*time.Second, duosim.Slow(1000, time.Second)),
	},
	{name: "body is cut off by a broken connection", what: "takes no record of it, and tries again", breaks: answers(duosim.CutBody().Times(2))},
	{name: "body is cut off as if it were whole", what: "takes no record of it, and tries again", breaks: answers(duosim.CutJSON().Times(2))},
	{name: "body is not JSON", what: "tries again", breaks: answers(duosim.NotJSON(), duosim.Empty(), duosim.HTML(200))},
	{
		name: "body is never JSON", what: "tries for `--retry-for`, then says so",
		breaks: answers(duosim.NotJSON().Forever()), mend: heal,
		err: "Duo's answer cannot be read", hint: "something between here and Duo",
	},
	{name: "200 with other content", what: "tries again", breaks: answers(duosim.WrongShape())},
	{name: "200 with stat FAIL, server error", what: "tries again", breaks: answers(duosim.FailWith(200, 50001, "Unknown internal server error", ""))},
	{
		name: "200 with stat FAIL, refusal", what: "takes it for the refusal that it is",
		breaks: answers(duosim.FailWith(200, 40301, "Access forbidden", "").Forever()), mend: heal,
		err: "code 40301", hint: "permission",
	},
	{
		name: "redirect to a login page", what: "does not follow it, and says so",
		breaks: answers(duosim.Redirect("https://login.example/").Forever()), mend: heal,
		err: "Duo answered 302", hint: "redirects the call",
	},
	{
		name: "page begins with the record that ended the last", what: "drops it",
		breaks: quirks(duosim.Quirks{RepeatAtPageHead: true}),
	},
	{name: "page shows its records twice", what: "takes each once", breaks: rewrites(doubled)},
	{name: "cursor does not move", what: "goes on after the page's last record", breaks: quirks(duosim.Quirks{CursorStuck: true})},
	{
		name: "same page comes for ever", what: "does not go round in circles, and says so",
		breaks: rewrites(repeatAlways), mend: func(s *scene) { s.wire = nil },
		err: "behind", hint: "what was delivered is checkpointed",
	},
	{name: "full page has no cursor", what: "goes on after the page's last record", breaks: rewrites(dropCursor)},
	{
		name: "list of child accounts fails once", what: "tries again",
		test: "TestFaultChildList/once",
	},
	{
		name: "list of child accounts fails for ever", what: "fetches nothing, and says so", test: "TestFaultChildList/for_ever",
	},
	{
		name: "Duo's name does not resolve", what: "says so", all: true, real: true,
		breaks: unresolved, mend: func(s *scene) { s.wire = nil },
		err: "no such host", hint: "check account.hostname",
	},
	{
		name: "Duo's certificate is of an unknown authority", what: "sends no call, and says so at once", all: true, real: true,
		breaks: proxied(func(_ *duosim.Proxy, c *config.Config) { c.CAFile = "" }), mend: direct,
		err: "certificate", hint: "dls_settings.api.ca_filepath",
	},
	{
		name: "proxy is down", what: "says so", all: true, real: true,
		breaks: func(s *scene) {
			s.wire = noTransport
			s.cfg = func(c *config.Config) { c.Proxy = config.Proxy{Host: "127.0.0.1", Port: s.port} }
		},
		mend: direct, err: refused, hint: "check dls_settings.proxy or HTTPS_PROXY",
	},
	{
		name: "proxy cannot reach Duo", what: "says so", all: true, real: true,
		breaks: proxied(func(p *duosim.Proxy, _ *config.Config) { p.Refuse(http.StatusBadGateway) }),
		mend:   direct, err: "Bad Gateway", hint: "the proxy does not get to",
	},
	{
		name: "proxy refuses the password", what: "shows it once in a run, and says so", all: true, real: true,
		breaks: proxied(func(p *duosim.Proxy, c *config.Config) {
			p.Refuse(http.StatusProxyAuthRequired)
			c.Proxy.User, c.Proxy.Password = "dls", config.NewSecret("wrong")
		}),
		mend: direct, err: "Proxy Authentication Required", hint: "check the proxy's user and password",
	},
}

// answers makes the victim's second call, and the next ones, meet faults.
func answers(faults ...duosim.Fault) func(*scene) {
	return func(s *scene) {
		s.listen()
		s.duo = func(d *duosim.Server) { d.Inject(duosim.Match{Endpoint: victim, Skip: 1}, faults...) }
	}
}

// heal takes Duo's faults back.
func heal(s *scene) { s.duo = nil }

// quirks gives Duo quirks.
func quirks(q duosim.Quirks) func(*scene) {
	return func(s *scene) {
		s.listen()
		s.duo = func(d *duosim.Server) { d.Quirks = q }
	}
}

// rewrites changes the bodies of the victim's answers on their way: change gets
// the number of the call, from 0 on, and all bodies so far.
func rewrites(change func(n int, bodies [][]byte) []byte) func(*scene) {
	return func(s *scene) {
		s.listen()
		s.wire = func(next http.RoundTripper) http.RoundTripper {
			n, bodies := 0, [][]byte(nil)
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err != nil || !strings.Contains(r.URL.Path, victim) {
					return resp, err
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				bodies = append(bodies, body)
				body = change(n, bodies)
				n++
				resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				resp.Header.Del("Content-Length")
				return resp, err
			})
		}
	}
}

func repeatAlways(_ int, bodies [][]byte) []byte { return bodies[0] }

// dropCursor takes the cursor out of each answer.
func dropCursor(n int, bodies [][]byte) []byte {
	return regexp.MustCompile(`"next_offset":("[^"]*"|null),?`).ReplaceAll(bodies[n], nil)
}

// doubled shows the records of each page once more.
func doubled(n int, bodies [][]byte) []byte {
	var answer struct {
		Response struct {
			Items []json.RawMessage `json:"items"`
		} `json:"response"`
	}
	if json.Unmarshal(bodies[n], &answer) != nil || len(answer.Response.Items) == 0 {
		return bodies[n]
	}
	items := bytes.Join(toBytes(answer.Response.Items), []byte(","))
	return bytes.Replace(bodies[n], []byte(`"items":[`), slices.Concat([]byte(`"items":[`), items, []byte(",")), 1)
}

func toBytes(all []json.RawMessage) (b [][]byte) {
	for _, one := range all {
		b = append(b, one)
	}
	return b
}

// noTransport leaves the client its own network.
func noTransport(http.RoundTripper) http.RoundTripper { return nil }

// proxied leads to Duo through a proxy, by the client's own network.
func proxied(change func(*duosim.Proxy, *config.Config)) func(*scene) {
	return func(s *scene) {
		s.wire = noTransport
		s.cfg = func(c *config.Config) {
			p, err := s.sim.StartProxy("", "")
			if err != nil {
				s.t.Fatal(err)
			}
			addr := netip.MustParseAddrPort(p.Addr())
			c.Proxy = config.Proxy{Host: addr.Addr().String(), Port: int(addr.Port())}
			change(p, c)
		}
	}
}

// hangs makes the victim's second call, and the next ones, hang, and the client
// as impatient as a test.
func hangs(retryFor time.Duration, faults ...duosim.Fault) func(*scene) {
	return func(s *scene) {
		answers(faults...)(s)
		s.options = func(o *job.Options) { o.RetryFor = retryFor }
		s.wire = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if !strings.Contains(r.URL.Path, victim) {
					return next.RoundTrip(r)
				}
				ctx, cancel := context.WithTimeout(r.Context(), 300*time.Millisecond)
				resp, err := next.RoundTrip(r.WithContext(ctx))
				if err != nil {
					cancel()
					return nil, err
				}
				context.AfterFunc(r.Context(), cancel)
				return resp, nil
			})
		}
	}
}

func healWire(s *scene) { s.duo, s.wire, s.options = nil, nil, nil }

// direct leads to Duo without a proxy again.
func direct(s *scene) {
	s.wire, s.cfg = nil, nil
	s.listen()
}

// unresolved looks Duo's name up at a name server that knows no names.
func unresolved(s *scene) {
	s.listen()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			// RFC 1035, section 4.1.1: an answer, recursion available, no such name.
			buf[2], buf[3] = buf[2]|0x80, 0x83
			conn.WriteTo(buf[:n], from)
		}
	}()
	dialer := &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}}
	s.wire = func(next http.RoundTripper) http.RoundTripper {
		next.(*http.Transport).DialContext = dialer.DialContext
		return next
	}
}

const (
	childOne = "DACHILD0000000000001"
	childTwo = "DACHILD0000000000002"
)

// newFamily is a scene with two child accounts and the victim's receiver.
func newFamily(t *testing.T) *scene {
	s := newScene(t, &fault{repeats: noRecord})
	s.listen()
	s.text.msp = true
	s.duo = func(d *duosim.Server) {
		for id, host := range map[string]string{childOne: "api-fault002.duosecurity.com", childTwo: "api-fault003.duosecurity.com"} {
			d.AddAccount(duosim.Account{ID: id, Name: "Child", Parent: parent, Host: host})
			for name, records := range s.records {
				d.Add(id, name, records...)
			}
		}
	}
	s.want = map[string][]string{}
	for _, id := range []string{childOne, childTwo} {
		for name, records := range s.records {
			for _, r := range records {
				s.want[id] = append(s.want[id], strings.TrimSuffix(dumps(t, r.Raw), "}")+`, "child_account_id": "`+id+`"}`)
				_ = name
			}
		}
	}
	return s
}

// A child account that refuses an endpoint fails that stream and no other.
func TestFaultChild(t *testing.T) {
	t.Parallel()
	s := newFamily(t)
	healthy := s.duo
	s.duo = func(d *duosim.Server) { healthy(d); d.Deny(childTwo, victim) }
	s.run(func() {
		failed := s.sync().Failed()
		if len(failed) != 1 || failed[0].Name() != victim+" of "+childTwo {
			s.t.Fatalf("failed: %v, want %s of %s only", failed, victim, childTwo)
		}
		if hint := failed[0].Hint(); !strings.Contains(hint, "Accounts API application for this child account") {
			s.t.Errorf("hint %q", hint)
		}
		if missing, _, _ := tally(s.want[childOne], s.received()); missing > 0 {
			s.t.Errorf("%d records of the other child are missing", missing)
		}
	})
	s.duo = healthy
	s.run(func() { s.clean(s.sync()) })
	s.count(0)
}

// An entry of the list that names no account fails by what it says, and no other account;
// block_list leaves it out.
func TestFaultChildEntry(t *testing.T) {
	t.Parallel()
	const odd = "DA.ODD"
	s := newFamily(t)
	family := s.duo
	s.duo = func(d *duosim.Server) {
		family(d)
		d.AddAccount(duosim.Account{ID: odd, Name: "Odd", Parent: parent, Host: "api-fault004.duosecurity.com"})
	}
	s.run(func() {
		failed := s.sync().Failed()
		if len(failed) == 0 {
			s.t.Error("no stream failed")
		}
		for _, r := range failed {
			if r.Account != odd || !strings.Contains(r.Err.Error(), "has not the form of Duo's") || !strings.Contains(r.Hint(), "account.block_list") {
				s.t.Errorf("failed: %s: %v, with the hint %q", r.Name(), r.Err, r.Hint())
			}
		}
	})
	s.cfg = func(c *config.Config) { c.Account.BlockList = []string{odd} }
	s.run(func() { s.clean(s.sync()) })
	s.count(0)
}

// Without the list of child accounts nothing is fetched, and nothing is lost.
func TestFaultChildList(t *testing.T) {
	for name, tt := range map[string]struct {
		fault duosim.Fault
		err   string
	}{
		"once":        {duosim.HTML(502), ""},
		"not JSON":    {duosim.NotJSON(), ""},
		"wrong shape": {duosim.WrongShape(), ""},
		"for ever":    {duosim.HTML(502).Forever(), "list the child accounts: no progress for 5m0s: Duo answered 502"},
		"refused":     {duosim.Error(40301, "Access forbidden", "").Forever(), "list the child accounts: Duo answered 403"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFamily(t)
			healthy := s.duo
			s.duo = func(d *duosim.Server) {
				healthy(d)
				d.Inject(duosim.Match{Endpoint: duosim.AccountList}, tt.fault)
			}
			s.run(func() {
				sum, err := s.try()
				switch {
				case tt.err == "" && err == nil:
					s.clean(sum)
				case err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err):
					s.t.Errorf("error %v, want %q", err, tt.err)
				case job.Hint(err) == "":
					s.t.Errorf("no hint for %v", err)
				case len(s.received()) > 0:
					s.t.Error("records were sent")
				}
			})
			s.duo = healthy
			s.run(func() { s.clean(s.sync()) })
			s.count(0)
		})
	}
}
