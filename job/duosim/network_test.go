package duosim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newClient returns a client that trusts the simulation and follows no redirect.
func newClient(t *testing.T, s *Server, change func(*http.Transport)) *http.Client {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CAPEM()) {
		t.Fatal("the CA is not PEM")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	if change != nil {
		change(transport)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// started returns a simulation with listeners, and a client of it.
func started(t *testing.T) (*Server, *http.Client) {
	s := New(
		Account{ID: parent, Ikey: ikey, Skey: skey, MSP: true},
		Account{ID: child, Parent: parent},
	)
	s.Now = func() time.Time { return now }
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, newClient(t, s, nil)
}

// do makes a call and returns the answer, or the error of the call or of reading
// the body.
func do(client *http.Client, r *http.Request) (*http.Response, string, error) {
	resp, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestListeners(t *testing.T) {
	s, client := started(t)
	if s.Host(parent) == s.Host(child) || !strings.HasPrefix(s.Host(parent), "127.0.0.1:") {
		t.Fatalf("hosts are %q and %q", s.Host(parent), s.Host(child))
	}
	for _, account := range []string{parent, child} {
		s.Add(account, Auth, Generate(Auth, 3, now.Add(-time.Hour), time.Second)...)
		_, body, err := do(client, newRequest(s, account, Auth, lastDay()))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(decode(t, body).records); n != 3 {
			t.Errorf("%d records of %s, want 3", n, account)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  Fault
		status int
		header string // "Name: value" that the answer has
		body   string // what the body begins with
		err    bool   // the call or the body breaks
		good   bool   // the body is the right one
	}{
		{name: "error", fault: Error(50001, "Unknown internal server error", ""), status: 500,
			body: `{"code":50001,"message":"Unknown internal server error","stat":"FAIL"}`},
		{name: "error with detail", fault: Error(40301, "Access forbidden", "why"), status: 403, body: `{"code":40301,"message":"Access forbidden","message_detail":"why"`},
		{name: "200 that fails", fault: FailWith(200, 40002, "Invalid request parameters", ""), status: 200, body: `{"code":40002`},
		{name: "too many", fault: TooMany().With("Retry-After", "7"), status: 429, header: "Retry-After: 7", body: `{"code":42901`},
		{name: "html", fault: HTML(502), status: 502, header: "Content-Type: text/html", body: "<html>"},
		{name: "not JSON", fault: NotJSON(), status: 200, body: "It works!"},
		{name: "empty", fault: Empty(), status: 200},
		{name: "wrong shape", fault: WrongShape(), status: 200, body: `{"response":{"result"`},
		{name: "redirect", fault: Redirect("https://example.invalid/"), status: 302, header: "Location: https://example.invalid/"},
		{name: "cut JSON", fault: CutJSON(), status: 200, body: `{"response":{"authlogs":[`},
		{name: "cut body", fault: CutBody(), status: 200, body: `{"response":{"authlogs":[`, err: true},
		{name: "slow", fault: Slow(5, time.Microsecond), status: 200, good: true},
		{name: "reset", fault: Reset(), err: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, client := started(t)
			s.Add(parent, Auth, Generate(Auth, 50, now.Add(-time.Hour), time.Second)...)
			want := get(t, s, parent, Auth, lastDay())
			s.Inject(Match{Endpoint: Auth}, test.fault)

			resp, body, err := do(client, newRequest(s, parent, Auth, lastDay()))
			if (err != nil) != test.err {
				t.Errorf("error %v", err)
			}
			if resp != nil {
				name, value, _ := strings.Cut(test.header, ": ")
				if resp.StatusCode != test.status || resp.Header.Get(name) != value {
					t.Errorf("status %d, header %v", resp.StatusCode, resp.Header)
				}
			} else if test.status != 0 {
				t.Error("no answer")
			}
			if !strings.HasPrefix(body, test.body) || test.body == "" && !test.good && body != "" {
				t.Errorf("body %.100q, want %q", body, test.body)
			}
			if (body == want) != test.good {
				t.Errorf("the body is the right one: %v", body == want)
			}

			// Once is over.
			if _, body, err := do(client, newRequest(s, parent, Auth, lastDay())); err != nil || body != want {
				t.Errorf("the next call: %v, body %.100q", err, body)
			}
		})
	}
}

func TestInject(t *testing.T) {
	s := newSim()
	calls := func(account, endpoint string, n int) (status []int) {
		for range n {
			code, _ := serve(s, newRequest(s, account, endpoint, lastDay()))
			status = append(status, code)
		}
		return status
	}
	check := func(what string, want, got []int) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: status (-want +got):\n%s", what, diff)
		}
	}
	s.Inject(Match{Account: parent, Endpoint: Auth, Skip: 1}, HTML(502).Times(2), TooMany(), HTML(503))
	check("another endpoint", []int{200}, calls(parent, Activity, 1))
	check("another account", []int{200}, calls(child, Auth, 1))
	check("in turn", []int{200, 502, 502, 429, 503, 200}, calls(parent, Auth, 6))
	s.Inject(Match{}, HTML(500).Forever())
	check("for ever", []int{500, 500, 500}, calls(child, Telephony, 3))
	s.Heal()
	check("healed", []int{200}, calls(child, Telephony, 1))
}

// A fault that breaks the connection aborts the handler where there is none.
// Each third call fails, in one way after the other, and who watches hears of all.
func TestInjectEvery(t *testing.T) {
	s := newSim()
	var watched []int
	s.ForgetCalls, s.Watch = true, func(c Call) { watched = append(watched, c.Status) }
	s.InjectEvery(3, HTML(502), TooMany())
	for range 9 {
		serve(s, newRequest(s, parent, Auth, lastDay()))
	}
	if diff := cmp.Diff([]int{200, 200, 502, 200, 200, 429, 200, 200, 502}, watched); diff != "" || len(s.Calls()) > 0 {
		t.Errorf("%d calls kept; status (-want +got):\n%s", len(s.Calls()), diff)
	}
}

func TestFaultWithoutNetwork(t *testing.T) {
	for name, fault := range map[string]Fault{"cut": CutBody(), "reset": Reset()} {
		s := newSim()
		s.Inject(Match{}, fault)
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Errorf("%s: the handler was not aborted", name)
				}
			}()
			serve(s, newRequest(s, parent, Auth, lastDay()))
		}()
	}
}

