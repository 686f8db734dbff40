package job_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dls/job"
	"dls/job/duosim"
	"dls/sinks/sinktest"
	"dls/state"
)

// legacy writes a checkpoint file of duologsync.
func (w *world) legacy(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(w.path("state", name), []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) exists(name string) bool {
	_, err := os.Stat(w.path("state", name))
	return err == nil
}

// Where duologsync ran before, each stream goes on where it stopped, from a file
// of each shape: nothing is skipped, and at most the last moment repeated.
func TestTakeover(t *testing.T) {
	from := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	const n, done = 40, 25 // records, a second apart, and how many duologsync delivered
	for _, tt := range []struct {
		endpoint string
		content  func(last duosim.Record) string
	}{
		{"auth", func(r duosim.Record) string { return fmt.Sprintf(`["%d", "%s"]`, r.At.UnixMilli(), r.ID) }},
		{"activity", func(r duosim.Record) string { return fmt.Sprintf(`"%d,%s"`, r.At.UnixMilli()+1, r.ID) }},
		{"telephony", func(r duosim.Record) string { return fmt.Sprintf(`"%d,%s"`, r.At.UnixMilli()+1, r.ID) }},
		{"trustmonitor", func(r duosim.Record) string { return fmt.Sprintf("%d\n", r.At.UnixMilli()+1) }},
		{"adminaction", func(r duosim.Record) string { return fmt.Sprintf("%d\n", r.At.Unix()+1) }},
	} {
		t.Run(tt.endpoint, func(t *testing.T) {
			t.Parallel()
			w, siem := newWorld(t)
			w.text.endpoints = map[string][]string{"siem": {tt.endpoint}}
			records := duosim.Generate(tt.endpoint, n, from, time.Second)
			w.add(parent, tt.endpoint, records...)
			name := tt.endpoint + "_checkpoint_data.txt"
			w.legacy(name, tt.content(records[done-1]))
			all := w.lines(parent, tt.endpoint)

			w.clean(w.sync())
			missing, repeated, unknown := tally(all[done-1:], siem.Take())
			if missing > 1 || repeated+unknown > 0 {
				t.Errorf("missing %d, repeated %d, unknown %d", missing, repeated, unknown)
			}
			if missing == 1 {
				t.Error("the record of the last moment was not asked for again")
			}
			if w.exists(name) || !w.exists(name+".imported") {
				t.Error("duologsync's file is not retired")
			}
			if !strings.Contains(w.log.String(), "took over duologsync's checkpoint") {
				t.Errorf("the log does not tell of it:\n%s", w.log.String())
			}
			w.clean(w.sync())
			exactly(t, nil, siem.Take())
		})
	}
}

// A time that is off by the zone of duologsync's host is put right where Duo has
// the record that the file names: nothing is skipped, and at most the last moment
// repeated.
func TestTakeoverZones(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name  string
		begun time.Duration // how long ago the records begin, a minute apart
		shift time.Duration
	}{
		{"ahead of the file", 2 * time.Hour, 5 * time.Hour},
		{"half an hour", 2 * time.Hour, 9*time.Hour + 30*time.Minute},
		{"before the file was written", 13 * time.Hour, 8 * time.Hour},
		{"date line", 26 * time.Hour, 12 * time.Hour},
		{"east of UTC", 13 * time.Hour, -330 * time.Minute},
	} {
		for _, endpoint := range []string{"activity", "telephony"} {
			t.Run(tt.name+" "+endpoint, func(t *testing.T) {
				t.Parallel()
				w, siem := newWorld(t)
				w.text.endpoints = map[string][]string{"siem": {endpoint}}
				records := duosim.Generate(endpoint, 40, now.Add(-tt.begun), time.Minute)
				w.add(parent, endpoint, records...)
				last := records[24]
				w.legacy(endpoint+"_checkpoint_data.txt", fmt.Sprintf(`"%d,%s"`, last.At.Add(tt.shift).UnixMilli()+1, last.ID))
				w.clean(w.sync())
				missing, repeated, unknown := tally(w.lines(parent, endpoint)[24:], siem.Take())
				if tt.shift < 0 {
					unknown = 0 // east of UTC those hours come twice
				}
				if missing+repeated+unknown > 0 {
					t.Errorf("missing %d, repeated %d, unknown %d", missing, repeated, unknown)
				}
				if off := "off by the zone of duologsync's host"; strings.Contains(w.log.String(), off) != (tt.shift > 0) {
					t.Errorf("the log tells of a zone, or not:\n%s", w.log.String())
				}
				w.clean(w.sync())
				exactly(t, nil, siem.Take())
			})
		}
	}
}

