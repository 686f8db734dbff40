package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func openAt(t *testing.T, path string) *Dir {
	t.Helper()
	dir, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// Of shares that start at once, all of one N get their lock and no other does.
func TestShareClaimAtOnce(t *testing.T) {
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
						dir := openAt(t, path)
						starts.Go(func() {
							<-begin
							release, err := dir.Claim(t.Context(), Share{k, n})
							mu.Lock()
							defer mu.Unlock()
							if err == nil {
								got[n]++
								releases = append(releases, release)
							} else if !errors.Is(err, ErrLocked) || len(all) == 1 {
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
func TestShareClaimEnds(t *testing.T) {
	path := t.TempDir()
	one, two := openAt(t, path), openAt(t, path)
	turn, err := one.Lock(turnName)
	if err != nil {
		t.Fatal(err)
	}
	defer turn()
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() {
		_, err := two.Claim(ctx, Share{0, 2})
		ended <- err
	}()
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	synctest.Test(t, func(t *testing.T) {
		if _, err := two.Claim(t.Context(), Share{0, 2}); !errors.Is(err, ErrLocked) {
			t.Errorf("no turn comes: error %v, want %v", err, ErrLocked)
		}
	})
	release, err := one.Claim(t.Context(), Share{})
	if err != nil {
		t.Fatalf("whole run: %v", err)
	}
	release()
}

// A share leaves the files that another one may be writing.
func TestShareSweep(t *testing.T) {
	const young, old = ".dls-tmp-AAAA", ".dls-tmp-BBBB"
	dir := openAt(t, t.TempDir())
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
		share Share
		want  []string
	}{{Share{1, 2}, []string{young}}, {Share{}, []string{}}} {
		release, err := dir.Claim(t.Context(), tt.share)
		if err != nil {
			t.Fatal(err)
		}
		release()
		got, err := dir.Names()
		got = slices.DeleteFunc(got, func(name string) bool { return strings.HasSuffix(name, ".lock") })
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%v: error %v, files (-want +got):\n%s", tt.share, err, diff)
		}
	}
}
