package job_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"dls/state"
	"dls/state/bucket"
	"dls/state/bucket/buckettest"
)

// TestSimulationBucket plays the scenarios with checkpoints in the model of a bucket,
// in the place of a store in memory: where a scenario has a store that fails, answers
// are lost, writes are late, refused for a while or stall.
func TestSimulationBucket(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", buckettest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", buckettest.SecretKey)
	playDressed(t, "SimulationBucket", newSimBucket)
}

// simBucket is a bucket as the simulation's runs meet it.
type simBucket struct {
	sim     *simulation
	model   *buckettest.Server
	late    int                  // writes that have not landed yet
	landing bool                 // now
	staged  map[string]time.Time // when each checkpoint was staged, by its content
}

func newSimBucket(sim *simulation) {
	b := &simBucket{sim: sim, model: buckettest.New(), staged: map[string]time.Time{}}
	counts := map[string]int{}
	b.model.Fault = func(r buckettest.Request) buckettest.Fault {
		sim.mu.Lock()
		defer sim.mu.Unlock()
		what := r.Method + " " + r.Key
		counts[what]++
		if sim.plan.store == 0 || !dicing(sim.seed, "bucket", sim.run, what, counts[what]).permille(150) {
			return buckettest.Fault{}
		}
		switch counts[what] % 5 {
		case 0:
			return buckettest.Fault{Stall: true}
		case 1:
			return buckettest.Fault{Status: 503}
		case 2:
			if r.Method == "PUT" {
				b.late++
			}
			return buckettest.Fault{Late: r.Method == "PUT"}
		}
		return buckettest.Fault{Lost: true}
	}
	b.model.Written = func(key string, data []byte) {
		sim.mu.Lock()
		defer sim.mu.Unlock()
		for _, s := range sim.streams {
			id := state.ID{IKey: ikey, Endpoint: s.endpoint.Name, Account: s.account}
			if strings.HasSuffix(key, "/"+id.LedgerFile()) {
				sim.disk.ledgers[id.LedgerFile()] = data
			}
			if !strings.HasSuffix(key, "/"+id.File()) {
				continue
			}
			cp := new(state.Checkpoint)
			if err := cp.Decode(data, id); err != nil {
				sim.violation("%s: %v", key, err)
				return
			}
			if old := sim.disk.checkpoints[id.File()]; old != nil && old.DeliveredUntil > cp.DeliveredUntil {
				sim.violation("the checkpoint of %s moves back", s.name())
			}
			sim.disk.checkpoints[id.File()] = cp
			if b.landing {
				sim.note("a checkpoint of %s lands late", s.name())
				sim.turnOf(s).overtaken = true
			}
			sim.committed(id, cp, b.staged[string(data)])
			if b.landing { // the run, whose write this is not, cannot write any more
				sim.fault(s, "a write of an earlier run landed late")
			}
		}
	}
	sim.bucket = b
}

// RoundTrip is the run's way to the bucket: none once its process is killed.
func (b *simBucket) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := b.sim.step("ask the bucket"); err != nil {
		return nil, err
	}
	return b.model.RoundTrip(r)
}

// land does the writes that were late.
func (b *simBucket) land() {
	set := func(landing bool) {
		b.sim.mu.Lock()
		defer b.sim.mu.Unlock()
		b.landing, b.late = landing, 0
	}
	set(true)
	b.model.Land()
	set(false)
}

// open opens the bucket for a run. What was late lands now or, in the middle of a run in
// which something may go wrong, later; and the lease of a run that was killed is over.
func (b *simBucket) open(ctx context.Context) (state.Store, error) {
	b.sim.mu.Lock()
	d, late := dicing(b.sim.seed, "land", b.sim.run), b.late > 0 && b.sim.plan.trouble()
	b.sim.mu.Unlock()
	if late && d.oneIn(2) {
		time.AfterFunc(d.time(0, 20*time.Second), b.land)
	} else {
		b.land()
	}
	dead := b.sim.cutOff()
	for key := range b.model.Objects() {
		if strings.Contains(key, "dls_lease") && dead {
			b.model.Put(key, nil)
		}
	}
	s, err := bucket.Open(ctx, bucket.Options{Bucket: "logs", Prefix: "dls", Region: "us-east-1", Endpoint: "model.invalid", Transport: b})
	if err != nil {
		return nil, err
	}
	return &simBucketStore{s, &simStore{sim: b.sim, steps: map[string]int{}}}, nil
}

// simBucketStore tells the simulation what a run loads.
type simBucketStore struct {
	*bucket.Store
	memory *simStore
}

func (s *simBucketStore) Load(id state.ID) (*state.Checkpoint, error) {
	cp, err := s.Store.Load(id)
	if err != nil {
		return nil, err
	}
	s.memory.sim.mu.Lock()
	defer s.memory.sim.mu.Unlock()
	s.memory.sim.loaded(id, cp)
	return cp, nil
}

// Stage and Commit note what does not count.
func (s *simBucketStore) Stage(id state.ID, cp *state.Checkpoint) (state.Staged, error) {
	sim := s.memory.sim
	sim.mu.Lock()
	if data, err := cp.Encode(id); err == nil {
		sim.bucket.staged[string(data)] = time.Now()
	}
	sim.mu.Unlock()
	staged, err := s.Store.Stage(id, cp)
	if err != nil {
		sim.failedToSave(id, err)
		return nil, err
	}
	return simBucketStaged{staged, id}, nil
}

func (s *simBucketStore) Commit(staged []state.Staged) []error {
	own := make([]state.Staged, len(staged))
	for i, one := range staged {
		own[i] = one.(simBucketStaged).Staged
	}
	errs := s.Store.Commit(own)
	for i, err := range errs {
		if err != nil {
			s.memory.sim.failedToSave(staged[i].(simBucketStaged).id, err)
		}
	}
	return errs
}

// simBucketStaged is a checkpoint that does not count yet.
type simBucketStaged struct {
	state.Staged
	id state.ID
}

// failedToSave notes that a run was told that a checkpoint could not be saved.
func (sim *simulation) failedToSave(id state.ID, err error) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	if s := sim.find(id.Endpoint, id.Account); s != nil {
		sim.note("the checkpoint of %s could not be saved: %v", s.name(), err)
		sim.fault(s, "the checkpoint could not be saved")
	}
}

func (s *simBucketStore) Append(name string, data []byte) error { return s.memory.Append(name, data) }
