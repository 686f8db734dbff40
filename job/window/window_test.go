package window

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/state"
)

// The tests' times are seconds after epoch, in milliseconds.
const epoch = 1_800_000_000_000

func at(seconds ...int64) []int64 {
	times := make([]int64, len(seconds))
	for i, s := range seconds {
		times[i] = epoch + 1000*s
	}
	return times
}

// run is so many seconds in a row.
func run(from, n int64) []int64 {
	var times []int64
	for i := range n {
		times = append(times, epoch+1000*(from+i))
	}
	return times
}

func cursor(second int64, id string) string { return fmt.Sprintf("%d,%s", epoch+1000*second, id) }

// step is a page and what must come of it.
type step struct {
	page  Page
	until int64 // DeliveredUntil, in seconds after epoch
	next  string
	err   error
	note  string
}

// show says where the next call begins.
func show(w *Window, now time.Time) string {
	if w.Done() {
		return "done"
	}
	c := w.Call(now)
	return fmt.Sprintf("%d %s", (c.Mintime-epoch)/1000, c.Cursor)
}

func note(s Step) string {
	switch {
	case s.SteppedOver != 0:
		return fmt.Sprintf("stepped over %d", (s.SteppedOver-epoch)/1000)
	case s.NoCursor:
		return "no cursor"
	}
	return ""
}

var (
	v2    = Rules{Paging: Cursor, Unit: 1, Limit: 1000}
	v1    = Rules{Paging: Earliest, Unit: 1000, Limit: 1000}
	pulls = Rules{Paging: Earliest, Unit: 1000, Limit: 1000, Bounded: true}
	trust = Rules{Paging: Opaque, Unit: 1, Limit: 200}
)

