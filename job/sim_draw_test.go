package job_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"dls/cef"
	"dls/job"
	"dls/job/config"
	"dls/job/duo"
)

// A scenario is all that is drawn from one seed before its first run: the streams and
// their records, how Duo shows them, the servers, and the runs with their troubles.
// Time in a scenario begins at simEpoch, as it does in every bubble of testing/synctest.
type scenario struct {
	seed    uint64
	msp     bool
	crowd   bool // many child accounts, whose calls Duo counts together
	servers []*simServerPlan
	streams []*simStream
	offset  time.Duration
	begin   time.Duration // from the epoch to the first run
	runs    []*simRun
	refuses bool           // Duo refuses a mintime from before its retention
	cef     *cef.Formatter // nil where lines are JSON
	audit   bool           // a run looks once a day for what Duo showed late
}

// simEpoch is 2000-01-01, in milliseconds since 1970.
const simEpoch = 946_684_800_000

// simBegin is how long after the epoch scenarios begin: when times have thirteen digits, as
// they have today, those of half a year before too.
const simBegin = 3 * 365 * 24 * time.Hour

const simHost = "api-parent.duosecurity.com"

// simServerPlan is one server as drawn.
type simServerPlan struct {
	id       string
	protocol config.Protocol
	settle   time.Duration
	refuses  bool // it refuses some records for good
	most     int  // the longest record that it takes, or 0
}

// takes tells whether the server takes a line.
func (p *simServerPlan) takes(line string) bool {
	return !(p.refuses && marked(line, 7) || p.most > 0 && len(line)-1 > p.most)
}

// simStream is one endpoint of one account.
type simStream struct {
	endpoint *duo.Endpoint // with a limit of its own
	account  string
	host     string
	servers  []int
	records  []*simRecord // in Duo's order
	kinds    []*simKind   // what is told apart of them
	shape    simShape
	cef      *cef.Formatter
	idless   bool // some of its records have no id
	texts    bool // some of its records tell a time that is not theirs

	pace *simPace // its own, or that of all accounts

	open     []*simDelivery // those of which nobody knows yet whether they count
	files    []*simDelivery // the same of files
	version  int            // counts its checkpoints
	reading  int            // counts how often Duo was asked from the beginning of a window
	struck   int            // the reading that a fault struck last
	waited   time.Time      // when a session failed last that a page may have waited for
	struckBy string
}

func (s *simStream) name() string {
	if s.account == "" {
		return s.endpoint.Name
	}
	return s.endpoint.Name + " of " + s.account
}

// simShape is how Duo shows a stream for good: all of it within what it documents, or
// no reason to lose a record.
type simShape struct {
	cap      int    // the most records of a page; 0: what is asked for
	varies   bool   // from page to page, from half of cap on
	total    string // of total_objects: "right", "page", "zero", "null", "absent", "object", "text"
	lastNull bool   // no cursor on the last page with records
	array    bool   // the cursor as a list of two texts
	mixed    bool   // records of a page in any order
	compact  bool   // no spaces between what is not of a record
	limit    int    // calls a minute, 0: no limit
	fixed    bool   // whole minutes, not any sixty seconds
	attempts bool   // refused calls count, too
	ok       bool   // refusals have status 200 and code 42901
	after    bool   // and say when to come again
	shared   bool   // the limit is of all accounts together
}

// simPace is what Duo counts for a limit.
type simPace struct {
	counted []time.Time // the calls
}

// simRecord is one record that Duo has.
type simRecord struct {
	at      int64  // Duo's time for it, of the endpoint's unit
	id      string // tells it from the others of the same time, in cursors
	raw     string
	visible int64 // when Duo shows it first, by its own clock
	gone    int64 // when another version takes its place; 0: never
	odd     bool  // its text does not tell its time
	silent  bool  // nor does any other of its members
	noID    bool
	shares  bool // others have its id and its time, and are versions of it to dls
	kind    *simKind
	shown   simShown // last
}

// simShown is when Duo has shown a record: in which answer of the run, counted from 1, and
// in which reading.
type simShown struct {
	at              time.Time
	answer, reading int
}

// simKind is records that cannot be told apart: one record with an id, or equal ones
// without.
type simKind struct {
	stream  *simStream
	line    string // as a server must get it
	counted bool   // each of the records is due, not one
	records []*simRecord
	exempt  string                    // why nobody can prove that it is delivered, or ""
	sent    [][]*simDelivery          // by server
	kept    map[string][]*simDelivery // by file, the times it was put there because a server does not take it
}

