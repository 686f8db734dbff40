package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/state/filetest"
	"dls/state/internal/bounds"
	"dls/state/safefile"
	"dls/state/statetest"
)

var (
	auth  = ID{IKey: "DIAAAAAAAAAAAAAAAAAA", Endpoint: "auth"}
	child = ID{IKey: "DIAAAAAAAAAAAAAAAAAA", Endpoint: "auth", Account: "DA0000000000000001"}
)

func open(t *testing.T) *Dir {
	t.Helper()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func checkpoint(n int) *Checkpoint {
	cp := &Checkpoint{Progress: Progress{
		Began: 1_700_000_000_000, DeliveredUntil: 1_795_397_947_123, LookedUntil: 1_795_397_948_000,
		RereadFrom: 1_795_397_940_001, RereadBegan: 1_795_397_950_000, Pages: Pages{Largest: 7, LargestAt: 1_795_397_947_000, End: 3, EndAt: 1, ProvedAt: 2},
	}}
	for i := range n {
		cp.Delivered.Add([]Mark{{At: 1_795_397_940_000 + int64(i), Key: NewKey([]byte{byte(i)}), Digest: Digest(i % 2), Count: 1 + i%3}})
	}
	return cp
}

func TestSaveAndLoad(t *testing.T) {
	d := open(t)
	for _, id := range []ID{auth, child} {
		if cp, err := d.Load(id); cp != nil || err != nil {
			t.Fatalf("load of no file: %v, %v", cp, err)
		}
		for _, want := range []*Checkpoint{checkpoint(5), checkpoint(2)} {
			if err := d.Save(id, want); err != nil {
				t.Fatal(err)
			}
			got, err := d.Load(id)
			if diff := cmp.Diff(shown(want), shown(got)); diff != "" || err != nil {
				t.Fatalf("error %v (-want +got):\n%s", err, diff)
			}
		}
	}
	if diff := cmp.Diff([]string{"auth_checkpoint.json", "auth_checkpoint_DA0000000000000001.json"}, filetest.Names(t, d.path)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(d.Path(auth.File()))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	good := open(t)
	if err := good.Save(auth, checkpoint(3)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(good.Path(auth.File()))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, content, want string
	}{
		{"empty", "", "it is empty"},
		{"blank", " \n", "it is empty"},
		{"torn", string(data[:len(data)/2]), "it is damaged"},
		{"no JSON", "1795397947", "it is damaged"},
		{"no version", `{"ikey":"DIAAAAAAAAAAAAAAAAAA"}`, "it is damaged"},
		{"newer", strings.Replace(string(data), `"version":2`, `"version":3`, 1), "it is of version 3, newer than this program knows"},
		{"unknown key", strings.Replace(string(data), `"version":2`, `"version":2,"x":1`, 1), "it is damaged"},
		{"other account", strings.Replace(string(data), "DIAAAAAAAAAAAAAAAAAA", "DIBBBBBBBBBBBBBBBBBB", 1), `it belongs to another account, of the integration key "DIBBBBBBBBBBBBBBBBBB"`},
		{"other endpoint", strings.Replace(string(data), `"auth"`, `"activity"`, 1), `it belongs to another stream, "activity_checkpoint.json"`},
		{"bad mark", strings.Replace(string(data), "1795397940000 ", "1795397940000-", 1), "it is damaged"},
		{"marks out of order", strings.Replace(string(data), "1795397940000 ", "1795397949999 ", 1), "it is damaged"},
		{"trailing text", string(data) + "{", "it is damaged"},
		{"a year of no clock", strings.Replace(string(data), `"looked_until":"20`, `"looked_until":"99`, 1), "it tells a time beyond all clocks"},
		{"a year before Unix", strings.Replace(string(data), `"delivered_until":"20`, `"delivered_until":"16`, 1), "it tells a time beyond all clocks"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t)
			if err := os.WriteFile(d.Path(auth.File()), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			cp, err := d.Load(auth)
			broken, ok := errors.AsType[*UntrustedError](err)
			if cp != nil || !ok || broken.Err.Error() != tt.want || broken.Path != d.Path(auth.File()) {
				t.Errorf("got %v, %v, want %q", cp, err, tt.want)
			}
		})
	}
}

// A link could lead a privileged run to read or replace any file.
func TestSymlinkIsRefused(t *testing.T) {
	d := open(t)
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	filetest.Symlink(t, target, d.Path(auth.File()))
	if _, err := d.Load(auth); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Errorf("load: %v", err)
	}
	if err := d.Save(auth, checkpoint(1)); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Errorf("save: %v", err)
	}
	if err := d.Append(auth.File(), []byte("x")); err == nil {
		t.Error("append: no error")
	}
	if got, err := os.ReadFile(target); string(got) != "keep" || err != nil {
		t.Errorf("the target holds %q, %v", got, err)
	}
	if err := os.Mkdir(d.Path(child.File()), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(child); err == nil || !strings.Contains(err.Error(), "it is no regular file") {
		t.Errorf("load of a directory: %v", err)
	}
}

