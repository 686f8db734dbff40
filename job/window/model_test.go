package window

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dls/state"
)

var (
	modelSeed  = flag.Uint64("model", 0, "play the model of this seed alone, and tell its story")
	modelCount = flag.Uint64("models", 400, "how many seeds to play")
)

// A model is a log of Duo's, drawn from a seed, and a stream that reads it in several
// runs, page by page, as package job does.
type model struct {
	*rand.Rand
	rules   Rules
	records []*modelRecord // in Duo's order
	overlap time.Duration

	most     int    // the most records of a page, at most the limit
	varies   bool   // from page to page, from 17 on
	total    string // of the records: "", "right", "page"
	lastNull bool   // no cursor on the last page
	texts    bool   // some records tell a time that is not theirs
	trick    string // what is wrong with cursors, "": nothing
	from     int    // from this call of a run on
	room     int    // marks that a checkpoint holds, 0: enough
	edge     bool   // records lie where Duo is about to forget them
	ragged   bool   // what is delivered counts later, and runs end early

	jumps bool          // the clock of the stream does
	skew  time.Duration // of it

	now       time.Time
	start     time.Time // of the run
	cp        *state.Checkpoint
	calls     int
	given     []string
	same      []*modelRecord // the page of the run that is shown again and again
	tricked   bool
	broken    bool // a run ended early, and delivered what does not count
	delivered map[string]int
	gaps      []Gap // that were told
	fails     []string
	story     []string
	known     int
	low       int64
	until     int64 // the checkpoint's when the run began
	sliced    bool
	news      bool
}

// modelRecord is a record: at is Duo's time for it, told what it tells.
type modelRecord struct {
	at, visible, told int64
	gone              int64 // 0: never
	id, n, of         int   // of: it is another version of the one of that id less one
	bare              bool  // it has no id
	odd               bool
}

func (r *modelRecord) name() string {
	if r.bare {
		return fmt.Sprintf("bare %d %d", r.told, r.n)
	}
	return fmt.Sprintf("id %d", r.id)
}

func (r *modelRecord) shown(at int64) bool { return r.visible <= at && (r.gone == 0 || r.gone > at) }

// clock is the time that the stream believes in.
func (m *model) clock() time.Time { return m.now.Add(m.skew) }

// edgeOf is the time before which Duo keeps nothing.
func (m *model) edgeOf() int64 { return m.now.Add(-Retention).UnixMilli() }

func (m *model) oneIn(n int) bool { return m.IntN(n) == 0 }

func (m *model) say(format string, args ...any) {
	if *modelSeed != 0 {
		m.story = append(m.story, fmt.Sprintf(format, args...))
	}
}

func (m *model) fail(format string, args ...any) {
	m.fails = append(m.fails, fmt.Sprintf(format, args...))
	m.say("WRONG: "+format, args...)
}

func pick[T any](m *model, of ...T) T { return of[m.IntN(len(of))] }

