package job_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dls/job"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/sinks/sinktest"
	"io"
	"strconv"
	"testing/iotest"
)

// pacedWorld is a world in a bubble of synctest's: Duo is reached in memory, so
// that hours of waiting take no time. The receiver is a real one, outside the
// bubble; while a page is on its way to it, the bubble's clock stands still.
type pacedWorld struct {
	*world
	siem *sinktest.Receiver
	// before is told of each call to Duo, and may answer it with a status.
	before func(*http.Request) (status int)
	mu     sync.Mutex // of dice
	dice   *rand.Rand
	http   *http.Transport
}

// paced runs test with a world whose endpoints are mapped to one receiver.
func paced(t *testing.T, endpoints []string, test func(w *pacedWorld)) {
	t.Helper()
	siem := sinktest.Listen(t, sinktest.Options{})
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 3, 1, 12, 0, 17, 0, time.UTC)))
		w := &pacedWorld{
			world: &world{t: t, dir: dir, text: settings{format: "JSON", enabled: true, skey: skey}},
			siem:  siem,
			dice:  rand.New(rand.NewPCG(1, 2)),
		}
		w.sim = duosim.New(duosim.Account{ID: parent, Name: "Parent", Host: "api-test0001.duosecurity.com", Ikey: ikey, Skey: skey})
		defer w.sim.Close()
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(w.sim.CAPEM())
		w.http = &http.Transport{DialContext: w.sim.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}}
		defer w.http.CloseIdleConnections()
		if err := os.WriteFile(w.path("ca.pem"), w.sim.CAPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(w.path("state"), 0o700); err != nil {
			t.Fatal(err)
		}
		w.text.servers = []server{{id: "siem", protocol: "TCP", port: siem.Port()}}
		w.text.endpoints = map[string][]string{"siem": endpoints}
		test(w)
	})
}

// RoundTrip makes each call take 0.2 to 1 s, half of it on the way there.
func (w *pacedWorld) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.before != nil {
		if status := w.before(r); status != 0 {
			return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
	}
	w.mu.Lock()
	half := 100*time.Millisecond + time.Duration(w.dice.Int64N(int64(400*time.Millisecond)))
	w.mu.Unlock()
	time.Sleep(half)
	defer time.Sleep(half)
	return w.http.RoundTrip(r)
}

// backlog gives an endpoint so many full pages, and one record more.
func (w *pacedWorld) backlog(name string, pages int) {
	n := pages*duo.Named(name).Limit + 1
	w.sim.SetBacklog(parent, name, duosim.Backlog{N: n, From: time.Now().Add(-100 * 24 * time.Hour), Step: time.Minute})
}

// sync runs the job, for as long as it takes unless the options say otherwise.
func (w *pacedWorld) sync(change ...func(*job.Options)) *job.Summary {
	w.t.Helper()
	opts := w.options()
	opts.RetryFor = 5 * time.Minute
	opts.Transport = w
	for _, f := range change {
		f(&opts)
	}
	sum, err := job.Sync(context.Background(), w.config(), opts)
	if err != nil {
		w.t.Fatal(err)
	}
	return sum
}

// record is what became of the calls of an endpoint.
type record struct {
	answered       int
	late, refused  int // calls after the first minute, and those of them answered 429
	short          int // answered with less than a full page
	elapsed, pause time.Duration
}

func (w *pacedWorld) record(name string) record {
	var r record
	var first, last time.Time
	for _, c := range w.sim.Calls() {
		if c.Endpoint != name {
			continue
		}
		if first.IsZero() {
			first, last = c.At, c.At
		}
		r.pause, last = max(r.pause, c.At.Sub(last)), c.At
		r.elapsed = c.At.Sub(first)
		late := r.elapsed > time.Minute
		if late {
			r.late++
		}
		if c.Status == http.StatusTooManyRequests {
			if late {
				r.refused++
			}
			continue
		}
		r.answered++
		if c.Records < duo.Named(name).Limit {
			r.short++
		}
	}
	return r
}

func (r record) String() string {
	return fmt.Sprintf("%d answered in %v, then %.1f %% of %d refused", r.answered, r.elapsed.Round(time.Second), 100*r.wasted(), r.late)
}

// used is the part of the calls that a limit allows which was made.
func (r record) used(limit duosim.Rate) float64 {
	return float64(r.answered) / (float64(limit.Calls) * float64(r.elapsed) / float64(limit.Window))
}

