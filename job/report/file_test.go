package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dls/state/filetest"
)

// files returns the directory's files and what they hold.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		held[e.Name()] = string(data)
	}
	return held
}

// fill writes files into a new directory.
func fill(t *testing.T, held map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range held {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dls.log")
	for _, line := range []string{"a\n", "b\n"} {
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	data, err := os.ReadFile(path)
	if string(data) != "a\nb\n" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

// A link in a directory that others write to could lead anywhere.
func TestLinksAndDirectoriesAreRefused(t *testing.T) {
	dir := t.TempDir()
	target, link, loose := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "loose")
	if err := os.WriteFile(target, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	filetest.Symlink(t, target, link)
	filetest.Symlink(t, filepath.Join(dir, "none"), loose)
	for path, want := range map[string]string{link: "it is a symbolic link", loose: "it is a symbolic link", dir: "it is no regular file"} {
		f, err := OpenFile(path)
		if f != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %q: %v, want %q", path, err, want)
		}
		if err := RotateFile(path, 1, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rotate %q: %v, want %q", path, err, want)
		}
	}
	want := map[string]bool{"target": true, "link": true, "loose": true}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want) {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	if data, err := os.ReadFile(target); string(data) != "keep" || err != nil {
		t.Errorf("the target holds %q, %v", data, err)
	}
}

func TestRotateFile(t *testing.T) {
	full := map[string]string{"log": "0000", "log.1": "1", "log.2": "2", "log.3": "3", "log.4": "4", "logs": "x"}
	for _, tt := range []struct {
		name string
		held map[string]string
		max  int64
		keep int
		want map[string]string
	}{
		{"no file", nil, 4, 3, nil},
		{"off", full, 0, 3, full},
		{"small", full, 5, 3, full},
		{"first", map[string]string{"log": "0000"}, 4, 3, map[string]string{"log.1": "0000"}},
		{"full", full, 4, 3, map[string]string{"log.1": "0000", "log.2": "1", "log.3": "2", "log.4": "4", "logs": "x"}},
		{"a generation is missing", map[string]string{"log": "0000", "log.2": "2"}, 4, 3, map[string]string{"log.1": "0000", "log.3": "2"}},
		{"one was moved aside by a run that was killed", map[string]string{"log": "x", "log.0": "0000", "log.1": "1"}, 4, 3, map[string]string{"log": "x", "log.1": "0000", "log.2": "1"}},
		{"one was moved aside, and the next is due", map[string]string{"log": "xxxx", "log.0": "0000", "log.1": "1"}, 4, 3, map[string]string{"log.1": "xxxx", "log.2": "0000", "log.3": "1"}},
		{"keep one", map[string]string{"log": "0000", "log.1": "1"}, 4, 1, map[string]string{"log.1": "0000"}},
		{"keep none is one", map[string]string{"log": "0000", "log.1": "1"}, 4, 0, map[string]string{"log.1": "0000"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := fill(t, tt.held)
			if err := RotateFile(filepath.Join(dir, "log"), tt.max, tt.keep); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, files(t, dir), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A link among the old files is moved or replaced like a file, never followed.
func TestRotateOverLink(t *testing.T) {
	outside := fill(t, map[string]string{"target": "keep"})
	dir := fill(t, map[string]string{"log": "0000"})
	filetest.Symlink(t, filepath.Join(outside, "target"), filepath.Join(dir, "log.3"))
	filetest.Symlink(t, filepath.Join(outside, "target"), filepath.Join(dir, "log.2"))
	for range 3 {
		if err := RotateFile(filepath.Join(dir, "log"), 4, 3); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "log"), []byte("0000"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]string{"target": "keep"}, files(t, outside)); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	if got := slices.Sorted(maps.Keys(files(t, dir))); !slices.Equal(got, []string{"log", "log.1", "log.2", "log.3"}) {
		t.Errorf("files %q", got)
	}
}

// What cannot be rotated goes on being written to.
func TestRotateFails(t *testing.T) {
	dir := fill(t, map[string]string{"log": "0000"})
	path := filepath.Join(dir, "log")
	if err := os.MkdirAll(filepath.Join(dir, "log.1", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "log.2", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := RotateFile(path, 4, 2); err == nil || !strings.Contains(err.Error(), `"log.2"`) {
		t.Errorf("error %v, want one that names what is in the way", err)
	}
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err := os.ReadFile(path); string(data) != "0000" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
}

// While the newest file cannot be moved, no older one is dropped for it.
func TestRotateKeepsOlder(t *testing.T) {
	held := map[string]string{"log": "0000", "log.1": "1", "log.2": "2", "log.3": "3"}
	dir := fill(t, held)
	aside := filepath.Join(dir, "log.0")
	if err := os.MkdirAll(filepath.Join(aside, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := RotateFile(filepath.Join(dir, "log"), 4, 3); err == nil {
			t.Error("no error")
		}
	}
	if err := os.RemoveAll(aside); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(held, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// A log of somebody else's would show them all messages.
func TestForeignLog(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	path := filepath.Join(fill(t, map[string]string{"log": "0000"}), "log")
	if err := errors.Join(os.Chmod(path, 0o666), os.Chown(path, 12345, 12345)); err != nil {
		t.Fatal(err)
	}
	const want = "it belongs to another user (uid 12345)"
	if f, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("open: %v, %v, want %q", f, err, want)
	}
	if err := RotateFile(path, 1, 3); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("rotate: %v, want %q", err, want)
	}
}

// Runs that begin together rotate a file once, and what one of them writes
// meanwhile is kept.
func TestRotateTogether(t *testing.T) {
	if !renamesOpen {
		t.Skip("an open file cannot be renamed here")
	}
	for range 20 {
		dir := fill(t, map[string]string{"log": "0000", "log.1": "1"})
		path := filepath.Join(dir, "log")
		running, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var runs sync.WaitGroup
		for range 8 {
			runs.Go(func() {
				if err := RotateFile(path, 4, 3); err != nil {
					t.Error(err)
				}
				f, err := OpenFile(path)
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
			})
		}
		runs.Wait()
		if _, err := running.WriteString("+"); err != nil {
			t.Fatal(err)
		}
		running.Close()
		want := map[string]string{"log": "", "log.1": "0000+", "log.2": "1"}
		if diff := cmp.Diff(want, files(t, dir)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// Whatever the zone of the machine, times are those that the messages speak of.
func TestNewFileTimes(t *testing.T) {
	at := time.Date(2026, 11, 24, 5, 30, 0, 0, time.FixedZone("west", -5*60*60))
	for format, want := range map[LogFormat]string{
		LogText: "time=2026-11-24T10:30:00.000Z level=INFO msg=m at=2026-11-24T10:30:00.000Z\n",
		LogJSON: `{"time":"2026-11-24T10:30:00Z","level":"INFO","msg":"m","at":"2026-11-24T10:30:00Z"}` + "\n",
	} {
		var b bytes.Buffer
		r := slog.NewRecord(at, slog.LevelInfo, "m", 0)
		r.AddAttrs(slog.Time("at", at))
		if err := NewFile(&b, format, slog.LevelInfo).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
	}
}

func TestNewFile(t *testing.T) {
	var text, object bytes.Buffer
	for format, w := range map[LogFormat]*bytes.Buffer{LogText: &text, LogJSON: &object} {
		log := slog.New(NewFile(w, format, slog.LevelInfo))
		log.Debug("no")
		log.Info("line one\nlevel=ERROR", "stream", "auth")
	}
	if got := text.String(); !strings.HasSuffix(got, ` level=INFO msg="line one\nlevel=ERROR" stream=auth`+"\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("text: %q", got)
	}
	var got map[string]any
	if err := json.Unmarshal(object.Bytes(), &got); err != nil {
		t.Fatalf("%v: %q", err, object.String())
	}
	delete(got, "time")
	want := map[string]any{"level": "INFO", "msg": "line one\nlevel=ERROR", "stream": "auth"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
}

// A log that cannot be written is told of once, and the run's messages go on.
func TestWatch(t *testing.T) {
	var told []error
	full := &fs.PathError{Op: "write", Path: "log", Err: errors.New("no room")}
	log := slog.New(NewFile(Watch(broken{full}, func(err error) { told = append(told, err) }), LogText, slog.LevelInfo))
	log.Info("one")
	log.Info("two")
	if len(told) != 1 || told[0] != full.Err {
		t.Errorf("told %v, want %v once", told, full.Err)
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
