package job_test

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dls/job"
	"dls/state"
)

// oddDuo is a Duo whose records say of themselves what the test likes, beside the
// time at which Duo keeps them. It answers the authentication log.
type oddDuo struct {
	records []oddRecord
	most    int    // records on a page, whatever the call asks for; 0: as asked
	stuck   bool   // the cursor never moves
	form    string // of the answer: the records, the cursor and the total go into it; "": as Duo's is
	failing int    // calls from this one on fail; 0: none
	broken  int    // this call is answered with a record that is broken, once; 0: none
	calls   int
}

type oddRecord struct {
	at      int64 // milliseconds
	id, raw string
}

func (d *oddDuo) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.calls++; d.failing > 0 && d.calls >= d.failing {
		return nil, io.ErrUnexpectedEOF
	}
	q := r.URL.Query()
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(q.Get(name), 10, 64)
		return n
	}
	limit := int(number("limit"))
	if d.most > 0 {
		limit = d.most
	}
	after, id, _ := strings.Cut(q.Get("next_offset"), ",")
	ms, _ := strconv.ParseInt(after, 10, 64)
	records := slices.Clone(d.records)
	slices.SortStableFunc(records, func(a, b oddRecord) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	var page []string
	next, total := "null", 0
	for _, rec := range records {
		if rec.at < number("mintime") || rec.at > number("maxtime") {
			continue
		}
		total++
		if after != "" && (rec.at < ms || rec.at == ms && rec.id <= id) || len(page) == limit {
			continue
		}
		page = append(page, rec.raw)
		next = fmt.Sprintf(`["%d",%q]`, rec.at, rec.id)
	}
	if d.broken > 0 && d.calls == d.broken {
		page[len(page)/2], d.broken = `{"txid":"x"`, 0
	}
	if d.stuck && after != "" {
		next = fmt.Sprintf(`[%q,%q]`, after, id)
	}
	form := d.form
	if len(page) == 0 {
		form = ""
	}
	body := fmt.Sprintf(cmp.Or(form, `{"stat":"OK","response":{"authlogs":[%s],"metadata":{"next_offset":%s,"total_objects":%d}}}`), strings.Join(page, ","), next, total)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

// oddTime is a time in the form of Duo.
func oddTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000000+00:00")
}

// add adds n records, step milliseconds apart, that say of themselves what is so.
func (d *oddDuo) add(n int, from, step int64) {
	for i := range n {
		at, id := from+int64(i)*step, fmt.Sprintf("id%08d", len(d.records))
		d.records = append(d.records, oddRecord{at, id, fmt.Sprintf(`{"isotimestamp":%q,"txid":%q}`, oddTime(at), id)})
	}
}

// say makes record i say another time of itself.
func (d *oddDuo) say(i int, when string) {
	d.records[i].raw = fmt.Sprintf(`{"isotimestamp":%q,"txid":%q}`, when, d.records[i].id)
}