// A run that is killed between its first checkpoint and the retirement of duologsync's
// file leaves both. A file whose time was off by a zone then says more than dls's own,
// which was written later: nobody went back to duologsync.
func TestTakeoverCutShort(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"activity"}}
	records := duosim.Generate("activity", 40, now.Add(-2*time.Hour), time.Minute)
	w.add(parent, "activity", records...)
	name := "activity_checkpoint_data.txt"
	w.legacy(name, fmt.Sprintf(`"%d,%s"`, records[24].At.Add(5*time.Hour).UnixMilli()+1, records[24].ID))
	w.clean(w.sync())
	siem.Take()
	if err := os.Rename(w.path("state", name+".imported"), w.path("state", name)); err != nil {
		t.Fatal(err)
	}
	w.clean(w.sync())
	exactly(t, nil, siem.Take())

	later := now.Add(time.Hour) // somebody did
	if err := os.Chtimes(w.path("state", name), later, later); err != nil {
		t.Fatal(err)
	}
	if failed := w.sync().Failed(); len(failed) != 1 || !strings.Contains(failed[0].Err.Error(), "duologsync has gone on after dls") {
		t.Errorf("failed: %v", failed)
	}
}

// A duologsync that ran again after dls fails its stream until somebody says which
// of the two checkpoints counts.
func TestTakeoverAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	records := duosim.Generate("auth", 40, now.Add(-time.Hour), time.Minute)
	file := func(r duosim.Record) string { return fmt.Sprintf(`["%d", "%s"]`, r.At.UnixMilli(), r.ID) }
	w.add(parent, "auth", records[:10]...)
	w.clean(w.sync())
	siem.Take()
	w.legacy("auth_checkpoint_data.txt", file(records[5]))
	w.clean(w.sync()) // one that is older is not pointed out
	exactly(t, nil, siem.Take())

	w.legacy("auth_checkpoint_data.txt", file(duosim.Record{At: now.Add(time.Minute), ID: "x"}))
	failed := w.sync().Failed()
	if len(failed) != 1 || !strings.Contains(failed[0].Err.Error(), "duologsync has gone on after dls") || !strings.Contains(failed[0].Hint(), "keep one of the two") {
		t.Fatalf("failed: %v", failed)
	}
	exactly(t, nil, siem.Take())
	// Without dls's own checkpoint duologsync's counts, and the other way round.
	if err := os.Rename(w.path("state", "auth_checkpoint.json"), w.path("state", "kept")); err != nil {
		t.Fatal(err)
	}
	w.clean(w.sync())
	exactly(t, nil, siem.Take())
}

// A file that cannot be trusted fails its stream with a hint; nothing is sent
// and nothing is changed.
func TestTakeoverRefuses(t *testing.T) {
	now := time.Now()
	for name, content := range map[string]string{
		"empty":         "",
		"torn":          `"17953`,
		"null":          "null",
		"in the future": fmt.Sprintf(`"%d,b42b9d61-d5ac-48d8-b6bd-0d9d3f2b1c03"`, now.Add(20*time.Hour).UnixMilli()),
		"west of UTC":   fmt.Sprintf(`"%d,b42b9d61-d5ac-48d8-b6bd-0d9d3f2b1c03"`, now.Add(270*time.Minute).UnixMilli()),
		"another zone":  fmt.Sprintf(`"%d,b42b9d61-d5ac-48d8-b6bd-0d9d3f2b1c03"`, now.Add(-time.Hour).UnixMilli()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, siem := newWorld(t)
			w.fill(parent, 20, now.Add(-6*time.Hour), 1)
			w.legacy("activity_checkpoint_data.txt", content)
			for range 2 {
				failed := w.sync().Failed()
				if len(failed) != 1 || failed[0].Endpoint != "activity" {
					t.Fatalf("failed: %v", failed)
				}
				if _, ok := errors.AsType[*state.UntrustedError](failed[0].Err); !ok || failed[0].Hint() == "" {
					t.Errorf("error %v, hint %q", failed[0].Err, failed[0].Hint())
				}
			}
			if missing, _, _ := tally(w.lines(parent, "activity"), siem.Take()); missing != 20 {
				t.Errorf("%d records of the stream were sent", 20-missing)
			}
			if !w.exists("activity_checkpoint_data.txt") || w.exists("activity_checkpoint.json") {
				t.Error("the files were changed")
			}
		})
	}
}