// wasted is the part of the calls after the first minute that was refused.
func (r record) wasted() float64 { return float64(r.refused) / float64(max(r.late, 1)) }

// once fails the test unless n different lines were received, each once. The
// records of a backlog are all different.
func once(t *testing.T, got [][]byte, n int) {
	t.Helper()
	seen := make(map[string]bool, len(got))
	for _, line := range got {
		seen[string(line)] = true
	}
	if len(seen) != n || len(got) != n {
		t.Errorf("%d lines, %d of them different, want %d", len(got), len(seen), n)
	}
}

// What Duo no longer keeps when a run at last comes to it is not passed over in
// silence.
func TestTooLate(t *testing.T) {
	for minutes, warned := range map[int]bool{0: false, 4: true} {
		paced(t, []string{"auth"}, func(w *pacedWorld) {
			w.text.api = map[string]any{"offset": 180}
			began := time.Now()
			w.before = func(*http.Request) int {
				if time.Since(began) < time.Duration(minutes)*time.Minute {
					return http.StatusBadGateway
				}
				return 0
			}
			w.clean(w.sync())
			calls := w.sim.Calls()
			ms, err := strconv.ParseInt(calls[len(calls)-1].Params.Get("mintime"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			gap := fmt.Sprintf("to %s can no longer be had", time.UnixMilli(ms).UTC().Format(time.RFC3339))
			if got := strings.Contains(w.log.String(), gap); got != warned {
				t.Errorf("after %d minutes: %v %q, the log says %s", minutes, got, gap, w.log.String())
			}
		})
	}
}

// A cursor that does not tell where it leads is no reason to warn.
func TestNotTooLate(t *testing.T) {
	paced(t, []string{"trustmonitor"}, func(w *pacedWorld) {
		w.text.api = map[string]any{"offset": 180}
		w.backlog("trustmonitor", 3)
		w.clean(w.sync())
		if log := w.log.String(); strings.Contains(log, "can no longer be had") {
			t.Errorf("the log says %s", log)
		}
	})
}

// cutter ends the first answers at six tenths of their bodies.
type cutter struct {
	http.RoundTripper
	left int
}

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && c.left > 0 {
		c.left--
		part := io.LimitReader(resp.Body, resp.ContentLength*6/10)
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(part, iotest.ErrReader(io.ErrUnexpectedEOF)), resp.Body}
	}
	return resp, err
}

// An answer that broke off is asked for again, and leaves nothing behind.
func TestCutAgain(t *testing.T) {
	paced(t, []string{"auth"}, func(w *pacedWorld) {
		w.backlog("auth", 4)
		sum := w.sync(func(o *job.Options) { o.Parallel, o.Transport = 1, &cutter{w, 3} })
		w.clean(sum)
		if n := sum.Results[0].Retries; n != 3 {
			t.Errorf("%d retries, want 3", n)
		}
		once(t, w.siem.Take(), 4001)
	})
}

// Whatever Duo's limit, at least 85 % of it is used, and at most 10 % of the
// calls after the first minute are refused.
func TestPaceUsesWhatIsAllowed(t *testing.T) {
	for _, window := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
		for _, n := range []int{1, 2, 3, 5, 10, 30} {
			limit := duosim.Rate{Calls: n, Window: window}
			t.Run(fmt.Sprintf("%d in %v", n, window), func(t *testing.T) {
				t.Parallel()
				paced(t, []string{"trustmonitor"}, func(w *pacedWorld) {
					w.sim.Rate = limit
					w.text.enabled = false
					pages := max(40, 4*n)
					w.backlog("trustmonitor", pages)
					sum := w.sync()
					w.clean(sum)
					r := w.record("trustmonitor")
					t.Logf("used %.0f %%: %v", 100*r.used(limit), r)
					if r.used(limit) < 0.85 || r.wasted() > 0.1 || r.short != 1 {
						t.Errorf("used %.0f %% of what is allowed: %v, %d pages not full", 100*r.used(limit), r, r.short)
					}
					if res := sum.Results[0]; res.Pages != pages+1 || res.Limited == 0 || res.Retries != res.Limited {
						t.Errorf("%d pages, want %d; %d answers were the limit, %d retries", res.Pages, pages+1, res.Limited, res.Retries)
					}
					once(t, w.siem.Take(), 200*pages+1)
				})
			})
		}
	}
}

