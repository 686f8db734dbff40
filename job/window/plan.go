package window

import (
	"time"

	"dls/state"
)

// The constants of time, once for the whole program.
const (
	// Lag is how long Duo withholds the newest records.
	Lag = 2 * time.Minute
	// Retention is how long Duo keeps records.
	Retention = 180 * 24 * time.Hour
	// Margin is how far within the retention a window begins that has no checkpoint,
	// for calls that take their time.
	Margin = 10 * time.Minute
	// inside is how far within the retention a call stays, for clocks that differ.
	inside = time.Minute
	// Skew is how far a checkpoint may lie in the future: Duo accepts calls whose
	// clock is off by as much.
	Skew = 5 * time.Minute
	// day is for how long sizes of pages are believed, and how seldom the end of a
	// window without news is noted.
	day = 24 * time.Hour
)

// Rules are what an endpoint's row says of its paging.
type Rules struct {
	// Paging is how pages follow each other.
	Paging Paging
	// Unit is the unit of mintime and maxtime, in milliseconds.
	Unit int64
	// Limit is the most records of a page.
	Limit int
	// Bounded says that nobody reads on later from where the window ends. Where most of a
	// page is newer than the window it is at its end: else a log of which so many tell a
	// false time would never be read past them.
	Bounded bool
}

// Paging is how the pages of an endpoint follow each other.
type Paging int

const (
	// Cursor: each page has a cursor "milliseconds,id" that is sent back.
	Cursor Paging = iota
	// Opaque: a page has a cursor that tells nothing while there are more; records
	// come in any order.
	Opaque
	// Earliest: there is no cursor and no maxtime; a page is the earliest records
	// from mintime on.
	Earliest
)

// Span is a part of the window, from Min to Max, both included, in milliseconds
// since the epoch.
type Span struct {
	Min, Max int64
	// Reread tells that the span lies before the checkpoint and is read again for
	// what showed up late; Resume is then where the next run's slice begins.
	Reread bool
	Resume int64
}

// Oldest is the time, in milliseconds since the epoch, at which a stream without a
// checkpoint begins at the earliest.
func Oldest(now time.Time) int64 { return now.Add(Margin - Retention).UnixMilli() }

// AheadError is a checkpoint that lies in the future.
type AheadError struct {
	// By is how far.
	By time.Duration
}

// Error says how far the checkpoint is ahead.
func (e *AheadError) Error() string {
	return "the checkpoint is " + ahead(e.By) + " ahead of this machine's clock"
}

func ahead(d time.Duration) string {
	if d > 10*365*24*time.Hour {
		return "more than ten years"
	}
	return d.Round(time.Second).String()
}

// plan lays out what to read: from the overlap before the checkpoint up to end.
//
// Records can show up late, behind the checkpoint, so the overlap is read again
// and what is known is dropped. At most a page less one of known records is read
// again that way, the newest, so that an idle run costs one call. Where the
// overlap holds more, its older part is read again in slices, one a run, each of
// which costs one call more; a turn through them is followed by another only
// while records in the overlap are young enough to have late neighbours.
func (w *Window) plan(d *state.Delivered, overlap time.Duration) {
	unit, p := w.rules.Unit, &w.progress
	end := w.end - w.end%unit
	// What is remembered may begin later than the checkpoint: that leaves nothing out.
	remembered := min(d.RememberedSince(), p.DeliveredUntil)
	from := max(p.DeliveredUntil-overlap.Milliseconds(), p.Began, remembered, w.oldest(w.start))
	from -= from % unit

	newest := from
	most := w.rules.Limit - 1
	if known := d.Since(from); len(known) > most {
		newest = min(known[len(known)-most-1].At+unit, p.DeliveredUntil)
	}
	newest -= newest % unit
	if newest > from {
		w.slice(d, from, newest, overlap.Milliseconds(), most)
	}
	if newest <= end {
		w.spans = append(w.spans, Span{Min: newest, Max: end})
	}
}

// slice adds the next part, of at most so many known records, of the overlap from
// from up to newest, which is to be read again, unless it has been read again often
// enough.
func (w *Window) slice(d *state.Delivered, from, newest, overlap int64, most int) {
	unit, p := w.rules.Unit, &w.progress
	if p.RereadFrom == 0 {
		if p.RereadBegan > p.DeliveredUntil+overlap {
			return
		}
		p.RereadBegan = w.start.UnixMilli()
	}
	s := Span{Min: max(p.RereadFrom, from), Max: newest - unit, Reread: true}
	if s.Min >= newest {
		s.Min = from
	}
	s.Min -= s.Min % unit
	if known := d.Since(s.Min); len(known) > most {
		s.Max = min(s.Max, max(known[most].At-unit, s.Min))
	}
	if s.Max+unit < newest {
		s.Resume = s.Max + unit
	}
	w.spans = append(w.spans, s)
}

// oldest is the earliest time, in milliseconds since the epoch and of whole units,
// from which on Duo may be asked at a time.
func (w *Window) oldest(now time.Time) int64 {
	ms := now.Add(inside + w.inside - Retention).UnixMilli()
	return ms + (w.rules.Unit-ms%w.rules.Unit)%w.rules.Unit
}
