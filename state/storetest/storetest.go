// Package storetest holds every kind of store to the contract of [state.Store].
package storetest

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/state"
)

// IKey is whose streams the suite's are.
const IKey = "DIAAAAAAAAAAAAAAAAAA"

// ID is a stream of the suite.
func ID(n int) state.ID {
	return state.ID{IKey: IKey, Endpoint: "auth", Account: fmt.Sprintf("DA%018d", n)}
}

// Checkpoint is one with n marks, further along the larger n is.
func Checkpoint(n int) *state.Checkpoint {
	at := int64(1_795_397_947_000) + int64(n)
	cp := &state.Checkpoint{Progress: state.Progress{
		Began: 1_700_000_000_000, DeliveredUntil: at, LookedUntil: at + 1000, Pages: state.Pages{Largest: 7, LargestAt: at},
	}}
	for i := range n {
		cp.Delivered.Add([]state.Mark{{At: 1_795_397_947_000 + int64(i), Key: state.NewKey(fmt.Append(nil, i)), Digest: state.Digest(i + 1), Count: 1}})
	}
	return cp
}

// Same tells whether two checkpoints say the same.
func Same(a, b *state.Checkpoint) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Progress == b.Progress && cmp.Equal(a.Delivered.Since(math.MinInt64), b.Delivered.Since(math.MinInt64))
}

// Save makes a checkpoint count.
func Save(s state.Store, id state.ID, cp *state.Checkpoint) error {
	staged, err := s.Stage(id, cp)
	if err != nil {
		return err
	}
	return s.Commit([]state.Staged{staged})[0]
}

