package job_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dls/job"
	"dls/state"
)

var (
	scenarios = flag.Int("scenarios", 60, "how many scenarios the simulation plays")
	failures  = flag.Int("failures", 100, "after how many scenarios that fail the simulation ends")
	simSeed   = flag.Uint64("seed", 0, "play the scenario of this seed, again and again up to -scenarios times or until it fails, and tell its story")
)

// firstSeed is the seed of the first scenario; the others' follow.
const firstSeed = 1

// TestSimulation plays whole runs of the job in virtual time against a Duo, servers
// and a store in memory, all drawn from one seed a scenario, and holds them against
// what dls promises. See docs/simulation.md.
func TestSimulation(t *testing.T) {
	if *simSeed > 0 {
		for range min(*scenarios, 20) { // which goroutine goes first is not drawn
			if sim := play1(t, *simSeed); len(sim.wrong) > 0 || testing.Verbose() {
				t.Log(sim.tell(len(sim.wrong) > 0))
				if len(sim.wrong) > 0 {
					t.Fail()
				}
				return
			}
		}
		return
	}
	t.Logf("seeds %d to %d", firstSeed, firstSeed+*scenarios-1)
	var next, failed atomic.Uint64
	next.Store(firstSeed - 1)
	for range runtime.GOMAXPROCS(0) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for seed := next.Add(1); seed < firstSeed+uint64(*scenarios) && failed.Load() < uint64(*failures); seed = next.Add(1) {
				if sim := play1(t, seed); len(sim.wrong) > 0 {
					failed.Add(1)
					t.Errorf("seed %d (again: go test ./job -run Simulation -seed %d):\n%s", seed, seed, strings.Join(sim.wrong, "\n"))
				}
			}
		})
	}
}

// play1 plays the scenario of a seed, and in one of three each what another host makes of
// the same world. It returns the first of them that does not hold, or the scenario.
func play1(t *testing.T, seed uint64) *simulation {
	sim := newSimulation(seed)
	playSim(t, sim, seed, sim.play)
	hosts := dicing(seed, "hosts")
	for _, play := range []func(*simulation){(*simulation).playForgetful, (*simulation).playPulls} {
		if !hosts.oneIn(3) || len(sim.wrong) > 0 {
			continue
		}
		other := newSimulation(seed)
		playSim(t, other, seed, func() { play(other) })
		if len(other.wrong) > 0 {
			return other
		}
	}
	return sim
}

// playDressed plays a quarter of the scenarios, one after the other, with another store
// than the one in memory, which dress puts in its place. test names the test.
func playDressed(t *testing.T, test string, dress func(*simulation)) {
	t.Helper()
	first, last := uint64(firstSeed), firstSeed+uint64(*scenarios)/4
	if *simSeed > 0 {
		first, last = *simSeed, *simSeed+1
	}
	failed := 0
	for seed := first; seed < last && failed < *failures; seed++ {
		sim := newSimulation(seed)
		dress(sim)
		playSim(t, sim, seed, sim.play)
		if len(sim.wrong) > 0 {
			failed++
			t.Errorf("seed %d (again: go test ./job -run %s -seed %d):\n%s", seed, test, seed, strings.Join(sim.wrong, "\n"))
			if *simSeed > 0 {
				t.Log(sim.tell(true))
			}
		}
	}
}

func playSim(t *testing.T, sim *simulation, seed uint64, play func()) {
	defer func() {
		if p := recover(); p != nil {
			t.Logf("seed %d:\n%s", seed, sim.tell(true))
			panic(p)
		}
	}()
	synctest.Test(t, func(*testing.T) { play() })
}

// simulation is a scenario that is being played.
type simulation struct {
	*scenario
	lines map[string]*simKind // by endpoint and line
	file  simFile

	forgetful *simForgetful // of a host without memory, else nil

	run   int // counts from 0
	plan  *simRun
	start time.Time

	// mu guards what follows, and the mutable parts of turns, kinds and sessions; it is
	// never held while anything waits.
	mu        sync.Mutex
	disk      simDisk
	turns     []map[*simStream]*simTurn // by run
	everShown map[*simRecord]bool
	ledgers   map[*simStream]simLedger
	passes    map[*simStream]*simPass
	proved    map[*simStream]bool // the end was proved in an idle run
	progress  [2]*job.Progress    // of the run, and of one beside it
	parties   [2]simParty         // the same
	locked    bool                // the store in memory
	unleased  bool                // the lease of a run is lost to another one
	began     []time.Time         // the run before
	turned    map[*simStream]int  // one more than the run in which it had its last turn that is noted
	warnings  []simWarning
	steps     int
	trouble   [2]simFaults    // of the run, by server
	bucket    *simBucket      // in the place of the store in memory, or nil
	directory *simDirectory   // the same
	ctx       context.Context // of the run
	dead      bool            // the process of the run is killed: nothing has an effect
	cancel    context.CancelCauseFunc
	story     []simEvent
	wrong     []string
}

