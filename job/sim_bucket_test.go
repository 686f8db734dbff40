package job_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

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
	first, last := uint64(firstSeed), firstSeed+uint64(*scenarios)/4
	if *simSeed > 0 {
		first, last = *simSeed, *simSeed+1
	}
	failed := 0
	for seed := first; seed < last && failed < *failures; seed++ {
		sim := newSimulation(seed)
		newSimBucket(sim)
		playSim(t, sim, seed)
		if len(sim.wrong) > 0 {
			failed++
			t.Errorf("seed %d (again: go test ./job -run SimulationBucket -seed %d):\n%s", seed, seed, strings.Join(sim.wrong, "\n"))
			if *simSeed > 0 {
				t.Log(sim.tell(true))
			}
		}
	}
}

// simBucket is a bucket as the simulation's runs meet it.
type simBucket struct {
	sim   *simulation
	model *buckettest.Server
}

func newSimBucket(sim *simulation) {
	b := &simBucket{sim, buckettest.New()}
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
			sim.committed(id, cp)
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

// open opens the bucket for a run. What was late has landed, and the lease of a run that
// was killed is over.
func (b *simBucket) open(ctx context.Context) (state.Store, error) {
	b.model.Land()
	for key := range b.model.Objects() {
		if strings.Contains(key, "dls_lease") {
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

func (s *simBucketStore) Append(name string, data []byte) error { return s.memory.Append(name, data) }
