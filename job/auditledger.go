package job

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"dls/job/audit"
	"dls/state"
)

// aheadHours is less than how many hours lie between the place of a record at Duo and the
// hour of its text, where that is later, for the ledger to take the text for true.
const aheadHours = 2

// errNoLedger is a stream of which nothing was delivered yet.
var errNoLedger = errors.New("there is no ledger of it: no run has delivered anything yet")

// ledger is a stream whose ledger is held against Duo.
type ledger struct {
	cp          *state.Checkpoint
	from, until int64 // the hours that are compared, until not included
	due         int64 // the time up to which all is delivered
	known       map[int64]*state.Hour
	hourless    map[uint64]int // prints of records whose hour had not come when they were delivered
	duo         map[int64]*state.Sum
	ahead       map[int64]*state.Sum // of duo, those that are among hourless
	blind       int64                // how many records without an hour have no print any more
}

// openLedger reads the ledger of a stream, which belongs to its checkpoint; nil is none.
func (e *examination) openLedger(s *stream, cp *state.Checkpoint, due int64) (*ledger, error) {
	if cp == nil {
		return nil, cmp.Or(e.run.roster.lost(e.store, s.id), errNoLedger)
	}
	if cp.Ledger.Since == 0 {
		return nil, errNoLedger
	}
	l := &ledger{cp: cp, known: map[int64]*state.Hour{}, hourless: map[uint64]int{}, duo: map[int64]*state.Sum{}, ahead: map[int64]*state.Sum{}, due: due}
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
			l.blind = hours[i].Count - int64(len(hours[i].Prints))
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
		hour, one := state.HourOf(p.owns[i]), state.One(m.Key, m.Count)
		compared, of := l.place(p, i, hour, one)
		if at := p.highs[i]; !compared && at >= 0 && at < e.since(s) {
			continue // read for those whose text tells an hour that was asked about
		}
		switch {
		case !compared && of == isOutside:
			e.mu.Lock()
			e.outside++
			e.mu.Unlock()
		case !compared:
			e.aside(number, p.owns[i], of)
		}
		if !compared {
			continue
		}
		shown := audit.Shown{
			Stream: number, Hour: hour, At: p.owns[i], Page: kept, Line: i, Key: m.Key, Count: m.Count, New: p.news[i],
		}
		if p.news[i] {
			add(l.duo, hour, one)
			if l.isAhead(one) {
				add(l.ahead, hour, one)
				shown.New = false
			}
		}
		if m.Digest != 0 {
			shown.Digest = uint64(l.cp.Delivered.Digest(p.raws[i]))
		}
		e.mu.Lock()
		err := e.held.Add(shown)
		e.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// isOutside is a record of a time of which the ledger knows nothing.
const isOutside place = -1

// place tells whether a record's hour is compared, and else what the record is.
func (l *ledger) place(p *page, i int, hour int64, one state.Sum) (compared bool, of place) {
	of = p.place(i, l.due)
	switch {
	case of != isDue:
		return false, of
	case hour == state.NoHour && l.isAhead(one):
		return false, isDue
	case hour < l.from, p.marks[i].At < l.cp.Ledger.Since:
		return false, isOutside
	case hour < l.until:
		return true, isDue
	case p.owns[i] <= l.due || hour <= state.HourOf(time.Now().Add((aheadHours-1)*time.Hour).UnixMilli()):
		return false, isOpen
	case l.isAhead(one):
		return false, isDue
	}
	return false, isUnproved
}

// isAhead tells whether a record is one that was delivered before its hour had come, and
// takes it out of those.
func (l *ledger) isAhead(one state.Sum) bool {
	n := l.hourless[one.Print()]
	if n > 0 {
		l.hourless[one.Print()]--
	}
	return n > 0
}

func add(sums map[int64]*state.Sum, hour int64, one state.Sum) {
	sum := sums[hour]
	if sum == nil {
		sum = new(state.Sum)
		sums[hour] = sum
	}
	sum.Add(one)
}

// gap is an hour in which Duo and the ledger differ.
type gap struct {
	by      means
	diff    state.Sum // what Duo has more
	prints  map[uint64]int
	found   state.Sum // the records that are unknown
	unknown int       // how many they are
}

// means is by what the records of an hour are told that the ledger does not know.
type means int

const (
	byNothing means = iota // by none: it may be any of them
	byAbsence              // the ledger knows none of the hour
	byPrints               // it has the prints of all that it knows
	byMemory               // the checkpoint remembers all that it knows
	byDigest               // the digests differ by that of one record
)

// gapOf holds an hour of Duo's against the ledger; nil where they agree.
func (l *ledger) gapOf(hour int64) *gap {
	at, known := *l.duo[hour], state.Sum{}
	h := l.known[hour]
	if h != nil {
		known = h.Sum
	}
	if at == known {
		return nil
	}
	if ahead := l.ahead[hour]; ahead != nil {
		if at = at.Less(*ahead); at == known || at.Count == 0 {
			return nil // what Duo does not show any more is not missing
		}
	}
	g := &gap{diff: at.Less(known)}
	remembered := l.cp.Delivered.RememberedSince()
	switch {
	case known.Count == 0:
		g.by = byAbsence
	case int64(len(h.Prints)) == known.Count:
		g.by = byPrints
		g.prints = printsOf(h)
	case hour*3_600_000 >= remembered && remembered > 0:
		g.by = byMemory
	case g.diff.Count == 1:
		g.by = byDigest
	}
	return g
}

// printsOf counts the prints of an hour.
func printsOf(h *state.Hour) map[uint64]int {
	prints := map[uint64]int{}
	for _, p := range h.Prints {
		prints[p]++
	}
	return prints
}

// unknown tells whether the ledger does not know a record of the hour.
func (l *ledger) unknown(g *gap, r audit.Shown) bool {
	one := state.One(r.Key, r.Count)
	switch {
	case !r.New:
		return false
	case g.by == byPrints:
		n := g.prints[one.Print()]
		if n > 0 {
			g.prints[one.Print()]--
		}
		return n == 0
	case g.by == byMemory:
		return !l.cp.Delivered.Holds(r.Key, r.Count)
	case g.by == byDigest:
		return one == g.diff
	}
	return true
}

// sure ends the search for the records of an hour that are unknown: the remembered ones, or
// the one of the digest, must be just what the sums differ by. They are not where Duo has
// taken records away, or shows one elsewhere than its text says.
func (g *gap) sure() {
	if (g.by == byMemory || g.by == byDigest) && g.found != g.diff {
		g.by = byNothing
	}
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
	for n, s := range e.streams {
		l := e.ledgers[s]
		gaps[n] = map[int64]*gap{}
		if l == nil {
			continue
		}
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
			}
			counts[d].AtDuo += int(sum.Count)
			if g := l.gapOf(hour); g != nil {
				gaps[n][hour] = g
			}
		}
	}
	each := func(f func(audit.Shown, *gap) error) error {
		return e.held.Each(func(r audit.Shown) error {
			g := gaps[r.Stream][r.Hour]
			if g == nil || !e.ledgers[e.streams[r.Stream]].unknown(g, r) {
				return nil
			}
			return f(r, g)
		})
	}
	if err := each(func(r audit.Shown, g *gap) error {
		g.unknown++
		g.found.Add(state.One(r.Key, r.Count))
		return nil
	}); err != nil {
		return nil, err
	}
	for n, s := range e.streams {
		for hour, g := range gaps[n] {
			l, row := e.ledgers[s], counts[day{n, hour / 24}]
			g.sure()
			switch {
			case g.by != byNothing && l.blind > 0:
				row.Unproved += g.unknown
			case g.by != byNothing:
				row.Missing += g.unknown
			case g.diff.Count > 0:
				row.Missing += int(g.diff.Count)
				row.Unclear++
			default:
				row.Unclear++
				row.uncounted++
			}
			if g.by == byPrints {
				g.prints = printsOf(l.known[hour])
			}
		}
	}
	if missing != nil {
		if err := each(missing); err != nil {
			return nil, err
		}
	}
	for _, row := range counts {
		row.Found = row.AtDuo - row.Missing - row.Unproved
		rows = append(rows, *row)
	}
	for d, c := range e.loose {
		rows = append(rows, e.looseRow(d, c))
	}
	sortRows(rows)
	return merged(rows), nil
}

