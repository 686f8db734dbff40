// Package window decides what a stream asks Duo for: which spans of time to read,
// where the next page begins, how far a page lets the checkpoint go, and when a
// window is read to its end. It is pure: no I/O, no log, no clock.
//
// Start with [Open], ask for [Window.Call], tell what came by [Window.Advance], until
// [Window.Done].
//
// Position is Duo's: it comes from Duo's cursor and from the order of its answers.
// What a record says of its own time never moves a position further than Duo's
// cursor reaches, and never ends a window; it can only hold the checkpoint back.
package window

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"dls/state"
)

// The faults of Duo's answers that end the reading of a window.
var (
	// ErrCircle: the cursor was given earlier in this window, or leads back.
	ErrCircle = errors.New("the cursor of Duo's answer leads back to what was read already, so the records behind it cannot be had")
	// ErrRepeats: page after page shows what was shown already.
	ErrRepeats = errors.New("the same records come again and again from Duo, so those behind them cannot be had")
	// ErrStuck: the page has no usable cursor, and its records show no way on.
	ErrStuck = errors.New("there is no way on from a page of Duo's, so the records behind it cannot be had")
	// ErrForgotten: a page shows only what was read before and is no longer
	// remembered. It must not be delivered.
	ErrForgotten = errors.New("what comes from Duo is what lies before the records that are remembered, so what is new cannot be told")
)

// repeats is how many pages in a row without anything not yet shown end a window.
const repeats = 3

// Window is the reading of one window of a stream. It is not safe for concurrent
// use.
type Window struct {
	rules    Rules
	start    time.Time
	end      int64 // in milliseconds since the epoch, as all times here
	spans    []Span
	progress state.Progress
	inside   time.Duration // how much further within the retention calls must stay
	gap      Gap

	position
	reading
}

// position is where the next page begins.
type position struct {
	mintime int64
	cursor  string
	at      int64 // the time of the cursor, or -1
}

// reading is what the pages of the window, or of its span, have shown.
type reading struct {
	seed     maphash.Seed
	given    map[uint64]bool // the cursors given in this window
	highest  int64           // the latest time of a cursor within the window
	withheld int64           // the latest cursor that a page out of order held back, or 0
	repeats  int             // pages in a row without anything not yet shown
	doubted  int             // pages in a row whose only new record may be a forgotten one

	news   bool // the window has brought a new record
	shown  int  // records since the span's mintime
	last   state.Key
	size   int   // of the last page that had records
	most   int   // of the largest page
	latest int64 // the latest believable time shown, where records come in any order
	over   int64 // a second that a page lay in wholly and that was stepped over, or -1
}

// Gap is a time whose records Duo no longer keeps, in milliseconds since the epoch. Its
// zero value is none.
type Gap struct {
	From, To int64
	// Partly tells that some of its records were read in time.
	Partly bool
}

// Open lays out the window of a stream: from the overlap before its checkpoint up to
// end, in milliseconds since the epoch. The error is an *AheadError.
func Open(rules Rules, cp *state.Checkpoint, start time.Time, end int64, overlap time.Duration) (*Window, error) {
	w := &Window{rules: rules, start: start, end: end, progress: cp.Progress}
	w.reading = reading{seed: maphash.MakeSeed(), given: map[uint64]bool{}, over: -1}
	if until := time.UnixMilli(cp.DeliveredUntil); until.Sub(start) > Skew {
		return nil, &AheadError{until.Sub(start)}
	}
	w.plan(&cp.Delivered, overlap)
	w.note(0, start)
	w.begin()
	return w, nil
}

// begin goes to the beginning of the first span that is left.
func (w *Window) begin() {
	w.shown, w.size, w.most, w.over, w.latest = 0, 0, 0, -1, 0
	w.last = state.Key{}
	w.withheld, w.highest, w.repeats, w.doubted = 0, 0, 0, 0
	clear(w.given) // the cursors of another span are others, though they may look the same
	if len(w.spans) > 0 {
		w.position = position{mintime: w.spans[0].Min, at: -1}
	}
}

// Done tells whether everything is read.
func (w *Window) Done() bool { return len(w.spans) == 0 }

// Progress is how far the pages taken let the checkpoint go, once they count.
func (w *Window) Progress() state.Progress { return w.progress }