func TestProxy(t *testing.T) {
	s := newSim()
	t.Cleanup(s.Close)
	s.Add(child, Auth, Generate(Auth, 3, now.Add(-time.Hour), time.Second)...)
	p, err := s.StartProxy("user", "pass:word")
	if err != nil {
		t.Fatal(err)
	}
	through := func(user *url.Userinfo) *http.Client {
		return newClient(t, s, func(tr *http.Transport) {
			tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", User: user, Host: p.Addr()})
		})
	}
	client := through(url.UserPassword("user", "pass:word"))
	for range 2 {
		_, body, err := do(client, newRequest(s, child, Auth, lastDay()))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(decode(t, body).records); n != 3 {
			t.Errorf("%d records, want 3", n)
		}
	}
	if n := p.Tunnels(); n != 1 {
		t.Errorf("%d tunnels, want 1", n)
	}
	if _, _, err := do(through(nil), newRequest(s, child, Auth, lastDay())); err == nil || !strings.Contains(err.Error(), "Proxy Authentication Required") {
		t.Errorf("without credentials: %v", err)
	}
	p.Refuse(http.StatusBadGateway)
	client.CloseIdleConnections()
	if _, _, err := do(client, newRequest(s, child, Auth, lastDay())); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("refused: %v", err)
	}
	s.Inject(Match{}, Reset().Times(2)) // net/http repeats a call on a reused connection
	p.Refuse(0)
	if _, _, err := do(client, newRequest(s, child, Auth, lastDay())); err == nil {
		t.Error("a reset connection gave no error")
	}
}

// In a bubble latency and hanging calls take no time.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		s := newSim()
		s.Now = time.Now
		defer s.Close()
		s.Latency = 30 * time.Second
		client := newClient(t, s, func(tr *http.Transport) { tr.DialContext = s.DialContext })
		defer client.CloseIdleConnections()
		s.Add(parent, Auth, Generate(Auth, 1000, now.Add(-time.Hour), time.Second)...)

		start := time.Now()
		params := lastDay()
		params.Set("limit", "1000")
		_, body, err := do(client, newRequest(s, parent, Auth, params))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(decode(t, body).records); n != 1000 || time.Since(start) != s.Latency {
			t.Errorf("%d records in %v", n, time.Since(start))
		}

		s.Inject(Match{}, Hang())
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, _, err = do(client, newRequest(s, parent, Auth, lastDay()).WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("hanging: %v after %v", err, time.Since(start))
		}

		release := make(chan struct{})
		s.Inject(Match{}, HangUntil(release))
		time.AfterFunc(2*time.Hour, func() { close(release) })
		start = time.Now()
		resp, _, err := do(client, newRequest(s, parent, Auth, lastDay()))
		if err != nil || resp.StatusCode != 200 || time.Since(start) != 2*time.Hour {
			t.Errorf("released: %v after %v", err, time.Since(start))
		}

		s.Inject(Match{}, Reset().Times(2)) // net/http repeats a call on a reused connection
		if _, _, err := do(client, newRequest(s, parent, Auth, lastDay())); err == nil {
			t.Error("a reset connection gave no error")
		}
	})
}

// Close ends calls that hang.
func TestCloseReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		s := newSim()
		client := newClient(t, s, func(tr *http.Transport) { tr.DialContext = s.DialContext })
		s.Inject(Match{}, Hang())
		failed := make(chan error)
		go func() {
			_, _, err := do(client, newRequest(s, parent, Auth, lastDay()))
			failed <- err
		}()
		synctest.Wait()
		if n := len(s.Calls()); n != 1 {
			t.Errorf("%d calls hang, want 1", n)
		}
		s.Close()
		if err := <-failed; err == nil {
			t.Error("a closed server answered")
		}
	})
}

// Reading, adding and looking go on at the same time.
func TestConcurrent(t *testing.T) {
	s, client := started(t)
	s.SetBacklog(child, Auth, Backlog{N: 1e5, From: now.Add(-24 * time.Hour), Step: 500 * time.Millisecond})
	records := Generate(Activity, 40, now.Add(-time.Hour), time.Second)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 10 {
				s.Add(parent, Activity, records[10*i+j])
				for _, r := range []*http.Request{
					newRequest(s, child, Auth, lastDay()),
					newRequest(s, parent, Activity, lastDay()),
				} {
					if resp, _, err := do(client, r); err != nil || resp.StatusCode != 200 {
						t.Errorf("call: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := len(visible(s, parent, Activity)); n != len(records) {
		t.Errorf("%d records, want %d", n, len(records))
	}
	if n := len(s.Calls()); n != 80 {
		t.Errorf("%d calls, want 80", n)
	}
}