// Whatever step of a write fails, the file is the old one or the new one, and
// nothing else is left.
func TestSaveFails(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		for _, first := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, first %v", step, first), func(t *testing.T) {
				d := open(t)
				older, newer := checkpoint(1), checkpoint(4)
				want := []string{auth.File()}
				if first {
					older = nil
					if step != "syncdir" {
						want = nil
					}
				} else if err := d.Save(auth, older); err != nil {
					t.Fatal(err)
				}
				statetest.Break(d.path, func(name string) error {
					if name == step {
						return syscall.ENOSPC
					}
					return nil
				})
				defer statetest.Break(d.path, nil)
				if err := d.Save(auth, newer); !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("error %v, want %v", err, syscall.ENOSPC)
				}
				got, err := d.Load(auth)
				if err != nil || !cmp.Equal(shown(got), shown(older)) && !cmp.Equal(shown(got), shown(newer)) {
					t.Errorf("load: %v, %v", got, err)
				}
				if diff := cmp.Diff(want, filetest.Names(t, d.path)); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestLock(t *testing.T) {
	d := open(t)
	unlock, err := d.Lock(LockName)
	if err != nil {
		t.Fatal(err)
	}
	// A second descriptor of this process stands for another process.
	if _, err := d.Lock(LockName); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v, want %v", err, ErrLocked)
	}
	if _, err := d.ShareLock(LockName); !errors.Is(err, ErrLocked) {
		t.Errorf("shared lock: %v, want %v", err, ErrLocked)
	}
	unlock()
	one, err := d.ShareLock(LockName)
	if err != nil {
		t.Fatalf("shared lock after unlock: %v", err)
	}
	two, err := d.ShareLock(LockName)
	if err != nil {
		t.Fatalf("second shared lock: %v", err)
	}
	one()
	if _, err := d.Lock(LockName); !errors.Is(err, ErrLocked) {
		t.Errorf("lock while it is shared: %v, want %v", err, ErrLocked)
	}
	two()
	if unlock, err = d.Lock(LockName); err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	unlock()
}

