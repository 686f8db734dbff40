package job_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"dls/job/config"
	"dls/state"
)

// simDisk is what outlives a run.
type simDisk struct {
	checkpoints map[string]*state.Checkpoint
	history     map[string][]simCopy // all that there ever were
	cut         map[string]bool      // those that are damaged
	turns       map[string]time.Time
	ledgers     map[string][]byte // by the file's name; what is behind what counts, too
	roster      map[string]bool
}

// simCopy is a checkpoint that somebody may put back.
type simCopy struct {
	cp      *state.Checkpoint
	version int // of the stream's, counted from 1
}

// rot does to checkpoints what the run is to find, and returns what puts back those that
// must be.
func (sim *simulation) rot(r *simRun) (mended func()) {
	var after []func()
	sim.mu.Lock()
	defer sim.mu.Unlock()
	for s, what := range r.rot {
		id := state.ID{IKey: ikey, Endpoint: s.endpoint.Name, Account: s.account}
		file := id.File()
		cp := sim.disk.checkpoints[file]
		if sim.directory != nil {
			if mended := sim.directory.relapse(s); mended != nil {
				sim.turnOf(s).rotten = "older than what duologsync has left"
				after = append(after, mended)
				sim.note("duologsync went on after dls with %s", s.name())
			}
			continue
		}
		if cp == nil || sim.bucket != nil {
			continue
		}
		switch what {
		case "cut":
			sim.disk.cut = map[string]bool{file: true}
			sim.turnOf(s).rotten = what
			after = append(after, func() { sim.disk.cut = nil })
		case "gone":
			delete(sim.disk.checkpoints, file)
			if !sim.disk.roster[file] { // nobody can tell that there was one
				sim.forgets(s, 0, "its checkpoint is gone")
				continue
			}
			sim.turnOf(s).rotten = what
			after = append(after, func() { sim.disk.checkpoints[file] = cp })
		case "old":
			old := sim.disk.history[file][dicing(sim.seed, "old", sim.run).IntN(len(sim.disk.history[file]))]
			sim.disk.checkpoints[file] = old.cp
			sim.forgets(s, old.version, "an old checkpoint was put back")
		}
		sim.note("the checkpoint of %s: %s", s.name(), what)
	}
	return func() {
		sim.mu.Lock()
		defer sim.mu.Unlock()
		for _, f := range after {
			f()
		}
	}
}

// forgets notes that what was made sure of after a version of a stream's checkpoint may
// come again.
func (sim *simulation) forgets(s *simStream, version int, why string) {
	delete(sim.ledgers, s)
	for _, k := range s.kinds {
		for _, d := range k.deliveries() {
			if d.version == 0 || d.version > version {
				d.excused = why
			}
		}
	}
}

// simStore is a store in memory, as one run meets it.
type simStore struct {
	state.Store // what a run does not call
	sim         *simulation
	steps       map[string]int // of each stream, so that what fails does not depend on the others
}

// simStaged is a checkpoint that does not count yet.
type simStaged struct {
	id state.ID
	cp *state.Checkpoint
}

func (simStaged) Discard() {}

// store opens the store of a run.
func (sim *simulation) store(*config.Config) (state.Store, error) {
	switch {
	case sim.forgetful != nil && !sim.needsStore():
		sim.violate("what remembers nothing, and sends to no server that needs it, opens the checkpoint directory")
		return nil, errNoDirectory
	case sim.bucket != nil:
		return sim.bucket.open(sim.ctx)
	case sim.directory != nil:
		return sim.directory.open()
	}
	return &simStore{sim: sim, steps: map[string]int{}}, nil
}

var errDisk = errors.New("the disk is full")

// fails is a step of the store that may fail.
func (s *simStore) fails(what string, id state.ID) error {
	if s.sim.forgetful != nil && what != "append" {
		s.sim.violate("a run without memory does something to checkpoints: %s", what)
	}
	if err := s.sim.step(what); err != nil {
		return err
	}
	s.sim.mu.Lock()
	defer s.sim.mu.Unlock()
	s.steps[id.File()]++
	if !dicing(s.sim.seed, "disk", s.sim.run, what, id.File(), s.steps[id.File()]).permille(s.sim.plan.store) {
		return nil
	}
	s.sim.note("the store fails to %s %s", what, id.File())
	for _, stream := range s.sim.streams {
		if strings.HasSuffix(what, "ledger") {
			break // the checkpoint holds what the ledger would
		}
		if stream.endpoint.Name == id.Endpoint && (stream.account == id.Account || what == "append") {
			s.sim.fault(stream, "the store failed to "+what)
		}
	}
	return errDisk
}

