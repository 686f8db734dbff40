package duosim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readLog reads a v2 log to an empty page or a page without a cursor, and
// returns the pages. joined sends the cursor in its comma form.
func readLog(t *testing.T, s *Server, endpoint string, params url.Values, joined bool) []page {
	t.Helper()
	var pages []page
	for len(pages) < 100 {
		p := decode(t, get(t, s, parent, endpoint, params))
		pages = append(pages, p)
		if len(p.records) == 0 || p.next == nil || p.next == "absent" {
			return pages
		}
		if text, ok := p.next.(string); ok {
			params.Set("next_offset", text)
			continue
		}
		pair := p.next.([]any)
		if joined {
			params.Set("next_offset", fmt.Sprintf("%s,%s", pair...))
		} else {
			params["next_offset"] = []string{pair[0].(string), pair[1].(string)}
		}
	}
	t.Fatal("the log does not end")
	return nil
}

func joinPages(pages []page) (records []string, sizes []int) {
	for _, p := range pages {
		records = append(records, p.records...)
		sizes = append(sizes, len(p.records))
	}
	return records, sizes
}

func TestLogPaging(t *testing.T) {
	hour := now.Add(-time.Hour)
	spread := func(endpoint string) []Record { return Generate(endpoint, 25, hour, 731*time.Millisecond) }
	burst := func(endpoint string) []Record { return Generate(endpoint, 25, hour, 10*time.Microsecond) }
	for _, test := range []struct {
		name    string
		records func(string) []Record
		limit   int
		quirks  Quirks
		sizes   []int
	}{
		{"short last page", spread, 10, Quirks{}, []int{10, 10, 5, 0}},
		{"full last page", spread, 5, Quirks{}, []int{5, 5, 5, 5, 5, 0}},
		{"one millisecond", burst, 10, Quirks{}, []int{10, 10, 5, 0}},
		{"one millisecond in the order of microseconds", burst, 10, Quirks{MicrosecondOrder: true}, []int{10, 10, 5, 0}},
		{"null on a short page", spread, 10, Quirks{NullOnShortPage: true}, []int{10, 10, 5}},
		{"null on a short page, full last page", spread, 5, Quirks{NullOnShortPage: true}, []int{5, 5, 5, 5, 5, 0}},
		{"null on the last page", spread, 5, Quirks{NullOnLastPage: true}, []int{5, 5, 5, 5, 5}},
		{"absent on the last page", spread, 10, Quirks{NullOnLastPage: true, NullIsAbsent: true}, []int{10, 10, 5}},
		{"absent on an empty page", spread, 10, Quirks{NullIsAbsent: true}, []int{10, 10, 5, 0}},
		{"cursor as text", spread, 10, Quirks{CursorAsText: true}, []int{10, 10, 5, 0}},
		{"mintime ignored", spread, 10, Quirks{CursorIgnoresMintime: true}, []int{10, 10, 5, 0}},
		{"total as object", spread, 10, Quirks{TotalAsObject: true}, []int{10, 10, 5, 0}},
	} {
		for _, endpoint := range []string{Auth, Telephony, Activity} {
			for _, joined := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/joined=%v", test.name, endpoint, joined), func(t *testing.T) {
					s := newSim()
					s.Quirks = test.quirks
					s.Add(parent, endpoint, test.records(endpoint)...)
					params := lastDay()
					params.Set("limit", fmt.Sprint(test.limit))
					params.Set("sort", "ts:asc")
					pages := readLog(t, s, endpoint, params, joined)
					records, sizes := joinPages(pages)
					if diff := cmp.Diff(test.sizes, sizes); diff != "" {
						t.Errorf("sizes of pages (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(visible(s, parent, endpoint), records); diff != "" {
						t.Errorf("records (-want +got):\n%s", diff)
					}
					var total any = 25.0
					if test.quirks.TotalAsObject {
						total = map[string]any{"relation": "eq", "value": 25.0}
					}
					for _, p := range pages {
						if diff := cmp.Diff(total, p.total); diff != "" {
							t.Errorf("total_objects (-want +got):\n%s", diff)
						}
					}
					if last := pages[len(pages)-1].next; (last == "absent") != test.quirks.NullIsAbsent {
						t.Errorf("last cursor is %v", last)
					}
				})
			}
		}
	}
}

func TestThousandInOneMillisecond(t *testing.T) {
	s := newSim()
	s.Add(parent, Auth, Generate(Auth, 1500, now.Add(-time.Hour), 0)...)
	params := lastDay()
	params.Set("limit", "1000")
	params.Set("sort", "ts:asc")
	records, sizes := joinPages(readLog(t, s, Auth, params, true))
	if diff := cmp.Diff([]int{1000, 500, 0}, sizes); diff != "" {
		t.Errorf("sizes of pages (-want +got):\n%s", diff)
	}
	if !slices.Equal(visible(s, parent, Auth), records) {
		t.Error("the records are not those of the log")
	}
}

