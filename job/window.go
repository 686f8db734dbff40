package job

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dls/job/duo"
)

const (
	// lag is how long Duo withholds the newest records.
	lag = 2 * time.Minute
	// keep is how long Duo keeps records; margin is how far a call stays within
	// that, for clocks that differ and calls that take their time.
	keep, margin = 180 * 24 * time.Hour, 10 * time.Minute
	// skew is how far a checkpoint may lie in the future: Duo accepts calls whose
	// clock is off by as much.
	skew = 5 * time.Minute
	// slow is how much of a window that was cut to 180 days may be gone, without a
	// word, when the first call is made.
	slow = time.Minute
)

// segment is a part of the window, from min to max, both included, in
// milliseconds since the epoch.
type segment struct {
	min, max int64
	// reread tells that the segment lies before the checkpoint and is read again
	// for what showed up late; resume is then where the next run's slice begins.
	reread bool
	resume int64
}

// place is where a stream stands: the segments still to be read, the first of
// them under way, and where in it the next page begins. It is a value: making
// the next place leaves this one as it is.
type place struct {
	todo   []segment
	min    int64  // mintime of the next call
	cursor string // cursor of the next call, or ""
	read   int    // how many records of the segment lie before it
}

// end tells whether there is nothing more to read.
func (p place) end() bool { return len(p.todo) == 0 }

// same tells whether the next call at both, which are places of one window, is
// the same.
func (p place) same(o place) bool {
	return len(p.todo) == len(o.todo) && p.min == o.min && p.cursor == o.cursor
}

// at is the time from which on the records are still to be read. known is false
// where the cursor is opaque.
func (p place) at() (ms int64, known bool) {
	if p.cursor == "" {
		return p.min, true
	}
	text, _, pair := strings.Cut(p.cursor, ",")
	ms, err := strconv.ParseInt(text, 10, 64)
	return max(ms, p.min), pair && err == nil
}

// beginning is the place before the first of some segments.
func beginning(todo []segment) place {
	p := place{todo: todo}
	if len(todo) > 0 {
		p.min = todo[0].min
	}
	return p
}

// window lays out what to read: from the overlap before the checkpoint up to the
// end of the run's window.
//
// Records can show up late, behind the checkpoint, so the overlap is read again
// and what is known is dropped. At most a page less one of known records is read
// again that way, the newest, so that an idle run costs one call. Where the
// overlap holds more, its older part is read again in slices, one a run, each of
// which costs one call more; a turn through them is followed by another only
// while records in the overlap are young enough to have late neighbours.
func (s *stream) window() (place, error) {
	cp, unit := s.cp, s.unit()
	end := s.run.end - s.run.end%unit
	if ahead := time.Duration(cp.Until-s.run.start.UnixMilli()) * time.Millisecond; ahead > skew {
		return place{}, &clockError{ahead}
	}
	oldest := s.run.oldest()
	if known := max(cp.Until, cp.Looked); known < oldest-oldest%unit {
		s.gone(known, oldest)
	}
	overlap := s.run.cfg.Overlap.Milliseconds()
	from := max(cp.Until-overlap, cp.From, cp.Known, oldest)
	from -= from % unit

	newest := from
	most := s.row.Limit - 1
	if known := cp.Since(from); len(known) > most {
		newest = min(known[len(known)-most-1].At+unit, cp.Until)
	}
	newest -= newest % unit
	var todo []segment
	if newest > from {
		if slice, ok := s.slice(from, newest, overlap, most); ok {
			todo = append(todo, slice)
		}
	}
	if newest <= end {
		todo = append(todo, segment{min: newest, max: end})
	}
	return beginning(todo), nil
}

// slice is the next part, of at most so many known records, of the overlap from
// from up to newest, which is to be read again; ok is false when the overlap has
// been read again often enough.
func (s *stream) slice(from, newest, overlap int64, most int) (slice segment, ok bool) {
	cp, unit := s.cp, s.unit()
	if cp.Reread == 0 {
		if cp.RereadBegan > cp.Until+overlap {
			return segment{}, false
		}
		cp.RereadBegan = s.run.start.UnixMilli()
	}
	slice = segment{min: max(cp.Reread, from), max: newest - unit, reread: true}
	if slice.min >= newest {
		slice.min = from
	}
	slice.min -= slice.min % unit
	if known := cp.Since(slice.min); len(known) > most {
		slice.max = min(slice.max, max(known[most].At-unit, slice.min))
	}
	if slice.max+unit < newest {
		slice.resume = slice.max + unit
	}
	return slice, true
}

