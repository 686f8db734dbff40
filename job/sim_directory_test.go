package job_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dls/state"
	"dls/state/statetest"
)

// TestSimulationDirectory plays scenarios with checkpoints and ledgers in a directory, in
// the place of a store in memory: what fails, and what comes before a kill, is each step
// of their writes.
func TestSimulationDirectory(t *testing.T) {
	playDressed(t, "SimulationDirectory", func(sim *simulation) {
		sim.directory = &simDirectory{sim: sim, path: t.TempDir(), seen: map[string][]byte{}, counts: map[string]int{}}
		sim.directory.inherit()
	})
}

// simDirectory is a checkpoint directory as the simulation's runs meet it.
type simDirectory struct {
	sim    *simulation
	path   string
	seen   map[string][]byte // what was last read of each checkpoint
	counts map[string]int    // steps by name
	small  *simSmall         // or nil

	takeovers map[*simStream]*simTakeover
}

// open opens the directory for a run.
func (d *simDirectory) open() (state.Store, error) {
	dir, err := state.Open(d.path)
	if err != nil {
		return nil, err
	}
	d.look(func(id state.ID, cp *state.Checkpoint) {})
	d.sim.mu.Lock()
	for _, s := range d.sim.streams {
		plan := d.sim.plan
		if !plan.shard.Has(s.account) || plan.endpoints != nil && !slices.Contains(plan.endpoints, s.endpoint.Name) {
			continue
		}
		id := state.ID{IKey: ikey, Endpoint: s.endpoint.Name, Account: s.account}
		cp := d.sim.disk.checkpoints[id.File()]
		if t := d.takeovers[s]; t != nil && t.right != "" && cp == nil {
			d.sim.turnOf(s).rotten = "what duologsync has left: " + t.kind
		}
		d.sim.loaded(id, cp)
	}
	d.sim.mu.Unlock()
	statetest.Break(d.path, d.step)
	return dir, nil
}

// close ends what the run may still do, and looks at what it has left.
func (d *simDirectory) close() {
	statetest.Break(d.path, nil)
	d.committed()
}

// step is a step of a write.
func (d *simDirectory) step(name string) error {
	sim := d.sim
	d.committed()
	if err := sim.step(name); err != nil {
		return err
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	d.counts[name]++
	if !dicing(sim.seed, "directory", sim.run, name, d.counts[name]).permille(sim.plan.store / 4) { // a write has several
		return nil
	}
	sim.note("the directory fails to %s", name)
	for _, s := range sim.streams {
		sim.fault(s, "the directory failed to "+name)
	}
	return errDisk
}

// committed takes checkpoints that were written since it was called last.
func (d *simDirectory) committed() {
	d.look(func(id state.ID, cp *state.Checkpoint) {
		d.sim.committed(id, cp, time.Time{}) // when it was staged is not known
	})
}

// look reads what has changed.
func (d *simDirectory) look(found func(state.ID, *state.Checkpoint)) {
	sim := d.sim
	sim.mu.Lock()
	defer sim.mu.Unlock()
	kept, _ := filepath.Glob(filepath.Join(d.path, "*_oversize.ndjson"))
	datagrams, _ := filepath.Glob(filepath.Join(d.path, "*_udp_failed_ingestion_logs.txt"))
	for _, path := range slices.Concat(kept, datagrams) {
		data, _ := os.ReadFile(path)
		name := filepath.Base(path)
		whole := data[:bytes.LastIndexByte(data, '\n')+1]
		for line := range bytes.Lines(whole[len(d.seen[name]):]) {
			sim.keep(name, string(line))
		}
		d.seen[name] = whole
	}
	for _, s := range sim.streams {
		id := state.ID{IKey: ikey, Endpoint: s.endpoint.Name, Account: s.account}
		data, err := os.ReadFile(filepath.Join(d.path, id.File()))
		if err != nil || bytes.Equal(data, d.seen[id.File()]) {
			continue
		}
		if ledger, err := os.ReadFile(filepath.Join(d.path, id.LedgerFile())); err == nil {
			sim.disk.ledgers[id.LedgerFile()] = ledger
		}
		if now := time.Now(); os.Chtimes(filepath.Join(d.path, id.File()), now, now) != nil {
			continue // it is being replaced
		}
		d.seen[id.File()] = data
		cp := new(state.Checkpoint)
		if err := cp.Decode(data, id); err != nil {
			sim.violation("%s: %v", id.File(), err)
			continue
		}
		sim.disk.checkpoints[id.File()] = cp
		found(id, cp)
	}
}
