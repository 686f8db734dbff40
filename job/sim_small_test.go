package job_test

import (
	"errors"
	"slices"
	"testing"

	"dls/job/duo"
	"dls/state"
	"dls/state/statetest"
)

// TestSimulationSmall plays scenarios with checkpoints in a directory of which a file, and
// what a checkpoint remembers, are small enough that runs come to the bounds: in half of
// them in the proportion that they have to each other, where nothing changes but that late
// records are found for a shorter time; in the others too small for what there is to be
// remembered, where streams fail, and what they have saved can be loaded all the same.
func TestSimulationSmall(t *testing.T) {
	undo := func() {}
	defer func() { undo() }()
	playDressed(t, "SimulationSmall", func(sim *simulation) {
		d := dicing(sim.seed, "small")
		sim.directory = &simDirectory{sim: sim, path: t.TempDir(), seen: map[string][]byte{}, counts: map[string]int{}}
		sim.directory.small = &simSmall{tight: d.oneIn(2), marks: d.between(60, 150)}
		file := sim.directory.small.marks * 256 // as 256 MiB to 1,048,576
		if sim.directory.small.tight {
			sim.directory.small.marks, file = 1<<20, d.between(900, 5000)
		}
		sim.audit = sim.audit && sim.directory.small.tight // it looks at whole days, which is more than the others remember
		for _, s := range sim.streams {                    // pages are small beside what is remembered, too
			if sh := &s.shape; s.least() > 45 && s.together() < 45 {
				sh.cap, sh.varies, sh.lastNull = 45, false, false
			}
		}
		undo()
		undo = statetest.Bound(file, sim.directory.small.marks)
	})
}

// simSmall is a directory whose files are small.
type simSmall struct {
	tight bool // too small for what is remembered
	marks int  // that are remembered at most
}

// tooLarge tells whether an error is that a checkpoint would not fit its file, where that
// may be.
func (d *simDirectory) tooLarge(err error) bool {
	return d != nil && d.small != nil && d.small.tight && errors.Is(err, state.ErrTooLarge)
}

// forgot tells whether a checkpoint has had no room for a record, which comes again where
// it must be read again: where the checkpoint lies before it, as Duo's cursors have left it
// or while records in any order are read, and among these where it lies in the overlap.
func (d *simDirectory) forgot(k *simKind) bool {
	if d == nil || d.small == nil {
		return false
	}
	cp := d.sim.disk.checkpoints[state.ID{Endpoint: k.stream.endpoint.Name, Account: k.stream.account}.File()]
	return cp != nil && slices.ContainsFunc(k.records, func(r *simRecord) bool {
		return (cp.DeliveredUntil <= r.at || k.stream.endpoint.Cursor == duo.Offset) && r.at < cp.Delivered.RememberedSince()
	})
}

// overfull tells whether a stream may have more records in the overlap than a checkpoint
// remembers: from the checkpoint on, which Duo or a text may have held back.
func (d *simDirectory) overfull(s *simStream) bool {
	if d == nil || d.small == nil {
		return false
	}
	low, n := d.sim.turnOf(s).until-d.sim.plan.overlap.Milliseconds(), 0
	if s.texts || slices.ContainsFunc(d.sim.turns, func(run map[*simStream]*simTurn) bool { return run[s] != nil && run[s].tricked }) {
		low = 0
	}
	for _, r := range s.records {
		if r.at >= low && !r.shown.at.IsZero() {
			n++
		}
	}
	return n > d.small.marks
}

// loadable checks that what the runs have saved can be loaded.
func (d *simDirectory) loadable() {
	dir, err := state.Open(d.path)
	if err != nil {
		d.sim.violate("%v", err)
		return
	}
	defer dir.Close()
	for _, s := range d.sim.streams {
		if _, err := dir.Load(state.ID{IKey: ikey, Endpoint: s.endpoint.Name, Account: s.account}); err != nil {
			d.sim.violate("what is saved of %s cannot be loaded: %v", s.name(), err)
		}
	}
}