// copied is a copy of a checkpoint by way of its file.
func copied(id state.ID, cp *state.Checkpoint) *state.Checkpoint {
	data, err := cp.Encode(id)
	c := new(state.Checkpoint)
	if err == nil {
		err = c.Decode(data, id)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// Load implements [state.Store].
func (s *simStore) Load(id state.ID) (*state.Checkpoint, error) {
	if err := s.fails("load", id); err != nil {
		return nil, err
	}
	s.sim.mu.Lock()
	defer s.sim.mu.Unlock()
	cp := s.sim.disk.checkpoints[id.File()]
	s.sim.loaded(id, cp)
	if cp == nil {
		return nil, nil
	}
	if s.sim.disk.cut[id.File()] {
		data, err := cp.Encode(id)
		if err == nil {
			err = new(state.Checkpoint).Decode(data[:len(data)/2], id)
		}
		return nil, &state.UntrustedError{Path: id.File(), Err: err}
	}
	return copied(id, cp), nil
}

// Stage implements [state.Store].
func (s *simStore) Stage(id state.ID, cp *state.Checkpoint) (state.Staged, error) {
	if err := s.fails("stage", id); err != nil {
		return nil, err
	}
	return simStaged{id, copied(id, cp)}, nil
}

// Commit implements [state.Store]. One that fails may count all the same.
func (s *simStore) Commit(staged []state.Staged) []error {
	errs := make([]error, len(staged))
	for i, one := range staged {
		one := one.(simStaged)
		if errs[i] = s.fails("commit", one.id); errs[i] != nil {
			continue
		}
		s.sim.mu.Lock()
		s.sim.disk.checkpoints[one.id.File()] = one.cp
		s.sim.committed(one.id, one.cp, time.Now())
		s.sim.mu.Unlock()
	}
	for i, one := range staged {
		if errs[i] == nil {
			errs[i] = s.fails("sync", one.(simStaged).id)
		}
	}
	return errs
}

// Append implements [state.Store].
func (s *simStore) Append(name string, data []byte) error {
	endpoint, _, _ := strings.Cut(name, "_")
	if err := s.fails("append", state.ID{Endpoint: endpoint}); err != nil {
		return err
	}
	s.sim.mu.Lock()
	defer s.sim.mu.Unlock()
	for line := range strings.Lines(string(data)) {
		s.sim.keep(name, line)
	}
	return nil
}

// AppendLedger implements [state.Ledgers]. One that fails may have written.
func (s *simStore) AppendLedger(id state.ID, at int64, data []byte) error {
	s.sim.mu.Lock()
	whole, err := state.ExtendLedger(s.sim.disk.ledgers[id.LedgerFile()], id, at, data)
	s.sim.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.fails("append to the ledger", id); err != nil {
		return err
	}
	s.sim.mu.Lock()
	s.sim.disk.ledgers[id.LedgerFile()] = whole
	s.sim.mu.Unlock()
	return s.fails("sync the ledger", id)
}

// ReadLedger implements [state.Ledgers].
func (s *simStore) ReadLedger(id state.ID, n int64) ([]byte, error) {
	s.sim.mu.Lock()
	defer s.sim.mu.Unlock()
	return state.LedgerEntries(s.sim.disk.ledgers[id.LedgerFile()], id, n)
}

// SaveRuns implements [state.Store].
func (s *simStore) SaveRuns(_, _ string, runs []state.StreamRun, _ bool) ([]state.StreamRun, error) {
	return runs, s.fails("save the last runs", state.ID{})
}

// Turns implements [state.Store].
func (s *simStore) Turns(string) (map[string]time.Time, error) {
	return maps.Clone(s.sim.disk.turns), s.fails("read the turns", state.ID{})
}

// SaveTurns implements [state.Store].
func (s *simStore) SaveTurns(_, _ string, turns map[string]time.Time) error {
	if err := s.fails("save the turns", state.ID{}); err != nil {
		return err
	}
	s.sim.disk.turns = maps.Clone(turns)
	return nil
}

func (s *simStore) Path(name string) string                { return "/state/" + name }
func (s *simStore) Shares() ([]state.ShareRun, error)      { return nil, nil }
func (s *simStore) Began(string, string) []time.Time       { return s.sim.began }
func (s *simStore) Roster(string) (map[string]bool, error) { return maps.Clone(s.sim.disk.roster), nil }
func (s *simStore) HasRoster(string, string) (bool, error) { return s.sim.disk.roster != nil, nil }
func (s *simStore) Enrol(_, _ string, streams []string) error {
	if s.sim.disk.roster == nil {
		s.sim.disk.roster = map[string]bool{}
	}
	for _, name := range streams {
		s.sim.disk.roster[name] = true
	}
	return nil
}
func (s *simStore) Claim(context.Context, state.Share) (func(), error) {
	if s.sim.forgetful != nil {
		s.sim.violate("a run without memory locks")
	}
	if err := s.sim.step("lock"); err != nil {
		return nil, err
	}
	s.sim.mu.Lock()
	defer s.sim.mu.Unlock()
	if s.sim.locked {
		return nil, state.ErrLocked
	}
	s.sim.locked = true
	return func() {
		s.sim.mu.Lock()
		defer s.sim.mu.Unlock()
		s.sim.locked = false
	}, nil
}
func (s *simStore) Close() error { return nil }