func newModel(seed uint64) *model {
	m := &model{Rand: rand.New(rand.NewPCG(seed, 3)), delivered: map[string]int{}}
	m.rules = pick(m, v2, v2, v1, trust)
	m.rules.Limit = pick(m, 18, 20, 40, 100)
	m.most = m.rules.Limit
	if m.oneIn(2) {
		m.most = max(1, m.rules.Limit*pick(m, 1, 5, 9, 10)/10)
		if m.rules.Paging == Earliest {
			m.most = max(m.most, 18)
		}
	}
	m.total = pick(m, "", "", "right", "right", "page")
	m.lastNull = m.oneIn(2) && m.most > last
	m.overlap = pick(m, 0, time.Minute, 10*time.Minute, time.Hour, 24*time.Hour)
	m.ragged = m.oneIn(3)
	if m.oneIn(4) {
		m.trick = pick(m, "same", "circle", "repeat", "outside", "back", "blank", "unreadable", "shape")
		if m.rules.Paging == Opaque {
			m.trick = pick(m, "circle", "unreadable", "shape") // no cursor is the end
		}
		if m.rules.Paging == Earliest {
			m.trick = "deaf"
		}
		m.from = 1 + m.IntN(4)
		if m.most <= last {
			m.most = m.rules.Limit
		}
	}
	m.now = time.UnixMilli(epoch)
	unit := m.rules.Unit
	within := pick(m, time.Second, time.Minute, time.Hour, 30*time.Hour).Milliseconds()
	from := epoch - Lag.Milliseconds() - within
	if m.edge = m.oneIn(6); m.edge {
		from, within = epoch-Retention.Milliseconds()+pick(m, 0, 9*time.Minute, 10*time.Minute).Milliseconds(), min(within, time.Hour.Milliseconds())
	}
	m.jumps = !m.edge && m.oneIn(4)
	for range pick(m, 0, 1, 5, 30, 150, 400) {
		at := from + m.Int64N(2*within)
		switch {
		case len(m.records) > 0 && m.oneIn(3):
			at = m.records[m.IntN(len(m.records))].at + m.Int64N(3000)
		case len(m.records) > 0 && m.oneIn(4):
			at = m.records[m.IntN(len(m.records))].at
		}
		r := &modelRecord{at: at - at%unit, id: len(m.records)}
		r.told, r.visible = r.at, r.at+Lag.Milliseconds()
		if m.oneIn(15) {
			r.visible += m.Int64N(pick(m, time.Minute, 10*time.Minute, time.Hour).Milliseconds())
		}
		r.n = r.id
		if m.rules.Paging == Earliest {
			r.bare, r.n = true, m.IntN(4)
		}
		m.records = append(m.records, r)
	}
	if m.texts = m.oneIn(3) && m.rules.Paging != Opaque && m.trick == "" && (m.rules.Paging == Cursor || m.most > 2*last); m.texts {
		m.lastNull = false
		for _, r := range m.records {
			if !m.oneIn(20) {
				continue
			}
			r.odd = true
			d := pick(m, time.Second, time.Minute, time.Hour, 10*time.Hour, 40*24*time.Hour).Milliseconds()
			r.told = pick(m, -1, 0, r.at+d, r.at-d)
			r.told -= r.told % unit
			r.n = 1000 + r.id
		}
	}
	if m.trick == "" && m.rules.Paging != Opaque && !m.texts && m.oneIn(4) { // else the checkpoint may stay where it is
		m.room = 2 * m.rules.Limit
	}
	if m.oneIn(3) && m.most > last+2 && m.rules.Paging == Cursor && !m.lastNull && m.trick == "" {
		m.varies = true
	}
	if m.oneIn(4) && m.rules.Paging != Earliest {
		for _, r := range m.records { // another version takes the place of the first
			if m.oneIn(20) {
				other := *r
				other.id, other.n = len(m.records), 1
				r.gone = r.visible + m.Int64N((20 * time.Minute).Milliseconds())
				other.visible, other.of = r.gone, r.id+1
				m.records = append(m.records, &other)
			}
		}
	}
	slices.SortStableFunc(m.records, func(a, b *modelRecord) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
	return m
}

// together is the most records of one time.
func (m *model) together() (most int) {
	n := map[int64]int{}
	for _, r := range m.records {
		n[r.at]++
		most = max(most, n[r.at])
	}
	return most
}

// answer answers a call as Duo would, or not quite.
func (m *model) answer(c Call) (page []*modelRecord, cursor string, unreadable bool, total int) {
	at, id := int64(-1), -1
	if c.Cursor != "" {
		text, rest, _ := strings.Cut(c.Cursor, ",")
		at, _ = strconv.ParseInt(text, 10, 64)
		rest, real, moved := strings.Cut(rest, "@")
		id, _ = strconv.Atoi(rest)
		if moved {
			at, _ = strconv.ParseInt(real, 10, 64)
		}
	}
	most := m.most
	if m.varies {
		most = last + 2 + m.IntN(m.most-last-1)
	}
	var all int
	more := false
	for i, r := range m.records {
		if r.at < c.Mintime || c.Maxtime > 0 && r.at > c.Maxtime || !r.shown(m.now.UnixMilli()) || r.at < m.edgeOf() {
			continue
		}
		all++
		if m.rules.Paging == Opaque && i <= id || m.rules.Paging == Cursor && c.Cursor != "" && (r.at < at || r.at == at && r.id <= id) {
			continue
		}
		if len(page) == most {
			more = true
			continue
		}
		page = append(page, r)
	}
	switch m.total {
	case "right":
		total = all
	case "page":
		total = len(page)
	}
	if m.rules.Paging == Earliest {
		if m.trick == "" || m.calls < m.from || m.same == nil {
			m.same = page
			return page, "", false, total
		}
		m.tricked = true
		return m.same, "", false, total // wherever it is to begin
	}
	if len(page) == 0 {
		return page, "", false, total
	}
	end := page[len(page)-1]
	switch m.rules.Paging {
	case Opaque:
		if more {
			cursor = fmt.Sprintf("0,%d", slices.Index(m.records, end))
		}
	case Cursor:
		if more || !m.lastNull {
			cursor = fmt.Sprintf("%d,%d", end.at, end.id)
		}
	}
	if m.trick == "" || m.calls < m.from {
		if cursor != "" {
			m.given = append(m.given, cursor)
		}
		return page, cursor, false, total
	}
	m.tricked = true
	switch m.trick {
	case "same":
		cursor = c.Cursor
	case "circle":
		if len(m.given) > 0 {
			cursor = m.given[0]
		}
	case "blank":
		cursor = ""
	case "unreadable":
		cursor, unreadable = "", true
	case "shape":
		cursor = "x"
	case "back", "repeat", "outside":
		if m.rules.Paging == Opaque || cursor == "" {
			break
		}
		when := end.at
		switch m.trick {
		case "back":
			when = page[0].at - 1
		case "outside":
			when = pick(m, 0, c.Mintime-1, c.Maxtime+1, c.Maxtime+1_000_000)
		case "repeat":
			cursor = fmt.Sprintf("%d,%d@%d", when, page[0].id-1-1000*m.calls, page[0].at)
			return page, cursor, false, total
		}
		cursor = fmt.Sprintf("%d,%d@%d", when, end.id, end.at)
	}
	return page, cursor, unreadable, total
}

// take is what package job makes of a page.
func (m *model) take(w *Window, r *state.Reading, c Call, page []*modelRecord, cursor string, unreadable bool, total int) (facts Page, marks []state.Mark, fresh []*modelRecord) {
	if c.Cursor == "" {
		r.Again()
	}
	span, newest := w.Span(), w.Newest()
	facts = Page{Repeated: true, RememberedSince: m.cp.Delivered.RememberedSince(), Cursor: cursor, Unreadable: unreadable, Total: total}
	running, latest := w.Bounds(facts)
	for _, rec := range page {
		at := rec.told
		within := span.Min <= at && at <= span.Max
		facts.Times = append(facts.Times, at)
		until := latest
		switch {
		case within && at <= latest && m.rules.Paging != Opaque:
			running = max(running, at)
			until = running
		case within:
			until = at
		case m.rules.Paging == Earliest && at > span.Max:
			until = min(at, m.clock().Add(Skew).UnixMilli())
		}
		id := state.Ident{Key: state.NewKey([]byte(rec.name())), Counted: rec.bare}
		if !rec.bare {
			id.Digest = 7
			if rec.of > 0 {
				id = state.Ident{Key: state.NewKey([]byte(fmt.Sprintf("id %d", rec.of-1))), Digest: state.Digest(100 + rec.id)}
			}
		}
		verdict, count, shown := r.Judge(id)
		facts.Repeated = facts.Repeated && shown
		facts.Newest = facts.Newest || id.Key == newest
		facts.Last = id.Key
		if verdict == state.Known {
			continue
		}
		if within && at < facts.RememberedSince {
			facts.Forgotten++
		}
		marks = append(marks, state.Mark{At: until, Key: id.Key, Digest: id.Digest, Count: count})
		fresh = append(fresh, rec)
	}
	facts.Fresh = len(marks)
	return facts, marks, fresh
}

type modelPage struct {
	progress state.Progress
	marks    []state.Mark
}

// run is one run. It returns why it ended early, or nil.
func (m *model) run() error {
	m.start, m.calls, m.given, m.same = m.now, 0, nil, nil
	end := m.clock().Add(-Lag).UnixMilli()
	w, err := Open(m.rules, m.cp, m.clock(), end, m.overlap)
	if err != nil {
		m.fail("open: %v", err)
		return err
	}
	m.low = max(m.cp.DeliveredUntil-m.overlap.Milliseconds(), m.cp.Began, min(m.cp.Delivered.RememberedSince(), m.cp.DeliveredUntil))
	m.known, m.news, m.sliced = len(m.cp.Delivered.Since(m.low)), false, false
	if m.known > m.rules.Limit-1 {
		m.low, m.sliced = m.cp.DeliveredUntil, true
	}
	m.say("run at %d: delivered until %d, remembered since %d, spans %+v, pages %+v", m.now.UnixMilli()-epoch, m.cp.DeliveredUntil-epoch, m.cp.Delivered.RememberedSince()-epoch, w.spans, m.cp.Pages)
	defer func() { m.gaps = append(m.gaps, w.Gap()) }()
	r := state.NewReading(&m.cp.Delivered)
	var flight []modelPage
	land := func(n int) {
		for _, p := range flight[:n] {
			m.cp.Delivered.Add(p.marks)
			m.cp.Progress = p.progress
			r.Forget(m.cp.Delivered.Forget(m.cp.DeliveredUntil - m.overlap.Milliseconds()))
			if over := m.cp.Delivered.Len() - m.room; m.room > 0 && over > 0 { // as state.Checkpoint.Fit does
				r.Forget(m.cp.Delivered.Forget(m.cp.Delivered.Since(0)[min(over+m.room/8, m.cp.Delivered.Len()-1)].At))
			}
		}
		flight = flight[n:]
		m.check()
	}
	m.until = m.cp.DeliveredUntil
	for !w.Done() {
		if m.calls++; m.calls > 3*len(m.records)+20 {
			m.fail("no end")
			return errors.New("no end")
		}
		if m.jumps && m.oneIn(3) {
			m.skew = time.Duration(m.Int64N(int64(8*time.Minute))) - 4*time.Minute
		}
		if m.edge && m.oneIn(3) {
			m.now = m.now.Add(time.Duration(m.Int64N(int64(8 * time.Minute))))
		} else if m.oneIn(10) {
			m.now = m.now.Add(time.Duration(m.Int64N(int64(time.Minute))))
		}
		c := w.Call(m.clock())
		page, cursor, unreadable, total := m.answer(c)
		facts, marks, fresh := m.take(w, r, c, page, cursor, unreadable, total)
		span := w.Span()
		step := w.Advance(facts, m.clock())
		if *modelSeed != 0 {
			var names []string
			for _, r := range page {
				names = append(names, fmt.Sprintf("%s@%d", r.name(), r.at-epoch))
			}
			m.say("  call %d %q: %d records (%d new), cursor %q, total %d: %v; step %+v, until %d", c.Mintime-epoch, c.Cursor, len(page), len(fresh), cursor, total, names, step, w.progress.DeliveredUntil-epoch)
		}
		if errors.Is(step.Err, ErrForgotten) {
			land(len(flight))
			if !m.tricked && len(page) > 1 { // what a single one tells could be true
				m.fail("blamed: %v", step.Err)
			}
			return step.Err
		}
		if step.SteppedOver != 0 && m.together() < m.most && !m.tricked {
			late := slices.ContainsFunc(m.records, func(r *modelRecord) bool { return r.visible > m.start.UnixMilli() && r.visible <= m.now.UnixMilli() })
			if !late {
				m.fail("false: stepped over %d", step.SteppedOver-epoch)
			}
		}
		for _, rec := range fresh {
			if rec.at >= m.low || !rec.bare {
				m.news = true
			}
			m.delivered[rec.name()]++
			if most := m.count(rec.name(), m.now.UnixMilli()); m.delivered[rec.name()] > most && !m.broken && !(m.tricked && rec.bare) && !rec.odd && !(m.room > 0 && m.sliced) {
				m.fail("%s@%d is delivered again", rec.name(), rec.at-epoch)
			}
		}
		flight = append(flight, modelPage{w.Progress(), marks})
		if w.Done() || w.Span() != span {
			m.given = nil
		}
		if !m.ragged || m.oneIn(2) {
			land(len(flight))
		}
		if step.Err != nil {
			land(len(flight))
			if !m.tricked {
				m.fail("blamed: %v", step.Err)
			}
			return step.Err
		}
		if m.ragged && m.oneIn(30) {
			m.broken = m.broken || len(flight) > 0
			return errors.New("cut")
		}
	}
	land(len(flight))
	if g := w.Gap(); g != (Gap{}) && (g.To > m.edgeOf()+inside.Milliseconds()+m.rules.Unit || g.From < m.until || g.From > g.To) {
		m.fail("false: a gap from %d to %d", g.From-epoch, g.To-epoch)
	}
	if m.edge {
		m.gone(w.Gap())
		return nil
	}
	m.due("the run is done, and", func(r *modelRecord) bool {
		return r.visible <= m.start.UnixMilli() && r.at >= m.low && r.at <= end-end%m.rules.Unit && !m.mayEnd() && !(m.tricked && m.trick == "deaf")
	})
	return nil
}

// gone checks that nobody is silent about what is gone.
func (m *model) gone(now Gap) {
	for _, r := range m.records {
		if r.at >= m.until && r.visible <= m.start.UnixMilli() && r.at < m.edgeOf()+inside.Milliseconds() && !r.bare && r.gone == 0 && r.of == 0 && m.delivered[r.name()] == 0 &&
			!slices.ContainsFunc(append(m.gaps, now), func(g Gap) bool { return g.From <= r.at && r.at <= g.To }) {
			m.fail("%s@%d is gone, and nobody says so", r.name(), r.at-epoch)
			return
		}
	}
}

// mayEnd tells that a run without news may end early: pages are cut short, and nothing
// tells.
func (m *model) mayEnd() bool {
	if m.most == m.rules.Limit && !m.varies {
		return false
	}
	if m.total == "right" && m.rules.Paging == Cursor {
		return false
	}
	return !m.news
}

func (m *model) count(name string, at int64) (n int) {
	for _, r := range m.records {
		if r.name() == name && r.visible <= at {
			n++
		}
	}
	return n
}

func (m *model) due(what string, of func(*modelRecord) bool) {
	n := map[string]int{}
	for _, r := range m.records {
		if of(r) && (r.gone == 0 || r.gone > m.now.UnixMilli()) && !(m.rules.Paging == Earliest && m.crowded(r.at)) {
			n[r.name()]++
			if n[r.name()] > m.delivered[r.name()] {
				m.fail("%s %s@%d is not delivered", what, r.name(), r.at-epoch)
				return
			}
		}
	}
}

// crowded tells that a second has as many records as a page.
func (m *model) crowded(at int64) bool {
	n := 0
	for _, r := range m.records {
		if r.at == at {
			n++
		}
	}
	return n >= m.most || m.varies && n > last
}

// check checks what counts.
func (m *model) check() {
	m.due("the checkpoint lies ahead:", func(r *modelRecord) bool {
		return m.cp.DeliveredUntil > m.until && r.visible <= m.start.UnixMilli() && r.at >= m.low && r.at < m.cp.DeliveredUntil && !m.edge
	})
}

func (m *model) play() {
	began := epoch - Lag.Milliseconds() - pick(m, 0, time.Minute, time.Hour, 48*time.Hour).Milliseconds()
	if m.edge {
		began = Oldest(m.now)
	}
	began -= began % m.rules.Unit
	m.cp = &state.Checkpoint{Progress: state.Progress{Began: began, DeliveredUntil: began}}
	id := state.ID{IKey: "I", Endpoint: "auth"}
	for range 6 {
		err := m.run()
		m.say("  ended: %v", err)
		if len(m.fails) > 0 {
			return
		}
		data, err := m.cp.Encode(id)
		if err == nil {
			m.cp = new(state.Checkpoint)
			err = m.cp.Decode(data, id)
		}
		if err != nil {
			m.fail("%v", err)
			return
		}
		m.now = m.now.Add(time.Duration(m.Int64N(int64(pick(m, time.Minute, 20*time.Minute, 3*time.Hour, 30*time.Hour)))))
	}
}

// Whatever Duo's log looks like, and however it misleads: each run ends, what counts
// is delivered, nothing is delivered twice without a reason, and no warning is false.
func TestModel(t *testing.T) {
	if *modelSeed != 0 {
		m := newModel(*modelSeed)
		m.play()
		t.Logf("%d records, overlap %v, %+v, most %d, varies %v, total %q, no cursor at the end %v, odd texts %v, at the edge %v, room for %d, ragged %v, jumps %v, trick %q from %d\n%s",
			len(m.records), m.overlap, m.rules, m.most, m.varies, m.total, m.lastNull, m.texts, m.edge, m.room, m.ragged, m.jumps, m.trick, m.from, strings.Join(m.story, "\n"))
		if len(m.fails) > 0 {
			t.Fail()
		}
		return
	}
	for seed := range *modelCount {
		m := newModel(seed + 1)
		m.play()
		if len(m.fails) > 0 {
			t.Errorf("seed %d (again: go test ./job/window -run Model -model %d): %s", seed+1, seed+1, m.fails[0])
		}
	}
}