// Span is the span under way. There must be one.
func (w *Window) Span() Span { return w.spans[0] }

// Call is what to ask Duo for. Times are in milliseconds since the epoch; Maxtime is
// 0 where the endpoint takes none.
type Call struct {
	Mintime, Maxtime int64
	// Cursor is sent back as it came, "" for none.
	Cursor string
	// More tells that the page after this one will be asked for, too, so that it may
	// be fetched ahead.
	More bool
}

// Call returns the next call. A run may be long, and Duo refuses a time for which it
// no longer keeps records: the gap that is passed over then is told by [Window.Gap].
func (w *Window) Call(now time.Time) Call {
	mintime := max(w.mintime, w.oldest(now))
	if mintime > w.mintime {
		from := w.mintime
		if w.at <= w.spans[0].Max {
			from = max(from, w.at) // what lies before the cursor is read
		}
		w.note(from, now)
		if w.cursor == "" {
			w.mintime = mintime
		}
	}
	c := Call{Mintime: mintime, Cursor: w.cursor, More: w.news}
	if w.rules.Paging != Earliest {
		c.Maxtime = max(w.spans[0].Max, mintime+1)
	}
	return c
}

// note notes a gap where what was not read yet, from from on, is older than Duo may be
// asked for.
func (w *Window) note(from int64, now time.Time) {
	from = max(from, w.progress.DeliveredUntil, w.progress.LookedUntil) // the overlap is read once more, not for the first time
	to := w.oldest(now)
	if from >= to || w.progress.DeliveredUntil == 0 {
		return
	}
	if w.gap.To == 0 {
		w.gap.From = from
	}
	w.gap.Partly = w.gap.Partly || 0 < w.gap.To && w.gap.To < from
	w.gap.To = to
}

// Gap returns the time passed over so far because Duo no longer keeps its records.
func (w *Window) Gap() Gap { return w.gap }

// TooOld tells that Duo has refused the call's mintime as too old, and moves the
// next call up. It returns false where that has been done too often.
func (w *Window) TooOld() bool {
	w.inside = max(2*w.inside, inside)
	return w.inside < day
}

// Bounds are the times between which Duo has the records of a page that the last call
// brought, whatever they say themselves.
func (w *Window) Bounds(page Page) (earliest, latest int64) {
	span := w.spans[0]
	earliest, latest = w.mintime, span.Max
	if w.at >= 0 {
		earliest = min(max(w.at, earliest), span.Max)
	}
	if _, at := w.cursorOf(page); earliest <= at && at <= span.Max {
		latest = at
	}
	return earliest, latest
}

// Page is what Duo showed, as far as it matters here.
type Page struct {
	// Times are the times that the records tell, in order, in milliseconds since the
	// epoch and of whole units; -1 where one tells none.
	Times []int64
	// Fresh is how many of them are to be delivered.
	Fresh int
	// Forgotten is how many of the fresh ones tell a time of the span before which
	// delivered records are not remembered.
	Forgotten int
	// Repeated tells that all of them, or equal ones without an id, were shown before
	// in this window.
	Repeated bool
	// Last is the key of the last of them. Newest tells that the one of [Window.Newest]
	// is among them.
	Last   state.Key
	Newest bool
	// RememberedSince is the time before which delivered records are not remembered.
	RememberedSince int64
	// Cursor is Duo's cursor, or "" where it has none. Unreadable tells that
	// something stands where a cursor is due and is none.
	Cursor     string
	Unreadable bool
	// Total is how many records Duo says the time asked for holds, or 0.
	Total int
}

// Step is what a page led to.
type Step struct {
	// Changed tells that the checkpoint is worth writing though nothing new came.
	Changed bool
	// NoCursor tells that a cursor was due and none came that can be used.
	NoCursor bool
	// SteppedOver is a time, in milliseconds since the epoch, that held more records
	// than Duo shows, or 0; AfterAt tells that from the next page.
	SteppedOver int64
	// Err ends the reading of the window, once the page is delivered: see the errors
	// of this package. A page with [ErrForgotten] must not be delivered.
	Err error
}

