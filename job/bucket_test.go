package job_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"dls/job"
	"dls/sinks/sinktest"
	"dls/state"
	"dls/state/bucket"
	"dls/state/bucket/buckettest"
)

// modelBucket makes the world's checkpoints those in a bucket of a model, served with
// TLS.
func (w *world) modelBucket() *buckettest.Server {
	w.t.Helper()
	w.t.Setenv("AWS_ACCESS_KEY_ID", buckettest.AccessKey)
	w.t.Setenv("AWS_SECRET_ACCESS_KEY", buckettest.SecretKey)
	model := buckettest.New()
	ca := sinktest.NewAuthority(w.t)
	server := httptest.NewUnstartedServer(model)
	server.TLS = ca.Issue(w.t, sinktest.CertificateOptions{}).Server(nil)
	server.StartTLS()
	w.t.Cleanup(server.Close)
	w.inBucket("logs", strings.TrimPrefix(server.URL, "https://"), ca.CertPEM())
	return model
}

// inBucket has the configuration name a bucket.
func (w *world) inBucket(name, endpoint string, ca []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.path("store.pem"), ca, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.text.checkpointing = map[string]any{
		"directory": "s3://" + name + "/dls?endpoint=" + endpoint, "ca_filepath": w.path("store.pem"),
	}
}

var bucketNames = []string{"auth", "telephony", "activity", "adminaction"}

// family adds n child accounts with some records each, and returns the lines of all.
func (w *world) family(n, records int) (want []string) {
	w.t.Helper()
	for i := range n {
		id := fmt.Sprintf("DACHILD%013d", i)
		w.child(id, "Child")
		w.fill(id, records, time.Now().Add(-time.Hour), uint64(i))
		want = append(want, w.lines(id, bucketNames...)...)
	}
	return want
}

// Shares whose machines have nothing in common but a bucket deliver everything exactly
// once between them, also when their number changes.
func TestBucketShares(t *testing.T) {
	w, siem := newWorld(t)
	model := w.modelBucket()
	want := w.family(12, 3)
	w.shares(4)
	exactly(t, want, siem.Take())
	w.shares(5)
	exactly(t, nil, siem.Take())
	if len(model.Objects()) < 12*4 {
		t.Errorf("%d objects", len(model.Objects()))
	}
	w.clean(w.sync())
	exactly(t, nil, siem.Take())
}