// simEvent is a part of the story, written when somebody wants to read it.
type simEvent struct {
	at   time.Time
	text string
	args []any
}

func newSimulation(seed uint64) *simulation {
	sim := &simulation{scenario: draw(seed), lines: map[string]*simKind{}, everShown: map[*simRecord]bool{}, turned: map[*simStream]int{}, proved: map[*simStream]bool{}, ledgers: map[*simStream]simLedger{}, passes: map[*simStream]*simPass{}, run: -1}
	sim.disk = simDisk{checkpoints: map[string]*state.Checkpoint{}, history: map[string][]simCopy{}, turns: map[string]time.Time{}, ledgers: map[string][]byte{}}
	sim.file = sim.drawFile()
	for _, s := range sim.streams {
		for _, k := range s.kinds {
			sim.lines[s.endpoint.Name+" "+k.line] = k
		}
	}
	return sim
}

// play plays the drawn runs, and clean ones until all is delivered.
func (sim *simulation) play() {
	sim.misread()
	time.Sleep(sim.begin)
	for _, r := range sim.runs {
		time.Sleep(r.gap)
		sim.once(r)
	}
	if sim.directory != nil && sim.directory.small != nil {
		sim.directory.loadable()
		if sim.directory.small.tight {
			return // it never gets further
		}
	}
	overlap := sim.runs[len(sim.runs)-1].overlap
	clean := func() bool {
		sum, err := sim.once(&simRun{overlap: overlap, parallel: 8, retryFor: 6 * time.Hour})
		return err == nil && len(sum.Failed()) == 0
	}
	time.Sleep(5 * time.Minute)
	clean()
	var quiet int64
	for _, s := range sim.streams {
		for _, r := range s.records {
			quiet = max(quiet, r.visible)
		}
	}
	time.Sleep(time.Until(time.UnixMilli(quiet).Add(5 * time.Minute)))
	if !clean() {
		sim.violate("a clean run at the end does not end with all streams done")
		return
	}
	for n, quiet := 0, 0; n < 60 && quiet < 3; n++ {
		time.Sleep(2 * time.Minute)
		if !clean() {
			sim.violate("an idle run does not end with all streams done")
			return
		}
		if n > 0 {
			sim.judgeIdle()
		}
		if quiet++; sim.slicing() {
			quiet = 0
		}
	}
	for range map[bool]int{false: 1, true: 10}[sim.audit] {
		time.Sleep(25 * time.Hour / time.Duration(map[bool]int{false: 1, true: 5}[sim.audit])) // the end is proved once a day
		if !clean() {
			sim.violate("the last run does not end with all streams done")
		}
	}
	sim.judgeEnd()
	sim.judgeAudit()
}

// slicing tells whether an overlap is still to be read again.
func (sim *simulation) slicing() bool {
	for _, cp := range sim.disk.checkpoints {
		if cp.RereadFrom > 0 {
			return true
		}
	}
	return false
}

var (
	errKilled = errors.New("the process is killed")
	errTerm   = errors.New("the process is told to stop")
	errEver   = errors.New("the run does not end")
)

