package job_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/window"
	"dls/sinks"
	"dls/state"
)

// simTurn is a stream in one run: what Duo has shown of it, and what it began with.
type simTurn struct {
	name   string
	stream *simStream // nil for the list of child accounts

	calls, refused, failed int
	answers                int
	asked                  int64     // the last mintime
	barred                 time.Time // until when Duo has said not to call
	arrived                [2]int    // by server, the last page that came
	given                  []string  // cursors, in order
	places                 map[string]place
	repeated               []*simRecord
	snapshot               [2][]*simRecord        // by run, where there are two at once
	shown                  [2]map[*simRecord]bool // the same
	before                 map[*simRecord]bool    // of those shown: by earlier runs, too
	passed                 map[*simRecord]bool    // cursors went past them before they were shown
	since                  int64                  // the mintime of the call that brought what is repeated
	circle                 simCircle
	tricked, blank, tooOld bool
	rotten                 string           // what became of its checkpoint, where that must be noticed, or ""
	doubts                 map[simDoubt]int // records that came again and may have
	overtaken              bool             // a write of an earlier run landed in the middle of this one
	disturbed              string           // why what was delivered in the run may not count, or ""
	sessions               int              // that failed and carried something of it

	loaded bool
	turned time.Time // when its turn began
	saved  time.Time // when its checkpoint was saved last
	until  int64     // the checkpoint's, or where the stream began
	low    int64     // from where on the run must have what Duo shows
	looked int64
	known  int   // records delivered from the overlap on
	sliced bool  // the overlap holds more than one call shows
	began  int64 // Duo's time when the run began
	end    int64 // of the window
	blamed bool  // a violation is enough
}

func (t *simTurn) failedCall(sim *simulation) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	t.failed++
}

// turn returns what is known of a stream in the run under way.
func (sim *simulation) turn(s *simStream) *simTurn {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	return sim.turnOf(s)
}

func (sim *simulation) turnOf(s *simStream) *simTurn {
	t := sim.turns[sim.run][s]
	if t == nil {
		t = &simTurn{name: "the list of accounts", stream: s, places: map[string]place{}, passed: map[*simRecord]bool{}}
		t.shown = [2]map[*simRecord]bool{{}, {}}
		t.began, t.end = simDuo{sim: sim}.now(), sim.start.Add(-window.Lag).UnixMilli()
		if s != nil {
			t.name = s.name()
		}
		sim.turns[sim.run][s] = t
	}
	return t
}

// loaded notes the checkpoint with which a stream begins: it decides what the run
// owes.
func (sim *simulation) loaded(id state.ID, cp *state.Checkpoint) {
	s := sim.find(id.Endpoint, id.Account)
	if s == nil {
		return
	}
	t := sim.turnOf(s)
	if t.loaded {
		return // for the audit
	}
	t.loaded, t.turned = true, time.Now()
	start := sim.start.UnixMilli()
	if cp == nil {
		t.until = max(start-sim.back().Milliseconds(), start-(simRetention-window.Margin).Milliseconds())
		if left := sim.takeover(s); left != nil {
			t.until = left.from
		}
		t.low = t.until
		sim.note("%s begins at %s", s.name(), sim.clock(t.low))
		return
	}
	t.until, t.looked = cp.DeliveredUntil, cp.LookedUntil
	t.low = max(cp.DeliveredUntil-sim.plan.overlap.Milliseconds(), cp.Began, min(cp.Delivered.RememberedSince(), cp.DeliveredUntil))
	t.known = len(cp.Delivered.Since(t.low))
	if t.known > s.endpoint.Limit-1 { // the overlap is read in slices
		t.low, t.sliced = cp.DeliveredUntil, true
	}
	sim.note("%s has delivered until %s, and owes from %s on (known %d, reread from %s, pages %+v)", s.name(), sim.clock(t.until), sim.clock(t.low), t.known, sim.clock(cp.RereadFrom), cp.Pages)
}

// owed tells whether the run owes a record: Duo showed it all the time, in the run's
// window.
func (sim *simulation) owed(t *simTurn, r *simRecord) bool {
	unit := t.stream.endpoint.AskUnit.Duration().Milliseconds()
	return t.loaded && r.visible <= t.began && r.at >= t.low && r.at <= t.end-t.end%unit && sim.kept(t, r)
}

// kept tells whether Duo still shows a record.
func (sim *simulation) kept(t *simTurn, r *simRecord) bool {
	now := simDuo{sim: sim}.now()
	return (r.gone == 0 || r.gone > now) && r.at > max(now, time.Now().UnixMilli())-(simRetention-t.margin()).Milliseconds()
}

// margin is how far within Duo's retention records may be passed over: further where
// Duo's clock is ahead, and calls were refused because of it.
func (t *simTurn) margin() time.Duration {
	if t.tooOld {
		return 24 * time.Hour
	}
	return 2 * time.Minute
}

