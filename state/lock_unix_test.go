//go:build unix

package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"dls/state/filetest"
	"dls/state/safefile"
)

// neighbour is another user of the machine. Only root can make files that are his.
const neighbour = 61002

func put(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
}

func give(t *testing.T, path string) {
	t.Helper()
	if err := os.Lchown(path, neighbour, neighbour); err != nil {
		t.Fatal(err)
	}
}

// plants are what a neighbour may give a lock's name to.
var plants = map[string]struct {
	plant func(t *testing.T, path string)
	why   error
}{
	"file": {func(t *testing.T, path string) {
		put(t, path, nil, 0o666)
		give(t, path)
	}, safefile.ErrOwner},
	"file that nobody may open": {func(t *testing.T, path string) {
		put(t, path, nil, 0)
		give(t, path)
	}, safefile.ErrOwner},
	"link": {func(t *testing.T, path string) {
		filetest.Symlink(t, path+".target", path)
		give(t, path)
	}, safefile.ErrSymlink},
	"link to a file of ours": {func(t *testing.T, path string) {
		put(t, path+".target", []byte("keep"), 0o600)
		filetest.Symlink(t, path+".target", path)
		give(t, path)
	}, safefile.ErrSymlink},
	"FIFO": {func(t *testing.T, path string) {
		if err := unix.Mkfifo(path, 0o666); err != nil {
			t.Skip("no FIFOs here:", err)
		}
		give(t, path)
	}, safefile.ErrNotRegular},
	"directory": {func(t *testing.T, path string) {
		if err := os.Mkdir(path, 0o777); err != nil {
			t.Fatal(err)
		}
		give(t, path)
	}, safefile.ErrNotRegular},
	"second name of a file that others can open": {func(t *testing.T, path string) {
		put(t, path+".other", []byte("keep"), 0o644)
		if err := os.Link(path+".other", path); err != nil {
			t.Skip("no hard links here:", err)
		}
	}, safefile.ErrLinked},
}

// Where others can write, what has a lock's name and is not this user's neither stops a
// run nor lets two of one user run at once, whenever it comes and goes. Elsewhere it is
// an error, with its reason.
func TestLockPlanted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	shares := []Share{{}, {0, 2}}
	for name, plant := range plants {
		for _, share := range shares {
			t.Run(fmt.Sprintf("%s, share %q", name, share), func(t *testing.T) {
				d := open(t)
				mine := d.Path(shareLock(share))
				plant.plant(t, mine)
				_, err := d.Claim(t.Context(), share)
				if broken, ok := errors.AsType[*LockError](err); !ok || broken.Path != mine || !errors.Is(err, plant.why) || Hint(err) == "" {
					t.Errorf("where nobody else can write: %v, want %v", err, plant.why)
				}
				if err := os.Chmod(d.Path(""), 0o777|os.ModeSticky); err != nil {
					t.Fatal(err)
				}
				first := d.claimed(t, share)
				d.excluded(t, share)
				if _, foreign, err := d.LockFiles(shareLock(share)); len(foreign) != 1 || err != nil {
					t.Errorf("foreign %v, error %v", foreign, err)
				}
				// The neighbour takes his file away, and the directory becomes private, while
				// the first is at work; then he puts it there again.
				if err := os.RemoveAll(mine); err != nil {
					t.Fatal(err)
				}
				d.excluded(t, share)
				if err := os.Chmod(d.Path(""), 0o700); err != nil {
					t.Fatal(err)
				}
				d.excluded(t, share)
				first()
				d.claimed(t, share)()
				for _, kept := range []string{".target", ".other"} {
					if data, err := os.ReadFile(mine + kept); err == nil && string(data) != "keep" {
						t.Errorf("the file of another name holds %q", data)
					}
				}
			})
		}
	}
}

// claimed takes a share.
func (d *Dir) claimed(t *testing.T, share Share) (release func()) {
	t.Helper()
	release, err := d.Claim(t.Context(), share)
	if err != nil {
		t.Fatalf("share %q: %v", share, err)
	}
	return release
}

// excluded tries to take what is taken, by another process's means.
func (d *Dir) excluded(t *testing.T, shares ...Share) {
	t.Helper()
	other := openAt(t, d.path)
	for _, share := range append(shares, Share{}) {
		if release, err := other.Claim(t.Context(), share); !errors.Is(err, ErrLocked) {
			t.Errorf("a second run of share %q: error %v, want %v", share, err, ErrLocked)
			if err == nil {
				release()
			}
		}
	}
}

// A neighbour who gives the lock of a run that is at work other names neither stops the
// next one nor lets it run beside.
func TestLockOtherNames(t *testing.T) {
	d := open(t)
	if err := os.Chmod(d.Path(""), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	release := d.claimed(t, Share{})
	for _, name := range []string{"other", "dls.other.lock", "dls-0-of-2.lock"} {
		if err := os.Link(d.Path(LockName), d.Path(name)); err != nil {
			t.Skip("no hard links here:", err)
		}
	}
	d.excluded(t)
	release()
	d.claimed(t, Share{})()
}

// The locks of a neighbour's shares are none: no share waits for them, and none is told
// to be at work.
func TestLockPlantedShares(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	d := open(t)
	if err := os.Chmod(d.Path(""), 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		for _, name := range []string{turnName, "dls-0-of-2.lock", LockName, fmt.Sprintf("dls-0-of-%d.lock", 3+i), fmt.Sprintf("dls.%d.lock", i)} {
			put(t, d.Path(name), nil, 0o666)
			give(t, d.Path(name))
		}
	}
	release := d.claimed(t, Share{0, 2})
	d.excluded(t, Share{0, 2}, Share{0, 3})
	release()
	runs, err := d.Shares()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if r.N > 2 {
			t.Fatalf("share %v is told to be at work", r)
		}
	}
	names, err := d.Names()
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, name := range names {
		if strings.HasSuffix(name, lockEnd) && d.dir.Look(name) == nil {
			made++
		}
	}
	if made != 3 { // the whole's, the turn's, the share's
		t.Errorf("%d lock files were made, want 3", made)
	}
}

// Of runs that begin at once where the name is taken, one at most goes on.
func TestLockPlantedRace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	for range 50 {
		path := t.TempDir()
		put(t, filepath.Join(path, LockName), nil, 0o666)
		give(t, filepath.Join(path, LockName))
		if err := os.Chmod(path, 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		var got atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			d := openAt(t, path)
			all.Go(func() {
				if _, err := d.Claim(t.Context(), Share{}); err == nil {
					got.Add(1)
				} else if !errors.Is(err, ErrLocked) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := got.Load(); n > 1 {
			t.Fatalf("%d runs go on", n)
		}
	}
}
