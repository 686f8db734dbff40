package job_test

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/window"
)

// A pull reads a time of the same world, to the standard output or to one server of the
// file, whatever else stands there and wherever checkpoints are.

// simPull is one pull.
type simPull struct {
	cfg   *config.Config
	until time.Time // zero: the newest
	out   bool      // to the standard output
}

// playPulls plays a pull in the place of each run, each with a world of its own.
func (sim *simulation) playPulls() {
	time.Sleep(sim.begin)
	for i, r := range sim.runs {
		time.Sleep(r.gap)
		one := newSimulation(sim.seed)
		one.pull(dicing(sim.seed, "pull", i), one.runs[i])
		sim.story, sim.wrong = slices.Concat(sim.story, one.story), slices.Concat(sim.wrong, one.wrong)
	}
}

// pull draws a pull and plays it, with the troubles of a run.
func (sim *simulation) pull(d dice, r *simRun) {
	r.twin, r.rot, r.shard = 0, nil, job.Shard{}
	p := &simPull{cfg: sim.config(r), out: d.oneIn(3)}
	i := d.IntN(len(sim.scenario.servers))
	target := sim.scenario.servers[i]
	if p.out {
		target, r.servers = &simServerPlan{id: "stdout", protocol: config.TCP}, nil
	} else if r.servers != nil {
		r.servers = r.servers[i : i+1]
	}
	sim.scenario.servers = []*simServerPlan{target}
	for _, s := range sim.streams {
		s.servers = []int{0}
	}
	sim.audit, sim.offset = false, pick(d, 10*time.Minute, time.Hour, 5*time.Hour, 72*time.Hour, 30*24*time.Hour, 179*24*time.Hour)
	if d.oneIn(2) {
		p.until = time.Now().Add(-d.time(sim.offset/5, sim.offset/5*4))
	}
	sim.forgetful = &simForgetful{covered: map[*simStream]simCovered{}, pull: p}
	sim.say("a pull of the last %v, until %v, to %s", sim.offset, p.until, target.id)
	sim.once(r)
}

// run pulls.
func (p *simPull) run(ctx context.Context, sim *simulation, opts job.Options) (*job.Summary, error) {
	pull := job.PullOptions{Options: opts, Since: sim.start.Add(-sim.offset), Until: p.until, Format: p.cfg.Format}
	if pull.Server = sim.scenario.servers[0].id; p.out {
		pull.Server, pull.Out = "", &simOutput{&simServer{sim: sim, plan: sim.scenario.servers[0], began: time.Now()}}
	}
	return job.Pull(ctx, p.cfg, pull)
}

// end is where a pull's time ends.
func (p *simPull) end(start time.Time) int64 {
	if newest := start.Add(-window.Lag); p.until.IsZero() || p.until.After(newest) {
		return newest.UnixMilli()
	}
	return p.until.UnixMilli()
}

// simOutput is the standard output: what it has taken counts.
type simOutput struct{ server *simServer }

func (o *simOutput) Write(b []byte) (int, error) {
	sim := o.server.sim
	if err := sim.step("write"); err != nil {
		return 0, err
	}
	lines := bytes.SplitAfter(b, []byte("\n"))
	lines = lines[:len(lines)-1]
	one := &simSession{server: o.server, carries: map[*simStream]bool{}, sends: 1}
	for _, line := range lines {
		endpoint := ""
		for _, s := range sim.streams {
			if k, _ := sim.kindOf(s.endpoint.Name, string(line)); k != nil {
				endpoint = s.endpoint.Name
			}
		}
		sim.taken(one, endpoint, string(line), sim.carried(one, endpoint, [][]byte{line}))
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	one.confirmed, one.over = time.Now(), true
	return len(b), nil
}

// wanted tells whether a record that Duo shows is of the pull's time, if the run is one. Of
// an administrator's whose text tells another time it is not known, unless others of the
// pull's time come after it.
func (sim *simulation) wanted(t *simTurn, r *simRecord) bool {
	if sim.forgetful == nil || sim.forgetful.pull == nil || t.stream.endpoint.Cursor != duo.Mintime {
		return true
	}
	return r.at <= t.end && (!r.odd || slices.ContainsFunc(t.stream.records, func(o *simRecord) bool { return !o.odd && r.at < o.at && o.at <= t.end && t.shown[0][o] }))
}

// judgePull checks that nothing came that lies outside of the pull's time.
func (sim *simulation) judgePull() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for _, s := range sim.streams {
		t := sim.turnOf(s)
		unit, end := s.endpoint.AskUnit.Duration().Milliseconds(), t.end
		if newest := sim.start.Add(-window.Lag).UnixMilli(); s.endpoint.Cursor == duo.Mintime && (t.end == newest || s.texts) {
			end = math.MaxInt64 // the newest that Duo shows, which takes no end; or a text may tell that more is of the time
		}
		for _, k := range s.kinds {
			within := slices.ContainsFunc(k.records, func(r *simRecord) bool { return r.at >= t.low-t.low%unit && r.at <= end })
			if len(k.deliveries()) > 0 && !within {
				sim.violation("a pull from %s to %s brings %s of %s", sim.clock(t.low), sim.clock(t.end), sim.names(k.records), s.name())
			}
		}
	}
}