// due counts, for each kind of a stream, the records of which it tells that they are
// due, and calls missing for those that are not confirmed as often.
func (sim *simulation) due(s *simStream, of func(*simRecord) bool, missing func(r *simRecord)) {
	for _, k := range s.kinds {
		if k.exempt != "" {
			continue
		}
		n, last := 0, (*simRecord)(nil)
		for _, r := range k.records {
			if of(r) {
				n, last = n+1, r
			}
		}
		if n > 1 && !k.counted {
			n = 1
		}
		for _, i := range s.servers {
			if n > 0 && k.confirmed(i) < n && !(!sim.scenario.servers[i].takes(k.line) && len(k.kept) > 0) {
				missing(last)
				return
			}
		}
	}
}

func (k *simKind) confirmed(server int) (n int) {
	if k.sent == nil {
		return 0
	}
	for _, d := range k.sent[server] {
		if !d.session.confirmed.IsZero() {
			n++
		}
	}
	return n
}

// committed checks a checkpoint that counts from now on: nothing that the run owes
// may lie behind it and not be delivered. staged is when it was made.
func (sim *simulation) committed(id state.ID, cp *state.Checkpoint, staged time.Time) {
	s := sim.find(id.Endpoint, id.Account)
	t := sim.turnOf(s)
	sim.note("checkpoint of %s: until %s", s.name(), sim.clock(cp.DeliveredUntil))
	sim.booked(s, id, cp)
	sim.audited(s, cp.Ledger.Pass)
	t.saved = time.Now()
	s.version++
	sim.disk.history[id.File()] = append(sim.disk.history[id.File()], simCopy{cp, s.version})
	sim.count(s, t, staged)
	if t.blamed {
		return
	}
	sim.due(s, func(r *simRecord) bool {
		return cp.DeliveredUntil > t.until && r.at < cp.DeliveredUntil && sim.owed(t, r) && !t.passed[r]
	}, func(r *simRecord) {
		t.blamed = true
		sim.violation("the checkpoint of %s goes to %s, past %s, which is not delivered", s.name(), sim.clock(cp.DeliveredUntil), sim.names([]*simRecord{r}))
	})
	if now := time.Now().UnixMilli(); cp.DeliveredUntil > now {
		sim.violation("the checkpoint of %s lies in the future", s.name())
	}
}

// simLedgers are the ledgers on the disk, whose lock the caller holds.
type simLedgers struct{ sim *simulation }

func (simLedgers) AppendLedger(state.ID, int64, []byte) error { return errDisk }

func (l simLedgers) ReadLedger(id state.ID, n int64) ([]byte, error) {
	return state.LedgerEntries(l.sim.disk.ledgers[id.LedgerFile()], id, n)
}

// swapped tells whether Duo shows pages of the stream out of order in some run.
func (sim *simulation) swapped(s *simStream) bool {
	return slices.ContainsFunc(sim.runs, func(r *simRun) bool { return r.tricks[s].swaps() })
}

// booked checks the ledger of a checkpoint that counts: it can be read, whatever crashed
// between the two, it loses nothing, and it has no record more than Duo has.
func (sim *simulation) booked(s *simStream, id state.ID, cp *state.Checkpoint) {
	hours, err := cp.Ledger.Read(simLedgers{sim}, id, func(int64) bool { return false })
	if err != nil {
		sim.violation("the ledger of %s: %v", s.name(), err)
		return
	}
	total := int64(0)
	for _, h := range hours {
		total += h.Count
	}
	last := sim.ledgers[s]
	if last.since == cp.Ledger.Since && total < last.total {
		sim.violation("the ledger of %s has %d records, and had %d", s.name(), total, last.total)
	}
	sim.ledgers[s] = simLedger{cp.Ledger.Since, total}
	// Equal records without an id may come again where Duo shows them in other numbers.
	if most := int64(len(s.records)); total > most && len(s.endpoint.ID) > 0 && !s.idless && !s.texts && !sim.swapped(s) {
		sim.violation("the ledger of %s has %d records, and Duo has %d", s.name(), total, most)
	}
}

// simPass is what is known of the daily audits of a stream.
type simPass struct {
	state.Pass
	began time.Time // the pass under way
	first int64     // from where on the first one looked
}

// audited checks a pass of the daily audit that is over: what Duo showed of its hours when
// it began is delivered, where it says that nothing is missing.
func (sim *simulation) audited(s *simStream, now state.Pass) {
	p := sim.passes[s]
	if p == nil {
		p = new(simPass)
		sim.passes[s] = p
	}
	if now == p.Pass {
		return
	}
	if p.Next == 0 {
		p.began = sim.start
	}
	if p.first == 0 {
		p.first = now.From
	}
	over := now.Next == 0 && now.At != p.At
	p.Pass = now
	sim.note("the audit of %s: %+v", s.name(), now)
	if over && now.Missing == 0 {
		sim.due(s, func(r *simRecord) bool {
			return s.auditable(sim, r) && now.From <= r.at && r.at < now.End && r.visible <= simDuo{sim: sim}.from(p.began)
		}, func(r *simRecord) {
			sim.violation("an audit of %s from %s to %s finds nothing missing, and %s is not delivered", s.name(), sim.clock(now.From), sim.clock(now.End), sim.names([]*simRecord{r}))
		})
	}
}

// auditable tells whether an audit can see that a record is missing: it looks by the hour
// that the record tells, for records and not for versions of them.
func (s *simStream) auditable(sim *simulation, r *simRecord) bool {
	return !r.odd && !r.shares && r.gone == 0 && !slices.ContainsFunc(sim.turns, func(run map[*simStream]*simTurn) bool { return run[s] != nil && run[s].tricked })
}