func TestWaitLock(t *testing.T) {
	d := open(t)
	held, err := d.Lock(LockName)
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() {
		_, err := d.WaitLock(ctx, LockName)
		ended <- err
	}()
	cancel(why)
	if err := <-ended; !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	go func() {
		unlock, err := d.WaitLock(t.Context(), LockName)
		if err == nil {
			unlock()
		}
		ended <- err
	}()
	held()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A lock file that is not this user's own regular file is not opened.
func TestLockRefuses(t *testing.T) {
	d := open(t)
	target := filepath.Join(t.TempDir(), "target")
	filetest.Symlink(t, target, d.Path(LockName))
	for name, lock := range map[string]func() (func(), error){
		"lock":   func() (func(), error) { return d.Lock(LockName) },
		"shared": func() (func(), error) { return d.ShareLock(LockName) },
		"wait":   func() (func(), error) { return d.WaitLock(t.Context(), LockName) },
	} {
		if _, err := lock(); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the target is there: %v", err)
	}
}

func TestSweep(t *testing.T) {
	young, old, dir := safefile.TempPrefix+"AAAA", safefile.TempPrefix+"BBBB", safefile.TempPrefix+"CCCC"
	for _, tt := range []struct {
		name  string
		sweep func(*Dir) error
		want  []string
	}{
		{"all", (*Dir).Sweep, []string{dir, "keep.json"}},
		{"older", func(d *Dir) error { return d.SweepOlder(time.Hour) }, []string{young, dir, "keep.json"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t)
			if err := os.Mkdir(d.Path(dir), 0o700); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			for name, written := range map[string]time.Time{
				young: now.Add(time.Minute), // by a file server's clock
				old:   now.Add(-2 * time.Hour), "keep.json": now.Add(-2 * time.Hour),
			} {
				if err := os.WriteFile(d.Path(name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(d.Path(name), written, written); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.sweep(d); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, filetest.Names(t, d.path)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// A line that a full disk or a crash has cut off spoils none that comes after.
func TestAppendAfterCut(t *testing.T) {
	d := open(t)
	for _, lines := range []string{"one\n", "tw", "three\n", "four\n"} {
		if err := d.Append("log.txt", []byte(lines)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(d.Path("log.txt"))
	if want := "one\ntw\nthree\nfour\n"; err != nil || string(got) != want {
		t.Errorf("%q, error %v, want %q", got, err, want)
	}
}

func TestAppend(t *testing.T) {
	d := open(t)
	for _, line := range []string{"a\n", "b\n"} {
		if err := d.Append("log.txt", []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(d.Path("log.txt")); string(got) != "a\nb\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOpenMissing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want %v", err, os.ErrNotExist)
	}
}

// What is saved can be loaded: what could not be is refused, and the old file
// stays.
func TestSaveTooLarge(t *testing.T) {
	d := open(t)
	small := checkpoint(1)
	if err := d.Save(auth, small); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(d.Path(auth.File()))
	if err != nil {
		t.Fatal(err)
	}
	defer statetest.Bound(int(info.Size()), bounds.Marks)()
	if err := d.Save(auth, small); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	if err := d.Save(auth, checkpoint(2)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the limit: %v, want %v", err, ErrTooLarge)
	}
	got, err := d.Load(auth)
	if diff := cmp.Diff(shown(small), shown(got)); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{auth.File()}, filetest.Names(t, d.path)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// Checkpoints of several streams count together, with one sync of the directory;
// one that fails is named, and the others count.
func TestCommitSeveral(t *testing.T) {
	d := open(t)
	var taken []string
	var mu sync.Mutex
	statetest.Break(d.path, func(step string) error {
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, step)
		return nil
	})
	defer statetest.Break(d.path, nil)
	stage := func(id ID) Staged {
		t.Helper()
		s, err := d.Stage(id, checkpoint(2))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	staged := []Staged{stage(auth), stage(child)}
	if cp, err := d.Load(auth); cp != nil || err != nil {
		t.Errorf("before the commit: %v, %v", cp, err)
	}
	taken = nil
	if err := errors.Join(d.Commit(staged)...); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"rename", "rename", "syncdir"}, taken); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	for _, s := range staged {
		s.Discard()
	}
	other := ID{IKey: auth.IKey, Endpoint: "activity"}
	staged = []Staged{stage(other), stage(child)}
	if err := os.MkdirAll(d.Path(filepath.Join(other.File(), "sub")), 0o700); err != nil {
		t.Fatal(err)
	}
	errs := d.Commit(staged)
	if len(errs) != 2 || errs[0] == nil || errs[1] != nil || !strings.Contains(errs[0].Error(), "write checkpoint "+strconv.Quote(d.Path(other.File()))) {
		t.Errorf("errors %v, want one of the first", errs)
	}
	for _, id := range []ID{auth, child} {
		if cp, err := d.Load(id); cp == nil || err != nil {
			t.Errorf("load %s: %v, %v", id.File(), cp, err)
		}
	}
	if diff := cmp.Diff([]string{other.File(), auth.File(), child.File()}, filetest.Names(t, d.path)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// Who else can write into the directory is said.
func TestExposed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	d := open(t)
	for mode, want := range map[os.FileMode]string{
		0o700: "", 0o755: "", 0o770: "other users can write there (mode 0770)", 0o777: "other users can write there (mode 0777)",
	} {
		if err := os.Chmod(d.path, mode); err != nil {
			t.Fatal(err)
		}
		if got := d.Exposed(); got != want {
			t.Errorf("%v: %q, want %q", mode, got, want)
		}
	}
}

// A lock file of somebody else's says whose it is: nobody holds the lock.
func TestLockOfOthers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	d := open(t)
	path := d.Path(LockName)
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err := d.Lock(LockName)
	broken, ok := errors.AsType[*LockError](err)
	if !ok || broken.Path != path || !errors.Is(err, ErrOwner) || errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "uid 12345") {
		t.Errorf("error %v, want whose file it is", err)
	}
}

// A lock file that was removed while it was held is no lock: the next one is made
// anew, and is held by its name.
func TestLockRemoved(t *testing.T) {
	d := open(t)
	first, err := d.Lock(LockName)
	if err != nil {
		t.Fatal(err)
	}
	defer first()
	if runtime.GOOS == "windows" {
		t.Skip("an open file keeps its name on Windows")
	}
	if err := os.Remove(d.Path(LockName)); err != nil {
		t.Fatal(err)
	}
	second, err := d.Lock(LockName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(LockName); !errors.Is(err, ErrLocked) {
		t.Errorf("third lock: %v, want %v", err, ErrLocked)
	}
	second()
}