// once plays one run.
func (sim *simulation) once(r *simRun) (*job.Summary, error) {
	sim.run++
	if !sim.start.IsZero() {
		sim.began = []time.Time{sim.start}
	}
	sim.plan, sim.start = r, time.Now()
	sim.turns = append(sim.turns, map[*simStream]*simTurn{})
	sim.steps, sim.dead, sim.warnings, sim.trouble = 0, false, nil, [2]simFaults{}
	sim.say("run %d: %s", sim.run, r)
	sim.parties, sim.locked, sim.unleased = [2]simParty{}, false, false
	var ctx context.Context
	ctx, sim.cancel = context.WithCancelCause(context.Background())
	defer sim.cancel(nil)
	sim.ctx = ctx
	if r.term > 0 {
		defer time.AfterFunc(r.term, func() {
			sim.mu.Lock()
			for _, s := range sim.streams {
				sim.fault(s, "told to stop")
			}
			sim.mu.Unlock()
			sim.cancel(errTerm)
		}).Stop()
	}
	defer time.AfterFunc(72*time.Hour, func() {
		sim.violate("the run does not end")
		sim.cancel(errEver)
	}).Stop()
	mended := sim.rot(r)
	if sim.forgetful != nil {
		sim.startsAfresh()
	}
	twin := sim.beside(ctx)
	sum, err := sim.sync(ctx, 0)
	<-twin
	sim.judgeParties()
	if sim.directory != nil {
		sim.directory.close()
		sim.directory.mend()
	}
	mended()
	if sim.forgetful != nil {
		sim.over()
	}
	sim.judge(sum, err)
	if sim.forgetful != nil {
		sim.judgeGaps(sum)
		if sim.forgetful.pull != nil {
			sim.judgePull()
		}
	}
	return sum, err
}

// sync runs the job: the run, or the one beside it.
func (sim *simulation) sync(ctx context.Context, who int) (*job.Summary, error) {
	r := sim.plan
	sim.mu.Lock()
	sim.parties[who].started, sim.progress[who] = true, new(job.Progress)
	opts := job.Options{
		Version: "sim", Parallel: r.parallel, MaxRuntime: r.maxRuntime, RetryFor: r.retryFor, Grace: 3 * time.Second,
		Endpoints: r.endpoints, Shard: r.shard, Log: slog.New(&simHandler{sim: sim}), Progress: sim.progress[who],
		Begun: func() { sim.begins(who) },
	}
	sim.mu.Unlock()
	opts.SetTransport(simDuo{sim, who})
	opts.SetReceiver(sim.receiver)
	opts.SetStore(sim.store)
	sum, err := sim.work(ctx, opts)
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.parties[who].ended = time.Now()
	return sum, err
}

// work runs the job, or pulls.
func (sim *simulation) work(ctx context.Context, opts job.Options) (*job.Summary, error) {
	if sim.forgetful != nil && sim.forgetful.pull != nil {
		return sim.forgetful.pull.run(ctx, sim, opts)
	}
	cfg := sim.config(sim.plan)
	if sim.directory != nil {
		cfg.Directory, opts.Places = sim.directory.path, []string{sim.directory.path}
	}
	return job.Sync(ctx, cfg, opts)
}

// step is a point at which the process may be killed: an error means that it is, and
// that what was to happen does not.
func (sim *simulation) step(what string) error {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.dead {
		return errKilled
	}
	if sim.steps++; sim.steps != sim.plan.kill {
		return nil
	}
	sim.dead = true
	sim.note("killed before: %s", what)
	for _, s := range sim.streams {
		sim.fault(s, "the process was killed")
	}
	sim.cancel(errKilled)
	return errKilled
}

// fault notes that something went wrong with a stream: what is delivered of it and does
// not count yet, and what is on its way, may come again.
func (sim *simulation) fault(s *simStream, why string) {
	t := sim.turnOf(s)
	if t.disturbed == "" {
		t.disturbed = why
	}
	for _, d := range slices.Concat(s.open, s.files) {
		d.excused = why
	}
	s.open, s.files, s.struck, s.struckBy = nil, nil, s.reading, why
}

// waiting notes that a session of a server failed which carried nothing of a stream. A
// page that was to go into it may have gone to the other servers already.
func (sim *simulation) waiting(s *simStream, server int, why string) {
	t := sim.turnOf(s)
	earlier, struck := s.open, s.struck
	if i := slices.IndexFunc(s.open, func(d *simDelivery) bool { return d.page > t.arrived[server] }); i >= 0 {
		s.open, earlier = s.open[i:], s.open[:i:i]
	} else {
		s.open = nil
	}
	sim.fault(s, why)
	s.open, s.struck, s.waited = earlier, struck, time.Now()
}