// judgeAudit checks that what Duo showed late, up to most of a day, is delivered in the end.
func (sim *simulation) judgeAudit() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if !sim.audit {
		return
	}
	for _, s := range sim.streams {
		p := sim.passes[s]
		if p == nil || p.Next != 0 || p.At == 0 {
			sim.violation("%s has no audit that is over in the end", s.name())
			continue
		}
		sim.due(s, func(r *simRecord) bool {
			return s.auditable(sim, r) && sim.kept(sim.turnOf(s), r) && p.first <= r.at && r.at < p.End && r.visible <= r.at+(22*time.Hour).Milliseconds()
		}, func(r *simRecord) {
			sim.violation("in the end %s of %s, which Duo showed late, is not delivered", sim.names([]*simRecord{r}), s.name())
		})
	}
}

// simLedger is what the ledger of a stream last came to.
type simLedger struct{ since, total int64 }

// carried notes that a session carries a page, and returns which one: the answer of Duo
// that has shown it.
func (sim *simulation) carried(one *simSession, endpoint string, lines [][]byte) (page int) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	var of *simStream
	for _, line := range lines {
		k, _ := sim.kindOf(endpoint, string(line))
		if k == nil {
			continue
		}
		of = k.stream
		one.carries[k.stream] = true
		if shown := k.lately(); page == 0 || shown.answer < page { // a record may be on the page behind, too
			page = shown.answer
		}
	}
	if of != nil {
		sim.turnOf(of).arrived[one.server.index] = page
	}
	return page
}

// lately tells when a record of the kind was shown last.
func (k *simKind) lately() (last simShown) {
	for _, r := range k.records {
		if r.shown.at.After(last.at) {
			last = r.shown
		}
	}
	return last
}

// count counts what a checkpoint makes sure of that was decided at a time: the pages, in
// order, that were confirmed before.
func (sim *simulation) count(s *simStream, t *simTurn, at time.Time) {
	n := 0
	for _, d := range s.files {
		d.version = s.version
	}
	s.files = nil
	for i, d := range s.open {
		if d.session.confirmed.IsZero() || !d.session.confirmed.Before(at) {
			break
		}
		if last := i == len(s.open)-1; last || s.open[i+1].page != d.page && !t.tricked {
			n = i + 1
		}
	}
	for _, d := range s.open[:n] {
		d.version = s.version
	}
	s.open = s.open[n:]
}

// taken notes a line that a server takes, and tells whether the run still has effects.
func (sim *simulation) taken(one *simSession, endpoint, line string, page int) bool {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.dead {
		return false
	}
	k, prefix := sim.kindOf(endpoint, line)
	if k == nil {
		sim.violation("%s gets a line that Duo has no record of: %q", one.server.plan.id, line)
		return true
	}
	s, i := k.stream, one.server.index
	if own := sim.cef != nil && one.server.plan.protocol != config.RELP; own != (prefix != "") {
		sim.violation("%s gets a line with the prefix %q", one.server.plan.id, prefix)
	}
	if !one.server.plan.takes(line) {
		sim.violation("%s gets a line that is too long for it: %q", one.server.plan.id, line)
	}
	if left := sim.takeover(s); left != nil && !slices.ContainsFunc(k.records, func(r *simRecord) bool { return r.at >= left.from }) {
		sim.violation("%s gets %s of %s, which duologsync has delivered", one.server.plan.id, sim.names(k.records), s.name())
	}
	if t := sim.turnOf(s); t.rotten != "" {
		sim.violation("%s gets a record of %s, whose checkpoint is %s", one.server.plan.id, s.name(), t.rotten)
	}
	if !slices.Contains(s.servers, i) {
		sim.violation("%s gets a record of %s, which is not mapped to it", one.server.plan.id, s.name())
	}
	if k.sent == nil {
		k.sent = make([][]*simDelivery, len(sim.scenario.servers))
	}
	sim.again(k, k.sent[i], one.server.plan.id, 1)
	k.sent[i] = append(k.sent[i], sim.deliver(k, one, page))
	return true
}

// deliver is a delivery under way: one of a page on which a fault has struck meanwhile
// may not count.
func (sim *simulation) deliver(k *simKind, one *simSession, page int) *simDelivery {
	d, s := &simDelivery{run: sim.run, session: one, page: page}, k.stream
	if sim.plan.doubled {
		d.excused = "another run was at work"
		return d
	}
	if shown := k.lately(); s.struck >= shown.reading || !s.waited.Before(shown.at) {
		d.excused = s.struckBy
	} else {
		s.open = append(s.open, d)
	}
	return d
}