// gone warns of records that Duo no longer keeps.
func (s *stream) gone(from, to int64) {
	s.run.log.Warn(fmt.Sprintf("Duo keeps records for 180 days: those from %s to %s can no longer be had", text(from), text(to)),
		"stream", s.result.Name())
}

// reached notes that Duo has answered a call for the page at p that asked for
// records from mintime on.
func (s *stream) reached(p place, mintime int64) {
	from, known := p.at()
	spare := int64(0)
	if p.cursor == "" && p.min <= s.run.oldest() {
		spare = slow.Milliseconds()
	}
	if known && mintime-from > spare {
		s.gone(from, mintime)
	}
}

// mintime is the time from which on the call for the page at p asks. A run may be
// long, and Duo refuses a time for which it no longer keeps records.
func (s *stream) mintime(p place) int64 {
	mintime := max(p.min, oldest(time.Now()))
	if unit := s.unit(); mintime%unit != 0 {
		mintime += unit - mintime%unit
	}
	return mintime
}

// params are the parameters of the call for the page at p.
func (s *stream) params(p place, mintime int64) url.Values {
	ask := func(ms int64) string { return strconv.FormatInt(ms/s.unit(), 10) }
	v := url.Values{"mintime": {ask(mintime)}}
	if s.row.Cursor != duo.Mintime {
		v.Set("maxtime", ask(max(p.todo[0].max, mintime+1)))
	}
	if s.row.SendLimit {
		v.Set("limit", strconv.Itoa(s.row.Limit))
	}
	if s.row.Sort != "" {
		v.Set("sort", s.row.Sort)
	}
	if p.cursor != "" {
		v.Set(s.row.Cursor.Param(), p.cursor)
	}
	if s.id.Account != "" {
		v.Set("account_id", s.id.Account)
	}
	return v
}

// errStuck is a full page after which Duo shows no way on.
var errStuck = errors.New("the cursor does not move on from a full page of Duo's, so the records behind it cannot be had")

// after returns the place after a page that was read at p.
func (s *stream) after(p place, page *page) (place, error) {
	drained := beginning(p.todo[1:])
	n := len(page.entries)
	next := p
	switch s.row.Cursor {
	case duo.Offset:
		if n == 0 || page.next == "" {
			return drained, nil
		}
		next.cursor = page.next
	case duo.NextOffset:
		// A short page has a cursor too, most likely; asking on would cost a call to
		// learn that there is nothing. Only where Duo says that there is more are its
		// pages shorter than was asked for.
		if n == 0 || n < s.row.Limit && (page.next == "" || p.read+n >= page.total) {
			return drained, nil
		}
		next.cursor, next.read = page.next, p.read+n
		if next.cursor == "" || next.cursor == p.cursor {
			next.cursor = page.cursor(p.todo[0])
		}
	case duo.Mintime:
		if n < s.row.Limit {
			return drained, nil
		}
		last := int64(-1)
		for _, e := range page.entries {
			last = max(last, e.at)
		}
		if last > p.todo[0].max {
			return drained, nil
		}
		if last < 0 {
			return place{}, errStuck
		}
		if last <= p.min {
			s.run.log.Warn(fmt.Sprintf("%d records or more lie in the second %s, and Duo shows no others of it: going on with the next second",
				n, text(p.min)), "stream", s.result.Name())
			last = p.min + s.unit()
		}
		next.min = last
		return next, nil
	}
	if next.cursor == "" || next.cursor == p.cursor {
		return place{}, errStuck
	}
	return next, nil
}

// oldest is the time from which on records can be asked for at a time, in
// milliseconds since the epoch.
func oldest(now time.Time) int64 { return now.Add(margin - keep).UnixMilli() }

// text writes a time in milliseconds since the epoch for people.
func text(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// clockError is a checkpoint that lies in the future.
type clockError struct{ ahead time.Duration }

func (e *clockError) Error() string {
	return fmt.Sprintf("the checkpoint is %v ahead of this machine's clock", e.ahead.Round(time.Second))
}