// simRun is one run as drawn.
type simRun struct {
	gap        time.Duration // since the run before
	overlap    time.Duration
	parallel   int
	maxRuntime time.Duration
	retryFor   time.Duration
	endpoints  []string
	shard      job.Shard
	skew       time.Duration // of Duo's clock ahead of this machine's

	kill     int           // the step before which the process is killed, 0: not
	term     time.Duration // after which it is told to stop, 0: not
	duo      int           // in a thousand calls, how many fail
	hard     bool          // some of them for good
	tricks   map[*simStream]*simTrick
	servers  []simServerTrouble
	store    int                   // in a thousand steps, how many fail
	rot      map[*simStream]string // what became of its checkpoint before the run: "cut", "gone", "old"
	children bool                  // the list of child accounts has odd entries

	twin    time.Duration // after which another run begins, while this one is at work; 0: none
	doubled bool          // both were at work at once
}

// trouble tells whether anything may go wrong in the run.
func (r *simRun) trouble() bool {
	return r.doubled || r.kill > 0 || r.term > 0 || r.duo > 0 || len(r.tricks) > 0 || r.store > 0 || len(r.rot) > 0 ||
		r.skew.Abs() > 4*time.Minute || slices.ContainsFunc(r.servers, func(s simServerTrouble) bool { return s != simServerTrouble{} })
}

// simServerTrouble is what is wrong with a server in a run.
type simServerTrouble struct {
	sessions int           // in a thousand, how many fail in one way or another
	down     time.Duration // from the beginning of the run
	poison   bool          // a record that it breaks down over is poison
	late     bool          // it answers late, but does
}

// simTrick is how Duo misleads in a run, from a call of the stream on.
type simTrick struct {
	kind string // "circle", "turns", "back", "repeat", "same", "blank", "outside", "swapped", "ahead"
	from int
}

// swaps tells whether each second page comes before the one whose place it has. The
// cursors of "swapped" tell before which time all is shown, those of "ahead" the latest
// time that was shown.
func (t *simTrick) swaps() bool { return t != nil && (t.kind == "swapped" || t.kind == "ahead") }

// dice draws.
type dice struct{ *rand.Rand }