// again checks that a line which comes to a server or a file comes for the first time,
// or that a fault accounts for each time before. times is how often each record is due.
func (sim *simulation) again(k *simKind, before []*simDelivery, to string, times int) {
	s, sure, most := k.stream, 0, 0
	for _, d := range before {
		t := sim.turns[d.run][s]
		// Who shows equal records again says that there are more of them; and a page that
		// is shown again is not known as such by records whose texts tell other times.
		// A record whose text tells an earlier time than Duo's is forgotten earlier; so is one
		// that an earlier run delivered, and that a cursor has passed over before it is shown.
		passed := d.run != sim.run && sim.plan.tricks[s].swaps()
		if d.excused == "" && !passed && !sim.directory.forgot(k) && !((s.idless || s.texts) && (t.tricked || sim.turnOf(s).tricked)) && !k.records[0].odd {
			sure++
		}
	}
	for _, r := range k.records {
		if !r.shown.at.IsZero() {
			most++
		}
	}
	if !k.counted {
		most = min(most, 1)
	}
	if most == 0 {
		sim.violation("%s gets %q, which Duo has not shown", to, k.line)
	} else if t := sim.turnOf(s); sure >= times*most && !t.blamed && !t.doubtful(to) {
		t.blamed = true
		sim.violation("%s gets %s of %s again, without a fault that accounts for it", to, sim.names(k.records[:1]), s.name())
	}
}

// doubtful tells whether a record may come again because Duo shows a page again behind a
// new cursor with its records in another order: where all but one are remembered, that one
// looks like a new one. The third such page of a reading is known for what it is.
func (t *simTurn) doubtful(to string) bool {
	s := t.stream
	if !s.shape.mixed || !t.tricked {
		return false
	}
	if t.doubts == nil {
		t.doubts = map[simDoubt]int{}
	}
	t.doubts[simDoubt{to, s.reading}]++
	return t.doubts[simDoubt{to, s.reading}] < 3
}

// simDoubt is a receiver, or a file, and a reading.
type simDoubt struct {
	to      string
	reading int
}

// keep notes a line that went into a file, since a server does not take it.
func (sim *simulation) keep(file, line string) {
	endpoint, rest, _ := strings.Cut(file, "_")
	k, _ := sim.kindOf(endpoint, line)
	if k == nil {
		sim.violation("%s gets a line that Duo has no record of: %q", file, line)
		return
	}
	due := 0
	for _, i := range k.stream.servers {
		if p := sim.scenario.servers[i]; !p.takes(line) && (p.protocol == config.UDP) == strings.HasPrefix(rest, "udp") {
			due++
		}
	}
	if due == 0 {
		sim.violation("%s gets a line that its servers take: %q", file, line)
		return
	}
	if k.kept == nil {
		k.kept = map[string][]*simDelivery{}
	}
	d := &simDelivery{run: sim.run}
	if sim.dead { // a write was under way when the process was killed
		d.excused = "the process was killed"
	} else if sim.plan.doubled {
		d.excused = "another run was at work"
	}
	sim.again(k, k.kept[file], file, due)
	k.kept[file] = append(k.kept[file], d)
	k.stream.files = append(k.stream.files, d)
}

// kindOf finds the kind of a line of an endpoint, and what stands before a line of CEF.
func (sim *simulation) kindOf(endpoint, line string) (k *simKind, prefix string) {
	if i := strings.Index(line, "CEF:0|"); sim.cef != nil && i >= 0 {
		prefix, line = line[:i], line[i:]
	}
	return sim.lines[endpoint+" "+line], prefix
}

// judge checks what a run came to.
func (sim *simulation) judge(sum *job.Summary, err error) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, t := range sim.turns[sim.run] {
		t.before = map[*simRecord]bool{}
		for _, shown := range t.shown {
			for r := range shown {
				t.before[r] = sim.everShown[r] && sim.forgetful == nil // to which all is new
			}
		}
		for r := range t.before {
			sim.everShown[r] = true
		}
	}
	if sim.dead || sim.plan.doubled || sim.plan.store > 0 || sim.plan.endpoints != nil || sim.plan.children || sim.plan.shard.N > 0 {
		clear(sim.turned) // which turns are noted is not known
	}
	if sim.dead {
		return // nobody hears what it says
	}
	plan := sim.plan
	if err != nil {
		if !plan.trouble() && plan.maxRuntime == 0 && !(sim.parties[1].started && errors.Is(err, state.ErrLocked)) {
			sim.violation("the run fails without a cause: %v", err)
		}
		return
	}
	for _, s := range sim.streams {
		in := 0
		for k := range plan.shard.N {
			if (job.Shard{K: k, N: plan.shard.N}).Has(s.account) {
				in++
			}
		}
		if plan.shard.N > 0 && in != 1 {
			sim.violation("%s is in %d of %d shares", s.name(), in, plan.shard.N)
		}
		if !plan.shard.Has(s.account) {
			if sim.turnOf(s).begun() {
				sim.violation("%s is another share's", s.name())
			}
			continue
		}
		if plan.endpoints == nil || slices.Contains(plan.endpoints, s.endpoint.Name) {
			i := slices.IndexFunc(sum.Results, func(r *job.Result) bool { return r.Endpoint == s.endpoint.Name && r.Account == s.account })
			if i < 0 {
				sim.violation("the summary says nothing of %s", s.name())
				continue
			}
			sim.judgeStream(s, sum.Results[i])
		}
	}
	for _, r := range sum.Results {
		if sim.find(r.Endpoint, r.Account) == nil && (!plan.children || r.Err == nil) {
			sim.violation("the summary tells of %s, which nobody asked for", r.Name())
		}
	}
	sim.judgeWords(sum)
	sim.judgeOutcome(sum)
	sim.judgeTurns()
	sim.judgeShared()
	sim.judgeWarnings()
}

