package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/state"
)

// Each account is in one share, the shares are about equal, and when one is
// added few accounts move, all of them to it.
func TestShardHas(t *testing.T) {
	const accounts, n = 4000, 5
	share := func(id string, n int) int {
		found := -1
		for k := range n {
			if (Shard{k, n}).has(id) {
				if found >= 0 {
					t.Fatalf("%s is in the shares %d and %d of %d", id, found, k, n)
				}
				found = k
			}
		}
		if found < 0 {
			t.Fatalf("%s is in no share of %d", id, n)
		}
		return found
	}
	var sizes [n]int
	moved := 0
	for i := range accounts {
		id := fmt.Sprintf("DA%018d", i)
		before, after := share(id, n), share(id, n+1)
		sizes[before]++
		if after != before {
			moved++
			if after != n {
				t.Errorf("%s moved from share %d to %d", id, before, after)
			}
		}
	}
	for k, size := range sizes {
		if size < accounts/n*8/10 || size > accounts/n*12/10 {
			t.Errorf("share %d has %d of %d accounts", k, size, accounts)
		}
	}
	if moved < accounts/(n+1)*8/10 || moved > accounts/(n+1)*12/10 {
		t.Errorf("%d of %d accounts moved", moved, accounts)
	}
}

func openState(t *testing.T, path string) *state.Dir {
	t.Helper()
	dir, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

func TestShardClaim(t *testing.T) {
	for _, tt := range []struct {
		name            string
		running, starts Shard
		want            error
	}{
		{"whole run, whole run", Shard{}, Shard{}, state.ErrLocked},
		{"whole run, share", Shard{}, Shard{0, 2}, state.ErrLocked},
		{"share, whole run", Shard{0, 2}, Shard{}, state.ErrLocked},
		{"the same share", Shard{0, 2}, Shard{0, 2}, state.ErrLocked},
		{"another share", Shard{0, 2}, Shard{1, 2}, nil},
		{"a share of more", Shard{0, 2}, Shard{0, 3}, state.ErrLocked},
		{"a share of fewer", Shard{9, 12}, Shard{0, 1}, state.ErrLocked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := t.TempDir()
			one, two := openState(t, path), openState(t, path)
			// Two times, since the lock files stay.
			for range 2 {
				release, err := tt.running.claim(t.Context(), one)
				if err != nil {
					t.Fatal(err)
				}
				other, err := tt.starts.claim(t.Context(), two)
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				release()
				if err == nil {
					other()
				}
				// What was refused holds nothing, and may have its turn now.
				if other, err = tt.starts.claim(t.Context(), two); err != nil {
					t.Fatalf("after release: %v", err)
				}
				other()
			}
		})
	}
}

// Of shares that start at once, all of one N get their lock and no other does.
func TestShardClaimAtOnce(t *testing.T) {
	for _, all := range [][]int{{1}, {16}, {8, 7}, {5, 6, 7}} {
		t.Run(fmt.Sprint(all), func(t *testing.T) {
			path := t.TempDir()
			for range 5 {
				var (
					mu       sync.Mutex
					got      = map[int]int{}
					releases []func()
					begin    = make(chan struct{})
					starts   sync.WaitGroup
				)
				for _, n := range all {
					for k := range n {
						dir := openState(t, path)
						starts.Go(func() {
							<-begin
							release, err := Shard{k, n}.claim(t.Context(), dir)
							mu.Lock()
							defer mu.Unlock()
							if err == nil {
								got[n]++
								releases = append(releases, release)
							} else if !errors.Is(err, state.ErrLocked) || len(all) == 1 {
								t.Errorf("%d/%d: %v", k, n, err)
							}
						})
					}
				}
				close(begin)
				starts.Wait()
				for n, count := range got {
					if len(got) > 1 || count != n {
						t.Errorf("%d shares of %d have their lock, of %v", count, n, got)
					}
				}
				if len(got) == 0 {
					t.Error("no share has its lock")
				}
				for _, release := range releases {
					release()
				}
			}
		})
	}
}

// Who waits for a turn stops when told to, or when none comes, and holds nothing.
func TestShardClaimEnds(t *testing.T) {
	path := t.TempDir()
	one, two := openState(t, path), openState(t, path)
	turn, err := one.Lock(turnName)
	if err != nil {
		t.Fatal(err)
	}
	defer turn()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() {
		_, err := Shard{0, 2}.claim(ctx, two)
		ended <- err
	}()
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := (Shard{0, 2}).claim(t.Context(), two); !errors.Is(err, state.ErrLocked) {
			t.Errorf("no turn comes: error %v, want %v", err, state.ErrLocked)
		}
	})
	release, err := Shard{}.claim(t.Context(), one)
	if err != nil {
		t.Fatalf("whole run: %v", err)
	}
	release()
}

// A share leaves the files that another one may be writing.
func TestShardSweep(t *testing.T) {
	const young, old = ".dls-tmp-AAAA", ".dls-tmp-BBBB"
	dir := openState(t, t.TempDir())
	for name, age := range map[string]time.Duration{young: time.Hour, old: 2 * abandoned} {
		written := time.Now().Add(-age)
		if err := os.WriteFile(dir.Path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir.Path(name), written, written); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		shard Shard
		want  []string
	}{{Shard{1, 2}, []string{young}}, {Shard{}, []string{}}} {
		if err := tt.shard.sweep(dir); err != nil {
			t.Fatal(err)
		}
		got, err := dir.Names()
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%v: error %v, files (-want +got):\n%s", tt.shard, err, diff)
		}
	}
}