// A run that fails before its first page leaves duologsync's file as it is.
func TestTakeoverWaits(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	records := duosim.Generate("auth", 20, time.Now().Add(-time.Hour), time.Second)
	w.add(parent, "auth", records...)
	w.legacy("auth_checkpoint_data.txt", fmt.Sprintf(`["%d", "%s"]`, records[9].At.UnixMilli(), records[9].ID))
	port := w.text.servers[0].port
	w.text.servers[0].port = sinktest.FreePort(t)
	if len(w.sync().Failed()) != 1 {
		t.Error("the stream did not fail")
	}
	if !w.exists("auth_checkpoint_data.txt") {
		t.Error("duologsync's file is gone")
	}
	w.text.servers[0].port = port
	if sum := w.sync(); sum.Results[0].Delivered != 11 {
		t.Errorf("delivered %d, want 11", sum.Results[0].Delivered)
	}
}

// Of an MSP's children, telephony has one file for all of them.
func TestTakeoverMSP(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	from := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	for i, id := range []string{"DACHILD0000000000001", "DACHILD0000000000002"} {
		w.child(id, "Child")
		for _, name := range []string{"auth", "telephony"} {
			w.add(id, name, duosim.Generator{Seed: uint64(i)}.Generate(name, 30, from, time.Second)...)
		}
		w.legacy("auth_checkpoint_data_"+id+".txt", fmt.Sprintf(`["%d", "x"]`, from.Add(10*time.Second).UnixMilli()))
	}
	w.text.endpoints = map[string][]string{"siem": {"auth", "telephony"}}
	w.legacy("telephony_checkpoint_data.txt", fmt.Sprintf(`"%d,x"`, from.Add(20*time.Second).UnixMilli()+1))
	w.clean(w.sync(func(o *job.Options) { o.Account = "DACHILD0000000000001" }))
	w.clean(w.sync())
	if n, want := len(siem.Take()), 2*20+2*10; n != want {
		t.Errorf("%d records, want %d", n, want)
	}
}

// A first run that would begin at offset beside checkpoints of duologsync refuses
// until they are moved, or it is told to begin.
func TestTakeoverElsewhere(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	records := duosim.Generate("auth", 20, time.Now().Add(-time.Hour), time.Second)
	w.add(parent, "auth", records...)
	place := t.TempDir()
	stray := filepath.Join(place, "auth_checkpoint_data.txt")
	if err := os.WriteFile(stray, fmt.Appendf(nil, `["%d", "%s"]`, records[9].At.UnixMilli(), records[9].ID), 0o644); err != nil {
		t.Fatal(err)
	}
	there := func(o *job.Options) { o.Places = []string{place} }

	_, err := w.try(there)
	if _, ok := errors.AsType[*job.SetupError](err); !ok || !strings.Contains(job.Hint(err), "--begin") {
		t.Fatalf("error %v, hint %q", err, job.Hint(err))
	}
	exactly(t, nil, siem.Take())

	if err := os.Rename(stray, w.path("state", "auth_checkpoint_data.txt")); err != nil {
		t.Fatal(err)
	}
	if sum := w.sync(there); sum.Results[0].Delivered != 11 {
		t.Errorf("delivered %d, want 11", sum.Results[0].Delivered)
	}

	// Anew, on purpose; from then on it is not the first run.
	for _, name := range []string{"auth_checkpoint.json", "auth_checkpoint_data.txt.imported"} {
		if err := os.Rename(w.path("state", name), filepath.Join(place, strings.TrimSuffix(name, ".imported"))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.try(there); err == nil {
		t.Error("dls's own checkpoint elsewhere is not seen")
	}
	siem.Take()
	w.clean(w.sync(there, func(o *job.Options) { o.Begin = true }))
	exactly(t, w.lines(parent, "auth"), siem.Take())
	w.clean(w.sync(there))
}