// judgeShared checks that accounts whose calls Duo counts together soon call as one.
func (sim *simulation) judgeShared() {
	if sim.plan.trouble() || sim.audit {
		return
	}
	all, accounts := map[*simPace]*simTurn{}, map[*simPace]int{}
	for _, s := range sim.streams {
		if s.shape.shared {
			t := all[s.pace]
			if t == nil {
				t = &simTurn{stream: s}
				all[s.pace] = t
			}
			t.calls, t.refused = t.calls+sim.turnOf(s).calls, t.refused+sim.turnOf(s).refused
			accounts[s.pace]++
		}
	}
	for pace, t := range all {
		if learning := t.stream.shape.learning() + 3*accounts[pace]; t.refused > learning+t.calls/10 {
			sim.violation("of %d calls of %s of all accounts Duo refused %d", t.calls, t.stream.endpoint.Name, t.refused)
		}
	}
}

// begun tells whether the stream had its turn.
func (t *simTurn) begun() bool { return t.loaded || t.calls > 0 }

// judgeTurns checks that no stream had its turn while another one, whose turn came
// longer ago, had none; but for one that waits for a server which the first does not
// need.
func (sim *simulation) judgeTurns() {
	plan := sim.plan
	noted := sim.forgetful == nil && plan.store == 0 && plan.endpoints == nil && !plan.children && plan.shard.N == 0 && len(sim.streams) > plan.parallel
	for _, a := range sim.streams {
		for _, b := range sim.streams {
			passed := slices.ContainsFunc(b.servers, func(i int) bool { return !slices.Contains(a.servers, i) })
			if noted && !passed && sim.turnOf(a).begun() && !sim.turnOf(b).begun() && sim.turned[b] < sim.turned[a] {
				sim.violation("%s had its turn again (after run %d) before %s (run %d)", a.name(), sim.turned[a]-1, b.name(), sim.turned[b]-1)
				return
			}
		}
	}
	for _, s := range sim.streams {
		if noted && sim.turnOf(s).begun() {
			sim.turned[s] = sim.run + 1
		}
	}
}

// judgeStream checks what a run came to for a stream.
func (sim *simulation) judgeStream(s *simStream, result *job.Result) {
	plan, t := sim.plan, sim.turnOf(s)
	sim.note("%s: %v; %s; calls %d (refused %d)", s.name(), result.Err, result, t.calls, t.refused)
	if t.rotten != "" && result.Err == nil {
		sim.violation("the checkpoint of %s is %s, and nobody says so", s.name(), t.rotten)
	}
	if untrusted, ok := errors.AsType[*state.UntrustedError](result.Err); ok && t.rotten == "" && !plan.tricks[s].swaps() { // which has another page first than the one of the record that is looked for
		sim.violation("%s is not trusted, and nothing is wrong with it: %v", untrusted.Path, untrusted.Err)
	}
	sim.judgeKept(s, result)
	if result.Err != nil {
		if sim.directory.tooLarge(result.Err) {
			sim.fault(s, "its checkpoint would be too large")
		}
		cause := sim.keepless(s, result.Err) || sim.directory.tooLarge(result.Err) || t.rotten != "" || plan.trouble() || plan.maxRuntime > 0 || t.overtaken || t.tricked || t.blank || s.shape.limit > 0 && plan.retryFor < time.Hour
		if !cause {
			sim.violation("%s fails without a cause: %v", s.name(), result.Err)
		}
		if lie := cmp.Or(sim.lie(t, result.Err), sim.impatience(s, t, result)); lie != "" {
			sim.violation("%s: %s: %v", s.name(), lie, result.Err)
		}
		return
	}
	cut := func(r *simRecord) bool { return t.passed[r] && t.disturbed != "" }
	sim.due(s, func(r *simRecord) bool { return sim.owed(t, r) && sim.wanted(t, r) && !s.mayEnd(t) && !cut(r) }, func(r *simRecord) {
		sim.violation("the run is done with %s, and %s is not delivered", s.name(), sim.names([]*simRecord{r}))
	})
	sim.due(s, func(r *simRecord) bool {
		return !cut(r) && sim.wanted(t, r) && (t.shown[0][r] && sim.kept(t, r) && !(t.disturbed != "" && s.mayEnd(t)) || sim.everShown[r] && sim.owed(t, r) && !s.mayEnd(t))
	}, func(r *simRecord) {
		sim.violation("the run is done with %s, and %s, which Duo has shown, is not delivered", s.name(), sim.names([]*simRecord{r}))
	})
	if t.disturbed == "" && !slices.ContainsFunc(s.servers, func(i int) bool { p := sim.scenario.servers[i]; return p.refuses || p.most > 0 }) {
		n := 0
		for _, k := range s.kinds {
			if k.sent == nil {
				continue
			}
			for _, d := range k.sent[s.servers[0]] {
				if d.run == sim.run {
					n++
				}
			}
		}
		if n != result.Delivered+result.Late {
			sim.violation("%s: %d lines came, and the summary says %d, and %d late ones", s.name(), n, result.Delivered, result.Late)
		}
	}
	for _, d := range s.open { // what is confirmed when the checkpoint is saved may be part of it
		if d.run == sim.run && (d.session.confirmed.IsZero() || d.session.confirmed.After(t.saved)) {
			sim.violation("the run is done with %s, and of what %s got nobody knows whether it counts", s.name(), d.session.server.plan.id)
			break
		}
	}
	s.open = nil
	sim.judgeCalls(s, t)
	if gap := max(t.until, t.looked) < sim.start.Add(-simRetention-time.Minute).UnixMilli(); gap && !sim.warned(s, "can no longer be had") {
		sim.violation("%s: records since %s are gone, and nobody says so", s.name(), sim.clock(t.until))
	}
}

