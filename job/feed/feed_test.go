package feed

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job/duo"
	"dls/job/record"
	"dls/job/retry"
	"dls/job/window"
)

// source answers each call with a page whose only record tells what was asked for, and
// whose cursor leads to 5000.
type source struct{ asked []string }

func (s *source) Get(_ context.Context, _, _ string, v url.Values, buf []byte, room func(int) error) ([]byte, error) {
	asked := v.Get("mintime") + " " + v.Get("maxtime") + " " + v.Get("next_offset")
	s.asked = append(s.asked, asked)
	body := fmt.Appendf(buf[:0], `{"stat": "OK", "response": {"authlogs": [%q], "metadata": {"next_offset": ["5000", "x"]}}}`, asked)
	return body, room(len(body))
}

// free is a limiter that lets all calls go, and a waiter that has nothing else to do.
type free struct{}

func (free) Wait(time.Time) time.Duration     { return 0 }
func (free) Called(time.Time)                 {}
func (free) Answered(time.Time)               {}
func (free) Refused(time.Time, time.Duration) {}
func (free) Lost(time.Time)                   {}

func (free) Sleep(context.Context, time.Duration) error { return nil }

func (free) Await(_ context.Context, done <-chan struct{}) error { <-done; return nil }

// shown is what the pages have shown.
type shown []string

func (s *shown) Reset(window.Call) {}

func (s *shown) Read(body []byte, i int) (end int, err error) {
	end, err = record.Skip(body, i)
	*s = append(*s, record.Text(body[i:end]))
	return end, err
}

// The page that was fetched ahead is the next one only where it is what is asked for;
// else another call is made, and its answer is the page.
func TestAhead(t *testing.T) {
	first := window.Call{Mintime: 1000, Maxtime: 9000, More: true}
	const ahead = "1000 9000 5000,x"
	for _, tt := range []struct {
		name string
		call window.Call
		want []string // the calls, of which the last one's answer is the page
	}{
		{"what was foreseen", window.Call{Mintime: 1000, Maxtime: 9000, Cursor: "5000,x"}, []string{ahead}},
		{"the same cursor, from a later time on", window.Call{Mintime: 1500, Maxtime: 9000, Cursor: "5000,x"}, []string{ahead}},
		{"no cursor, but a time", window.Call{Mintime: 4000, Maxtime: 9000}, []string{ahead, "4000 9000 "}},
		{"the same time again", window.Call{Mintime: 1000, Maxtime: 9000}, []string{ahead, "1000 9000 "}},
		{"another cursor", window.Call{Mintime: 1000, Maxtime: 9000, Cursor: "4000,y"}, []string{ahead, "1000 9000 4000,y"}},
		{"the same cursor, in another span", window.Call{Mintime: 1000, Maxtime: 9500, Cursor: "5000,x"}, []string{ahead, "1000 9500 5000,x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var from source
				f := New(Options{
					Source: &from, Limiter: free{}, Waiter: free{}, Memory: NewMemory(), Backoff: new(retry.Backoff),
					Row: duo.Named("auth"), Log: slog.New(slog.DiscardHandler), Stats: new(Stats),
				})
				f.Buffers = new(Buffers)
				defer f.Close()
				var page shown
				if _, err := f.Next(t.Context(), func() window.Call { return first }, &page); err != nil {
					t.Fatal(err)
				}
				f.Last, page = true, nil
				synctest.Wait()
				if _, err := f.Next(t.Context(), func() window.Call { return tt.call }, &page); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(append([]string{"1000 9000 "}, tt.want...), from.asked); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(shown{tt.want[len(tt.want)-1]}, page); diff != "" {
					t.Errorf("page (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// then answers the first call with a page, and the next as it says.
type then struct {
	source
	body string
	err  error
}

func (s *then) Get(ctx context.Context, host, path string, v url.Values, buf []byte, room func(int) error) ([]byte, error) {
	if len(s.asked) > 0 {
		return append(buf[:0], s.body...), s.err
	}
	return s.source.Get(ctx, host, path, v, buf, room)
}

// told is a limiter that notes what became of calls.
type told struct {
	free
	outcomes []string
}

func (l *told) Answered(time.Time) { l.outcomes = append(l.outcomes, "answered") }
func (l *told) Lost(time.Time)     { l.outcomes = append(l.outcomes, "lost") }
func (l *told) Refused(_ time.Time, after time.Duration) {
	l.outcomes = append(l.outcomes, fmt.Sprint("refused for ", after))
}

// What Duo says to a call that was made ahead is heard though the page is not wanted any
// more: whoever reads on may not call before the time that it tells.
func TestHeardAhead(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		err        error
		want       string
	}{
		{"a refusal", "", &duo.APIError{Status: 429, Code: 42901, RetryAfter: time.Minute}, "refused for 1m0s"},
		{"a refusal with the status of a page", `{"stat": "FAIL", "code": 42901, "message": "too many"}`, nil, "refused for 0s"},
		{"another refusal", "", &duo.APIError{Status: 403, Code: 40301}, "answered"},
		{"a page", `{"stat": "OK", "response": {"authlogs": [], "metadata": {}}}`, nil, "answered"},
		{"no page", `<html>`, nil, "lost"},
		{"no answer", "", &duo.CallError{Err: context.Canceled}, "lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var limit told
				f := New(Options{
					Source: &then{body: tt.body, err: tt.err}, Limiter: &limit, Waiter: free{}, Memory: NewMemory(), Backoff: new(retry.Backoff),
					Row: duo.Named("auth"), Log: slog.New(slog.DiscardHandler), Stats: new(Stats),
				})
				f.Buffers = new(Buffers)
				var page shown
				if _, err := f.Next(t.Context(), func() window.Call { return window.Call{Mintime: 1000, Maxtime: 9000, More: true} }, &page); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				f.Close()
				if diff := cmp.Diff([]string{"answered", tt.want}, limit.outcomes); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if refused := strings.HasPrefix(tt.want, "refused"); refused != (f.Stats.Limited == 1) {
					t.Errorf("%d are counted as refused", f.Stats.Limited)
				}
			})
		})
	}
}

// slow is a limiter that lets a call go after a minute, and a waiter that waits.
type slow struct {
	free
	at time.Time
}

func (l slow) Wait(now time.Time) time.Duration { return l.at.Sub(now) }

func (slow) Sleep(_ context.Context, d time.Duration) error { time.Sleep(d); return nil }

// What to ask for is asked when the call is made, not when the wait for it begins.
func TestAskAfterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var from source
		began := time.Now()
		limit := slow{at: began.Add(time.Minute)}
		f := New(Options{
			Source: &from, Limiter: limit, Waiter: limit, Memory: NewMemory(), Backoff: new(retry.Backoff),
			Row: duo.Named("auth"), Log: slog.New(slog.DiscardHandler), Stats: new(Stats),
		})
		f.Buffers = new(Buffers)
		defer f.Close()
		var page shown
		ask := func() window.Call { return window.Call{Mintime: int64(time.Since(began).Seconds()), Maxtime: 9000} }
		if _, err := f.Next(t.Context(), ask, &page); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"60 9000 "}, from.asked); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}
