package upgrade

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dls/state/statetest"
)

// tree returns the files in a directory with their content.
func tree(t *testing.T, dir string) map[string]string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			files[e.Name()] = e.Type().String()
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}

// start makes a directory with the old file in it.
func start(t *testing.T) (dir, old string) {
	dir = t.TempDir()
	old = filepath.Join(dir, "old.yml")
	if err := os.WriteFile(old, testdata(t, "full.old.yml"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, old
}

func TestFile(t *testing.T) {
	dir, old := start(t)
	want := tree(t, dir)
	want["new.yml"] = string(testdata(t, "full.new.yml"))
	path := filepath.Join(dir, "new.yml")
	for _, force := range []bool{false, true} {
		var stdout bytes.Buffer
		result, err := File(old, path, force, &stdout)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want["new.yml"], string(result.Data)); diff != "" {
			t.Errorf("force %t: result (-want +got):\n%s", force, diff)
		}
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Errorf("force %t: files (-want +got):\n%s", force, diff)
		}
		if stdout.Len() > 0 {
			t.Errorf("force %t: stdout has %d bytes", force, stdout.Len())
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode != 0o600 {
			t.Errorf("force %t: mode %o, want 600", force, mode)
		}
		// What is replaced next is longer and open to all.
		if err := os.WriteFile(path, make([]byte, 10_000), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileStdout(t *testing.T) {
	dir, old := start(t)
	want := tree(t, dir)
	var stdout bytes.Buffer
	if _, err := File(old, "-", false, &stdout); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(testdata(t, "full.new.yml")), stdout.String()); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if _, err := File(old, "-", false, brokenPipe{}); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("error %v, want EPIPE", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestFileUnchanged(t *testing.T) {
	dir, _ := start(t)
	old := filepath.Join(dir, "1.0.0.yml")
	data := "version: 1.0.0 # as it was\r\n"
	if err := os.WriteFile(old, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	want := tree(t, dir)
	want["new.yml"] = data
	result, err := File(old, filepath.Join(dir, "new.yml"), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Unchanged {
		t.Error("the file is not said to be unchanged")
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestFileRefused holds that a path that must not be written is left alone, and
// that nothing else is left behind.
func TestFileRefused(t *testing.T) {
	const links = "needs links, which Windows grants to few"
	tests := []struct {
		name  string
		make  func(old, path string) error // what stands at path
		force bool
		want  error // nil: any
		skip  string
	}{
		{"exists", func(_, path string) error { return os.WriteFile(path, []byte("mine"), 0o600) }, false, ErrExists, ""},
		{"hard link of the old file", os.Link, true, nil, ""},
		{"symbolic link to the old file", os.Symlink, true, nil, links},
		{"symbolic link to another file", func(old, path string) error { return os.Symlink(old+".other", path) }, true, nil, links},
		{"symbolic link without force", func(old, path string) error { return os.Symlink(old+".other", path) }, false, nil, links},
		{"symbolic link to nothing", func(_, path string) error { return os.Symlink("nothing", path) }, true, nil, links},
		{"directory", func(_, path string) error { return os.Mkdir(path, 0o700) }, true, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skip != "" && runtime.GOOS == "windows" {
				t.Skip(tt.skip)
			}
			dir, old := start(t)
			if err := os.WriteFile(old+".other", []byte("other"), 0o600); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "new.yml")
			if err := tt.make(old, path); err != nil {
				t.Fatal(err)
			}
			want := tree(t, dir)
			result, err := File(old, path, tt.force, nil)
			if err == nil || result != nil {
				t.Errorf("result %v, error %v", result, err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("itself", func(t *testing.T) {
		dir, old := start(t)
		want := tree(t, dir)
		if _, err := File(old, filepath.Join(dir, ".", "old.yml"), true, nil); err == nil {
			t.Error("no error")
		}
		if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	})
}

func TestFileErrors(t *testing.T) {
	dir, old := start(t)
	bad := filepath.Join(dir, "bad.yml")
	if err := os.WriteFile(bad, []byte("logs: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := tree(t, dir)
	path := filepath.Join(dir, "new.yml")
	for _, tt := range []struct {
		name, old, path string
		want            error
	}{
		{"no old file", filepath.Join(dir, "none.yml"), path, fs.ErrNotExist},
		{"old file is a directory", dir, path, nil},
		{"old file is no configuration", bad, path, nil},
		{"old file is no configuration, to stdout", bad, "-", nil},
		{"no directory for the new file", old, filepath.Join(dir, "none", "new.yml"), fs.ErrNotExist},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout bytes.Buffer
			result, err := File(tt.old, tt.path, false, &stdout)
			if err == nil || result != nil || stdout.Len() > 0 {
				t.Errorf("result %v, error %v, %d bytes on stdout", result, err, stdout.Len())
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFileFaults breaks each step of a write.
func TestFileFaults(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		for _, exists := range []bool{false, true} {
			dir, old := start(t)
			path := filepath.Join(dir, "new.yml")
			if exists {
				if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := tree(t, dir)
			if step == "syncdir" {
				want["new.yml"] = string(testdata(t, "full.new.yml"))
			}
			statetest.Break(dir, func(s string) error {
				if s == step {
					return &fs.PathError{Op: s, Path: "somewhere", Err: syscall.ENOSPC}
				}
				return nil
			})
			result, err := File(old, path, exists, nil)
			statetest.Break(dir, nil)
			if !errors.Is(err, syscall.ENOSPC) || result != nil {
				t.Errorf("%s: result %v, error %v, want ENOSPC", step, result, err)
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Errorf("%s: files (-want +got):\n%s", step, diff)
			}
		}
	}
}