// mayEnd tells whether a run may take a page without news for the end though more is
// behind it: once a day it asks on in any case. That is so where pages are cut short
// and Duo does not tell how many records there are.
func (s *simStream) mayEnd(t *simTurn) bool {
	if s.least() == s.endpoint.Limit || s.endpoint.Cursor != duo.Mintime && s.shape.total == "right" {
		return false
	}
	if t.disturbed != "" {
		return true // what was new may have been read and read again
	}
	for r := range t.shown[0] {
		if !t.before[r] && r.at >= t.low && !r.kind.counted {
			return false
		}
	}
	return true
}

// late tells whether the run delivered a record that Duo showed late.
func (sim *simulation) late(t *simTurn) bool {
	for _, k := range t.stream.kinds {
		for _, d := range k.deliveries() {
			if d.run == sim.run && slices.ContainsFunc(k.records, func(r *simRecord) bool { return r.visible > r.at+2*time.Minute.Milliseconds() }) {
				return true
			}
		}
	}
	return false
}

// deliveries are the times that a server or a file got a line of the kind.
func (k *simKind) deliveries() []*simDelivery {
	return slices.Concat(slices.Concat(k.sent...), slices.Concat(slices.Collect(maps.Values(k.kept))...))
}

var keptText = regexp.MustCompile(`^(\d+) records? (?:that the server does not take|is longer than the server takes|are longer than the server takes|is too long for a datagram|are too long for a datagram)`)

// judgeKept checks that the run tells of each record that it put into a file.
func (sim *simulation) judgeKept(s *simStream, result *job.Result) {
	if sim.plan.doubled {
		return // each run tells of its own
	}
	n, failure := 0, false
	for _, k := range s.kinds {
		for file, kept := range k.kept {
			for _, d := range kept {
				if d.run == sim.run {
					n++
					failure = failure || strings.Contains(file, "_oversize")
				}
			}
		}
	}
	told := 0
	for _, w := range sim.warnings {
		if m := keptText.FindStringSubmatch(w.text); m != nil && w.stream == s.name() {
			one, _ := strconv.Atoi(m[1])
			told += one
		}
	}
	if n != result.Oversize || told != n || failure != result.Kept {
		sim.violation("%s: %d records are kept in files, the summary says %d (failure: %v), the warnings %d", s.name(), n, result.Oversize, result.Kept, told)
	}
}

// judgeCalls checks that no call was made without a reason, where Duo was honest and
// all went well.
func (sim *simulation) judgeCalls(s *simStream, t *simTurn) {
	if sim.plan.trouble() || t.tricked || t.tooOld || s.shape.total == "text" || sim.audit {
		return
	}
	visible := 0
	for _, r := range s.records {
		if r.at >= min(t.low, t.until-sim.plan.overlap.Milliseconds())-1000 && r.visible <= (simDuo{sim: sim}).now() {
			visible++
		}
	}
	most := 2*(visible/s.least()) + 6
	if s.endpoint.Cursor == duo.Mintime || t.blank || s.shape.lastNull {
		most = visible + 6
	}
	if left := sim.takeover(s); left != nil && s.named() {
		most += 16 // the times of other zones
	}
	if n := t.calls - t.refused; n > most {
		sim.violation("%s: %d calls for %d records in pages of %d", s.name(), n, visible, s.least())
	}
	if learning := s.shape.learning(); t.refused > learning+t.calls/10 {
		sim.violation("%s: of %d calls Duo refused %d", s.name(), t.calls, t.refused)
	}
}

// simCircle is the cursors with which a stream has asked since it last asked without one,
// and how many pages it has asked for more than once.
type simCircle struct {
	asked       map[string]bool
	again, lost int
}

// judgeCircle checks that a stream does not go round where Duo's cursors lead in a circle:
// of the pages that it has it asks for one again, which it may have fetched ahead, and
// notices. What did not arrive is asked for again.
func (sim *simulation) judgeCircle(s *simStream, t *simTurn, cursor string) {
	c := &t.circle
	if cursor == "" || c.lost != t.failed+t.refused || sim.plan.doubled {
		*c = simCircle{lost: t.failed + t.refused, asked: map[string]bool{}}
	}
	if c.asked[cursor] && cursor != "" {
		c.again++
	}
	c.asked[cursor] = true
	if c.again == 2 {
		sim.violation("%s goes round in a circle of Duo's cursors: it asks for a second page that it has", s.name())
	}
}

// learning is how many calls a stream may see refused, beside a tenth, until it knows
// Duo's limit: where that is one call a minute even the time between two is to be found,
// and where accounts share it first of all that they do.
func (sh simShape) learning() int {
	n := 12 // with those where the run before has used the minute up
	switch sh.limit {
	case 0:
		return 0
	case 1:
		n = 16
	}
	if sh.shared {
		n += 12
	}
	return n
}

