package job_test

import (
	"context"
	"time"
)

// simParty is one of two runs at once.
type simParty struct {
	started      bool
	begun, ended time.Time // begun: it has the store
}

// beside has another run of the same configuration begin while the run is at work, if one
// is drawn. The channel is closed when it has ended.
func (sim *simulation) beside(ctx context.Context) (over chan struct{}) {
	over = make(chan struct{})
	if sim.plan.twin == 0 {
		close(over)
		return over
	}
	go func() {
		defer close(over)
		err := pause(ctx, sim.plan.twin)
		sim.mu.Lock()
		late := err != nil || !sim.parties[0].ended.IsZero()
		sim.mu.Unlock()
		if late {
			return
		}
		sim.say("another run begins")
		sum, err := sim.sync(ctx, 1)
		sim.mu.Lock()
		defer sim.mu.Unlock()
		sim.note("the other run ends: %v", err)
		if sum == nil || sim.dead {
			return
		}
		for _, result := range sum.Results {
			s := sim.find(result.Endpoint, result.Account)
			if s == nil || result.Err != nil {
				continue
			}
			t := sim.turnOf(s)
			sim.due(s, func(r *simRecord) bool { return t.shown[1][r] && sim.kept(t, r) && !s.mayEnd(t) }, func(r *simRecord) {
				sim.violation("the other run is done with %s, and %s, which Duo has shown it, is not delivered", s.name(), sim.names([]*simRecord{r}))
			})
		}
	}()
	return over
}

// begins notes that a run has the store. Where another one has it, too, or had it just
// now, what either delivers may come again.
func (sim *simulation) begins(who int) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.parties[who].begun = time.Now()
	if sim.parties[1-who].begun.IsZero() {
		return
	}
	sim.note("two runs are at work")
	sim.plan.doubled = true
	for _, s := range sim.streams {
		sim.fault(s, "another run was at work")
	}
}

// cutOff tells whether the runs at work are taken for dead by one that opens the bucket:
// those before it are, and in half of the cases the one that it comes beside.
func (sim *simulation) cutOff() bool {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if !sim.parties[1].started {
		return true
	}
	sim.unleased = dicing(sim.seed, "lease", sim.run).oneIn(2)
	return sim.unleased
}

// judgeParties checks that of two runs one was kept out, unless its lease was lost.
func (sim *simulation) judgeParties() {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	a, b := sim.parties[0], sim.parties[1]
	together := sim.plan.doubled && a.begun.Before(b.ended) && b.begun.Before(a.ended)
	if together && !(sim.bucket != nil && (sim.unleased || sim.plan.store > 0)) {
		sim.violation("two runs are at work at once, from %s to %s and from %s to %s", sim.clock(a.begun.UnixMilli()), sim.clock(a.ended.UnixMilli()), sim.clock(b.begun.UnixMilli()), sim.clock(b.ended.UnixMilli()))
	}
}