// dicing returns dice that depend on the seed and on what they are for, not on what
// was drawn before.
func dicing(seed uint64, what ...any) dice {
	h := fnv.New64a()
	fmt.Fprint(h, what...)
	return dice{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

func (d dice) oneIn(n int) bool            { return d.IntN(n) == 0 }
func (d dice) permille(n int) bool         { return d.IntN(1000) < n }
func (d dice) between(least, most int) int { return least + d.IntN(most-least+1) }

func (d dice) time(least, most time.Duration) time.Duration {
	return least + time.Duration(d.Int64N(int64(most-least)+1))
}

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// draw makes the scenario of a seed.
func draw(seed uint64) *scenario {
	d := dicing(seed, "scenario")
	sc := &scenario{seed: seed, msp: d.oneIn(4), refuses: d.oneIn(2)}
	for i := range d.between(1, 2) {
		p := &simServerPlan{id: fmt.Sprintf("server%d", i+1), settle: pick(d, 0, time.Second, 5*time.Second), refuses: d.oneIn(8)}
		p.protocol = pick(d, config.TCP, config.TCP, config.RELP, config.UDP)
		if d.oneIn(4) {
			p.most = 300
		}
		sc.servers = append(sc.servers, p)
	}
	if d.oneIn(4) {
		sc.cef = cef.New("sim")
		sc.cef.Bare = true
	}
	sc.offset = pick(d, 0, time.Hour, 24*time.Hour, 72*time.Hour, 180*24*time.Hour)
	sc.begin = simBegin + d.time(0, 48*time.Hour)
	span := sc.drawRuns(d)
	sc.crowd = sc.msp && dicing(seed, "crowd").oneIn(8)
	accounts := []string{""}
	if sc.msp {
		accounts = accounts[:0]
		n := d.between(1, 4)
		if sc.crowd {
			n = dicing(seed, "crowd").between(10, 20)
		}
		for i := range n {
			accounts = append(accounts, fmt.Sprintf("DACHILD%d", i+1))
		}
	}
	rows := duo.All()
	if sc.msp {
		rows = slices.DeleteFunc(slices.Clone(rows), func(r *duo.Endpoint) bool { return !r.MSP })
	}
	rows = slices.DeleteFunc(slices.Clone(rows), func(r *duo.Endpoint) bool { return sc.cef != nil && r.CEF == "" })
	d.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for _, row := range rows[:d.between(1, min(len(rows), 3))] {
		own := *row
		own.Limit = pick(d, 20, 50, 100, row.Limit)
		var servers []int
		for i := range sc.servers {
			if len(servers) == 0 && i == len(sc.servers)-1 || d.oneIn(2) {
				servers = append(servers, i)
			}
		}
		var shared *simStream // the one whose limit is that of all accounts
		for i, account := range accounts {
			s := &simStream{endpoint: &own, account: account, host: simHost, servers: servers, cef: sc.cef, pace: new(simPace)}
			if account != "" {
				s.host = "api-" + strings.ToLower(account) + ".duosecurity.com"
			}
			sc.streams = append(sc.streams, s)
			s.draw(dicing(seed, "stream", s.name()), sc, span, shared)
			if s.shape.limit > 0 && i == 0 && len(accounts) > 1 && (d.oneIn(2) || sc.crowd) {
				shared, s.shape.shared = s, true
			}
		}
	}
	sc.audit = dicing(seed, "audit").oneIn(4)
	shares := dicing(seed, "shares")
	n := 0
	if sc.msp && shares.oneIn(4) {
		n = shares.between(1, 3)
	}
	for i, r := range sc.runs {
		sc.drawTricks(dicing(seed, "tricks", i), r)
		if twin := dicing(seed, "twin", i); len(r.tricks) == 0 && twin.oneIn(5) {
			r.twin = twin.time(time.Millisecond, pick(twin, time.Second, 10*time.Second, time.Minute))
		}
		if n > 0 && !shares.oneIn(4) {
			r.shard = job.Shard{K: shares.IntN(n), N: n}
		}
		if rot := dicing(seed, "rot", i); r.servers != nil && i > 0 && rot.oneIn(6) {
			r.rot = map[*simStream]string{pick(rot, sc.streams...): pick(rot, "cut", "gone", "old")}
		}
	}
	return sc
}

// drawRuns draws the runs in which something may go wrong, and returns how long they
// take, about. The clean ones at the end are not drawn.
func (sc *scenario) drawRuns(d dice) (span time.Duration) {
	overlap := pick(d, 0, time.Minute, 10*time.Minute, 10*time.Minute, time.Hour, 24*time.Hour)
	calm := d.oneIn(5)     // nothing goes wrong in any run
	hurried := d.oneIn(12) // no run has the time for all streams
	sc.msp = sc.msp || hurried
	for i := range d.between(1, 6) {
		r := &simRun{
			gap: d.time(time.Minute, 20*time.Minute), overlap: overlap, parallel: d.between(1, 8),
			retryFor: pick(d, 0, time.Minute, 20*time.Minute, 2*time.Hour),
		}
		if d.oneIn(6) {
			r.gap = d.time(time.Hour, 48*time.Hour)
		}
		if d.oneIn(60) {
			r.gap = d.time(150*24*time.Hour, 200*24*time.Hour)
		}
		if i == 0 {
			r.gap = 0
		}
		if d.oneIn(6) {
			r.overlap = pick(d, 0, time.Minute, 10*time.Minute, time.Hour, 24*time.Hour)
		}
		if !calm {
			if d.oneIn(8) {
				r.maxRuntime = d.time(time.Second, pick(d, 5*time.Second, 5*time.Minute))
			}
			if hurried {
				r.maxRuntime, r.parallel = d.time(500*time.Millisecond, 4*time.Second), d.between(1, 2)
			}
			if d.oneIn(8) {
				r.endpoints = []string{"?"} // one of those drawn
			}
			if d.oneIn(5) {
				r.skew = d.time(-4*time.Minute, 4*time.Minute)
			}
			r.children = d.oneIn(5)
			sc.drawTroubles(d, r)
		}
		span += r.gap
		sc.runs = append(sc.runs, r)
	}
	return span
}

// drawTroubles draws what goes wrong in a run.
func (sc *scenario) drawTroubles(d dice, r *simRun) {
	if d.oneIn(3) {
		return
	}
	if d.oneIn(3) {
		r.kill = 1 + int(d.ExpFloat64()*30)
	}
	if d.oneIn(12) {
		r.term = d.time(0, time.Minute)
	}
	if d.oneIn(2) {
		r.duo = pick(d, 20, 100, 400)
		r.hard = d.oneIn(3)
	}
	if d.oneIn(3) {
		r.store = pick(d, 20, 100, 300)
	}
	if d.oneIn(25) {
		r.skew = pick(d, -40*24*time.Hour, -2*time.Hour, -10*time.Minute, 10*time.Minute, 3*time.Hour)
	}
	r.servers = make([]simServerTrouble, len(sc.servers))
	for i := range r.servers {
		if d.oneIn(3) {
			r.servers[i].sessions = pick(d, 50, 200, 600)
		}
		if d.oneIn(10) {
			r.servers[i].down = d.time(0, 30*time.Minute)
		}
		r.servers[i].poison = d.oneIn(6)
		r.servers[i].late = d.oneIn(4)
	}
}

// drawTricks draws how Duo misleads in a run.
func (sc *scenario) drawTricks(d dice, r *simRun) {
	if r.endpoints != nil {
		r.endpoints = []string{pick(d, sc.streams...).endpoint.Name}
	}
	if r.servers == nil || !d.oneIn(3) { // only where there are troubles
		return
	}
	r.tricks = map[*simStream]*simTrick{}
	for _, s := range sc.streams {
		if d.oneIn(3) {
			continue
		}
		kind := pick(d, "circle", "back", "repeat", "same", "blank", "outside", "swapped", "ahead")
		switch {
		case s.endpoint.Cursor == duo.Mintime:
			kind = "repeat"
		case s.endpoint.Cursor == duo.Offset && (kind == "outside" || kind == "swapped" || kind == "ahead"):
			kind = "circle"
		case (s.texts || s.shape.varies || s.least() < 16) && s.endpoint.Cursor != duo.Offset && (kind == "blank" || kind == "same" || kind == "circle"):
			kind = "repeat" // without a cursor, only what records tell is left
		}
		if kind == "circle" && dicing(sc.seed, "turns", r.gap, s.name()).oneIn(2) {
			kind = "turns"
		}
		r.tricks[s] = &simTrick{kind: kind, from: d.between(1, 4)}
	}
}

// draw draws the records of a stream and how Duo shows them, around the runs of the
// scenario, which last for span.
func (s *simStream) draw(d dice, sc *scenario, span time.Duration, shared *simStream) {
	sh := &s.shape
	if d.oneIn(2) {
		sh.cap = pick(d, 7, 20, 45)
		if s.endpoint.Cursor == duo.Mintime {
			sh.cap = max(sh.cap, 20) // the last 16 of a page tell where the next begins
		}
		sh.varies = d.oneIn(3) && s.endpoint.Cursor != duo.Mintime // without a cursor nobody could tell
	}
	sh.total = pick(d, "right", "right", "page", "zero", "null", "absent", "object", "text")
	sh.lastNull, sh.array, sh.mixed, sh.compact = d.oneIn(3), d.oneIn(2), d.oneIn(6), d.oneIn(2)
	sh.mixed = sh.mixed && !sh.lastNull && s.endpoint.Cursor == duo.NextOffset
	if d.oneIn(4) || sc.crowd {
		sh.limit = pick(d, 1, 2, 5, 10)
		sh.fixed, sh.attempts, sh.ok, sh.after = d.oneIn(2), d.oneIn(3), d.oneIn(4), d.oneIn(4)
		sh.after = sh.after && !sh.ok
	}
	if shared != nil {
		as := shared.shape
		sh.limit, sh.fixed, sh.attempts, sh.ok, sh.after, sh.shared = as.limit, as.fixed, as.attempts, as.ok, as.after, true
		s.pace = shared.pace
	}
	s.idless = s.endpoint.Cursor != duo.Offset && (len(s.endpoint.ID) == 0 || d.oneIn(4))
	switch s.endpoint.Cursor {
	case duo.NextOffset:
		s.texts = d.oneIn(4)
	case duo.Mintime:
		s.texts = d.oneIn(2) && s.least() >= 45
	}
	sh.lastNull = sh.lastNull && !(s.texts && s.endpoint.Cursor == duo.NextOffset) // where the last record tells no time, nobody could tell the end
	start := simEpoch + sc.begin.Milliseconds()
	if oldest := start - simRetention.Milliseconds(); sc.offset >= simRetention && d.oneIn(3) {
		for range d.between(1, 20) { // where Duo is about to forget them
			s.addRecord(d, s.whole(oldest+(10*time.Minute).Milliseconds()+d.Int64N((20*time.Minute).Milliseconds())))
		}
	}
	s.drawRecords(d, sc.crowd, start, span.Milliseconds()+(2*time.Hour).Milliseconds())
	sh.lastNull = sh.lastNull && s.together() < s.least() // else nobody could tell the end
	s.exempt()
}

// together is the most records of one time.
func (s *simStream) together() (most int) {
	n := map[int64]int{}
	for _, r := range s.records {
		n[r.at]++
		most = max(most, n[r.at])
	}
	return most
}

// drawRecords draws records from two hours (or more) before the first run on.
func (s *simStream) drawRecords(d dice, crowd bool, start, span int64) {
	from := start - pick(d, 10*time.Minute, 2*time.Hour, 30*time.Hour).Milliseconds()
	n := len(s.records) + pick(d, 0, 3, 30, 100, 100, 300)
	if s.texts && s.endpoint.Cursor == duo.Mintime {
		n = len(s.records) + 300 // several pages, where what a text tells could lead astray
	}
	if sh := s.shape; sh.limit > 0 {
		n = min(n, 60) // else it takes days
	}
	if crowd {
		n = min(n, 20)
	}
	for len(s.records) < n {
		at := from + d.Int64N(span+start-from)
		switch {
		case len(s.records) > 0 && d.oneIn(4): // near another, as people come to work together
			at = pick(d, s.records...).at + d.Int64N(3000)
		case len(s.records) > 0 && d.oneIn(8): // at the same time as another
			at = pick(d, s.records...).at
		}
		for range pick(d, 1, 1, 1, 1, d.between(2, 9)) {
			s.addRecord(d, s.whole(at))
		}
	}
	slices.SortStableFunc(s.records, func(a, b *simRecord) int { return a.compare(b.at, b.id) })
}

// whole is a time in whole units of the endpoint's.
func (s *simStream) whole(at int64) int64 {
	return at - at%s.endpoint.AskUnit.Duration().Milliseconds()
}

// addRecord adds a record, or several that have much in common.
func (s *simStream) addRecord(d dice, at int64) {
	n := len(s.records)
	r := &simRecord{at: at, id: fmt.Sprintf("%08x-%04d", d.Uint32(), n), visible: at + 2*time.Minute.Milliseconds()}
	switch {
	case d.oneIn(20):
		r.visible += d.Int64N((9 * time.Minute).Milliseconds())
	case d.oneIn(60):
		r.visible += d.Int64N((30 * time.Hour).Milliseconds())
	}
	told := s.told(d, r)
	id := fmt.Sprintf("%q", r.id)
	if s.idless && d.oneIn(3) {
		id = pick(d, "null", `""`, `"7"`) // 7 is an id of all of them
	}
	r.shares = id == `"7"`
	r.noID = len(s.endpoint.ID) == 0 || id == "null" || id == `""`
	r.raw = s.raw(d, r, id, told, n)
	s.records = append(s.records, r)
	add := func(raw string, visible int64) {
		again := *r
		again.id += fmt.Sprintf(".%d", len(s.records))
		again.raw, again.visible = raw, visible
		s.records = append(s.records, &again)
	}
	switch {
	case d.oneIn(30): // other versions of the same id and time
		for i := range d.between(1, 3) {
			r.shares = true
			add(s.raw(d, r, id, told, 100_000*(i+1)+n), r.visible)
		}
	case d.oneIn(40) && !r.odd: // a version that takes the place of the first
		r.shares = true
		r.gone = r.visible + d.Int64N((20 * time.Minute).Milliseconds())
		add(s.raw(d, r, id, told, 500_000+n), r.gone)
	case d.oneIn(30): // equal records
		for range d.between(1, 3) {
			add(r.raw, r.visible)
		}
	}
}

// told are the values of the members that tell the time.
func (s *simStream) told(d dice, r *simRecord) []string {
	exact := time.UnixMilli(r.at).UTC().Add(time.Duration(d.IntN(1000)) * time.Microsecond)
	text := fmt.Sprintf("%q", exact.Format("2006-01-02T15:04:05.000000+00:00"))
	number := fmt.Sprint(r.at / s.endpoint.TimeUnit.Duration().Milliseconds())
	if s.texts && d.oneIn(15) {
		r.odd = true
		odd := pick(d, `"soon"`, "null", `""`, "-5", `"0001-01-01T00:00:00Z"`,
			fmt.Sprintf("%q", exact.Add(pick(d, time.Second, time.Minute, time.Hour, 10*time.Hour, 40*24*time.Hour)).Format(time.RFC3339)),
			fmt.Sprintf("%q", exact.Add(-pick(d, time.Second, 10*time.Hour, 40*24*time.Hour)).Format(time.RFC3339)))
		text, r.silent = odd, len(s.endpoint.Times) == 1
		if d.oneIn(2) {
			number, r.silent = odd, true
		}
	}
	if s.endpoint.Cursor == duo.Mintime {
		text = pick(d, text, fmt.Sprintf("%q", exact.Format("2006-01-02T15:04:05+00:00")))
		return []string{number, text}
	}
	if s.endpoint.TimeUnit == duo.Milliseconds && s.endpoint.Cursor == duo.Offset {
		return []string{number}
	}
	return []string{text, number}
}

// raw is a record as Duo sends it, in the form in which duologsync writes it.
func (s *simStream) raw(d dice, r *simRecord, id string, told []string, n int) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range s.endpoint.ID {
		value := id
		if i > 0 {
			value = fmt.Sprintf(`"second-%d"`, n%3)
		}
		if value != "null" || n%2 == 0 {
			fmt.Fprintf(&b, `"%s": %s, `, name, value)
		}
	}
	for i, name := range s.endpoint.Times {
		fmt.Fprintf(&b, `"%s": %s, `, name, told[i])
	}
	if len(s.endpoint.ID) == 0 && !r.odd {
		n %= 4 // so that there are equal ones
	}
	filler := ""
	if n%32 == 1 {
		filler = strings.Repeat("long ", 50)
	}
	if s.cef != nil { // what the line is made of
		fmt.Fprintf(&b, map[string]string{
			"auth": `"event_type": "v%d .%s", `, "telephony": `"phone": "v%d .%s", `, "adminaction": `"description": "v%d .%s", `,
			"activity": `"target": {"details": "v%d .%s"}, `,
		}[s.endpoint.Name], n, filler)
	} else if filler != "" {
		fmt.Fprintf(&b, `"filler": "%s", `, filler)
	}
	fmt.Fprintf(&b, `"text": "%s", "n": %d}`, pick(d, "", "plain", `caf\u00e9`, `\"metadata\": {\"next_offset\": \"1,2\"}`, `a\nb`), n)
	return b.String()
}

// marked tells whether a line is of a record of the number.
func marked(line string, n int) bool {
	return strings.Contains(line, fmt.Sprintf(`"n": %d}`, n)) || strings.Contains(line, fmt.Sprintf(`"n": %d,`, n)) || strings.Contains(line, fmt.Sprintf("=v%d .", n))
}

// line is the line that a server must get of a record; of one of CEF, what is behind the
// prefix.
func (s *simStream) line(raw string) string {
	if s.cef != nil {
		line, err := s.cef.Append(nil, cef.For(s.endpoint.CEF), []byte(raw), s.account)
		if err != nil {
			panic(err)
		}
		return string(line)
	}
	raw = strings.TrimSuffix(raw, "}")
	switch {
	case s.account != "":
		return fmt.Sprintf("%s, \"child_account_id\": \"%s\"}\n", raw, s.account)
	case s.endpoint.Name == "auth":
		return raw + `, "eventtype": "authentication", "host": "` + simHost + "\"}\n"
	case s.endpoint.Name == "adminaction":
		return raw + `, "eventtype": "administrator", "host": "` + simHost + "\"}\n"
	}
	return raw + "}\n"
}

// exempt finds what can be told apart, and what no client could prove.
func (s *simStream) exempt() {
	kinds := map[string]*simKind{}
	second := map[int64]int{}
	for _, r := range s.records {
		k := kinds[r.raw]
		if k == nil {
			k = &simKind{stream: s, line: s.line(r.raw), counted: r.noID}
			kinds[r.raw] = k
			s.kinds = append(s.kinds, k)
		}
		k.records = append(k.records, r)
		r.kind = k
		second[r.at]++
	}
	if s.endpoint.Cursor != duo.Mintime {
		return
	}
	for _, r := range s.records {
		if second[r.at] >= s.least() {
			r.kind.exempt = "more administrator records in one second than a page shows"
		}
	}
}

// least is the smallest page that is cut.
func (s *simStream) least() int {
	n := s.endpoint.Limit
	if s.shape.cap > 0 {
		n = min(n, s.shape.cap)
	}
	if s.shape.varies {
		n = (n + 1) / 2
	}
	return n
}

// compare compares a record's place in Duo's order.
func (r *simRecord) compare(at int64, id string) int {
	switch {
	case r.at != at && r.at < at:
		return -1
	case r.at != at:
		return 1
	}
	return strings.Compare(r.id, id)
}
