package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dls/state/filetest"
	"dls/state/statetest"
)

const ikey = "DIAAAAAAAAAAAAAAAAAA"

var noon = time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)

// done is a run that ended at the time, two minutes after its window.
func done(endpoint, account string, ended time.Time) StreamRun {
	return StreamRun{
		Endpoint: endpoint, Account: account, Ended: ended, Outcome: Done,
		Fetched: 7, Delivered: 5, Already: 2, Bytes: 900, Pages: 1, Duration: time.Second,
		Until: ended.Add(-time.Hour), CompleteUntil: ended.Add(-2 * time.Minute), Succeeded: ended,
	}
}

func failed(endpoint, account string, ended time.Time) StreamRun {
	return StreamRun{Endpoint: endpoint, Account: account, Ended: ended, Outcome: Failed, Error: "no answer", Pages: 1, Retries: 3}
}

func save(t *testing.T, d *Dir, suffix string, all bool, runs ...StreamRun) {
	t.Helper()
	known, err := d.SaveRuns(suffix, ikey, runs, all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(load(t, d), known, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("returned and loaded differ (-loaded +returned):\n%s", diff)
	}
}

func load(t *testing.T, d *Dir) []StreamRun {
	t.Helper()
	runs, err := d.LoadRuns(ikey)
	if err != nil {
		t.Fatal(err)
	}
	return runs
}

func TestRunsAreKept(t *testing.T) {
	later := noon.Add(time.Hour)
	kept := func(r, old StreamRun) StreamRun {
		r.Until, r.CompleteUntil, r.Succeeded = old.Until, old.CompleteUntil, old.Succeeded
		return r
	}
	gone := func(r StreamRun) StreamRun { r.Gone = true; return r }
	type saved struct {
		suffix string
		all    bool
		runs   []StreamRun
	}
	for _, tt := range []struct {
		name  string
		saves []saved
		want  []StreamRun
	}{
		{"none", nil, nil},
		{"no streams", []saved{{"", true, nil}}, nil},
		{"first failure", []saved{{"", true, []StreamRun{failed("auth", "", noon)}}}, []StreamRun{failed("auth", "", noon)}},
		{
			"a failure moves nothing",
			[]saved{{"", true, []StreamRun{done("auth", "", noon)}}, {"", true, []StreamRun{failed("auth", "", later)}}},
			[]StreamRun{kept(failed("auth", "", later), done("auth", "", noon))},
		},
		{
			"a success does",
			[]saved{{"", true, []StreamRun{failed("auth", "", noon)}}, {"", true, []StreamRun{done("auth", "", later)}}},
			[]StreamRun{done("auth", "", later)},
		},
		{
			"a part of the streams",
			[]saved{{"", true, []StreamRun{done("auth", "", noon), done("activity", "", noon)}}, {"", false, []StreamRun{done("auth", "", later)}}},
			[]StreamRun{done("activity", "", noon), done("auth", "", later)},
		},
		{
			"a stream is gone and comes back",
			[]saved{
				{"", true, []StreamRun{done("auth", "DA1", noon), done("auth", "DA2", noon), done("auth", "DA3", noon)}},
				{"", true, []StreamRun{done("auth", "DA3", noon)}},
				{"", false, []StreamRun{done("auth", "DA2", later)}},
			},
			[]StreamRun{gone(done("auth", "DA1", noon)), done("auth", "DA2", later), done("auth", "DA3", noon)},
		},
		{
			"after thirty days it is forgotten",
			[]saved{{"", true, []StreamRun{done("auth", "DA1", noon.Add(-KeepRuns-1)), done("auth", "DA2", noon.Add(-KeepRuns))}}, {"", true, []StreamRun{done("auth", "DA3", noon)}}},
			[]StreamRun{gone(done("auth", "DA2", noon.Add(-KeepRuns))), done("auth", "DA3", noon)},
		},
		{
			"shards know of their own",
			[]saved{{"-0-of-2", true, []StreamRun{done("auth", "DA1", noon)}}, {"-1-of-2", true, []StreamRun{done("auth", "DA2", noon)}}},
			[]StreamRun{done("auth", "DA1", noon), done("auth", "DA2", noon)},
		},
		{
			"a stream moves to another shard and fails there",
			[]saved{{"-0-of-2", true, []StreamRun{done("auth", "DA1", noon)}}, {"-2-of-3", true, []StreamRun{failed("auth", "DA1", later)}}},
			[]StreamRun{kept(failed("auth", "DA1", later), done("auth", "DA1", noon))},
		},
		{
			"a run of all accounts knows of the shards'",
			[]saved{{"-0-of-2", true, []StreamRun{done("auth", "DA1", noon), done("auth", "DA2", noon)}}, {"", true, []StreamRun{done("auth", "DA2", later)}}},
			[]StreamRun{gone(done("auth", "DA1", noon)), done("auth", "DA2", later)},
		},
		{
			"the clock was set back",
			[]saved{{"", true, []StreamRun{done("auth", "DA1", later)}}, {"", true, []StreamRun{failed("auth", "DA1", noon)}}},
			[]StreamRun{kept(failed("auth", "DA1", noon), done("auth", "DA1", later))},
		},
		{
			"a clock that was years ahead ages nobody",
			[]saved{{"", false, []StreamRun{done("auth", "DA1", noon.AddDate(500, 0, 0))}}, {"", false, []StreamRun{done("auth", "DA2", noon)}}},
			[]StreamRun{done("auth", "DA1", noon.AddDate(500, 0, 0)), done("auth", "DA2", noon)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t)
			for _, s := range tt.saves {
				save(t, d, s.suffix, s.all, s.runs...)
			}
			if diff := cmp.Diff(tt.want, load(t, d), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeliveredUntil(t *testing.T) {
	r := StreamRun{CompleteUntil: noon}
	for until, want := range map[time.Time]time.Time{{}: noon, noon.Add(-1): noon, noon.Add(1): noon.Add(1)} {
		r.Until = until
		if got := r.DeliveredUntil(); !got.Equal(want) {
			t.Errorf("Until %v: got %v, want %v", until, got, want)
		}
	}
}

func TestRunsFileIsPrivate(t *testing.T) {
	d := open(t)
	save(t, d, "-0-of-2", true, done("auth", "DA1", noon))
	if diff := cmp.Diff([]string{"dls_last_run-0-of-2.json"}, filetest.Names(t, d.path)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	info, err := os.Stat(d.Path(RunsFile("-0-of-2")))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

// A damaged file costs what it knew, and the caller learns of it; the run's own
// entries are saved.
func TestDamagedRuns(t *testing.T) {
	good := open(t)
	save(t, good, "", true, done("auth", "", noon))
	data, err := os.ReadFile(good.Path(RunsFile("")))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, content, want string }{
		{"empty", "", "it is empty"},
		{"torn", string(data[:len(data)/2]), "it is damaged"},
		{"no version", "{}", "it is damaged"},
		{"newer", strings.Replace(string(data), `"version":1`, `"version":2`, 1), "it is of version 2, newer than this program knows"},
		{"unknown key", strings.Replace(string(data), `"version":1`, `"version":1,"x":1`, 1), "it is damaged"},
		{"unknown outcome", strings.Replace(string(data), `"done"`, `"fine"`, 1), "it is damaged"},
		{"other account", strings.Replace(string(data), ikey, "DIB", 1), `it belongs to another account, of the integration key "DIB"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := open(t)
			save(t, d, "-0-of-2", true, done("auth", "DA1", noon))
			path := d.Path(RunsFile(""))
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			known, err := d.LoadRuns(ikey)
			broken, ok := errors.AsType[*RunsError](err)
			if !ok || broken.Path != path || broken.Err.Error() != tt.want {
				t.Errorf("load: error %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff([]StreamRun{done("auth", "DA1", noon)}, known); diff != "" {
				t.Errorf("load (-want +got):\n%s", diff)
			}
			known, err = d.SaveRuns("", ikey, []StreamRun{done("auth", "DA2", noon)}, false)
			if broken, ok := errors.AsType[*RunsError](err); !ok || broken.Path != path {
				t.Errorf("save: error %v, want a *RunsError", err)
			}
			want := []StreamRun{done("auth", "DA1", noon), done("auth", "DA2", noon)}
			if diff := cmp.Diff(want, known); diff != "" {
				t.Errorf("saved (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, load(t, d)); diff != "" {
				t.Errorf("loaded again (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunsThroughSymlink(t *testing.T) {
	d := open(t)
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	filetest.Symlink(t, target, d.Path(RunsFile("")))
	if _, err := d.LoadRuns(ikey); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Errorf("load: %v", err)
	}
	_, err := d.SaveRuns("", ikey, []StreamRun{done("auth", "", noon)}, true)
	if _, ok := errors.AsType[*RunsError](err); ok || err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Errorf("save: %v", err)
	}
	if got, err := os.ReadFile(target); string(got) != "keep" || err != nil {
		t.Errorf("the target holds %q, %v", got, err)
	}
}

// What could not be written is known all the same, for metrics.
func TestRunsOnFullDisk(t *testing.T) {
	d := open(t)
	save(t, d, "", true, done("auth", "", noon))
	statetest.Break(d.path, func(name string) error {
		if name == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	defer statetest.Break(d.path, nil)
	fresh := done("auth", "", noon.Add(time.Hour))
	known, err := d.SaveRuns("", ikey, []StreamRun{fresh}, true)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v, want %v", err, syscall.ENOSPC)
	}
	if diff := cmp.Diff([]StreamRun{fresh}, known); diff != "" {
		t.Errorf("known (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]StreamRun{done("auth", "", noon)}, load(t, d)); diff != "" {
		t.Errorf("on disk (-want +got):\n%s", diff)
	}
}

func TestForeignTextIsCut(t *testing.T) {
	d := open(t)
	r := failed("auth", "DA1", noon)
	r.Error, r.AccountName = strings.Repeat("é", 1000), "a\xffb"
	save(t, d, "", true, r)
	got := load(t, d)[0]
	want := r
	want.Error, want.AccountName = strings.Repeat("é", 248)+"…", "a\uFFFDb"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzDecodeRuns holds what is read to what can be written.
func FuzzDecodeRuns(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"ikey":"DIAAAAAAAAAAAAAAAAAA","streams":[{"endpoint":"auth","ended":"2025-11-24T12:00:00Z","outcome":"failed","error":"x","fetched":1,"delivered":1,"already":0,"bytes":9,"pages":1,"retries":0,"limited":0,"duration_ns":1}]}`,
		`{"version":1,"ikey":"DIAAAAAAAAAAAAAAAAAA","streams":null}`, `[]`, `{"version":9}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		form, err := decodeRuns(data, ikey)
		if err != nil {
			return
		}
		runs := form.Streams
		for i := range runs {
			if runs[i].damaged() {
				t.Errorf("%+v", runs[i])
			}
		}
		once := merge(runs)
		if diff := cmp.Diff(once, merge(once), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("merging again (-once +twice):\n%s", diff)
		}
		if !slices.IsSortedFunc(once, func(a, b StreamRun) int { return a.name().compare(b.name()) }) {
			t.Errorf("not sorted: %+v", once)
		}
	})
}

// BenchmarkSaveRuns is a run of an MSP with 8,000 streams.
func BenchmarkSaveRuns(b *testing.B) {
	d, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	var runs []StreamRun
	for i := range 8000 {
		runs = append(runs, done("auth", fmt.Sprintf("DA%018d", i), noon))
	}
	for b.Loop() {
		if _, err := d.SaveRuns("", ikey, runs, true); err != nil {
			b.Fatal(err)
		}
	}
}

// However many files cannot be used, the error is one line.
func TestManyForeignRuns(t *testing.T) {
	d := open(t)
	save(t, d, "", true, done("auth", "", noon))
	for i := range 1000 {
		if err := os.WriteFile(d.Path(RunsFile(fmt.Sprintf("-%d", i))), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known, err := d.SaveRuns("", ikey, []StreamRun{done("auth", "", noon)}, true)
	broken, ok := errors.AsType[*RunsError](err)
	if !ok || broken.More != 999 || strings.Contains(err.Error(), "\n") || len(known) != 1 {
		t.Errorf("%d runs, error %v", len(known), err)
	}
}

// When a run began is that of its first stream, and of the last three runs it is
// known.
func TestBegan(t *testing.T) {
	dir := open(t)
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var want []time.Time
	for i := range 5 {
		ended := at.Add(time.Duration(i) * time.Minute)
		runs := []StreamRun{
			{Endpoint: "auth", Ended: ended, Outcome: Done, Duration: time.Second},
			{Endpoint: "activity", Ended: ended, Outcome: Failed, Duration: 2 * time.Second},
		}
		if _, err := dir.SaveRuns("", "DI", runs, true); err != nil {
			t.Fatal(err)
		}
		want = append(want, ended.Add(-2*time.Second))
	}
	if diff := cmp.Diff(want[2:], dir.Began("", "DI")); diff != "" {
		t.Errorf("began (-want +got):\n%s", diff)
	}
	if got := dir.Began("", "another"); got != nil {
		t.Errorf("of another account %v", got)
	}
}