// A stream that Duo does not limit never waits, and makes no call more.
func TestPaceUnlimited(t *testing.T) {
	paced(t, []string{"auth"}, func(w *pacedWorld) {
		w.backlog("auth", 10)
		w.clean(w.sync())
		r := w.record("auth")
		if r.answered != 11 || r.elapsed > 11*time.Second {
			t.Errorf("%v, want 11 at once", r)
		}
		calls := len(w.sim.Calls())
		w.clean(w.sync())
		if n := len(w.sim.Calls()) - calls; n != 1 {
			t.Errorf("an idle run made %d calls, want 1", n)
		}
	})
}

// The limit of one endpoint does not delay the others, even with one worker.
func TestPaceIsEachStreamsOwn(t *testing.T) {
	paced(t, []string{"auth", "telephony"}, func(w *pacedWorld) {
		var last time.Time
		w.before = func(r *http.Request) int {
			if !strings.HasSuffix(r.URL.Path, "/authentication") {
				return 0
			}
			if time.Since(last) < time.Minute {
				return http.StatusTooManyRequests
			}
			last = time.Now()
			return 0
		}
		w.backlog("auth", 10)
		w.backlog("telephony", 10)
		w.clean(w.sync(func(o *job.Options) { o.Parallel = 1 }))
		if r := w.record("auth"); r.answered != 11 || r.elapsed < 10*time.Minute {
			t.Errorf("auth: %v", r)
		}
		if r := w.record("telephony"); r.answered != 11 || r.elapsed > 30*time.Second {
			t.Errorf("telephony: %v, want 11 at once", r)
		}
	})
}

// A run that waits for Duo ends on time.
func TestPaceMaxRuntime(t *testing.T) {
	paced(t, []string{"auth"}, func(w *pacedWorld) {
		w.sim.Rate = duosim.Rate{Calls: 1, Window: time.Minute}
		w.backlog("auth", 40)
		began := time.Now()
		sum := w.sync(func(o *job.Options) { o.MaxRuntime = 10*time.Minute + 30*time.Second })
		if took := time.Since(began); took != 10*time.Minute+30*time.Second {
			t.Errorf("the run took %v", took)
		}
		if res := sum.Results[0]; !errors.Is(res.Err, job.ErrMaxRuntime) || res.Delivered < 9000 {
			t.Errorf("%d records delivered, error %v", res.Delivered, res.Err)
		}
		w.sim.Rate = duosim.Rate{}
		w.clean(w.sync())
		once(t, w.siem.Take(), 40*1000+1)
	})
}

// A stream that gets nothing but 429 fails when patience is at an end.
func TestPacePatience(t *testing.T) {
	paced(t, []string{"auth"}, func(w *pacedWorld) {
		w.backlog("auth", 3)
		w.sim.Inject(duosim.Match{Skip: 1}, duosim.TooMany().Forever())
		began := time.Now()
		sum := w.sync()
		took := time.Since(began)
		err := sum.Results[0].Err
		if err == nil || !strings.Contains(err.Error(), "no progress for 5m0s: Duo answered 429") {
			t.Errorf("error %v", err)
		}
		if took < 5*time.Minute || took > 5*time.Minute+10*time.Second {
			t.Errorf("failed after %v, want 5 minutes", took)
		}
	})
}

// Duo's Retry-After is obeyed, and no pause is longer than the configuration says.
func TestPaceRetryAfter(t *testing.T) {
	for name, limit := range map[string]duosim.Rate{
		"asked for":    {Calls: 2, Window: 100 * time.Second, RetryAfter: true},
		"over the top": {Calls: 1, Window: 4 * time.Minute, RetryAfter: true},
	} {
		t.Run(name, func(t *testing.T) {
			paced(t, []string{"auth"}, func(w *pacedWorld) {
				w.sim.Rate = limit
				w.backlog("auth", 10)
				w.clean(w.sync())
				r := w.record("auth")
				if longest := 2*time.Minute + 2*time.Second; r.pause > longest {
					t.Errorf("a pause of %v, want at most %v", r.pause, longest)
				}
				if limit.Calls == 2 && (r.used(limit) < 0.85 || r.refused > 2) {
					t.Errorf("used %.0f %%: %v", 100*r.used(limit), r)
				}
			})
		})
	}
}