// auditing tells whether a run is done with the day's own records, and audits.
func (sim *simulation) auditing(who int) bool {
	var done, all int
	_, err := fmt.Sscanf(sim.progress[who].String(), "%d of %d streams done", &done, &all)
	return sim.audit && err == nil && done == all
}

// find returns the stream of an endpoint and an account, or nil.
func (sim *simulation) find(endpoint, account string) *simStream {
	for _, s := range sim.streams {
		if s.endpoint.Name == endpoint && s.account == account {
			return s
		}
	}
	return nil
}

// note adds to the story; say does, for callers without the lock.
func (sim *simulation) note(text string, args ...any) {
	sim.story = append(sim.story, simEvent{time.Now(), text, args})
}

func (sim *simulation) say(text string, args ...any) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.note(text, args...)
}

// violation notes that an invariant does not hold; violate does, for callers without
// the lock.
func (sim *simulation) violation(text string, args ...any) {
	text = fmt.Sprintf("run %d: ", sim.run) + fmt.Sprintf(text, args...)
	sim.wrong = append(sim.wrong, text)
	sim.note("VIOLATION: %s", text)
}

func (sim *simulation) violate(text string, args ...any) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.violation(text, args...)
}

// simHandler collects a run's messages.
type simHandler struct {
	sim    *simulation
	stream string
}

// Enabled, Handle, WithAttrs and WithGroup implement [slog.Handler].
func (h *simHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *simHandler) Handle(_ context.Context, r slog.Record) error {
	stream := h.stream
	var attrs []string
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "stream" {
			stream = a.Value.String()
		}
		attrs = append(attrs, a.String())
		return true
	})
	h.sim.mu.Lock()
	defer h.sim.mu.Unlock()
	if h.sim.dead {
		return nil
	}
	h.sim.note("dls %s: %s %s", strings.ToLower(r.Level.String()), r.Message, strings.Join(attrs, " "))
	h.sim.said(r.Message + strings.Join(attrs, " "))
	if r.Level >= slog.LevelWarn {
		h.sim.warnings = append(h.sim.warnings, simWarning{stream, r.Message})
	}
	return nil
}

func (h *simHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := *h
	for _, a := range attrs {
		if a.Key == "stream" {
			own.stream = a.Value.String()
		}
	}
	return &own
}

func (h *simHandler) WithGroup(string) slog.Handler { return h }

// tell tells the story: what was drawn, and what happened.
func (sim *simulation) tell(whole bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "scenario %d: MSP %v, offset %v, %d servers", sim.seed, sim.msp, sim.offset, len(sim.servers))
	for _, p := range sim.servers {
		fmt.Fprintf(&b, "\n  %s: %s, settles %v, refuses some records: %v, and what is longer than %d", p.id, p.protocol, p.settle, p.refuses, p.most)
	}
	for _, s := range sim.streams {
		fmt.Fprintf(&b, "\n  %s: %d records, to servers %v, limit %d, %+v, some without an id: %v, odd texts: %v", s.name(), len(s.records), s.servers, s.endpoint.Limit, s.shape, s.idless, s.texts)
	}
	if whole {
		for _, e := range sim.story {
			fmt.Fprintf(&b, "\n%s  %s", e.at.UTC().Format("01-02T15:04:05.000"), fmt.Sprintf(e.text, e.args...))
		}
	}
	for _, w := range sim.wrong {
		fmt.Fprintf(&b, "\n%s", w)
	}
	return b.String()
}

// String tells what was drawn for a run.
func (r *simRun) String() string {
	var tricks []string
	for s, t := range r.tricks {
		tricks = append(tricks, fmt.Sprintf("%s: %s from call %d", s.name(), t.kind, t.from))
	}
	slices.Sort(tricks)
	for s, what := range r.rot {
		tricks = append(tricks, fmt.Sprintf("the checkpoint of %s: %s", s.name(), what))
	}
	return fmt.Sprintf("overlap %v, parallel %d, max-runtime %v, retry-for %v, endpoints %v, shard %v, Duo's clock ahead %v; kill at step %d, signal after %v, calls that fail %d‰ (for good: %v), store %d‰, servers %+v, odd children: %v, tricks: %v",
		r.overlap, r.parallel, r.maxRuntime, r.retryFor, r.endpoints, r.shard, r.skew, r.kill, r.term, r.duo, r.hard, r.store, r.servers, r.children, tricks)
}
