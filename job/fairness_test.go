package job_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job"
	"dls/job/duosim"
	"dls/state"
)

// One child account with a large backlog does not hold back the others, even
// when there is one worker for all; and a run after one that was cut short begins
// with the streams that were not reached.
func TestFairness(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	const large = "DACHILD0000000000000"
	w.child(large, "Large")
	w.sim.SetBacklog(large, "auth", duosim.Backlog{N: 20_000, From: time.Now().Add(-24 * time.Hour), Step: time.Second})
	for i := range 5 {
		id := fmt.Sprintf("DACHILD000000000000%d", i+1)
		w.child(id, "Small")
		w.fill(id, 10, time.Now().Add(-time.Hour), uint64(i))
	}
	w.clean(w.sync(func(o *job.Options) { o.Parallel = 1 }))
	if n := len(siem.Take()); n != 20_000+5*10 {
		t.Errorf("%d records, want %d", n, 20_000+5*10)
	}
	pages, small := 0, 0
	for _, c := range w.sim.Calls() {
		switch {
		case c.Endpoint != "auth":
		case c.Account == large:
			pages++
		default:
			small++
			if pages > 2*4 {
				t.Errorf("a small stream had to wait for %d pages of the large one", pages)
			}
		}
	}
	if pages < 20 || small != 2*5 { // each asks on until nothing comes
		t.Errorf("%d pages of the large stream and %d of the small ones", pages, small)
	}
}

// What is said of what a run has left is so: one goes on from there, one sends everything
// again, and one has delivered nothing.
func TestRest(t *testing.T) {
	for _, tt := range []struct {
		name         string
		enabled, dry bool
		want         string
	}{
		{"a run", true, false, "the next run goes on from there"},
		{"a run without checkpoints", false, false, "without checkpoints the next run sends everything again"},
		{"a dry run", true, true, "what would be delivered is more than this"},
		{"a dry run without checkpoints", false, true, "what would be delivered is more than this"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := newWorld(t)
			w.text.endpoints, w.text.enabled = map[string][]string{"siem": {"auth"}}, tt.enabled
			ctx, cancel := context.WithCancel(t.Context())
			opts := w.options()
			opts.DryRun, opts.Begun = tt.dry, cancel
			sum, err := job.Sync(ctx, w.config(), opts)
			if err != nil || len(sum.Failed()) != 1 {
				t.Fatalf("%+v, %v", sum, err)
			}
			if hint := sum.Failed()[0].Hint(); !strings.HasPrefix(hint, tt.want) {
				t.Errorf("hint %q, want %q", hint, tt.want)
			}
		})
	}
}

// An audit that is cut short says so, and not that a run goes on from there.
func TestRestOfAudit(t *testing.T) {
	w, _ := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.sim.Inject(duosim.Match{Endpoint: "auth"}, duosim.Hang().Forever())
	opts := job.AuditOptions{Options: w.options(), Since: time.Now().Add(-time.Hour), Against: []job.AuditFile{{
		Name: "export", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil },
	}}}
	opts.MaxRuntime = 300 * time.Millisecond
	a, err := job.Examine(t.Context(), w.config(), opts)
	if err != nil || len(a.Read.Failed()) != 1 {
		t.Fatalf("%+v, %v", a, err)
	}
	if hint, want := a.Read.Failed()[0].Hint(), "what was read is not all: audit again"; hint != want {
		t.Errorf("hint %q, want %q", hint, want)
	}
}

// A run that its time cuts short keeps its progress, says so, and leaves the rest
// to the next run, which begins with what was not reached.
func TestMaxRuntime(t *testing.T) {
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth", "activity"}}
	w.fill(parent, 10, time.Now().Add(-time.Hour), 1)
	w.sim.Inject(duosim.Match{Endpoint: "auth"}, duosim.Hang().Forever())
	sum := w.sync(func(o *job.Options) { o.MaxRuntime = 300 * time.Millisecond })
	failed := sum.Failed()
	if len(failed) != 1 || failed[0].Endpoint != "auth" || !errors.Is(failed[0].Err, job.ErrMaxRuntime) || failed[0].Hint() == "" {
		t.Errorf("failed: %v", failed)
	}
	exactly(t, w.lines(parent, "activity"), siem.Take())
	w.sim.Heal()
	before := len(w.sim.Calls())
	w.clean(w.sync(func(o *job.Options) { o.Parallel = 1 }))
	exactly(t, w.lines(parent, "auth"), siem.Take())
	if first := w.sim.Calls()[before].Endpoint; first != "auth" {
		t.Errorf("the next run began with %s", first)
	}
}

// Streams whose turn came longest ago go first, those that never had one before all.
func TestTurns(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t)
	w.children(4)
	id := func(i int) string { return fmt.Sprintf("DACHILD%013d", i) }
	dir, err := state.Open(w.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	turns := map[string]time.Time{}
	for i, ago := range map[int]time.Duration{0: time.Minute, 1: 3 * time.Hour, 3: time.Hour} {
		turns[state.ID{Endpoint: "auth", Account: id(i)}.File()] = time.Now().Add(-ago)
	}
	if err := dir.SaveTurns("", ikey, turns); err != nil {
		t.Fatal(err)
	}
	order := func() (accounts []string) {
		before := len(w.sim.Calls())
		w.clean(w.sync(func(o *job.Options) { o.Parallel = 1 }))
		for _, c := range w.sim.Calls()[before:] {
			if c.Endpoint == "auth" && !slices.Contains(accounts, c.Account) {
				accounts = append(accounts, c.Account)
			}
		}
		return accounts
	}
	if diff := cmp.Diff([]string{id(2), id(1), id(3), id(0)}, order()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{id(2), id(1), id(3), id(0)}, order()); diff != "" {
		t.Errorf("order of the next run (-want +got):\n%s", diff)
	}
}
