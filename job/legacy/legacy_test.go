package legacy

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"dls/state"

	"github.com/google/go-cmp/cmp"
)

// files is a directory in memory.
type files map[string]*fstest.MapFile

func (f files) Path(name string) string { return "/dir/" + name }

func (f files) Read(name string, limit int64) ([]byte, fs.FileInfo, error) {
	info, err := fstest.MapFS(f).Stat(name)
	if err != nil {
		return nil, nil, fs.ErrNotExist
	}
	return f[name].Data, info, nil
}

func (f files) Retire(name string) error {
	if f[name] == nil {
		return fs.ErrNotExist
	}
	f[name+state.Imported] = f[name]
	delete(f, name)
	return nil
}

// now is when duologsync wrote its files.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (f files) put(name, format string, args ...any) {
	f[name] = &fstest.MapFile{Data: fmt.Appendf(nil, format, args...), ModTime: now}
}

func TestFind(t *testing.T) {
	dir := files{}
	ms := now.Add(-time.Hour).UnixMilli()
	find := func(endpoint, account string) string {
		t.Helper()
		got, err := Find(dir, state.ID{Endpoint: endpoint, Account: account}, now)
		switch {
		case err != nil:
			return err.Error()
		case got == nil:
			return "none"
		}
		return fmt.Sprintf("%s %s %q", got.Name, now.Sub(got.From), got.ID)
	}
	check := func(what, want, got string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("nothing", "none", find("auth", ""))
	dir.put("authlog_checkpoint_data.txt", `["%d", "a"]`, ms)
	check("version 1.0", `authlog_checkpoint_data.txt 1h0m0s ""`, find("auth", ""))
	check("version 1.0, child", "none", find("auth", "DA1"))
	dir.put("auth_checkpoint_data.txt", `["%d", "a"]`, ms+1000)
	check("later versions first", `auth_checkpoint_data.txt 59m59s ""`, find("auth", ""))

	dir.put("telephony_checkpoint_data.txt", `"%d,t"`, ms+1)
	check("single account", `telephony_checkpoint_data.txt 1h0m0s "t"`, find("telephony", ""))
	check("all children", `telephony_checkpoint_data.txt 1h0m0s ""`, find("telephony", "DA1"))
	first, err := Find(dir, state.ID{Endpoint: "telephony", Account: "DA1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	first.Done(slog.New(slog.NewTextHandler(&log, nil)))
	if !strings.Contains(log.String(), "took over") || !strings.Contains(log.String(), "never read the telephony of child accounts") {
		t.Errorf("log %s", log.String())
	}
	check("the next child", `telephony_checkpoint_data.txt.imported 1h0m0s ""`, find("telephony", "DA2"))

	dir.put("activity_checkpoint_data.txt", "")
	check("empty", `checkpoint "/dir/activity_checkpoint_data.txt": it is empty`, find("activity", ""))
	dir.put("activity_checkpoint_data.txt", `"%d,None"`, now.Add(3*time.Hour).UnixMilli()+1)
	check("ahead and without an id", `checkpoint "/dir/activity_checkpoint_data.txt": it says 2026-11-23T15:00:00Z, which is 3h0m0s after it was written: duologsync ran in a time zone west of UTC, or the clock was wrong`, find("activity", ""))
	dir.put("activity_checkpoint_data.txt", `"%d,a"`, now.Add(13*time.Hour).UnixMilli()+1)
	check("ahead of every zone", `checkpoint "/dir/activity_checkpoint_data.txt": it says 2026-11-24T01:00:00Z, which is 13h0m0s after it was written: duologsync ran in a time zone west of UTC, or the clock was wrong`, find("activity", ""))
}

func TestVerify(t *testing.T) {
	dir := files{}
	ask := func(says time.Time) (asked []string, err error) {
		t.Helper()
		dir.put("activity_checkpoint_data.txt", `"%d,a"`, says.UnixMilli()+1)
		found, err := Find(dir, state.ID{Endpoint: "activity"}, now)
		if err != nil {
			return nil, err
		}
		for range 100 {
			asked = append(asked, now.Sub(found.From).String())
			again, err := found.Verify(false)
			if err != nil || !again {
				return asked, err
			}
		}
		return asked, errors.New("it never ends")
	}
	asked, err := ask(now.Add(10 * time.Hour))
	if diff := cmp.Diff([]string{"0s", "1h0m0s", "2h0m0s"}, asked); diff != "" {
		t.Errorf("ahead of the file: times before it that are asked for (-want +got):\n%s", diff)
	}
	if left, ok := errors.AsType[*Error](err); !ok || !strings.Contains(left.Problem, "which is 10h0m0s after it was written") {
		t.Errorf("ahead of the file: error %v", err)
	}
	asked, err = ask(now.Add(-time.Hour))
	if len(asked) != 16 || asked[0] != "1h0m0s" || asked[15] != "13h0m0s" {
		t.Errorf("times before the file that are asked for: %v", asked)
	}
	if left, ok := errors.AsType[*Error](err); !ok || !strings.Contains(left.Problem, "the record that it names is not there, nor where a host in another time zone") {
		t.Errorf("error %v", err)
	}
	if asked, err := ask(now.Add(-200 * 24 * time.Hour)); err != nil || len(asked) != 1 {
		t.Errorf("what Duo no longer has was to be proved: %v, %v", asked, err)
	}
}

func TestZones(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for zone, first := range map[string]time.Duration{"UTC": 0, "Asia/Kolkata": 330 * time.Minute, "America/New_York": 0} {
		host, err := time.LoadLocation(zone)
		if err != nil {
			t.Skip(err)
		}
		times := zones(at, host)
		if got := times[0].Sub(at); got != first || !slices.IsSortedFunc(times, func(a, b time.Time) int { return b.Compare(a) }) {
			t.Errorf("%s: first %v, want %v; in order: %v", zone, got, first, times)
		}
		if !slices.ContainsFunc(times, hostTime(at, host).Equal) || !slices.ContainsFunc(times, at.Equal) {
			t.Errorf("%s: the host's own time or UTC is missing", zone)
		}
	}
}

func TestNewer(t *testing.T) {
	dir := files{}
	ms := now.Add(-time.Hour).UnixMilli()
	dir.put("auth_checkpoint_data.txt", `["%d", "a"]`, ms)
	dir.put("auth_checkpoint_data_DA1.txt", `["%d", "a"]`, ms)
	dir.put("telephony_checkpoint_data.txt", `"%d,t"`, now.Add(5*time.Hour).UnixMilli())
	dir.put("activity_checkpoint_data.txt", "")
	for _, tt := range []struct {
		id    state.ID
		until time.Duration // before now
		newer bool
	}{
		{state.ID{Endpoint: "auth"}, time.Hour, false},
		{state.ID{Endpoint: "auth"}, time.Hour + time.Millisecond, true},
		{state.ID{Endpoint: "auth", Account: "DA1"}, 2 * time.Hour, true},
		{state.ID{Endpoint: "auth", Account: "DA2"}, 2 * time.Hour, false},
		{state.ID{Endpoint: "telephony"}, 0, true}, // a zone west of UTC makes it no better
		{state.ID{Endpoint: "telephony", Account: "DA1"}, time.Hour, false},
		{state.ID{Endpoint: "activity"}, time.Hour, false},
		{state.ID{Endpoint: "adminaction"}, time.Hour, false},
	} {
		err := Newer(dir, tt.id, now.Add(-tt.until), now)
		left, newer := errors.AsType[*Error](err)
		if newer != tt.newer {
			t.Errorf("%v, %v: error %v", tt.id, tt.until, err)
		}
		if newer && (!strings.Contains(left.Hint, dir.Path(tt.id.File())) || !strings.Contains(left.Hint, "_checkpoint_data")) {
			t.Errorf("hint %q does not name both files", left.Hint)
		}
	}
}
