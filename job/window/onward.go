package window

import "slices"

// Where there is no cursor that can be used, the times that records tell lead on: nearly
// all of them are Duo's, and Duo's order is that of time. Nothing depends on what one
// record tells: too early a time costs a call, and too late a one would skip records.

// last is how many of a page's last records tell where to go on without a cursor.
// The lowest of their times counts, so that one record's odd text leads past none.
const last = 16

// tally tells where the records of a page lie, by the times that they tell.
type tally struct {
	before int // the call's mintime
	within int // the time of mintime, of one unit
	beyond int // it
	later  int // than the span, and no record of mintime's time comes after them
	tail   int // the last ones, all of which are later than the span
}

func (w *Window) tally(page Page) (n tally) {
	for _, t := range page.Times {
		if n.tail++; t <= w.spans[0].Max {
			n.tail = 0
		}
		switch {
		case t < 0: // it tells nothing
		case t < w.mintime:
			n.before++
		case t == w.mintime:
			n.within, n.later = n.within+1, 0 // Duo's order is that of time: those before are no later
		case t > w.spans[0].Max:
			n.beyond, n.later = n.beyond+1, n.later+1
		default:
			n.beyond++
		}
	}
	return n
}

// onward is where to go on without a cursor, or -1: the lowest time, later than the
// call's mintime and not before the cursor that led to the page, that the last of its
// records tell. Where too few tell a later time to be believed, and a page full of
// mintime's own may have been cut, it is the time after mintime.
func (w *Window) onward(page Page) int64 {
	n := w.tally(page)
	if w.cursor == "" && 2*n.before > len(page.Times) {
		return -1 // this is no answer to what was asked for
	}
	from, to := w.mintime+1, w.spans[0].Max
	if w.at <= to {
		from = max(from, w.at)
	}
	var room [last]int64
	told := room[:0]
	for _, t := range slices.Backward(page.Times) {
		if from <= t && t <= to && len(told) < last {
			told = append(told, t)
		}
	}
	if len(told) == 0 {
		return -1
	}
	if n.within > 0 && n.beyond < last && w.full(len(page.Times)) {
		return max(w.mintime+w.rules.Unit, from)
	}
	slices.Sort(told)
	lowest := told[0]
	if page.Times[0] == lowest { // the next one, so that a page with nothing behind it gets smaller
		if i := slices.IndexFunc(told, func(t int64) bool { return t > lowest }); i > 0 {
			return told[i]
		}
	}
	return lowest
}

// full tells whether a page of n records may have been cut.
func (w *Window) full(n int) bool {
	return n > last && n >= min(w.progress.Pages.Largest, w.rules.Limit)
}

// skip goes on without a cursor.
func (w *Window) skip(page Page, step *Step) error {
	to, tally, n := w.onward(page), w.tally(page), len(page.Times)
	earliest, limited := w.rules.Paging == Earliest, n >= w.rules.Limit
	within := earliest && 0 < tally.within && 2*tally.before <= n
	switch {
	case earliest && w.behind(tally, to, n):
		w.finish(step)
		return nil
	case within && (to < 0 || limited && page.Times[n-1] == w.mintime && to == w.mintime+w.rules.Unit):
		to, w.over = w.mintime+w.rules.Unit, w.mintime // the others tell nothing that leads on
		if limited {
			step.SteppedOver, w.over = w.mintime, -1
		}
	case to >= 0:
	case w.at > w.mintime && w.at <= w.spans[0].Max:
		to = w.at // once more, from the time of the cursor that led here
	case n >= last && !w.whole(page, tally) || !earliest && tally.within == 0 && w.at != w.mintime:
		return ErrStuck
	case page.Fresh > 0 && w.cursor == "":
		to = w.mintime // once more, for what shows up late
	case earliest:
		w.finish(step) // all known, and too few to have been cut
		return nil
	default:
		to, w.over = w.mintime+w.rules.Unit, w.mintime // for the same reason
	}
	if to > w.spans[0].Max {
		w.finish(step)
		return nil
	}
	if w.cursor != "" {
		w.repeats = 0 // what begins at a time shows some of what a cursor led to
	}
	w.position = position{mintime: to, at: -1}
	w.shown = 0
	clear(w.given) // what begins later may come to the same cursors
	return nil
}

// whole tells whether a page of one time is all that there is of it: Duo gives no cursor
// behind it, which may be its way to say so, and neither its size nor the total speaks
// against that.
func (w *Window) whole(page Page, t tally) bool {
	n := len(page.Times)
	return w.rules.Paging == Cursor && page.Cursor == "" && !page.Unreadable && n < w.rules.Limit && t.within == n && page.Total <= n
}

// behind tells whether a page of n of the earliest records shows that those not yet
// shown are newer than the span: it has some that are, and nothing else that leads on; or
// most of it is, up to its end, in a window that is [Rules.Bounded]. One record's text does
// not tell that of a page that may have been cut.
func (w *Window) behind(t tally, to int64, n int) bool {
	if w.rules.Bounded && t.tail >= last && 2*t.tail > n {
		return true
	}
	if w.spans[0].Reread {
		return t.later > 1 || t.later > 0 && to < 0
	}
	return to < 0 && 2*(t.later+t.within) > n && (t.later > 1 || t.later > 0 && n < w.rules.Limit)
}