// Whatever a record says of itself, it is delivered, once, and a run ends.
func TestOddRecords(t *testing.T) {
	from := time.Now().Add(-5 * time.Hour).UnixMilli()
	for _, tt := range []struct {
		name string
		duo  func(*oddDuo)
		runs int // how many runs it takes
		warn string
	}{
		{name: "equal times and no id", runs: 1, duo: func(d *oddDuo) {
			for i, id := range []string{"null", "null", `""`, `""`, "7"} {
				d.records = append(d.records, oddRecord{from, fmt.Sprint(i), fmt.Sprintf(`{"isotimestamp":%q,"txid":%s,"n":%d}`, oddTime(from), id, i)})
			}
		}},
		{name: "two that are equal and have no id", runs: 1, duo: func(d *oddDuo) {
			for i := range 2 {
				d.records = append(d.records, oddRecord{from, fmt.Sprint(i), fmt.Sprintf(`{"isotimestamp":%q}`, oddTime(from))})
			}
		}},
		{name: "pages shorter than asked for", runs: 1, duo: func(d *oddDuo) { d.most = 900; d.add(5000, from, 10) }},
		{name: "a time after the window", warn: "1 new record tells no time", runs: 1, duo: func(d *oddDuo) {
			d.add(10, from, 1000)
			d.say(5, oddTime(time.Now().Add(time.Hour).UnixMilli()))
		}},
		{name: "a time long ago", runs: 1, duo: func(d *oddDuo) {
			d.add(10, from, 1000)
			d.say(5, oddTime(from-24*time.Hour.Milliseconds()))
		}},
		{name: "no time that can be read", warn: "2 new records tell no time", runs: 1, duo: func(d *oddDuo) {
			d.add(10, from, 1000)
			d.say(0, "soon")
			d.say(9, "soon")
		}},
		{name: "a record that is broken, and the next page is asked for", runs: 2, duo: func(d *oddDuo) {
			d.add(4500, from, 10)
			d.broken = 2
		}},
		{name: "a page out of order, and Duo fails again and again", runs: 3, duo: func(d *oddDuo) {
			d.add(20_000, from, 10)
			d.say(500, oddTime(d.records[501].at+1))
			d.failing = 11
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, siem := newWorld(t)
			w.text.endpoints = map[string][]string{"siem": {"auth"}}
			w.text.api = map[string]any{"offset": 2}
			var duo oddDuo
			tt.duo(&duo)
			run := func() *job.Summary {
				duo.calls = 0
				return w.sync(func(o *job.Options) { o.SetTransport(&duo) })
			}
			for range tt.runs {
				run()
			}
			if n := len(siem.Take()); n != len(duo.records) {
				t.Errorf("%d records came of %d", n, len(duo.records))
			}
			if log := w.log.String(); !strings.Contains(log, tt.warn) || tt.warn == "" && strings.Contains(log, "tell") {
				t.Errorf("the log says %s", log)
			}
			for range 2 {
				w.clean(run())
				if n := len(siem.Take()); n != 0 {
					t.Errorf("%d records came again", n)
				}
			}
		})
	}
}

// Duo is asked for the next page before the last one is read. An answer that leads
// astray there costs a call, and no record.
func TestOddMetadata(t *testing.T) {
	const astray = `{"next_offset":["9999999999999","z"],"total_objects":99999}`
	for _, tt := range []struct {
		name, form   string
		pages, calls int // calls at most; where more than pages, more than these
	}{
		{"as ever", "", 6, 6},
		{"in front", `{"stat":"OK","response":{"metadata":{"next_offset":%[2]s,"total_objects":%[3]d},"authlogs":[%[1]s]}}`, 6, 6},
		{"without a total", `{"stat":"OK","response":{"authlogs":[%s],"metadata":{"next_offset":%s}},"_":%d}`, 6, 6},
		{"a total that is too large", `{"stat":"OK","response":{"authlogs":[%s],"metadata":{"next_offset":%s,"total_objects":9%d}}}`, 6, 6},
		{"others behind it", `{"stat":"OK","response":{"authlogs":[%s],"metadata":{"next_offset":%s,"total_objects":%d},"more":{"metadata":` + astray + `}}}`, 6, 12},
		{"others of a record", `{"stat":"OK","response":{"metadata":{"next_offset":%[2]s,"total_objects":%[3]d},"authlogs":[%[1]s,{"txid":"last","metadata":` + astray + `}]}}`, 6, 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, siem := newWorld(t)
			w.text.endpoints = map[string][]string{"siem": {"auth"}}
			duo := oddDuo{form: tt.form}
			duo.add(4500, time.Now().Add(-5*time.Hour).UnixMilli(), 10)
			sum := w.sync(func(o *job.Options) { o.SetTransport(&duo) })
			w.clean(sum)
			if n, last := len(siem.Take()), strings.Count(tt.form, "last"); n != 4500+last {
				t.Errorf("%d records came of %d", n, 4500+last)
			}
			if pages := sum.Results[0].Pages; pages != tt.pages || duo.calls > tt.calls || tt.calls > tt.pages && duo.calls == pages {
				t.Errorf("%d pages in %d calls, want %d in %d", pages, duo.calls, tt.pages, tt.calls)
			}
		})
	}
}