// A window of 10,000 seconds from a checkpoint at its beginning. Each rule of the
// package has its case.
func TestWindow(t *testing.T) {
	start := time.UnixMilli(epoch + 10_000_000)
	proved := state.Pages{Largest: 300, LargestAt: start.UnixMilli(), End: 5, EndAt: start.UnixMilli(), ProvedAt: start.UnixMilli()}
	end := "done"
	for _, tt := range []struct {
		name  string
		rules Rules
		pages state.Pages
		steps []step
	}{
		{"a run with news asks on until nothing comes", v2, state.Pages{}, []step{
			{Page{Times: run(0, 1000), Fresh: 1000, Cursor: cursor(999, "a")}, 999, "0 " + cursor(999, "a"), nil, ""},
			{Page{Times: run(1000, 7), Fresh: 7, Cursor: cursor(1006, "a")}, 1006, "0 " + cursor(1006, "a"), nil, ""},
			{Page{}, 1006, end, nil, ""},
		}},
		{"a short page with a cursor is no end, whatever the total says", v2, state.Pages{}, []step{
			{Page{Times: run(0, 100), Fresh: 100, Cursor: cursor(99, "a"), Total: 100}, 99, "0 " + cursor(99, "a"), nil, ""},
			{Page{Times: run(100, 100), Fresh: 100, Cursor: cursor(199, "a"), Total: 100}, 199, "0 " + cursor(199, "a"), nil, ""},
			{Page{}, 199, end, nil, ""},
		}},
		{"a page ends a bounded window whose last records, most of it, are newer", pulls, state.Pages{}, []step{
			{Page{Times: append(run(9000, 499), run(10_001, 501)...), Fresh: 1000}, 9483, end, nil, ""},
		}},
		{"not another one, which would never be read past records that tell a false time", v1, state.Pages{}, []step{
			{Page{Times: append(run(9000, 499), run(10_001, 501)...), Fresh: 1000}, 9483, "9483 ", nil, ""},
		}},
		{"nor where they are half of it: that may be what texts say", pulls, state.Pages{}, []step{
			{Page{Times: append(run(9000, 500), run(10_001, 500)...), Fresh: 1000}, 9484, "9484 ", nil, ""},
		}},
		{"nor where they are not the last", pulls, state.Pages{}, []step{
			{Page{Times: append(run(10_001, 900), run(9000, 100)...), Fresh: 1000}, 9084, "9084 ", nil, ""},
		}},
		{"a record's text moves nothing: the cursor does", v2, state.Pages{}, []step{
			{Page{Times: append(run(0, 999), at(8000)...), Fresh: 1000, Cursor: cursor(999, "a")}, 999, "0 " + cursor(999, "a"), nil, ""},
		}},
		{"an idle run ends at a page of known records", v2, proved, []step{
			{Page{Times: run(0, 5), Newest: true, Cursor: cursor(4, "a")}, 4, end, nil, ""},
		}},
		{"not where the newest known record is missing", v2, proved, []step{
			{Page{Times: run(0, 5), Cursor: cursor(4, "a")}, 4, "0 " + cursor(4, "a"), nil, ""},
		}},
		{"not where the total says that there is more", v2, proved, []step{
			{Page{Times: run(0, 5), Newest: true, Cursor: cursor(4, "a"), Total: 6}, 4, "0 " + cursor(4, "a"), nil, ""},
		}},
		{"not at the largest page of the day", v2, proved, []step{
			{Page{Times: run(0, 300), Newest: true, Cursor: cursor(299, "a")}, 299, "0 " + cursor(299, "a"), nil, ""},
		}},
		{"it ends at the largest page of the day, where that was proved to be an end", v2, state.Pages{Largest: 5, LargestAt: start.UnixMilli(), End: 5, EndAt: start.UnixMilli(), ProvedAt: start.UnixMilli()}, []step{
			{Page{Times: run(0, 5), Newest: true, Cursor: cursor(4, "a")}, 4, end, nil, ""},
		}},
		{"not where a smaller one was", v2, state.Pages{Largest: 5, LargestAt: start.UnixMilli(), End: 4, EndAt: start.UnixMilli(), ProvedAt: start.UnixMilli()}, []step{
			{Page{Times: run(0, 5), Newest: true, Cursor: cursor(4, "a")}, 4, "0 " + cursor(4, "a"), nil, ""},
		}},
		{"an empty page is the end, whatever the total says", v2, state.Pages{}, []step{
			{Page{Times: run(0, 5), Fresh: 5, Cursor: cursor(4, "a"), Total: 1_000_000_000}, 4, "0 " + cursor(4, "a"), nil, ""},
			{Page{Total: 1_000_000_000}, 4, end, nil, ""},
		}},
		{"not where no end was proved within a day", v2, state.Pages{Largest: 300, LargestAt: start.UnixMilli()}, []step{
			{Page{Times: run(0, 5), Newest: true, Cursor: cursor(4, "a")}, 4, "0 " + cursor(4, "a"), nil, ""},
			{Page{}, 4, end, nil, ""},
		}},
		{"a cursor outside of what was asked for is followed and moves nothing", v2, state.Pages{}, []step{
			{Page{Times: run(0, 9), Fresh: 9, Cursor: cursor(90_000, "a")}, 0, "0 " + cursor(90_000, "a"), nil, ""},
			{Page{}, 0, end, nil, ""},
		}},
		{"a page out of order holds the checkpoint until one in order comes", v2, state.Pages{}, []step{
			{Page{Times: run(0, 9), Fresh: 9, Cursor: cursor(50, "a")}, 50, "0 " + cursor(50, "a"), nil, ""},
			{Page{Times: at(40, 41), Fresh: 2, Cursor: cursor(60, "a")}, 50, "0 " + cursor(60, "a"), nil, ""},
			{Page{Times: at(61, 70), Fresh: 2, Cursor: cursor(70, "a")}, 70, "0 " + cursor(70, "a"), nil, ""},
		}},
		{"a cursor that leads back ends the reading", v2, state.Pages{}, []step{
			{Page{Times: run(0, 9), Fresh: 9, Cursor: cursor(50, "a")}, 50, "0 " + cursor(50, "a"), nil, ""},
			{Page{Times: run(51, 9), Fresh: 9, Cursor: cursor(40, "b")}, 50, "0 " + cursor(50, "a"), ErrCircle, ""},
		}},
		{"two cursors in turn end the reading", v2, state.Pages{}, []step{
			{Page{Times: run(0, 9), Fresh: 9, Cursor: cursor(50, "a")}, 50, "0 " + cursor(50, "a"), nil, ""},
			{Page{Times: run(50, 9), Fresh: 9, Cursor: cursor(50, "b")}, 50, "0 " + cursor(50, "b"), nil, ""},
			{Page{Times: run(50, 9), Repeated: true, Cursor: cursor(50, "a")}, 50, "0 " + cursor(50, "b"), ErrCircle, ""},
		}},
		{"new cursors over records that were shown end the reading", v2, state.Pages{}, []step{
			{Page{Times: run(0, 9), Fresh: 9, Cursor: cursor(50, "a")}, 50, "0 " + cursor(50, "a"), nil, ""},
			{Page{Times: run(50, 9), Repeated: true, Cursor: cursor(50, "b")}, 50, "0 " + cursor(50, "b"), nil, ""},
			{Page{Times: run(50, 9), Repeated: true, Cursor: cursor(50, "c")}, 50, "0 " + cursor(50, "c"), nil, ""},
			{Page{Times: run(50, 9), Repeated: true, Cursor: cursor(50, "d")}, 50, "0 " + cursor(50, "d"), ErrRepeats, ""},
		}},
		{"what was read and is forgotten is never new", v2, state.Pages{}, []step{
			{Page{Times: run(0, 999), Fresh: 999, Cursor: cursor(998, "a")}, 998, "0 " + cursor(998, "a"), nil, ""},
			{Page{Times: run(0, 99), Fresh: 99, Forgotten: 99, RememberedSince: at(500)[0], Cursor: cursor(999, "a")}, 998, "0 " + cursor(998, "a"), ErrForgotten, ""},
		}},
		{"one record that tells a time long ago ends nothing, page after page of them does", v2, state.Pages{}, []step{
			{Page{Times: run(0, 999), Fresh: 999, Cursor: cursor(998, "a")}, 998, "0 " + cursor(998, "a"), nil, ""},
			{Page{Times: at(998, 7), Fresh: 1, Forgotten: 1, Last: state.Key{1}, RememberedSince: at(500)[0], Cursor: cursor(999, "a")}, 998, "0 " + cursor(999, "a"), nil, ""},
			{Page{Times: at(7), Fresh: 1, Forgotten: 1, Last: state.Key{2}, RememberedSince: at(500)[0], Cursor: cursor(1000, "a")}, 998, "0 " + cursor(1000, "a"), nil, ""},
			{Page{Times: at(7), Fresh: 1, Forgotten: 1, Last: state.Key{3}, RememberedSince: at(500)[0], Cursor: cursor(1001, "a")}, 998, "0 " + cursor(1000, "a"), ErrForgotten, ""},
		}},
		{"one record that tells a time long ago, on a page that ends as the one before, is forgotten", v2, state.Pages{}, []step{
			{Page{Times: run(0, 999), Fresh: 999, Last: state.Key{1}, Cursor: cursor(998, "a")}, 998, "0 " + cursor(998, "a"), nil, ""},
			{Page{Times: at(7, 998), Fresh: 1, Forgotten: 1, Last: state.Key{1}, RememberedSince: at(500)[0], Cursor: cursor(998, "b")}, 998, "0 " + cursor(998, "a"), ErrForgotten, ""},
		}},
		{"one that tells a time long ago, among others behind the cursor, is new", v2, state.Pages{}, []step{
			{Page{Times: run(0, 999), Fresh: 999, Cursor: cursor(998, "a")}, 998, "0 " + cursor(998, "a"), nil, ""},
			{Page{Times: at(1000, 7), Fresh: 1, Forgotten: 1, RememberedSince: at(500)[0], Cursor: cursor(1001, "a")}, 998, "0 " + cursor(1001, "a"), nil, ""},
		}},
		{"a record that tells 1970 is new all the same", v2, state.Pages{}, []step{
			{Page{Times: run(0, 999), Fresh: 999, Cursor: cursor(998, "a")}, 998, "0 " + cursor(998, "a"), nil, ""},
			{Page{Times: []int64{0}, Fresh: 1, RememberedSince: at(500)[0], Cursor: cursor(999, "a")}, 998, "0 " + cursor(999, "a"), nil, ""},
		}},
		{"without a cursor reading goes on at the lowest time of the last records", v2, state.Pages{}, []step{
			{Page{Times: append(run(0, 999), at(8000)...), Fresh: 1000, Unreadable: true}, 984, "984 ", nil, "no cursor"},
			{Page{Times: run(984, 15), Newest: true, Repeated: true, Unreadable: true}, 985, end, nil, "no cursor"},
		}},
		{"a cursor that does not move is none", v2, state.Pages{}, []step{
			{Page{Times: run(0, 1000), Fresh: 1000, Cursor: cursor(999, "a")}, 999, "0 " + cursor(999, "a"), nil, ""},
			{Page{Times: run(1000, 1000), Fresh: 1000, Cursor: cursor(999, "a")}, 1984, "1984 ", nil, "no cursor"},
		}},
		{"the last record again, and a cursor that does not move, is the end", v2, state.Pages{}, []step{
			{Page{Times: run(0, 3), Fresh: 3, Cursor: cursor(2, "a")}, 2, "0 " + cursor(2, "a"), nil, ""},
			{Page{Times: at(2), Newest: true, Repeated: true, Cursor: cursor(2, "a")}, 2, end, nil, "no cursor"},
		}},
		{"many of one time, without a cursor behind them, are the end", v2, state.Pages{}, []step{
			{Page{Times: make1000(5)[:20], Fresh: 20}, 5, "5 ", nil, ""},
			{Page{Times: make1000(5)[:20], Repeated: true}, 5, "5 ", nil, ""},
			{Page{}, 5, end, nil, ""},
		}},
		{"not where the total says that there is more", v2, state.Pages{}, []step{
			{Page{Times: make1000(5)[:20], Fresh: 20, Total: 21}, 5, "5 ", nil, ""},
			{Page{Times: make1000(5)[:20], Repeated: true, Total: 21}, 5, "5 ", ErrStuck, ""},
		}},
		{"nor where the cursor cannot be read", v2, state.Pages{}, []step{
			{Page{Times: make1000(5)[:20], Fresh: 20, Unreadable: true}, 5, "5 ", nil, "no cursor"},
			{Page{Times: make1000(5)[:20], Repeated: true, Unreadable: true}, 5, "5 ", ErrStuck, "no cursor"},
		}},
		{"a page that shows no way on is an error", v2, state.Pages{}, []step{
			{Page{Times: []int64{-1, -1}, Fresh: 2}, 0, "0 ", ErrStuck, ""},
		}},
		{"the administrator log goes on by the time of its last records", v1, state.Pages{}, []step{
			{Page{Times: run(0, 1000), Fresh: 1000}, 984, "984 ", nil, ""},
			{Page{Times: run(984, 40), Fresh: 24}, 1008, "1008 ", nil, ""},
			{Page{Times: run(1008, 16), Newest: true, Repeated: true}, 1009, end, nil, ""},
		}},
		{"one administrator record that tells ten hours later leads past none", v1, state.Pages{}, []step{
			{Page{Times: append(run(0, 999), at(40*86400)...), Fresh: 1000}, 983, "983 ", nil, ""},
			{Page{Times: append(append(run(983, 900), at(9000)...), run(1883, 99)...), Fresh: 984}, 1966, "1966 ", nil, ""},
		}},
		{"a full page within one second is stepped over, with a word", v1, state.Pages{}, []step{
			{Page{Times: make1000(0), Fresh: 1000}, 0, "1 ", nil, "stepped over 0"},
		}},
		{"a small one without, unless more comes behind it", v1, state.Pages{}, []step{
			{Page{Times: at(0, 0), Fresh: 2}, 0, "1 ", nil, ""},
			{Page{Times: at(5), Fresh: 1}, 5, "5 ", nil, "stepped over 0"},
		}},
		{"what is newer than the window ends nothing", v1, state.Pages{}, []step{
			{Page{Times: append(run(0, 20), at(20_000, 20_001)...), Fresh: 22}, 4, "4 ", nil, ""},
		}},
		{"one record of a full second that tells a later time leads past none", v1, state.Pages{}, []step{
			{Page{Times: slices.Concat(make1000(0)[:700], at(60), make1000(0)[701:]), Fresh: 1000}, 1, "1 ", nil, "stepped over 0"},
		}},
		{"nor, at its end, one behind the window", v1, state.Pages{}, []step{
			{Page{Times: append(make1000(0)[:999], at(20_000)...), Fresh: 1000}, 0, "1 ", nil, "stepped over 0"},
		}},
		{"one of a page that is too small to have been cut does", v1, state.Pages{}, []step{
			{Page{Times: at(0, 0, 5), Fresh: 3}, 5, "5 ", nil, ""},
		}},
		{"nor do two that tell a time behind the window end it", v1, state.Pages{}, []step{
			{Page{Times: slices.Concat(at(20_000, 20_001), make1000(0)[2:]), Fresh: 1000}, 0, "1 ", nil, "stepped over 0"},
		}},
		{"nor, without a cursor, one of a full millisecond", v2, state.Pages{}, []step{
			{Page{Times: slices.Concat(make1000(0)[:999], at(60)), Fresh: 1000, Unreadable: true}, 0, "0 ", nil, "no cursor"},
		}},
		{"a page that is newer than the window ends it, though one of its records tells no time", v1, state.Pages{}, []step{
			{Page{Times: run(0, 20), Fresh: 20}, 4, "4 ", nil, ""},
			{Page{Times: append(run(20_000, 30), -1, 0), Fresh: 32}, 4, end, nil, ""},
		}},
		{"full pages of known records, equal to others that were shown, are no circle", v1, state.Pages{Largest: 20, LargestAt: start.UnixMilli()}, []step{
			{Page{Times: run(0, 20), Last: state.Key{1}}, 4, "4 ", nil, ""},
			{Page{Times: run(4, 20), Last: state.Key{2}, Repeated: true}, 8, "8 ", nil, ""},
			{Page{Times: run(8, 20), Last: state.Key{1}, Repeated: true}, 12, "12 ", nil, ""},
			{Page{Times: run(12, 20), Last: state.Key{2}, Repeated: true}, 16, "16 ", nil, ""},
		}},
		{"a page of what lies before the time asked for is no end", v1, state.Pages{}, []step{
			{Page{Times: append(make1000(9998), at(9999)...), Fresh: 1001}, 9999, "9999 ", nil, ""},
			{Page{Times: append(make1000(9998), at(9999)...), Repeated: true}, 9999, "9999 ", ErrStuck, ""},
		}},
		{"the same full page again and again is one, wherever it is asked for", v1, state.Pages{Largest: 20, LargestAt: start.UnixMilli()}, []step{
			{Page{Times: run(0, 20)}, 4, "4 ", nil, ""},
			{Page{Times: run(0, 20), Repeated: true}, 5, "5 ", nil, ""},
			{Page{Times: run(0, 20), Repeated: true}, 6, "6 ", nil, ""},
			{Page{Times: run(0, 20), Repeated: true}, 7, "7 ", ErrRepeats, ""},
		}},
		{"known records of one time without a cursor are stepped over", v2, state.Pages{}, []step{
			{Page{Times: at(0, 0)}, 0, "0 ", nil, ""},
			{Page{}, 0, end, nil, ""},
		}},
		{"without a cursor reading does not go back before the one that led there", v2, state.Pages{}, []step{
			{Page{Times: run(0, 3), Fresh: 3, Cursor: cursor(5000, "a")}, 5000, "0 " + cursor(5000, "a"), nil, ""},
			{Page{Times: at(6000, 100, 7000), Fresh: 3, Unreadable: true}, 7000, "7000 ", nil, "no cursor"},
		}},
		{"where the records tell nothing it goes back to the time of that cursor", v2, state.Pages{}, []step{
			{Page{Times: run(0, 3), Fresh: 3, Cursor: cursor(2, "a")}, 2, "0 " + cursor(2, "a"), nil, ""},
			{Page{Times: []int64{-1, -1, -1}, Fresh: 3}, 2, "2 ", nil, ""},
		}},
		{"a full page is no end because one was", v2, state.Pages{Largest: 1000, LargestAt: start.UnixMilli(), End: 1000, EndAt: start.UnixMilli(), ProvedAt: start.UnixMilli()}, []step{
			{Page{Times: run(0, 1000), Newest: true, Cursor: cursor(999, "a")}, 999, "0 " + cursor(999, "a"), nil, ""},
		}},
		{"an opaque page of known records is no end while there is a cursor", trust, proved, []step{
			{Page{Times: at(70), Newest: true, Cursor: "17"}, 0, "0 17", nil, ""},
		}},
		{"nor is one whose cursor does not move", trust, state.Pages{}, []step{
			{Page{Times: at(70), Fresh: 1, Cursor: "17"}, 0, "0 17", nil, ""},
			{Page{Times: at(80), Fresh: 1, Cursor: "17"}, 0, "", ErrStuck, ""},
		}},
		{"nor one whose metadata cannot be read", trust, state.Pages{}, []step{
			{Page{Times: at(70), Fresh: 1, Unreadable: true}, 0, "", ErrStuck, ""},
		}},
		{"Trust Monitor moves at the end alone, to the latest believable time", trust, state.Pages{}, []step{
			{Page{Times: at(70, 50, 99_999), Fresh: 3, Cursor: "17"}, 0, "0 17", nil, ""},
			{Page{Times: at(20, 60), Fresh: 2}, 70, end, nil, ""},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cp := &state.Checkpoint{Progress: state.Progress{Began: epoch, DeliveredUntil: epoch, LookedUntil: epoch, Pages: tt.pages}}
			w, err := Open(tt.rules, cp, start, epoch+10_000_000, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range tt.steps {
				got := w.Advance(s.page, start)
				if !errors.Is(got.Err, s.err) || note(got) != s.note {
					t.Errorf("page %d: error %v, note %q, want %v, %q", i, got.Err, note(got), s.err, s.note)
				}
				if until := (w.Progress().DeliveredUntil - epoch) / 1000; until != s.until {
					t.Errorf("page %d: delivered until %d, want %d", i, until, s.until)
				}
				if next := show(w, start); got.Err == nil && next != s.next {
					t.Errorf("page %d: next %q, want %q", i, next, s.next)
				}
			}
		})
	}
}

func make1000(second int64) []int64 {
	times := make([]int64, 1000)
	for i := range times {
		times[i] = epoch + 1000*second
	}
	return times
}

// How the overlap before the checkpoint is laid out.
func TestPlan(t *testing.T) {
	start := time.UnixMilli(epoch + 10_000_000)
	known := func(from, n int64) (marks []state.Mark) {
		for i, ms := range run(from, n) {
			marks = append(marks, state.Mark{At: ms, Key: state.Key{byte(i), byte(i >> 8), 1}, Count: 1})
		}
		return marks
	}
	span := func(min, max int64) Span { return Span{Min: epoch + 1000*min, Max: epoch + 1000*max} }
	for _, tt := range []struct {
		name    string
		rules   Rules
		overlap time.Duration
		known   []state.Mark
		since   int64
		want    []Span
	}{
		{"nothing known", v2, 10 * time.Minute, nil, 0, []Span{span(8400, 10000)}},
		{"no further back than is remembered", v2, 10 * time.Minute, nil, 8500, []Span{span(8500, 10000)}},
		{"no overlap", v2, 0, nil, 0, []Span{span(9000, 10000)}},
		{"an overlap that fits a page", v2, 10 * time.Minute, known(8400, 600), 0, []Span{span(8400, 10000)}},
		{"one that does not is read again in slices", v2, time.Hour, known(5400, 3600), 0, []Span{
			{Min: epoch + 5_400_000, Max: epoch + 6_399_000 - 1, Reread: true, Resume: epoch + 6_399_000}, span(8000, 10000)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cp := &state.Checkpoint{Progress: state.Progress{Began: epoch, DeliveredUntil: epoch + 9_000_000}}
			cp.Delivered.Add(tt.known)
			if tt.since > 0 {
				cp.Delivered.Forget(epoch + 1000*tt.since)
			}
			w, err := Open(tt.rules, cp, start, epoch+10_000_000, tt.overlap)
			if err != nil {
				t.Fatal(err)
			}
			got := w.spans
			if len(got) == 2 { // where known records lie to the millisecond is not the point
				got[1].Min -= got[1].Min % 1000
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
		})
	}
}

// An overlap of more known records than a page is read again slice by slice, one a run,
// and again from the beginning, until no record of it can have late neighbours.
func TestSlices(t *testing.T) {
	start := time.UnixMilli(epoch + 10_000_000)
	cp := &state.Checkpoint{Progress: state.Progress{Began: epoch, DeliveredUntil: epoch + 9_000_000}}
	for i, ms := range run(5400, 3600) {
		cp.Delivered.Add([]state.Mark{{At: ms, Key: state.Key{byte(i), byte(i >> 8), 1}, Count: 1}})
	}
	turn := []string{"5400 to 6398", "6399 to 7397", "7398 to 8000"}
	want := append(slices.Clone(turn), append(slices.Clone(turn), turn...)...)
	want = append(want, "", "")
	var got []string
	for range want {
		w, err := Open(v2, cp, start, start.UnixMilli(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		slice := ""
		for !w.Done() {
			if s := w.Span(); s.Reread {
				slice = fmt.Sprintf("%d to %d", (s.Min-epoch)/1000, (s.Max-epoch)/1000)
			}
			w.Advance(Page{}, start)
		}
		got = append(got, slice)
		cp.Progress = w.Progress()
		start = start.Add(500 * time.Second) // the third turn begins more than the overlap after the checkpoint
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("slices of the runs (-want +got):\n%s", diff)
	}
}

// Where Duo refuses a time as too old, a call goes up by a minute, and by twice as much
// after each further refusal, but not by a day.
func TestTooOld(t *testing.T) {
	now := time.UnixMilli(epoch)
	w, err := Open(v2, &state.Checkpoint{Progress: state.Progress{Began: 1, DeliveredUntil: now.Add(-Retention).UnixMilli()}}, now, now.UnixMilli(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var up []time.Duration
	for {
		up = append(up, time.Duration(w.Call(now).Mintime-now.Add(-Retention).UnixMilli())*time.Millisecond)
		if !w.TooOld() {
			break
		}
	}
	var want []time.Duration
	for further := time.Duration(0); further < day; further = max(2*further, inside) {
		want = append(want, inside+further)
	}
	if diff := cmp.Diff(want, up); diff != "" {
		t.Errorf("how far within the retention (-want +got):\n%s", diff)
	}
	if g := w.Gap(); g.From != now.Add(-Retention).UnixMilli() || g.To != now.Add(up[len(up)-1]-Retention).UnixMilli() || g.Partly {
		t.Errorf("gap %+v", g)
	}
}

// A gap is told where Duo's retention has passed what was to be read, and only there.
func TestGap(t *testing.T) {
	now := time.UnixMilli(epoch)
	edge := now.Add(-Retention)
	for _, tt := range []struct {
		name           string
		until          time.Time
		looked         time.Time
		call           time.Duration // when the first call is made
		from, to, asks time.Time     // asks: the mintime of the call; from and to are zero for no gap
	}{
		{"a stream that begins", edge.Add(Margin), time.Time{}, 0, time.Time{}, time.Time{}, edge.Add(Margin)},
		{"one that could not call for four minutes", edge.Add(Margin), time.Time{}, 4 * time.Minute, time.Time{}, time.Time{}, edge.Add(Margin)},
		{"ten seconds later than the first run", edge.Add(Margin - 10*time.Second), time.Time{}, 0, time.Time{}, time.Time{}, edge.Add(Margin - 10*time.Second)},
		{"a day too old", edge.Add(-24 * time.Hour), time.Time{}, 0, edge.Add(-24 * time.Hour), edge.Add(time.Minute), edge.Add(time.Minute)},
		{"as old, and idle ever since", edge.Add(-24 * time.Hour), now.Add(-time.Hour), 0, time.Time{}, time.Time{}, edge.Add(time.Minute)},
		{"passed while it waited", edge.Add(Margin), time.Time{}, 20 * time.Minute, edge.Add(Margin), edge.Add(21 * time.Minute), edge.Add(21 * time.Minute)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cp := &state.Checkpoint{Progress: state.Progress{Began: 1, DeliveredUntil: tt.until.UnixMilli()}}
			if !tt.looked.IsZero() {
				cp.LookedUntil = tt.looked.UnixMilli()
			}
			w, err := Open(v2, cp, now, now.Add(-Lag).UnixMilli(), 0)
			if err != nil {
				t.Fatal(err)
			}
			c := w.Call(now.Add(tt.call))
			want := Gap{}
			if !tt.from.IsZero() {
				want = Gap{From: tt.from.UnixMilli(), To: tt.to.UnixMilli()}
			}
			if c.Mintime != tt.asks.UnixMilli() || w.Gap() != want {
				t.Errorf("asks from %v, gap %v, want %v, %v", time.UnixMilli(c.Mintime).UTC(), w.Gap(), tt.asks.UTC(), want)
			}
		})
	}
}

// A run that waits for so long that Duo forgets what lies behind its cursor says so, and
// says of what it read in between no more than it must.
func TestGapBehindCursor(t *testing.T) {
	now := time.UnixMilli(epoch)
	edge := func(d time.Duration) int64 { return now.Add(inside + d - Retention).UnixMilli() }
	for _, tt := range []struct {
		name  string
		waits []time.Duration // the times of the calls after the first
		at    []time.Duration // where the page before each of them ended, after the edge at the beginning
		want  Gap
	}{
		{"in time", []time.Duration{9 * time.Minute}, []time.Duration{10 * time.Minute}, Gap{}},
		{"too late", []time.Duration{30 * time.Minute}, []time.Duration{10 * time.Minute}, Gap{From: edge(10 * time.Minute), To: edge(30 * time.Minute)}},
		{"too late again, with a page between", []time.Duration{30 * time.Minute, 60 * time.Minute}, []time.Duration{10 * time.Minute, 35 * time.Minute},
			Gap{From: edge(10 * time.Minute), To: edge(60 * time.Minute), Partly: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := Oldest(now)
			w, err := Open(v2, &state.Checkpoint{Progress: state.Progress{Began: began, DeliveredUntil: began}}, now, now.Add(-Lag).UnixMilli(), 0)
			if err != nil {
				t.Fatal(err)
			}
			w.Call(now)
			for i, wait := range tt.waits {
				at := edge(tt.at[i])
				if s := w.Advance(Page{Times: []int64{at}, Fresh: 1, Cursor: fmt.Sprintf("%d,a", at)}, now); s.Err != nil {
					t.Fatal(s.Err)
				}
				if c, oldest := w.Call(now.Add(wait)), edge(wait); c.Mintime < oldest {
					t.Errorf("call %d asks from %d, %d ms before what may be asked for", i+1, c.Mintime, oldest-c.Mintime)
				}
			}
			if diff := cmp.Diff(tt.want, w.Gap()); diff != "" {
				t.Errorf("gap (-want +got):\n%s", diff)
			}
		})
	}
}

// What was read before the cursor is no part of a gap, though the checkpoint is held back.
func TestGapHeldBack(t *testing.T) {
	now := time.UnixMilli(epoch)
	began := Oldest(now)
	w, err := Open(v2, &state.Checkpoint{Progress: state.Progress{Began: began, DeliveredUntil: began}}, now, now.Add(-Lag).UnixMilli(), 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Advance(Page{Times: []int64{began + 50}, Fresh: 1, Cursor: fmt.Sprintf("%d,a", began+50)}, now)
	w.Advance(Page{Times: []int64{began + 40}, Fresh: 1, Cursor: fmt.Sprintf("%d,b", began+90)}, now)
	w.Call(now.Add(time.Hour))
	want := Gap{From: began + 90, To: now.Add(time.Hour + inside - Retention).UnixMilli()}
	if diff := cmp.Diff(want, w.Gap()); diff != "" || w.Progress().DeliveredUntil != began+50 {
		t.Errorf("gap (-want +got):\n%s\ndelivered until %d", diff, w.Progress().DeliveredUntil-began)
	}
}

// One record behind a slice of the administrator log does not end the slice, two do; and
// one that begins behind the overlap that is left begins anew.
func TestEndOfSlice(t *testing.T) {
	start := time.UnixMilli(epoch + 10_000_000)
	for _, tt := range []struct {
		later []int64
		want  string
		slice bool
	}{{at(9000), "5404 ", true}, {at(9000, 9001), "8001 ", false}} {
		cp := &state.Checkpoint{Progress: state.Progress{Began: epoch, DeliveredUntil: epoch + 9_000_000, RereadFrom: epoch + 9_000_000}}
		for i, ms := range run(5400, 3600) {
			cp.Delivered.Add([]state.Mark{{At: ms, Key: state.Key{byte(i), byte(i >> 8), 1}, Count: 1}})
		}
		w, err := Open(v1, cp, start, start.UnixMilli(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(w, start); got != "5400 " {
			t.Errorf("the slice begins at %q, want 5400", got)
		}
		w.Advance(Page{Times: append(run(5400, 20), tt.later...)}, start)
		if got := show(w, start); got != tt.want || w.Span().Reread != tt.slice {
			t.Errorf("%d records behind the slice: next %q, want %q; still in the slice: %v", len(tt.later), got, tt.want, w.Span().Reread)
		}
	}
}

// A slice of the overlap that has brought a new record makes the run one with news: it
// asks on until nothing comes.
func TestNewsOfSlice(t *testing.T) {
	start := time.UnixMilli(epoch + 10_000_000)
	known := run(5400, 3600)
	cp := &state.Checkpoint{Progress: state.Progress{Began: epoch, DeliveredUntil: epoch + 9_000_000,
		Pages: state.Pages{Largest: 1000, LargestAt: start.UnixMilli(), End: 999, EndAt: start.UnixMilli(), ProvedAt: start.UnixMilli()}}}
	for i, ms := range known {
		cp.Delivered.Add([]state.Mark{{At: ms, Key: state.Key{byte(i), byte(i >> 8), 1}, Count: 1}})
	}
	w, err := Open(v2, cp, start, epoch+10_000_000, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.Advance(Page{Times: known[:999], Fresh: 1, Cursor: cursor(6398, "a")}, start)
	w.Advance(Page{}, start)
	if w.Span().Reread {
		t.Fatal("the slice is not read to its end")
	}
	w.Advance(Page{Times: known[2601:], Newest: true, Cursor: cursor(8999, "a")}, start)
	if w.Done() {
		t.Error("the run ends without a call that brings nothing")
	}
}

func TestAhead(t *testing.T) {
	now := time.UnixMilli(epoch)
	for _, tt := range []struct {
		ahead time.Duration
		want  string
	}{
		{Skew, ""}, {Skew + time.Second, "the checkpoint is 5m1s ahead of this machine's clock"}, {200 * 365 * 24 * time.Hour, "the checkpoint is more than ten years ahead of this machine's clock"},
	} {
		cp := &state.Checkpoint{Progress: state.Progress{DeliveredUntil: now.Add(tt.ahead).UnixMilli()}}
		_, err := Open(v2, cp, now, epoch, 0)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != tt.want {
			t.Errorf("%v ahead: %q, want %q", tt.ahead, text, tt.want)
		}
	}
	// Further away than a duration tells.
	for year, want := range map[int]bool{9999: true, 1600: false} {
		cp := &state.Checkpoint{Progress: state.Progress{DeliveredUntil: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}}
		if _, err := Open(v2, cp, now, epoch, 0); (err != nil) != want {
			t.Errorf("year %d: %v", year, err)
		}
	}
}

// More is delivered than a checkpoint remembers, and the checkpoint has not moved
// meanwhile: the next run begins at the checkpoint, whatever is remembered.
func TestForgottenBehindCheckpoint(t *testing.T) {
	start := time.UnixMilli(epoch + 10_000_000)
	cp := &state.Checkpoint{Progress: state.Progress{Began: epoch, DeliveredUntil: epoch + 1_000_000}}
	cp.Delivered.Forget(epoch + 5_000_000)
	w, err := Open(v2, cp, start, start.UnixMilli(), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(w, start), "1000 "; got != want {
		t.Errorf("the window begins at %q, want %q", got, want)
	}
}

// A full page of one second, but for one record whose text lies behind the window, ends
// nothing: what Duo has of the next second is asked for.
func TestFullSecondWithOddRecord(t *testing.T) {
	start := time.UnixMilli(epoch + 10_000_000)
	cp := &state.Checkpoint{Progress: state.Progress{Began: epoch, DeliveredUntil: epoch}}
	w, err := Open(v1, cp, start, start.UnixMilli(), 0)
	if err != nil {
		t.Fatal(err)
	}
	times := at(20_000)
	for range 999 {
		times = append(times, at(0)...)
	}
	s := w.Advance(Page{Times: times, Fresh: 1000}, start)
	if got := show(w, start); s.Err != nil || note(s) != "stepped over 0" || got != "1 " {
		t.Errorf("the next call begins at %q, %s, error %v", got, note(s), s.Err)
	}
}
