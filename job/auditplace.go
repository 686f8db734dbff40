package job

import (
	"time"

	"dls/state"
)

// place is what an audit takes a record for by where Duo shows it: what its own text
// tells is no reason to look for it, nor not to.
type place int

const (
	isDue      place = iota // delivered, if all is well
	isPending               // the next run's
	isUnproved              // its text and its place do not tell which of these
	isOpen                  // of an hour that is not delivered as a whole
)

// order finds out between which times Duo has each record of the page that is to be
// delivered: not before any that it shows before it, nor behind any that it shows after it,
// as far as their times can be true. Records that come in no order are where they say.
func (p *page) order(ordered bool) {
	p.lows, p.highs = append(p.lows[:0], p.owns...), append(p.highs[:0], p.owns...)
	if !ordered {
		return
	}
	low, high := p.bounds.Min, p.bounds.Max
	for i, at := range p.times {
		if p.bounds.Min <= at && at <= p.bounds.Max {
			low = max(low, at)
		}
		p.lows[i] = low
	}
	for i := len(p.times) - 1; i >= 0; i-- {
		if at := p.times[i]; p.bounds.Min <= at && at <= p.bounds.Max {
			high = min(high, at)
		}
		p.highs[i] = high
	}
}

// place tells what a record is where all up to due is delivered.
func (p *page) place(i int, due int64) place {
	switch low, high := p.lows[i], p.highs[i]; {
	case low <= due && high <= due:
		return isDue
	case low > due && high > due:
		return isPending
	}
	return isUnproved
}

// looseDay is a day of a stream, [state.NoHour] where no time is told, and looseCount what
// there was of it beside the hours that are compared.
type (
	looseDay struct {
		stream int
		day    int64
	}
	looseCount struct{ found, unproved int }
)

// aside counts a record that is not compared. Of what is newer than what was asked about
// nothing is told: only where that is what is delivered is it the next run's.
func (e *examination) aside(stream int, at int64, of place) {
	if e.daily != nil || of == isPending && !e.opts.Until.IsZero() { // a later pass looks at it, or nobody asked
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d := looseDay{stream, state.NoHour}
	if at >= 0 {
		d.day = at / (24 * time.Hour).Milliseconds()
	}
	c := e.loose[d]
	if c == nil && (of == isDue || of == isUnproved) {
		c = new(looseCount)
		e.loose[d] = c
	}
	switch of {
	case isPending, isOpen:
		e.pending++
	case isDue:
		c.found++
	case isUnproved:
		c.unproved++
	}
}

// looseRow is the row of such a day.
func (e *examination) looseRow(d looseDay, c *looseCount) AuditRow {
	s := e.streams[d.stream]
	row := AuditRow{
		Endpoint: s.id.Endpoint, Account: s.id.Account, AccountName: s.result.AccountName, Complete: s.result.Err == nil,
		AtDuo: c.found + c.unproved, Found: c.found, Unproved: c.unproved,
	}
	if d.day != state.NoHour {
		row.Day = time.Unix(d.day*86400, 0).UTC().Format(time.DateOnly)
	}
	return row
}
