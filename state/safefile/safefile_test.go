package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dls/state/filetest"
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

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReplace(t *testing.T) {
	d := open(t)
	path := d.Path("file")
	for _, replace := range []func(string, []byte, fs.FileMode) error{Replace, ReplaceOwn} {
		for _, mode := range []fs.FileMode{0o600, 0o644} {
			want := strings.Repeat("x", int(mode))
			if err := replace(path, []byte(want), mode); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if runtime.GOOS != "windows" && info.Mode().Perm() != mode {
				t.Errorf("mode %v, want %v", info.Mode(), mode)
			}
			if got := content(t, path); got != want {
				t.Errorf("%d bytes, want %d", len(got), len(want))
			}
		}
	}
	if got := filetest.Names(t, d.Path("")); !slices.Equal(got, []string{"file"}) {
		t.Errorf("files %q", got)
	}
}

// Several files count together; what is in the way of one is not in that of the
// others.
func TestCommitSeveral(t *testing.T) {
	d := open(t)
	var staged []*Staged
	for _, name := range []string{"a", "b", "c"} {
		s, err := d.Stage(name, []byte(name), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		staged = append(staged, s)
	}
	if err := os.MkdirAll(d.Path("b/sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	errs := d.Commit(staged...)
	if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors %v, want one of the second", errs)
	}
	for _, s := range staged {
		s.Discard()
	}
	if got := filetest.Names(t, d.Path("")); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("files %q", got)
	}
	s, err := d.Stage("d", nil, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s.Discard()
	if got := filetest.Names(t, d.Path("")); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("files after a discard %q", got)
	}
}

// What comes bit by bit takes its place once it is whole, or a place beside it, or none.
func TestPending(t *testing.T) {
	d := open(t)
	write(t, d.Path("file"), "old")
	begin := func(text string) *Pending {
		t.Helper()
		p, err := Begin(d.Path("file"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.WriteString(text); err != nil {
			t.Fatal(err)
		}
		return p
	}
	begin("none").Discard()
	partial := begin("part")
	if err := partial.Commit(".partial"); err != nil {
		t.Error(err)
	}
	partial.Discard()
	if got := content(t, d.Path("file")); got != "old" {
		t.Errorf("the file holds %q", got)
	}
	if err := begin("new").Commit(""); err != nil {
		t.Error(err)
	}
	blocked := begin("more")
	if err := os.Mkdir(d.Path("file.blocked"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := blocked.Commit(".blocked"); !errors.Is(err, ErrNotRegular) {
		t.Errorf("into a directory's place: %v", err)
	}
	if got := content(t, d.Path("file")) + content(t, d.Path("file.partial")); got != "newpart" {
		t.Errorf("the files hold %q", got)
	}
	if got := filetest.Names(t, d.Path("")); !slices.Equal(got, []string{"file", "file.blocked", "file.partial"}) {
		t.Errorf("files %q", got)
	}
	for _, path := range []string{d.Path("file.blocked"), d.Path("none/file")} {
		if p, err := Begin(path); err == nil {
			p.Discard()
			t.Errorf("%s was begun", path)
		}
	}
}

// A name that leads out of the directory is none.
func TestNames(t *testing.T) {
	d := open(t)
	for _, name := range []string{"", ".", "..", "../x", "sub/x", string(filepath.Separator) + "x"} {
		if f, err := d.OpenFile(name, os.O_RDWR|os.O_CREATE); err == nil {
			f.Close()
			t.Errorf("%q was opened", name)
		}
		if _, err := d.Stage(name, nil, 0o600); err == nil {
			t.Errorf("%q was staged", name)
		}
	}
}

func TestReadLimit(t *testing.T) {
	d := open(t)
	write(t, d.Path("file"), "12345")
	for limit, ok := range map[int64]bool{4: false, 5: true} {
		if _, _, err := d.Read("file", limit); errors.Is(err, ErrTooLarge) == ok {
			t.Errorf("in the directory, limit %d: %v", limit, err)
		}
		if _, _, err := Read(d.Path("file"), limit); errors.Is(err, ErrTooLarge) == ok {
			t.Errorf("by the path, limit %d: %v", limit, err)
		}
	}
	if _, _, err := Read(d.Path("none"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, _, err := Read(d.Path(""), 1); !errors.Is(err, ErrNotRegular) {
		t.Errorf("a directory: %v", err)
	}
}

// What an administrator names may be a link, as secrets are in Kubernetes; what
// this program keeps may not.
func TestLinks(t *testing.T) {
	d := open(t)
	target := filepath.Join(t.TempDir(), "target")
	write(t, target, "keep")
	filetest.Symlink(t, target, d.Path("link"))
	filetest.Symlink(t, target+".none", d.Path("loose"))
	if data, _, err := Read(d.Path("link"), 10); string(data) != "keep" || err != nil {
		t.Errorf("read by the path: %q, %v", data, err)
	}
	for _, name := range []string{"link", "loose"} {
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_APPEND} {
			if _, err := d.OpenFile(name, flag); !errors.Is(err, ErrSymlink) {
				t.Errorf("open %s: %v, want %v", name, err, ErrSymlink)
			}
		}
		if _, err := d.Stage(name, nil, 0o600); !errors.Is(err, ErrSymlink) {
			t.Errorf("stage %s: %v, want %v", name, err, ErrSymlink)
		}
		if _, err := Begin(d.Path(name)); !errors.Is(err, ErrSymlink) {
			t.Errorf("begin %s: %v, want %v", name, err, ErrSymlink)
		}
		if _, err := OpenAppend(d.Path(name), true); !errors.Is(err, ErrSymlink) {
			t.Errorf("append to %s: %v, want %v", name, err, ErrSymlink)
		}
	}
	if content(t, target) != "keep" {
		t.Error("the target was written to")
	}
	if _, err := os.Lstat(target + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where the loose link leads: %v", err)
	}
}

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if _, err := OpenAppend(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for range 2 {
		f, err := OpenAppend(path, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("line\n"); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	if got := content(t, path); got != "line\nline\n" {
		t.Errorf("got %q", got)
	}
}

func TestStdin(t *testing.T) {
	for path, want := range map[string]bool{
		"/dev/stdin": true, "/dev/fd/63": true, "/dev/fd/x": false, "/dev/null": false, "config.yml": false, "/dev/fd/": false,
	} {
		if got := Stdin(path); got != (want && runtime.GOOS != "windows") {
			t.Errorf("%q: %v", path, got)
		}
	}
}

// What another program holds is tried again for a while, and then said to be held.
func TestInsist(t *testing.T) {
	passing, other := errors.New("held"), errors.New("other")
	isPassing := func(err error) bool { return errors.Is(err, passing) }
	for _, tt := range []struct {
		name   string
		clears time.Duration // after this the step succeeds
		err    error
		most   time.Duration
		busy   bool
	}{
		{"free", 0, passing, 0, false},
		{"held for a moment", 50 * time.Millisecond, passing, 150 * time.Millisecond, false},
		{"held for long", time.Hour, passing, retryFor + 100*time.Millisecond, true},
		{"another error", time.Hour, other, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := retry(isPassing, func() error {
					if time.Since(began) >= tt.clears {
						return nil
					}
					return tt.err
				})
				if took := time.Since(began); took > tt.most {
					t.Errorf("took %v, want %v at most", took, tt.most)
				}
				_, busy := errors.AsType[*BusyError](err)
				if busy != tt.busy || (err == nil) != (tt.clears < retryFor) {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestLong(t *testing.T) {
	d := open(t)
	data := bytes.Repeat([]byte("x"), 1<<20)
	if err := Replace(d.Path("file"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, _, err := d.Read("file", 1<<20); !bytes.Equal(got, data) || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
