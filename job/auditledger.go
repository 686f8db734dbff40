package job

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dls/job/audit"
	"dls/state"
)

// errNoLedger is a stream of which nothing was delivered yet.
var errNoLedger = errors.New("there is no ledger of it: no run has delivered anything yet")

// ledger is a stream whose ledger is held against Duo.
type ledger struct {
	cp          *state.Checkpoint
	from, until int64 // the hours that are compared, until not included
	known       map[int64]*state.Hour
	hourless    map[uint64]int // prints of records whose hour had not come when they were delivered
	left        map[uint64]int // those of them that a comparison has not met yet
	duo         map[int64]*state.Sum
}

// openLedger reads the ledger of a stream, which belongs to its checkpoint; nil is none.
func (e *examination) openLedger(s *stream, cp *state.Checkpoint, due int64) (*ledger, error) {
	if cp == nil || cp.Ledger.Since == 0 {
		return nil, errNoLedger
	}
	l := &ledger{cp: cp, known: map[int64]*state.Hour{}, hourless: map[uint64]int{}, duo: map[int64]*state.Sum{}}
	asked := state.HourOf(e.since(s))
	l.from, l.until = max(asked, state.HourOf(cp.Ledger.Since)), state.HourOf(due)
	if l.from > asked && e.daily == nil {
		e.run.log.Warn(fmt.Sprintf("the ledger knows from %s on: what lies before is not looked at", text(cp.Ledger.Since)),
			"stream", s.result.Name(), "hint", "hold it against what the SIEM has: --against")
	}
	hours, err := cp.Ledger.Read(e.store, s.id, func(hour int64) bool { return l.from <= hour && hour < l.until || hour == state.NoHour })
	if err != nil {
		return nil, err
	}
	for i := range hours {
		l.known[hours[i].Hour] = &hours[i]
		if hours[i].Hour == state.NoHour {
			for _, p := range hours[i].Prints {
				l.hourless[p]++
			}
		}
	}
	return l, nil
}

// since is the time, in milliseconds since the epoch, from which on a stream is read.
func (e *examination) since(s *stream) int64 {
	if e.daily != nil {
		since, _ := e.daily.since(s)
		return since
	}
	return e.opts.Since.UnixMilli()
}