// Advance takes the page that the last call brought and goes on to the next.
func (w *Window) Advance(page Page, now time.Time) (step Step) {
	if w.forgotten(page) {
		return Step{Err: ErrForgotten}
	}
	w.take(page, now, &step)
	next, at := w.cursorOf(page)
	w.reach(page, next, at)
	step.NoCursor = w.missing(page, next)
	step.Err = w.move(page, next, at, now, &step)
	if w.repeats >= repeats && !w.Done() && step.Err == nil {
		step.Err = ErrRepeats
	}
	return step
}

// take notes what the page shows.
func (w *Window) take(page Page, now time.Time, step *Step) {
	n := len(page.Times)
	if !page.Repeated || w.cursor == "" {
		w.shown += n
	}
	w.news = w.news || page.Fresh > 0
	w.sizes(n, now, step)
	switch {
	case n == 0:
	case !page.Repeated || w.cursor == "" && page.Fresh > 0:
		w.repeats = 0 // something new has come: it goes on
	case w.cursor != "" || n >= w.size && page.Last == w.last: // pages that begin later get shorter, or end later
		w.repeats++
	}
	if w.over >= 0 && page.Fresh > 0 && believable(page.Times, w.spans[0]) {
		step.SteppedOver = w.over
	}
	w.over = -1
	if n > 0 {
		w.size, w.most, w.last = n, max(w.most, n), page.Last
	}
}

// missing tells whether a cursor was due and none came that can be used.
func (w *Window) missing(page Page, next string) bool {
	n := len(page.Times)
	return w.rules.Paging == Cursor && next == "" && (page.Unreadable || n > 0 && (page.Cursor != "" || n >= w.rules.Limit))
}

// move goes on to the next page, or to the next span where the one under way is read.
func (w *Window) move(page Page, next string, at int64, now time.Time, step *Step) error {
	n, reread := len(page.Times), w.spans[0].Reread
	switch {
	case n == 0:
		w.finish(step)
	case w.idleEnd(page, next, now):
		if next == "" && n < w.most && !reread {
			w.proved(w.most, now, step)
		} else if last := &w.progress.Pages.Last; !reread && *last != w.last {
			*last, step.Changed = w.last, true // the one that was last is shown no more
		}
		w.finish(step)
	case next != "":
		return w.follow(next, at)
	case w.rules.Paging == Opaque && (page.Unreadable || page.Cursor != ""):
		return ErrStuck // there is no other way on, and the end moves the checkpoint
	case w.rules.Paging == Opaque:
		w.finish(step)
	default:
		return w.skip(page, step)
	}
	return nil
}

// forgotten tells whether a page which a cursor led to lies where this window was read
// already, and all that is new on it is no longer remembered: delivered records would be
// taken for new. One record that tells a time behind the cursor shows that it does not; and
// what one record tells shows nothing on a page that ends otherwise than the one before,
// unless page after page has such a one.
func (w *Window) forgotten(page Page) bool {
	switch {
	case page.Fresh == 0:
		return false
	case w.cursor == "" || w.at < page.RememberedSince || page.Forgotten < page.Fresh,
		slices.ContainsFunc(page.Times, func(t int64) bool { return t > w.at }):
		w.doubted = 0
		return false
	}
	w.doubted++
	return page.Fresh > 1 || page.Last == w.last || w.doubted >= repeats
}

// sizes notes the size of a page, and that an empty one proves the page before it to
// be the end.
func (w *Window) sizes(n int, now time.Time, step *Step) {
	p, ms := &w.progress.Pages, now.UnixMilli()
	if n > p.Largest || past(p.LargestAt, ms) {
		p.Largest, p.LargestAt = n, ms
	}
	if n == 0 && !w.spans[0].Reread {
		w.proved(w.size, now, step)
	}
}

// proved notes that a page of n records was proved to be the end of a window.
func (w *Window) proved(n int, now time.Time, step *Step) {
	p, ms := &w.progress.Pages, now.UnixMilli()
	if n > p.End || past(p.EndAt, ms) {
		p.End, p.EndAt = n, ms
		step.Changed = true
	}
	step.Changed = step.Changed || past(p.ProvedAt, ms) || p.Last != w.last
	p.ProvedAt, p.Last = ms, w.last
}