// simFaults are those of a server in a run.
type simFaults struct {
	n           int
	first, last time.Time
}

func (f *simFaults) add() {
	if f.n++; f.n == 1 {
		f.first = time.Now()
	}
	f.last = time.Now()
}

// impatience tells what is wrong with a stream that fails because of a session: it must
// have tried for as long as it may, or know that its page is refused, and what it waited for
// must not be over.
func (sim *simulation) impatience(s *simStream, t *simTurn, result *job.Result) string {
	_, session := errors.AsType[*sinks.SessionError](result.Err)
	if strings.Contains(result.Err.Error(), "what the daily audit found") {
		return "" // that is later, and not in the result's duration
	}
	if !session || sim.plan.term > 0 || sim.plan.maxRuntime > 0 {
		return ""
	}
	end := t.turned.Add(result.Duration)
	var first, last time.Time
	for _, i := range s.servers {
		f := sim.trouble[i]
		if f.n > 0 && (first.IsZero() || f.first.Before(first)) {
			first = f.first
		}
		if f.last.After(last) {
			last = f.last
		}
	}
	switch {
	case last.IsZero():
		return "a session is said to have failed, and none has"
	case strings.Contains(result.Err.Error(), "refused this page"):
		if t.sessions < 5 {
			return fmt.Sprintf("its page is blamed after %d sessions failed that carried some of it", t.sessions)
		}
	case sim.directory != nil, sim.forgetful != nil: // when its turn began is not known
	case sim.plan.retryFor > 0 && end.Sub(first) < sim.plan.retryFor:
		return fmt.Sprintf("it gives up %v after the first fault of its servers", end.Sub(first))
	case sim.plan.retryFor > 0 && end.Sub(last) > 3*time.Minute:
		return fmt.Sprintf("it gives up %v after the last fault of its servers", end.Sub(last))
	}
	return ""
}

// lie tells what is wrong with the reason that a stream gives for its failure.
func (sim *simulation) lie(t *simTurn, err error) string {
	switch {
	case errors.Is(err, window.ErrCircle), errors.Is(err, window.ErrRepeats), errors.Is(err, window.ErrStuck), errors.Is(err, window.ErrForgotten):
		passed := errors.Is(err, window.ErrForgotten) && len(t.passed) > 0
		if !t.tricked && !t.blank && !passed {
			return "Duo is blamed without a reason"
		}
	case isBodyError(err):
		if t.failed == 0 {
			return "a page that arrived is withheld"
		}
	case errors.Is(err, job.ErrMaxRuntime):
		if sim.plan.maxRuntime == 0 {
			return "the run had no limit"
		}
	}
	return ""
}

func isBodyError(err error) bool {
	_, body := errors.AsType[*duo.BodyError](err)
	return body
}

// simWarning is a warning of a run.
type simWarning struct{ stream, text string }

func (sim *simulation) warned(s *simStream, text string) bool {
	return slices.ContainsFunc(sim.warnings, func(w simWarning) bool { return w.stream == s.name() && strings.Contains(w.text, text) })
}

var gapText = regexp.MustCompile(`those from (\S+) to (\S+) can no longer be had`)

// judgeWarnings checks that no warning of the run is false.
func (sim *simulation) judgeWarnings() {
	plan := sim.plan
	for _, w := range sim.warnings {
		var t *simTurn
		for _, s := range sim.streams {
			if s.name() == w.stream {
				t = sim.turnOf(s)
			}
		}
		gap := gapText.FindStringSubmatch(w.text)
		switch {
		case gap != nil:
			from, _ := time.Parse(time.RFC3339, gap[1])
			to, _ := time.Parse(time.RFC3339, gap[2])
			// What is said to be gone must be: by Duo's clock, and not delivered.
			margin := 3 * time.Minute
			if t.tooOld {
				margin = 24 * time.Hour
			}
			if from.UnixMilli() < max(t.until, t.looked)-1000 || from.After(to) || to.After(time.Now().Add(margin-simRetention)) {
				sim.violation("false: %s: %s (delivered until %s)", w.stream, w.text, sim.clock(max(t.until, t.looked)))
			}
		case strings.Contains(w.text, "has no cursor that can be used"):
			if !t.blank && !t.tricked {
				sim.violation("false: %s: %s", w.stream, w.text)
			}
		case strings.Contains(w.text, "more records than Duo shows lie in the second"):
			exempt := slices.ContainsFunc(t.stream.kinds, func(k *simKind) bool { return k.exempt != "" })
			late := slices.ContainsFunc(t.stream.records, func(r *simRecord) bool { return r.visible > t.began && r.visible <= simDuo{sim: sim}.now() })
			if !exempt && !late && !t.tricked {
				sim.violation("false: %s: %s", w.stream, w.text)
			}
		case strings.Contains(w.text, "no time, or one outside the time asked for"):
			if !slices.ContainsFunc(t.stream.records, func(r *simRecord) bool {
				return (r.silent || r.odd && r.at < t.low+1000 || t.tricked) && (t.shown[0][r] || t.shown[1][r])
			}) {
				sim.violation("false: %s: %s", w.stream, w.text)
			}
		case strings.Contains(w.text, "found by the daily audit and delivered"):
			if !sim.audit || t.disturbed == "" && !t.tricked && t.stream.least() == t.stream.endpoint.Limit && !sim.late(t) {
				sim.violation("false: %s: %s", w.stream, w.text)
			}
		case strings.Contains(w.text, "duologsync never read the"):
			if sim.takeover(t.stream) == nil || t.stream.account == "" {
				sim.violation("false: %s: %s", w.stream, w.text)
			}
		case strings.HasPrefix(w.text, "the daily audit: "):
			if !plan.trouble() && plan.maxRuntime == 0 {
				sim.violation("false: %s", w.text)
			}
		case keptText.MatchString(w.text): // see judgeKept
		case strings.Contains(w.text, "more records lie in the overlap than a checkpoint remembers"):
			if !sim.directory.overfull(t.stream) {
				sim.violation("false: %s: %s", w.stream, w.text)
			}
		case strings.Contains(w.text, state.ErrTooLarge.Error()):
			if sim.directory == nil || sim.directory.small == nil {
				sim.violation("false: %s", w.text)
			}
		case strings.Contains(w.text, "nobody reads the logs of their accounts"), strings.Contains(w.text, "one N only should be"), strings.Contains(w.text, "this store does not know them, and was share"):
			if !slices.ContainsFunc(sim.runs, func(r *simRun) bool { return r.shard.N > 0 }) {
				sim.violation("false: %s", w.text)
			}
		case strings.Contains(w.text, errDisk.Error()):
			if plan.store == 0 {
				sim.violation("false: %s", w.text)
			}
		case plan.term > 0 || plan.kill > 0 || plan.doubled:
		default:
			sim.violation("a warning that nobody expects: %s: %s", w.stream, w.text)
		}
	}
}