// hold takes a page of a stream whose ledger is held against Duo.
func (e *examination) hold(s *stream, l *ledger, p *page, number, kept int) error {
	for i, m := range p.marks {
		hour := state.HourOf(p.owns[i])
		if hour < l.from {
			e.mu.Lock()
			e.outside++
			e.mu.Unlock()
		}
		if hour < l.from || hour >= l.until {
			continue
		}
		if p.news[i] {
			sum := l.duo[hour]
			if sum == nil {
				sum = new(state.Sum)
				l.duo[hour] = sum
			}
			sum.Add(state.One(m.Key, m.Count))
		}
		one := audit.Shown{
			Stream: number, Hour: hour, At: p.owns[i], Page: kept, Line: i, Key: m.Key, Count: m.Count, New: p.news[i],
		}
		if m.Digest != 0 {
			one.Digest = uint64(l.cp.Delivered.Digest(p.raws[i]))
		}
		e.mu.Lock()
		err := e.held.Add(one)
		e.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// gap is an hour in which Duo and the ledger differ.
type gap struct {
	// whole tells that it is not known which records are unknown.
	whole   bool
	diff    state.Sum // what Duo has more
	prints  map[uint64]int
	unknown int
}

// gapOf holds an hour of Duo's against the ledger; nil where they agree.
func (l *ledger) gapOf(hour int64) *gap {
	var at, known state.Sum
	if sum := l.duo[hour]; sum != nil {
		at = *sum
	}
	h := l.known[hour]
	if h != nil {
		known = h.Sum
	}
	if at == known || at.Count == 0 {
		return nil // what Duo does not show any more is not missing
	}
	g := &gap{diff: at.Less(known)}
	switch {
	case h == nil || known.Count == 0:
	case int64(len(h.Prints)) == known.Count:
		g.prints = map[uint64]int{}
		for _, p := range h.Prints {
			g.prints[p]++
		}
	case hour*3_600_000 >= l.cp.Delivered.RememberedSince() && l.cp.Delivered.RememberedSince() > 0:
	case g.diff.Count == 1:
	default:
		g.whole = true
	}
	return g
}

// unknown tells whether the ledger does not know a record of the hour.
func (l *ledger) unknown(g *gap, r audit.Shown) bool {
	one := state.One(r.Key, r.Count)
	h := l.known[r.Hour]
	switch {
	case !r.New:
		return false
	case l.left[one.Print()] > 0:
		l.left[one.Print()]--
		return false
	case g.whole || h == nil || h.Count == 0:
		return true
	case g.prints != nil:
		if n := g.prints[one.Print()]; n > 0 {
			g.prints[one.Print()]--
			return false
		}
		return true
	case r.Hour*3_600_000 >= l.cp.Delivered.RememberedSince() && l.cp.Delivered.RememberedSince() > 0:
		return !l.cp.Delivered.Holds(r.Key, r.Count)
	}
	return one == g.diff
}

// compare holds each hour of the streams against their ledgers. It calls missing with
// the records that the ledger does not know, or with all of an hour's where it does not
// tell them apart.
func (e *examination) compare(missing func(audit.Shown, *gap) error) (rows []AuditRow, err error) {
	type day struct {
		stream int
		day    int64
	}
	counts := map[day]*AuditRow{}
	gaps := make([]map[int64]*gap, len(e.streams))
	var days []day
	for n, s := range e.streams {
		l := e.ledgers[s]
		gaps[n] = map[int64]*gap{}
		if l == nil {
			continue
		}
		l.left = maps.Clone(l.hourless)
		until := min(l.until, e.reached(s))
		for hour, sum := range l.duo {
			if hour >= until {
				continue
			}
			d := day{n, hour / 24}
			if counts[d] == nil {
				counts[d] = &AuditRow{
					Endpoint: s.id.Endpoint, Account: s.id.Account, AccountName: s.result.AccountName,
					Day: time.Unix(hour/24*86400, 0).UTC().Format(time.DateOnly), Complete: s.result.Err == nil,
				}
				days = append(days, d)
			}
			counts[d].AtDuo += int(sum.Count)
			if g := l.gapOf(hour); g != nil {
				gaps[n][hour] = g
			}
		}
	}
	if err := e.held.Each(func(r audit.Shown) error {
		g := gaps[r.Stream][r.Hour]
		if g == nil || !e.ledgers[e.streams[r.Stream]].unknown(g, r) {
			return nil
		}
		g.unknown++
		if missing == nil {
			return nil
		}
		return missing(r, g)
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(days, func(a, b day) int {
		if a.stream != b.stream {
			return a.stream - b.stream
		}
		return int(a.day - b.day)
	})
	for n := range e.streams {
		for hour, g := range gaps[n] {
			row := counts[day{n, hour / 24}]
			switch {
			case !g.whole:
				row.Missing += g.unknown
			case g.diff.Count > 0:
				row.Missing += int(g.diff.Count)
				row.Unclear++
			default:
				row.Unclear++
			}
		}
	}
	for _, d := range days {
		row := counts[d]
		row.Found = row.AtDuo - row.Missing
		rows = append(rows, *row)
	}
	return rows, nil
}

// reached is the hour up to which a stream was read, not included.
func (e *examination) reached(s *stream) int64 {
	if s.result.Err == nil {
		return 1 << 40
	}
	return state.HourOf(s.result.Until.UnixMilli())
}

// unknown calls one with each record that the ledgers do not know, and what it makes of
// the ledger. Where an hour's records cannot be told apart, whole tells to take all.
func (e *examination) unknown(whole bool, one func(again) error) error {
	// The last record of an hour that is sent as a whole makes the ledger agree.
	var last again
	var open *gap
	flush := func() error {
		if open == nil {
			return nil
		}
		last.tally = state.Tally{{Hour: last.hour, Sum: open.diff}}
		open = nil
		return one(last)
	}
	_, err := e.compare(func(r audit.Shown, g *gap) error {
		if g.whole && !whole {
			return nil
		}
		a := again{stream: r.Stream, page: r.Page, line: r.Line, at: r.At, hour: r.Hour}
		a.mark = state.Mark{At: r.At, Key: r.Key, Digest: state.Digest(r.Digest), Count: r.Count}
		if open != nil && open != g {
			if err := flush(); err != nil {
				return err
			}
		}
		if !g.whole {
			a.tally.Add(r.Hour, state.One(r.Key, r.Count), e.cfg.Audit)
			return one(a)
		}
		if open != nil {
			if err := one(last); err != nil {
				return err
			}
		}
		open, last = g, a
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}