// Newest is the key of the record behind which there was nothing when Duo was asked
// last, in Duo's order: a page without it cannot be the last one. It is zero where no
// record was shown, or no end was proved.
func (w *Window) Newest() state.Key {
	if w.last != (state.Key{}) {
		return w.last
	}
	return w.progress.Pages.Last
}

// past tells whether a time is no longer of the day that ends at now.
func past(at, now int64) bool { return now-at > day.Milliseconds() || at > now }

// idleEnd tells whether a page may be the end of the window without a further call:
// it brought nothing new, holds the newest known record, cannot have been cut, and
// an end was proved within a day. A slice of the overlap ends at any small page.
func (w *Window) idleEnd(page Page, next string, now time.Time) bool {
	p, n := &w.progress.Pages, len(page.Times)
	if page.Fresh > 0 || !page.Newest && !w.spans[0].Reread || w.shown < page.Total || w.rules.Paging == Opaque && next != "" {
		return false
	}
	if next == "" && (n < w.most || n == 1 && w.cursor != "") {
		return true // it began later than a larger page and brought no more: that was not cut
	}
	switch {
	case w.news:
		return false
	case w.spans[0].Reread:
		return n < p.Largest
	}
	small := n < p.Largest || n <= p.End && n < w.rules.Limit
	return small && !past(p.ProvedAt, now.UnixMilli())
}

// cursorOf returns the page's cursor and its time, which is -1 where the cursor does
// not tell one; "" where the cursor cannot be used.
func (w *Window) cursorOf(page Page) (next string, at int64) {
	if page.Cursor == "" || page.Cursor == w.cursor || w.rules.Paging == Earliest {
		return "", -1
	}
	if w.rules.Paging == Opaque {
		return page.Cursor, -1
	}
	text, _, pair := strings.Cut(page.Cursor, ",")
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !pair || at < 0 {
		return "", -1
	}
	return page.Cursor, at
}

// reach moves the checkpoint as far as the page lets it: to the time of Duo's cursor
// where that lies in what was asked for, and not while pages are out of order. Where
// records come in any order only the end of the window moves it.
func (w *Window) reach(page Page, next string, at int64) {
	span := w.spans[0]
	if w.rules.Paging == Opaque {
		for _, t := range page.Times {
			if span.Min <= t && t <= span.Max {
				w.latest = max(w.latest, t)
			}
		}
		return
	}
	if next == "" {
		if to := w.onward(page); to >= 0 {
			w.progress.DeliveredUntil = max(w.progress.DeliveredUntil, to)
		}
		return
	}
	if at < w.mintime || at > span.Max {
		return
	}
	for _, t := range page.Times {
		if w.at >= 0 && 0 <= t && t < w.at {
			w.withheld = max(w.withheld, at)
			return
		}
	}
	if at >= w.withheld {
		w.withheld = 0
		w.progress.DeliveredUntil = max(w.progress.DeliveredUntil, at)
	}
}

// follow goes on to the page behind a cursor.
func (w *Window) follow(next string, at int64) error {
	h := maphash.String(w.seed, next)
	span := w.spans[0]
	within := w.mintime <= at && at <= span.Max
	if w.given[h] || within && at < w.highest {
		return ErrCircle
	}
	w.given[h] = true
	if within {
		w.highest = at
	}
	w.cursor, w.at = next, at
	return nil
}

// Again tells that the call to come begins at a time, and not at a cursor.
func (w *Window) Again() bool { return w.cursor == "" }

// finish ends the span under way.
func (w *Window) finish(step *Step) {
	if span := w.spans[0]; span.Reread {
		w.progress.RereadFrom, step.Changed = span.Resume, true
	}
	w.progress.DeliveredUntil = max(w.progress.DeliveredUntil, w.latest)
	w.spans = w.spans[1:]
	w.begin()
	if w.Done() && w.end > w.progress.LookedUntil {
		if w.end-w.progress.LookedUntil > day.Milliseconds() {
			step.Changed = true
		}
		w.progress.LookedUntil = w.end
	}
}

func believable(times []int64, span Span) bool {
	for _, t := range times {
		if span.Min <= t && t <= span.Max {
			return true
		}
	}
	return false
}

// String says where the next page begins, for messages.
func (p position) String() string {
	return fmt.Sprintf("%s, cursor %q", time.UnixMilli(p.mintime).UTC().Format(time.RFC3339), p.cursor)
}
