package state

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHistory(t *testing.T) {
	path := t.TempDir()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := d.History("DI1"); len(got) > 0 || err != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	at := time.Unix(1795161600, 0).UTC()
	run := func(suffix, ikey string, at time.Time, runs ...StreamRun) {
		t.Helper()
		if err := d.AppendHistory(suffix, ikey, at, runs); err != nil {
			t.Fatal(err)
		}
	}
	run("-1-of-2", "DI1", at.Add(time.Minute), StreamRun{Endpoint: "auth", Account: "DA2", Outcome: Failed})
	run("", "DI1", at, StreamRun{Endpoint: "auth", Delivered: 7, Outcome: Done, CompleteUntil: at.Add(-2 * time.Minute)})
	run("", "DI2", at, StreamRun{Endpoint: "auth", Outcome: Done})
	if err := d.Append("dls_history.ndjson", []byte(`{"v":1,"ikey":"DI1","t":17`)); err != nil { // a crash
		t.Fatal(err)
	}
	run("", "DI1", at.Add(2*time.Minute), StreamRun{Endpoint: "auth", Outcome: Unfinished, Until: at.Add(time.Hour)})
	want := []RunPoint{
		{at, "auth", "", 2 * time.Minute, 7, Done},
		{at.Add(time.Minute), "auth", "DA2", -1, 0, Failed},
		{at.Add(2 * time.Minute), "auth", "", 0, 0, Unfinished},
	}
	got, err := d.History("DI1")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
}

// Whatever the number of runs, two files of a bounded size are kept, the newest runs
// among them.
func TestHistoryIsBounded(t *testing.T) {
	defer func(max int64) { historyMax = max }(historyMax)
	historyMax = 1000
	path := t.TempDir()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	at := time.Unix(1795161600, 0).UTC()
	const runs = 100
	for i := range runs {
		if err := d.AppendHistory("", "DI1", at.Add(time.Duration(i)*time.Minute), []StreamRun{{Endpoint: "auth", Outcome: Done}}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Size() > 1100 || !strings.HasPrefix(e.Name(), "dls_history") {
			t.Errorf("%s: %v, %v", e.Name(), info, err)
		}
	}
	got, err := d.History("DI1")
	if err != nil || len(got) < 11 || len(got) > 40 || !got[len(got)-1].At.Equal(at.Add((runs-1)*time.Minute)) || len(entries) != 2 {
		t.Errorf("%d points in %d files, %v", len(got), len(entries), err)
	}
	for i := 1; i < len(got); i++ {
		if got[i].At.Sub(got[i-1].At) != time.Minute {
			t.Errorf("a run is missing between %v and %v", got[i-1].At, got[i].At)
		}
	}
}