// A cursor that does not move is none: reading goes on by the times of a page's last
// records, and one of them that tells no time, or one that cannot be, leads past none.
func TestOddCursor(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"soon", oddTime(time.Now().Add(time.Hour).UnixMilli())} {
		w, siem := newWorld(t)
		w.text.endpoints = map[string][]string{"siem": {"auth"}}
		duo := oddDuo{stuck: true}
		duo.add(3000, time.Now().Add(-5*time.Hour).UnixMilli(), 10)
		duo.say(1999, when)
		sum := w.sync(func(o *job.Options) { o.SetTransport(&duo) })
		w.clean(sum)
		if n := len(siem.Take()); n != 3000 || duo.calls > 6 || strings.Count(w.log.String(), "no cursor that can be used") != 1 {
			t.Errorf("%s: %d records in %d calls; the log says %s", when, n, duo.calls, w.log.String())
		}
	}
}

// The ledger knows no hour that no clock has come to: it would take it for the newest one,
// and forget or pass over all before it.
func TestOddLedger(t *testing.T) {
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	var duo oddDuo
	duo.add(50, time.Now().Add(-5*time.Hour).UnixMilli(), 1000)
	duo.say(20, "2099-12-31T23:59:59.000000+00:00")
	w.clean(w.sync(func(o *job.Options) { o.SetTransport(&duo) }))
	if n := len(siem.Take()); n != 50 {
		t.Errorf("%d records, want 50", n)
	}
	dir, err := state.Open(w.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	id := state.ID{IKey: ikey, Endpoint: "auth"}
	cp, err := dir.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	hours, err := cp.Ledger.Read(dir, id, func(int64) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	count := int64(0)
	for _, h := range hours {
		count += h.Count
		if h.Hour > state.HourOf(time.Now().UnixMilli()) {
			t.Errorf("the ledger knows of %s", time.Unix(h.Hour*3600, 0).UTC())
		}
	}
	if count != 50 {
		t.Errorf("the ledger knows %d records, want 50", count)
	}
}

// An hour in which Duo shows other records than were delivered, and fewer, is no hour in
// which all is there, though the ledger does not tell single records.
func TestDailyAuditUnclear(t *testing.T) {
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	var duo oddDuo
	duo.add(20, time.Now().Truncate(time.Hour).Add(-5*time.Hour).UnixMilli(), 1000)
	duo.add(5, time.Now().Add(-time.Hour).UnixMilli(), 1000) // single records of the first hour are forgotten
	run := func() *job.Result {
		t.Helper()
		sum := w.sync(func(o *job.Options) { o.SetTransport(&duo) })
		w.clean(sum)
		return sum.Results[0]
	}
	run()
	late := duo.records[5]
	late.id = "late"
	late.raw = fmt.Sprintf(`{"isotimestamp":%q,"txid":"late"}`, oddTime(late.at))
	duo.records = append(slices.Delete(duo.records, 3, 5), late)
	w.text.settings = map[string]any{"audit": "daily"}
	if r := run(); r.Audited.IsZero() || r.Missing < 1 {
		t.Errorf("audited %v, %d missing, want at least one", r.Audited, r.Missing)
	}
	if n := len(siem.Take()); n != 25 {
		t.Errorf("%d records came, want 25", n)
	}
}

// A longer overlap does not reach back to what is no longer remembered.
func TestOverlapRaised(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	var duo oddDuo
	duo.add(5000, time.Now().Add(-5*time.Hour).UnixMilli(), 1000)
	run := func() int {
		w.clean(w.sync(func(o *job.Options) { o.SetTransport(&duo) }))
		return len(siem.Take())
	}
	if n := run(); n != 5000 {
		t.Errorf("%d records, want 5000", n)
	}
	w.text.api = map[string]any{"overlap": 300}
	if n := run(); n != 0 {
		t.Errorf("%d records came again", n)
	}
}