// While another run holds the lease, a run ends at once.
func TestBucketLocked(t *testing.T) {
	w, _ := newWorld(t)
	w.modelBucket()
	store, err := job.OpenStore(t.Context(), w.config(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	release, err := store.Claim(t.Context(), state.Share{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(); !errors.Is(err, state.ErrLocked) {
		t.Errorf("%v, want %v", err, state.ErrLocked)
	}
	release()
	w.clean(w.sync())
}

// A run that lost its place on a stream delivers nothing more of it, and says so; the
// others go on.
func TestBucketFenced(t *testing.T) {
	w, siem := newWorld(t)
	model := w.modelBucket()
	w.text.endpoints = map[string][]string{"siem": {"auth", "activity"}}
	w.fill(parent, 5, time.Now().Add(-time.Hour), 1)
	w.clean(w.sync())
	siem.Take()
	before := w.lines(parent, "auth", "activity")
	w.fill(parent, 5, time.Now().Add(-30*time.Minute), 2)
	const key = "dls/auth_checkpoint.json"
	var once sync.Once
	model.Fault = func(r buckettest.Request) buckettest.Fault {
		if r.Method == "HEAD" && r.Key == key { // the run looks before it sends
			once.Do(func() { model.Put(key, append(model.Objects()[key], '\n')) })
		}
		return buckettest.Fault{}
	}
	sum := w.sync()
	failed := sum.Failed()
	if len(failed) != 1 || failed[0].Endpoint != "auth" {
		t.Fatalf("failed: %v", failed)
	}
	if _, ok := errors.AsType[*state.FencedError](failed[0].Err); !ok || !strings.Contains(failed[0].Hint(), "one run at a time") {
		t.Errorf("%v (%s)", failed[0].Err, failed[0].Hint())
	}
	exactly(t, without(w.lines(parent, "activity"), before), siem.Take())
	model.Fault = nil
	w.clean(w.sync())
	exactly(t, without(w.lines(parent, "auth"), before), siem.Take())
}

// A bucket that cannot be used ends the run before anything is fetched.
func TestBucketUnusable(t *testing.T) {
	w, _ := newWorld(t)
	model := w.modelBucket()
	model.Unconditional = true
	if _, err := w.try(); !errors.Is(err, bucket.ErrUnconditional) || job.Hint(err) == "" {
		t.Errorf("%v, want %v", err, bucket.ErrUnconditional)
	}
	model.Unconditional = false
	model.Fault = func(buckettest.Request) buckettest.Fault { return buckettest.Fault{Status: 403} }
	_, err := w.try()
	if _, ok := errors.AsType[*job.SetupError](err); !ok {
		t.Errorf("%v, want a *SetupError", err)
	}
	if calls := len(w.sim.Calls()); calls > 0 {
		t.Errorf("%d calls to Duo", calls)
	}
}

// A checkpoint that has gone fails its stream by name, in a directory and in a bucket,
// until the run is told to begin.
func TestMissing(t *testing.T) {
	for _, where := range []string{"directory", "bucket"} {
		t.Run(where, func(t *testing.T) {
			w, siem := newWorld(t)
			w.text.endpoints = map[string][]string{"siem": {"auth", "activity"}}
			remove := func() {
				if err := os.Remove(w.path("state", "auth_checkpoint.json")); err != nil {
					t.Fatal(err)
				}
			}
			if where == "bucket" {
				model := w.modelBucket()
				remove = func() { model.Put("dls/auth_checkpoint.json", nil) }
			}
			w.fill(parent, 5, time.Now().Add(-time.Hour), 1)
			w.clean(w.sync())
			siem.Take()
			remove()
			for range 2 {
				sum := w.sync()
				failed := sum.Failed()
				if len(failed) != 1 || failed[0].Endpoint != "auth" {
					t.Fatalf("failed: %v", failed)
				}
				if _, ok := errors.AsType[*job.MissingError](failed[0].Err); !ok || !strings.Contains(failed[0].Hint(), "--begin --endpoint auth") {
					t.Errorf("%v (%s)", failed[0].Err, failed[0].Hint())
				}
				exactly(t, nil, siem.Take())
			}
			begin := func(o *job.Options) { o.Begin = true }
			w.clean(w.sync(begin))
			exactly(t, w.lines(parent, "auth"), siem.Take())
			w.clean(w.sync())
			exactly(t, nil, siem.Take())
		})
	}
}

// Where a place must have had a checkpoint, an empty one is refused until the run is
// told to begin; one with checkpoints and no roster is not.
func TestMustExist(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.text.checkpointing = map[string]any{"directory": w.path("state"), "must_exist": true}
	w.fill(parent, 5, time.Now().Add(-time.Hour), 1)
	_, err := w.try()
	if _, ok := errors.AsType[*job.NoRosterError](err); !ok || !strings.Contains(job.Hint(err), "--begin") {
		t.Errorf("%v (%s)", err, job.Hint(err))
	}
	exactly(t, nil, siem.Take())
	w.clean(w.sync(func(o *job.Options) { o.Begin = true }))
	w.clean(w.sync())
	if err := os.Remove(w.path("state", state.RosterFile(""))); err != nil {
		t.Fatal(err)
	}
	w.clean(w.sync())
	if _, err := os.Stat(w.path("state", state.RosterFile(""))); err != nil {
		t.Error(err)
	}
}

// The place of another account's checkpoints is one without checkpoints of this one.
func TestMustExistElsewhere(t *testing.T) {
	w, _ := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.text.checkpointing = map[string]any{"directory": w.path("state"), "must_exist": true}
	dir, err := state.Open(w.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	const other = "DIBBBBBBBBBBBBBBBBBB"
	id := state.ID{IKey: other, Endpoint: "auth", Account: "DACHILD0000000000001"}
	if err := errors.Join(dir.Save(id, &state.Checkpoint{Progress: state.Progress{Began: 1, DeliveredUntil: 1}}), dir.Enrol("", other, []string{id.File()})); err != nil {
		t.Fatal(err)
	}
	if _, err := w.try(); !isNoRoster(err) {
		t.Errorf("%v, want a *NoRosterError", err)
	}
	w.clean(w.sync(func(o *job.Options) { o.Begin = true }))
}

func isNoRoster(err error) bool {
	_, ok := errors.AsType[*job.NoRosterError](err)
	return ok
}

// Each run of a share says which one nobody runs, and that another N is at work.
func TestShareOwners(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.family(6, 1)
	run := func(k, n int) *job.Summary {
		t.Helper()
		return w.sync(func(o *job.Options) { o.Shard = job.Shard{K: k, N: n} })
	}
	for _, k := range []int{1, 1, 1, 0, 0, 0} { // a file's time may be a little earlier than a run's
		run(k, 3)
	}
	w.log.Reset()
	sum := run(1, 3)
	if idle := sum.Shares.Idle; len(idle) != 1 || idle[0].Share != (state.Share{K: 2, N: 3}) || !idle[0].At.IsZero() {
		t.Errorf("idle shares %v, want 2/3", idle)
	}
	if want := "share 2/3 has never run: nobody reads the logs of their accounts"; !strings.Contains(w.log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, w.log.String())
	}
	run(2, 3)
	if sum := run(0, 3); len(sum.Shares.Idle) > 0 || len(sum.Shares.Others) > 0 {
		t.Errorf("%+v", sum.Shares)
	}
	run(0, 4)
	if sum := run(0, 3); len(sum.Shares.Others) != 1 || sum.Shares.Others[0].N != 4 {
		t.Errorf("%+v", sum.Shares)
	}
	siem.Take()
}

// Where shares keep their checkpoints apart, a share of another N says how many streams
// it begins anew.
func TestShareElsewhere(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t)
	w.family(12, 1)
	run := func(k, n int) {
		t.Helper()
		w.clean(w.sync(func(o *job.Options) { o.Shard = job.Shard{K: k, N: n} }))
	}
	run(0, 4)
	w.log.Reset()
	run(1, 3)
	if want := "begin at dls_settings.api.offset: this store does not know them, and was share 0/4's"; !strings.Contains(w.log.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, w.log.String())
	}
}