func TestNewestFirst(t *testing.T) {
	s := newSim()
	s.Add(parent, Auth, Generate(Auth, 250, now.Add(-time.Hour), 300*time.Microsecond)...)
	records, sizes := joinPages(readLog(t, s, Auth, lastDay(), true)) // limit 100, ts:desc
	if diff := cmp.Diff([]int{100, 100, 50, 0}, sizes); diff != "" {
		t.Errorf("sizes of pages (-want +got):\n%s", diff)
	}
	want := visible(s, parent, Auth)
	slices.Reverse(want)
	if diff := cmp.Diff(want, records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestMicrosecondOrder(t *testing.T) {
	s := newSim()
	at := now.Add(-time.Hour)
	s.Add(parent, Auth,
		Record{At: at.Add(2 * time.Microsecond), ID: "a", Raw: []byte(`"2a"`)},
		Record{At: at.Add(1 * time.Microsecond), ID: "b", Raw: []byte(`"1b"`)})
	params := lastDay()
	params.Set("sort", "ts:asc")
	byID := decode(t, get(t, s, parent, Auth, params)).records
	s.Quirks.MicrosecondOrder = true
	byTime := decode(t, get(t, s, parent, Auth, params)).records
	if diff := cmp.Diff([][]string{{`"2a"`, `"1b"`}, {`"1b"`, `"2a"`}}, [][]string{byID, byTime}); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
}

func TestWindowIsInclusive(t *testing.T) {
	s := newSim()
	at := now.Add(-time.Hour)
	s.Add(parent, Activity, Generate(Activity, 5, at, time.Millisecond)...)
	got := decode(t, get(t, s, parent, Activity, url.Values{
		"sort": {"ts:asc"}, "mintime": {millis(at.Add(time.Millisecond))}, "maxtime": {millis(at.Add(3 * time.Millisecond))},
	}))
	if diff := cmp.Diff(visible(s, parent, Activity)[1:4], got.records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// A cursor has a life of its own: it may be used with a later window, and one
// may be made of any record.
func TestCursorAndWindow(t *testing.T) {
	s := newSim()
	at := now.Add(-time.Hour)
	records := Generate(Auth, 10, at, time.Second)
	s.Add(parent, Auth, records...)
	all := visible(s, parent, Auth)
	cursor := fmt.Sprintf("%d,%s", records[4].At.UnixMilli(), records[4].ID)
	ask := func(mintime time.Time) []string {
		return decode(t, get(t, s, parent, Auth, url.Values{
			"sort": {"ts:asc"}, "mintime": {millis(mintime)}, "maxtime": {millis(now)}, "next_offset": {cursor},
		})).records
	}
	if diff := cmp.Diff(all[5:], ask(at)); diff != "" {
		t.Errorf("mintime before the cursor (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(all[8:], ask(records[8].At)); diff != "" {
		t.Errorf("mintime after the cursor (-want +got):\n%s", diff)
	}
	s.Quirks.CursorIgnoresMintime = true
	if diff := cmp.Diff(all[5:], ask(records[8].At)); diff != "" {
		t.Errorf("mintime ignored (-want +got):\n%s", diff)
	}
	s.Quirks = Quirks{RepeatAtPageHead: true}
	if diff := cmp.Diff(all[4:], ask(at)); diff != "" {
		t.Errorf("record repeated (-want +got):\n%s", diff)
	}
	s.Quirks = Quirks{CursorStuck: true}
	stuck := decode(t, get(t, s, parent, Activity, lastDay())).next
	params := lastDay()
	params.Set("next_offset", cursor)
	params.Set("sort", "ts:asc")
	next := decode(t, get(t, s, parent, Auth, params)).next
	if diff := cmp.Diff([]any{nil, []any{millis(records[4].At), records[4].ID}}, []any{stuck, next}); diff != "" {
		t.Errorf("cursors that do not move (-want +got):\n%s", diff)
	}
}

func TestVisibility(t *testing.T) {
	s := newSim()
	clock := now
	s.Now = func() time.Time { return clock }
	raw := func(text string, at, visibleAt time.Time) Record {
		return Record{At: at, ID: text, VisibleAt: visibleAt, Raw: []byte(`"` + text + `"`)}
	}
	s.Add(parent, Auth,
		raw("new", now.Add(-time.Minute), time.Time{}),
		raw("old", now.Add(-time.Hour), time.Time{}),
		raw("late", now.Add(-2*time.Hour), now.Add(3*time.Minute)))
	ask := func() string {
		params := lastDay()
		params.Set("sort", "ts:asc")
		return strings.Join(decode(t, get(t, s, parent, Auth, params)).records, " ")
	}
	got := []string{ask()}
	for range 3 {
		clock = clock.Add(time.Minute)
		got = append(got, ask())
	}
	want := []string{`"old"`, `"old" "new"`, `"old" "new"`, `"late" "old" "new"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records by minute (-want +got):\n%s", diff)
	}
}

func TestAdministrator(t *testing.T) {
	s := newSim()
	from := now.Add(-time.Hour)
	s.Add(parent, AdminAction, Generate(AdminAction, 1500, from, 250*time.Millisecond)...)
	all := visible(s, parent, AdminAction)
	ask := func(mintime string) []string {
		return decode(t, get(t, s, parent, AdminAction, url.Values{"mintime": {mintime}})).records
	}
	if !slices.Equal(all[:1000], ask("0")) {
		t.Error("the answer is not the earliest 1000")
	}
	if !slices.Equal(all[400:1400], ask(fmt.Sprint(from.Unix()+100))) {
		t.Error("the answer is not the earliest 1000 from a second on")
	}
	if diff := cmp.Diff([]string(nil), ask(fmt.Sprint(now.Unix()))); diff != "" {
		t.Errorf("nothing (-want +got):\n%s", diff)
	}
	s.Quirks.MoreThan1000 = true
	if n := len(ask("")); n != 1100 {
		t.Errorf("%d records, want 1100", n)
	}
}

func TestTrustMonitor(t *testing.T) {
	s := newSim()
	s.Add(parent, TrustMonitor, Generate(TrustMonitor, 120, now.Add(-time.Hour), time.Second)...)
	read := func() (records []string, offsets []any) {
		params := lastDay()
		for {
			p := decode(t, get(t, s, parent, TrustMonitor, params))
			records = append(records, p.records...)
			offsets = append(offsets, p.next)
			if p.next == "absent" {
				return records, offsets
			}
			params.Set("offset", fmt.Sprint(p.next))
		}
	}
	all := visible(s, parent, TrustMonitor)
	records, offsets := read()
	if diff := cmp.Diff(all, records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{"50", "100", "absent"}, offsets); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
	s.Quirks = Quirks{Unsorted: true, OffsetAsNumber: true}
	records, offsets = read()
	if slices.Equal(all, records) {
		t.Error("the events are sorted")
	}
	slices.Sort(all)
	slices.Sort(records)
	if diff := cmp.Diff(all, records); diff != "" {
		t.Errorf("unsorted records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]any{50.0, 100.0, "absent"}, offsets); diff != "" {
		t.Errorf("offsets as numbers (-want +got):\n%s", diff)
	}
}

func TestBacklog(t *testing.T) {
	const n = 2500
	for _, endpoint := range []string{Auth, Telephony, Activity} {
		t.Run(endpoint, func(t *testing.T) {
			s := newSim()
			s.SetBacklog(parent, endpoint, Backlog{N: n, From: now.Add(-time.Hour), Step: 300 * time.Microsecond})
			params := lastDay()
			params.Set("limit", "1000")
			params.Set("sort", "ts:asc")
			records, _ := joinPages(readLog(t, s, endpoint, params, true))
			if len(records) != n || !slices.Equal(visible(s, parent, endpoint), records) {
				t.Errorf("%d records, which are not those of the backlog", len(records))
			}
			slices.Sort(records)
			if distinct := len(slices.Compact(records)); distinct != n {
				t.Errorf("%d of %d records are distinct", distinct, n)
			}
		})
	}
	t.Run("grows with the clock", func(t *testing.T) {
		s := newSim()
		s.SetBacklog(parent, AdminAction, Backlog{N: 1e6, From: now.Add(-time.Hour), Step: time.Minute})
		records := visible(s, parent, AdminAction)
		if len(records) != 59 { // minutes -60 to -2
			t.Errorf("%d records are visible, want 59", len(records))
		}
	})
	t.Run("not mixed", func(t *testing.T) {
		s := newSim()
		s.SetBacklog(parent, Auth, Backlog{N: 1, From: now})
		defer func() {
			if recover() == nil {
				t.Error("records were added to a backlog")
			}
		}()
		s.Add(parent, Auth, Record{At: now})
	})
}

// BenchmarkPage is a page of 1000 auth records from the middle of ten million.
func BenchmarkPage(b *testing.B) {
	s := newSim()
	s.ForgetCalls = true
	from := now.Add(-100 * 24 * time.Hour)
	s.SetBacklog(parent, Auth, Backlog{N: 1e7, From: from, Step: 800 * time.Millisecond})
	r := newRequest(s, parent, Auth, url.Values{
		"mintime": {millis(from.Add(50 * 24 * time.Hour))}, "maxtime": {millis(now)}, "limit": {"1000"}, "sort": {"ts:asc"},
	})
	w := &discard{header: make(http.Header)}
	for b.Loop() {
		s.ServeHTTP(w, r)
	}
	b.ReportMetric(float64(w.n)/float64(b.N)/1000, "B/record")
}

type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header               { return d.header }
func (d *discard) WriteHeader(int)                   {}
func (d *discard) Write(b []byte) (n int, err error) { d.n += len(b); return len(b), nil }