// Lock takes the lock of a checkpoint directory, as another run does. unlock gives it
// back.
func Lock(t testing.TB, path string) (unlock func()) {
	t.Helper()
	dir, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	unlock, err = dir.Lock(state.LockName)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

// Run runs the suite. empty makes an empty store, and returns what opens it: each time
// as another process would.
func Run(t *testing.T, empty func(t *testing.T) (open func(t *testing.T) state.Store)) {
	for name, test := range map[string]func(t *testing.T, open func(t *testing.T) state.Store){
		"checkpoints": checkpoints, "together": together, "staged": staged, "damaged": foreign, "claim": claim, "crash": released,
		"shares": shares, "last runs": lastRuns, "turns": turns, "roster": roster, "history": history, "append": appends, "ledger": ledger,
	} {
		t.Run(name, func(t *testing.T) { test(t, empty(t)) })
	}
}

func expect(t *testing.T, s state.Store, id state.ID, want *state.Checkpoint) {
	t.Helper()
	got, err := s.Load(id)
	if err != nil || !Same(got, want) {
		t.Errorf("%s: %+v, %v, want %+v", id.File(), got, err, want)
	}
}

func checkpoints(t *testing.T, open func(t *testing.T) state.Store) {
	one := open(t)
	expect(t, one, ID(1), nil)
	for _, n := range []int{1, 5, 3} {
		if err := Save(one, ID(1), Checkpoint(n)); err != nil {
			t.Fatal(err)
		}
		expect(t, open(t), ID(1), Checkpoint(n))
		expect(t, open(t), ID(2), nil)
	}
	times, err := open(t).Times()
	if err != nil || times[ID(1).File()].IsZero() || !times[ID(2).File()].IsZero() {
		t.Errorf("times %v, %v", times, err)
	}
}

func together(t *testing.T, open func(t *testing.T) state.Store) {
	s := open(t)
	const n = 50
	all := make([]state.Staged, n)
	for i := range all {
		var err error
		if all[i], err = s.Stage(ID(i), Checkpoint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i, err := range s.Commit(all) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	again := open(t)
	for i := range n {
		expect(t, again, ID(i), Checkpoint(i))
	}
}

func staged(t *testing.T, open func(t *testing.T) state.Store) {
	s := open(t)
	if err := Save(s, ID(1), Checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	cp := Checkpoint(2)
	dropped, err := s.Stage(ID(1), cp)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, open(t), ID(1), Checkpoint(1))
	dropped.Discard()
	kept, err := s.Stage(ID(1), cp)
	if err != nil {
		t.Fatal(err)
	}
	cp.DeliveredUntil = 1 // what is staged stays
	if err := s.Commit([]state.Staged{kept})[0]; err != nil {
		t.Fatal(err)
	}
	expect(t, open(t), ID(1), Checkpoint(2))
}

func foreign(t *testing.T, open func(t *testing.T) state.Store) {
	if err := Save(open(t), ID(1), Checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	other := ID(1)
	other.IKey = "DIBBBBBBBBBBBBBBBBBB"
	cp, err := open(t).Load(other)
	wrong, ok := errors.AsType[*state.UntrustedError](err)
	if cp != nil || !ok || !errors.Is(err, state.ErrAccount) {
		t.Fatalf("%v, %v, want %v", cp, err, state.ErrAccount)
	}
	if want := open(t).Path(other.File()); wrong.Path != want {
		t.Errorf("the error names %q, want %q", wrong.Path, want)
	}
}

func claim(t *testing.T, open func(t *testing.T) state.Store) {
	for _, tt := range []struct {
		name            string
		running, starts state.Share
		want            error
	}{
		{"whole run, whole run", state.Share{}, state.Share{}, state.ErrLocked},
		{"whole run, share", state.Share{}, state.Share{N: 2}, state.ErrLocked},
		{"share, whole run", state.Share{N: 2}, state.Share{}, state.ErrLocked},
		{"the same share", state.Share{N: 2}, state.Share{N: 2}, state.ErrLocked},
		{"another share", state.Share{N: 2}, state.Share{K: 1, N: 2}, nil},
		{"a share of more", state.Share{N: 2}, state.Share{N: 3}, state.ErrLocked},
		{"a share of fewer", state.Share{K: 9, N: 12}, state.Share{N: 1}, state.ErrLocked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, two := open(t), open(t)
			for range 2 { // what a claim leaves stays
				release, err := one.Claim(t.Context(), tt.running)
				if err != nil {
					t.Fatal(err)
				}
				other, err := two.Claim(t.Context(), tt.starts)
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				release()
				if err == nil {
					other()
				}
				// What was refused holds nothing, and may have its turn now.
				if other, err = two.Claim(t.Context(), tt.starts); err != nil {
					t.Fatalf("after release: %v", err)
				}
				other()
			}
		})
	}
}

// released: what was claimed and closed keeps nobody out.
func released(t *testing.T, open func(t *testing.T) state.Store) {
	one := open(t)
	release, err := one.Claim(t.Context(), state.Share{K: 1, N: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(one, ID(1), Checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	release()
	one.Close()
	two := open(t)
	release, err = two.Claim(t.Context(), state.Share{})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	expect(t, two, ID(1), Checkpoint(1))
	if err := Save(two, ID(1), Checkpoint(2)); err != nil {
		t.Error(err)
	}
}

func shares(t *testing.T, open func(t *testing.T) state.Store) {
	if runs, err := open(t).Shares(); len(runs) > 0 || err != nil {
		t.Fatalf("shares %v, %v of an empty store", runs, err)
	}
	want := map[state.Share]bool{{K: 0, N: 4}: true, {K: 3, N: 4}: true, {}: true}
	for share := range want {
		release, err := open(t).Claim(t.Context(), share)
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	runs, err := open(t).Shares()
	got := map[state.Share]bool{}
	for _, r := range runs {
		got[r.Share] = true
		if r.At.IsZero() {
			t.Errorf("share %v: no time", r.Share)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, shares (-want +got):\n%s", err, diff)
	}
}

func lastRuns(t *testing.T, open func(t *testing.T) state.Store) {
	now := time.Now().UTC().Round(time.Millisecond)
	run := func(n int, outcome state.Outcome) state.StreamRun {
		return state.StreamRun{Endpoint: "auth", Account: ID(n).Account, Ended: now, Outcome: outcome, Duration: time.Second}
	}
	for n, suffix := range []string{"-0-of-2", "-1-of-2"} {
		if _, err := open(t).SaveRuns(suffix, IKey, []state.StreamRun{run(n, state.Done)}, true); err != nil {
			t.Fatal(err)
		}
	}
	got, err := open(t).LoadRuns(IKey)
	if diff := cmp.Diff([]state.StreamRun{run(0, state.Done), run(1, state.Done)}, got); diff != "" || err != nil {
		t.Errorf("error %v, runs (-want +got):\n%s", err, diff)
	}
	if began := open(t).Began("-1-of-2", IKey); len(began) != 1 || !began[0].Equal(now.Add(-time.Second)) {
		t.Errorf("began %v, want a second before %v", began, now)
	}
}

func turns(t *testing.T, open func(t *testing.T) state.Store) {
	s := open(t)
	release, err := s.Claim(t.Context(), state.Share{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(time.Now().UnixMilli())
	for i := range 3 {
		if err := s.SaveTurns("", IKey, map[string]time.Time{ID(1).File(): now.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	release()
	s.Close()
	got, err := open(t).Turns(IKey)
	if want := now.Add(2 * time.Second); err != nil || !got[ID(1).File()].Equal(want) {
		t.Errorf("turns %v, %v, want %v", got, err, want)
	}
}

func roster(t *testing.T, open func(t *testing.T) state.Store) {
	if has, err := open(t).HasRoster("", IKey); has || err != nil {
		t.Errorf("an empty store has a roster: %v, %v", has, err)
	}
	if all, err := open(t).Roster(IKey); all != nil || err != nil {
		t.Errorf("roster %v, %v of an empty store", all, err)
	}
	for _, step := range []struct {
		suffix string
		names  []string
	}{{"-0-of-2", nil}, {"-0-of-2", []string{"a", "b"}}, {"-0-of-2", []string{"b"}}, {"-1-of-2", []string{"c"}}} {
		if err := open(t).Enrol(step.suffix, IKey, step.names); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{step.suffix, ""} {
			if has, err := open(t).HasRoster(suffix, IKey); !has || err != nil {
				t.Errorf("no roster for %q: %v", suffix, err)
			}
		}
	}
	all, err := open(t).Roster(IKey)
	if diff := cmp.Diff(map[string]bool{"a": true, "b": true, "c": true}, all); diff != "" || err != nil {
		t.Errorf("error %v, roster (-want +got):\n%s", err, diff)
	}
	if other, err := open(t).HasRoster("", "DIBBBBBBBBBBBBBBBBBB"); other || err != nil {
		t.Errorf("another account has a roster: %v, %v", other, err)
	}
	// What another account enrols takes nothing away.
	if err := open(t).Enrol("-0-of-2", "DIBBBBBBBBBBBBBBBBBB", []string{"d"}); !errors.Is(err, state.ErrAccount) {
		t.Errorf("enrolled in another account's roster: %v, want %v", err, state.ErrAccount)
	}
	if again, err := open(t).Roster(IKey); err != nil || len(again) != len(all) {
		t.Errorf("error %v, roster %v, want %v", err, again, all)
	}
}

func history(t *testing.T, open func(t *testing.T) state.Store) {
	at := time.Now().UTC().Truncate(time.Second)
	for i := range 3 {
		run := state.StreamRun{Endpoint: "auth", Ended: at, Outcome: state.Done, Delivered: i}
		if err := open(t).AppendHistory("", IKey, at.Add(time.Duration(i)*time.Minute), []state.StreamRun{run}); err != nil {
			t.Fatal(err)
		}
	}
	points, err := open(t).History(IKey)
	if err != nil || len(points) != 3 || points[2].Delivered != 2 || !points[2].At.Equal(at.Add(2*time.Minute)) {
		t.Errorf("history %v, %v", points, err)
	}
}

func appends(t *testing.T, open func(t *testing.T) state.Store) {
	s := open(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := s.Append("auth_oversize.ndjson", fmt.Appendf(nil, "{\"n\":%d}\n", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// ledger: what is appended behind what counts is there for others; what a crash left
// behind that is written over, and what is not there is said to be so.
func ledger(t *testing.T, open func(t *testing.T) state.Store) {
	s := open(t)
	l := state.Ledger{}
	l.Begin(0)
	page := func(n uint64) state.Tally { return state.Tally{{Hour: int64(n), Sum: state.Sum{Count: 1, Hi: n}}} }
	l.Add(page(5))
	if _, err := l.Close(s, ID(1), math.MaxInt64, 0); err != nil {
		t.Fatal(err)
	}
	died := l
	died.Add(page(6))
	if _, err := died.Close(s, ID(1), math.MaxInt64, 0); err != nil {
		t.Fatal(err)
	}
	l.Add(page(7))
	again := open(t)
	if lost, err := l.Close(again, ID(1), math.MaxInt64, 0); err != nil || lost != 0 {
		t.Fatal(lost, err)
	}
	got, err := l.Read(open(t), ID(1), func(int64) bool { return true })
	if want := append(page(5), page(7)...); err != nil || !cmp.Equal(want, got) {
		t.Errorf("the ledger: %v, %v, want %v", got, err, want)
	}
	if err := again.AppendLedger(ID(2), 32, nil); !errors.Is(err, state.ErrLedger) {
		t.Errorf("a ledger that is not there: %v", err)
	}
	if _, err := again.ReadLedger(ID(1), 1<<20); !errors.Is(err, state.ErrLedger) {
		t.Errorf("a ledger that is shorter: %v", err)
	}
}
