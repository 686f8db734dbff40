package job_test

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/window"
	"dls/state"
)

// A host without memory reads the same world: its file says checkpointing.enabled: false,
// and an offset that is long enough, or not.

// errNoDirectory is a checkpoint directory that cannot be opened, where none is needed.
var errNoDirectory = errors.New("there is no checkpoint directory on this host")

// forget makes the scenario one of a host without memory.
func (sim *simulation) forget() {
	d := dicing(sim.seed, "forgetful")
	sim.forgetful = &simForgetful{covered: map[*simStream]simCovered{}}
	sim.offset = pick(d, 0, 5*time.Minute, time.Hour, 12*time.Hour, 24*time.Hour, 36*time.Hour, 72*time.Hour, 180*24*time.Hour)
	daily := d.oneIn(3)
	for i, r := range sim.runs {
		r.twin, r.rot = 0, nil // there is nothing that two could share, and nothing to be damaged
		switch {
		case i > 0 && daily:
			r.gap = 24 * time.Hour
		case dicing(sim.seed, "rare", r.gap).oneIn(6):
			r.gap = d.time(4*time.Hour, 30*time.Hour)
		}
	}
}

// simForgetful is what is known of a host without memory, or of a pull.
type simForgetful struct {
	covered map[*simStream]simCovered
	pull    *simPull // or nil
}

// simCovered is the time that the last runs of a stream have covered, where they were done
// with it and came often enough.
type simCovered struct {
	from int64
	last time.Time     // when the last one began
	skew time.Duration // of Duo's clock then
	late time.Duration // Duo may show a record so late
}

// playForgetful plays the drawn runs on a host without memory, and a clean one.
func (sim *simulation) playForgetful() {
	sim.forget()
	time.Sleep(sim.begin)
	sim.obey()
	if len(sim.wrong) > 0 {
		return
	}
	for _, r := range sim.runs {
		time.Sleep(r.gap)
		sim.once(r)
	}
	time.Sleep(5 * time.Minute)
	if _, err := sim.once(&simRun{overlap: sim.runs[0].overlap, parallel: 8, retryFor: 6 * time.Hour}); err != nil {
		sim.violate("a clean run without memory fails: %v", err)
	}
}

var offsetText = regexp.MustCompile(`offset to (\d+)`)

// obey has the file read. What dls refuses in it, its user sets as the message says.
func (sim *simulation) obey() {
	for range 3 {
		cfg, err := config.Parse("dls.yml", []byte(sim.file.text(sim, "10")), config.Env{})
		if err == nil {
			if !slices.ContainsFunc(cfg.Warnings, func(w string) bool { return strings.Contains(w, "without checkpoints every run sends all of the last") }) {
				sim.violate("nobody warns of runs without memory: %q", cfg.Warnings)
			}
			return
		}
		if sim.audit {
			sim.refused("an audit without memory", err, "dls_settings.audit", "dls_settings.checkpointing.enabled")
			sim.audit = false
			continue
		}
		said := sim.refused("to forget with an offset of "+sim.offset.String(), err, "dls_settings.checkpointing.enabled")
		days := offsetText.FindStringSubmatch(said)
		if days == nil || days[1] != "1" || sim.offset >= 24*time.Hour {
			sim.violate("an offset of %v is refused, and what to set is not said: %s", sim.offset, said)
			return
		}
		sim.offset = 24 * time.Hour
	}
	sim.violate("a file without checkpoints is refused though it says what it was told to")
}

// needsStore tells whether a run without memory needs a place: where duologsync keeps what
// no datagram can hold.
func (sim *simulation) needsStore() bool {
	return slices.ContainsFunc(sim.streams, func(s *simStream) bool {
		return slices.ContainsFunc(s.servers, func(i int) bool { return sim.scenario.servers[i].protocol == config.UDP })
	})
}

// startsAfresh notes, before a run without memory, that all that was delivered comes again, and
// from when on it owes what Duo shows.
func (sim *simulation) startsAfresh() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, s := range sim.streams {
		plan := sim.plan
		sim.forgets(s, 0, "nothing is remembered")
		if plan.shard.Has(s.account) && (plan.endpoints == nil || slices.Contains(plan.endpoints, s.endpoint.Name)) {
			sim.loaded(state.ID{IKey: ikey, Endpoint: s.endpoint.Name, Account: s.account}, nil)
			if p := sim.forgetful.pull; p != nil {
				sim.turnOf(s).end = p.end(sim.start)
			}
		}
	}
}

// back is how far back a stream without a checkpoint begins: without memory an overlap, and
// what Duo withholds, before the offset.
func (sim *simulation) back() time.Duration {
	if sim.forgetful == nil || sim.forgetful.pull != nil {
		return sim.offset
	}
	return sim.offset + window.Lag + sim.plan.overlap
}

// over notes that a run without memory has ended: what is confirmed by then counts.
func (sim *simulation) over() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, t := range sim.turns[sim.run] {
		t.saved = time.Now()
	}
}

// keepless tells whether records of a stream can neither be sent nor kept.
func (sim *simulation) keepless(s *simStream, err error) bool {
	return sim.forgetful != nil && !sim.needsStore() && strings.Contains(err.Error(), "there is no checkpoint directory to keep") &&
		slices.ContainsFunc(s.servers, func(i int) bool { p := sim.scenario.servers[i]; return p.refuses || p.most > 0 })
}

// judgeGaps checks that runs without memory, each done, leave nothing between them where they
// come once a day: for these a file is good that dls takes. In the overlap one may come later,
// or Duo show a record.
func (sim *simulation) judgeGaps(sum *job.Summary) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if sim.dead || sum == nil {
		return
	}
	for _, result := range sum.Results {
		s := sim.find(result.Endpoint, result.Account)
		if s == nil || result.Err != nil {
			continue
		}
		t, c := sim.turnOf(s), sim.forgetful.covered[s]
		late := 24*time.Hour + sim.plan.overlap + window.Lag - sim.start.Sub(c.last) - c.skew.Abs()
		if c.last.IsZero() || late < 0 {
			c.from, c.late = t.low, math.MaxInt64
		} else {
			c.late = min(c.late, late)
		}
		c.from, c.last, c.skew = min(c.from, t.low), sim.start, sim.plan.skew
		if s.mayEnd(t) || t.tricked {
			delete(sim.forgetful.covered, s)
			continue
		}
		sim.forgetful.covered[s] = c
		unit := s.endpoint.AskUnit.Duration().Milliseconds()
		sim.due(s, func(r *simRecord) bool {
			return r.at >= c.from && r.at <= t.end-t.end%unit && r.visible <= t.began && r.visible-r.at <= c.late.Milliseconds() && r.gone == 0 && sim.kept(t, r)
		}, func(r *simRecord) {
			sim.violation("%s of %s lies between runs without memory, a day apart and done, and is not delivered", sim.names([]*simRecord{r}), s.name())
		})
	}
}