// judgeEnd checks, when the last runs were clean, that all is delivered that Duo
// shows within the overlap: late records, too, and where the overlap is read in
// slices.
func (sim *simulation) judgeEnd() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, s := range sim.streams {
		t, cp := sim.turnOf(s), sim.disk.checkpoints[state.ID{Endpoint: s.endpoint.Name, Account: s.account}.File()]
		if cp == nil {
			sim.violation("%s has no checkpoint in the end", s.name())
			continue
		}
		overlap := sim.plan.overlap.Milliseconds()
		low := max(cp.DeliveredUntil-overlap, cp.Began, min(cp.Delivered.RememberedSince(), cp.DeliveredUntil))
		sim.due(s, func(r *simRecord) bool {
			return r.at >= low && r.at <= t.end && r.visible <= t.began && (!t.sliced || !s.shape.varies && r.visible <= r.at+overlap) && (r.gone == 0 || r.gone > t.began) &&
				r.at > t.began-(simRetention-12*time.Minute).Milliseconds()
		}, func(r *simRecord) {
			sim.violation("in the end %s of %s, in the overlap, is not delivered", sim.names([]*simRecord{r}), s.name())
		})
	}
}

// judgeIdle checks that a run without news costs one call a stream, and one more
// where the overlap is read in slices: for these, and where records of one id fill the page.
func (sim *simulation) judgeIdle() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, s := range sim.streams {
		t := sim.turnOf(s)
		most := 1
		if t.sliced {
			most = 3
		}
		shown := 0
		for _, r := range s.records {
			if r.at >= t.low && r.visible <= t.began {
				shown++
			}
		}
		if sim.audit || shown >= s.least() || t.sliced && (s.least() < s.endpoint.Limit || len(s.kinds) < len(s.records)) || s.texts || s.shape.mixed || !slices.Contains([]string{"right", "zero", "null", "page", "absent"}, s.shape.total) || s.endpoint.Cursor == duo.Offset ||
			slices.ContainsFunc(s.records, func(r *simRecord) bool { return r.gone > 0 }) || // the newest may be gone
			slices.ContainsFunc(sim.turns, func(run map[*simStream]*simTurn) bool { return run[s] != nil && run[s].tricked }) {
			continue
		}
		n := t.calls - t.refused
		if n > most && !sim.proved[s] {
			sim.proved[s], most = true, most+2 // the end is proved once a day
		}
		if n > most {
			sim.violation("%s: an idle run makes %d calls", s.name(), n)
		}
	}
}

// clock writes a time of the scenario for people.
func (sim *simulation) clock(ms int64) string {
	if ms > math.MaxInt64/2 {
		return "∞"
	}
	return time.UnixMilli(ms).UTC().Format("01-02T15:04:05.000")
}

// names names records for people.
func (sim *simulation) names(records []*simRecord) string {
	var b strings.Builder
	for i, r := range records {
		if i == 3 && len(records) > 6 {
			fmt.Fprintf(&b, " … %d …", len(records)-6)
		}
		if i >= 3 && i < len(records)-3 {
			continue
		}
		fmt.Fprintf(&b, " %s@%s", r.id, sim.clock(r.at))
		if r.visible > r.at+2*time.Minute.Milliseconds() {
			fmt.Fprintf(&b, "(shown from %s)", sim.clock(r.visible))
		}
	}
	return strings.TrimSpace(b.String())
}