// reached is the hour up to which a stream was read, not included.
func (e *examination) reached(s *stream) int64 {
	if s.result.Err == nil {
		return 1 << 40
	}
	return state.HourOf(s.result.Until.UnixMilli())
}

// notes tells whether a stream's ledger notes what is sent again: not where that goes to
// one of the stream's servers and not to the others, for which the ledger stands, too.
func (e *examination) notes(stream int) bool {
	if e.opts.Resend == "" {
		return true
	}
	s := e.streams[stream]
	for _, route := range e.cfg.Routes {
		if route.Endpoint != s.endpoint {
			continue
		}
		for _, server := range route.Servers {
			if e.cfg.Servers[server].ID != e.opts.Resend {
				s.once("notes", fmt.Sprintf("it goes to %q, too: the ledger does not note what %q alone gets again, and the next audit without files finds it missing again", e.cfg.Servers[server].ID, e.opts.Resend))
				return false
			}
		}
	}
	return true
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
		last.note.tally = state.Tally{{Hour: state.HourOf(last.at), Sum: open.diff}}
		open = nil
		return one(last)
	}
	_, err := e.compare(func(r audit.Shown, g *gap) error {
		if g.by == byNothing && !whole {
			return nil
		}
		a := again{stream: int32(r.Stream), page: int32(r.Page), line: int32(r.Line), at: r.At}
		if open != nil && open != g {
			if err := flush(); err != nil {
				return err
			}
		}
		if !e.notes(r.Stream) {
			return one(a)
		}
		a.note = &note{mark: state.Mark{At: r.At, Key: r.Key, Digest: state.Digest(r.Digest), Count: r.Count}}
		if g.by != byNothing {
			a.note.tally.Add(r.Hour, state.One(r.Key, r.Count), e.cfg.Audit)
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
