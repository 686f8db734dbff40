package state_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dls/state"

	"github.com/google/go-cmp/cmp"
)

var ledgerID = state.ID{IKey: "DIAAAAAAAAAAAAAAAAAA", Endpoint: "auth"}

func sumOf(n uint64) state.Sum {
	var k state.Key
	binary.BigEndian.PutUint64(k[:], n)
	binary.BigEndian.PutUint64(k[8:], ^n)
	return state.One(k, 1)
}

func everyPrint(int64) bool { return true }

func openDir(t testing.TB, path string) *state.Dir {
	t.Helper()
	dir, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// What is delivered is in the ledger once, whichever of its steps a run dies at: what the
// checkpoint does not count is written over.
func TestLedgerAfterCrash(t *testing.T) {
	path := t.TempDir()
	dir := openDir(t, path)
	var l state.Ledger
	l.Begin(0)
	saved := state.Ledger{Since: l.Since}
	var want state.Tally
	for i := range uint64(400) {
		var page state.Tally
		page.Add(int64(100+i/20), sumOf(i), true)
		// The run dies behind the append, with the checkpoint unsaved, and the page comes again.
		died := state.Ledger{Since: saved.Since, Length: saved.Length, Open: saved.Open.Clone()}
		if i%3 == 0 {
			died.Add(page)
			if _, err := died.Close(dir, ledgerID, 1<<60, 0); err != nil {
				t.Fatal(err)
			}
			died = state.Ledger{Since: saved.Since, Length: saved.Length, Open: saved.Open.Clone()}
		}
		died.Add(page)
		want.Merge(page)
		before := int64(100+i/20) * 3_600_000
		if lost, err := died.Close(dir, ledgerID, before, 0); err != nil || lost != 0 {
			t.Fatal(lost, err)
		}
		saved = died
	}
	got, err := saved.Read(dir, ledgerID, everyPrint)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the ledger (-want +got):\n%s", diff)
	}
}

// Entries of one hour become one, what is old is forgotten, and what counts stays where
// the checkpoint says.
func TestLedgerCompacts(t *testing.T) {
	path := t.TempDir()
	dir := openDir(t, path)
	var l state.Ledger
	l.Begin(0)
	n := uint64(0)
	var want state.Tally
	for hour := int64(1000); hour < 1000+200*24; hour += 12 {
		for range 2 {
			var page state.Tally
			n++
			page.Add(hour, sumOf(n), true)
			l.Add(page)
			if lost, err := l.Close(dir, ledgerID, 1<<60, 0); err != nil || lost != 0 {
				t.Fatal(lost, err)
			}
			if hour >= 1000+19*24 {
				for i := range page {
					page[i].Prints = nil
				}
				want.Merge(page)
			}
		}
	}
	got, err := l.Read(dir, ledgerID, func(int64) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	for len(got) > 0 && got[0].Hour < 1000+19*24 {
		got = got[1:]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the ledger (-want +got):\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(path, ledgerID.LedgerFile()))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 200<<10 {
		t.Errorf("%d bytes", info.Size())
	}
}

// A ledger that is not what the checkpoint says begins anew, and says from when.
func TestLedgerLost(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"gone":    os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 50) },
		"foreign": func(path string) error { return os.WriteFile(path, make([]byte, 4096), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			dir := openDir(t, path)
			var l state.Ledger
			l.Begin(0)
			for hour := range int64(3) {
				l.Add(state.Tally{{Hour: 10 + hour, Sum: sumOf(1)}})
				if hour == 2 {
					if err := harm(filepath.Join(path, ledgerID.LedgerFile())); err != nil {
						t.Fatal(err)
					}
					if _, err := l.Read(dir, ledgerID, everyPrint); !errors.Is(err, state.ErrLedger) || !strings.Contains(state.Hint(err), "or remove the ledger") {
						t.Errorf("reading it: %v, hint %q", err, state.Hint(err))
					}
				}
				lost, err := l.Close(dir, ledgerID, 1<<60, 0)
				if err != nil {
					t.Fatal(err)
				}
				if want := int64(hour/2) * 13 * 3_600_000; lost != want {
					t.Fatalf("lost %d, want %d", lost, want)
				}
			}
			l.Add(state.Tally{{Hour: 12, Sum: sumOf(1)}, {Hour: 13, Sum: sumOf(2)}})
			if _, err := l.Close(dir, ledgerID, 1<<60, 0); err != nil {
				t.Fatal(err)
			}
			got, err := l.Read(dir, ledgerID, everyPrint)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(state.Tally{{Hour: 13, Sum: sumOf(2)}}, got); diff != "" {
				t.Errorf("the ledger (-want +got):\n%s", diff)
			}
		})
	}
}

// A ledger that is lost while a late record of an old hour is the only one that waits knows
// nothing of the hours between: what was delivered of them stood in the file.
func TestLedgerLostBehindTheDelivered(t *testing.T) {
	dir := openDir(t, t.TempDir())
	l := state.Ledger{Since: 3_600_000, Length: 64, Open: state.Tally{{Hour: 10, Sum: sumOf(1)}}}
	const until = 20*3_600_000 + 7
	knows, err := l.Close(dir, ledgerID, 1<<60, until)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state.Ledger{Since: 21 * 3_600_000}, l); diff != "" || knows != l.Since {
		t.Errorf("knows from %d on; the ledger (-want +got):\n%s", knows, diff)
	}
}

// A bit that has turned in the file is noticed, and told with the file's name.
func TestLedgerDamaged(t *testing.T) {
	path := t.TempDir()
	dir := openDir(t, path)
	l := state.Ledger{Since: 3_600_000, Open: state.Tally{{Hour: 10, Sum: sumOf(1)}}}
	if _, err := l.Close(dir, ledgerID, 1<<60, 0); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(path, ledgerID.LedgerFile())
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-9] ^= 4
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(dir, ledgerID, everyPrint); !errors.Is(err, state.ErrLedger) || !strings.Contains(err.Error(), ledgerID.LedgerFile()) {
		t.Errorf("reading it: %v", err)
	}
}

// The prints of records without an hour are kept whatever else is: such a record is told
// from a missing one by nothing else, once its hour has come.
func TestTallyOfNoHour(t *testing.T) {
	var page state.Tally
	page.Add(state.NoHour, sumOf(1), false)
	page.Add(7, sumOf(2), false)
	one := sumOf(1)
	want := state.Tally{{Hour: state.NoHour, Sum: one, Prints: []uint64{one.Print()}}, {Hour: 7, Sum: sumOf(2)}}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("the tally (-want +got):\n%s", diff)
	}
}

// A full disk leaves the ledger as it is: the hours stay open.
func TestLedgerFails(t *testing.T) {
	l := state.Ledger{}
	l.Begin(0)
	l.Add(state.Tally{{Hour: 10, Sum: sumOf(1)}})
	before := l.Open.Clone()
	if _, err := l.Close(noDisk{}, ledgerID, 1<<60, 0); err == nil {
		t.Error("no error")
	}
	if diff := cmp.Diff(before, l.Open); diff != "" {
		t.Errorf("open hours (-want +got):\n%s", diff)
	}
}

type noDisk struct{}

func (noDisk) AppendLedger(state.ID, int64, []byte) error { return errors.New("the disk is full") }
func (noDisk) ReadLedger(state.ID, int64) ([]byte, error) { return nil, nil }

// A checkpoint carries its part of the ledger.
func TestLedgerInCheckpoint(t *testing.T) {
	dir := openDir(t, t.TempDir())
	cp := &state.Checkpoint{Progress: state.Progress{Began: 1, DeliveredUntil: 7_200_000}}
	cp.Ledger.Begin(cp.DeliveredUntil)
	var page state.Tally
	page.Add(2, sumOf(5), false)
	page.Add(state.NoHour, sumOf(6), true)
	page.Add(1, sumOf(7), true) // before the ledger began
	next := cp.With(cp.Progress, nil, page, 0)
	if err := dir.Save(ledgerID, next); err != nil {
		t.Fatal(err)
	}
	got, err := dir.Load(ledgerID)
	if err != nil {
		t.Fatal(err)
	}
	want := state.Ledger{Since: 7_200_000, Open: page[:2]}
	if diff := cmp.Diff(want, got.Ledger); diff != "" {
		t.Errorf("the ledger (-want +got):\n%s", diff)
	}
	if len(cp.Ledger.Open) != 0 {
		t.Error("the checkpoint itself was changed")
	}
}

// Sums are those of sets: the order is no matter, and a difference names what is missing.
func TestSum(t *testing.T) {
	var a, b state.Sum
	for i := range uint64(100) {
		a.Add(sumOf(i << 57))
		b.Add(sumOf((99 - i) << 57))
	}
	if a != b {
		t.Error("the order of records matters")
	}
	b.Add(sumOf(1000))
	if b.Less(a) != sumOf(1000) {
		t.Error("the difference is not the record")
	}
}

func FuzzHour(f *testing.F) {
	f.Add("490000 3 AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		var h, again state.Hour
		if h.UnmarshalText([]byte(text)) != nil {
			return
		}
		b, err := h.MarshalText()
		if err == nil {
			err = again.UnmarshalText(b)
		}
		if err != nil || !cmp.Equal(h, again) {
			t.Errorf("%q: %v, %v, %v", text, h, again, err)
		}
	})
}

// What a record costs in the ledger: a few nanoseconds of the microseconds that it takes.
func BenchmarkTally(b *testing.B) {
	for b.Loop() {
		var page state.Tally
		for i := range uint64(1000) {
			page.Add(int64(100+i/600), sumOf(i), false)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}

// A pass begins once a day, a day before the last one's end, and goes on where it was left,
// but not before the time for which Duo keeps records.
func TestPassBegin(t *testing.T) {
	const hour, day = int64(3_600_000), 24 * int64(3_600_000)
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	for _, tt := range []struct {
		name       string
		pass       state.Pass
		since, due int64
		now        time.Time
		want       state.Pass
		open       bool
	}{
		{"the first", state.Pass{}, day, 10 * day, at(10*day + hour), state.Pass{From: 9 * day, Next: 9 * day, End: 10 * day}, true},
		{"no further back than the ledger knows", state.Pass{}, 10*day - hour, 10 * day, at(10*day + hour), state.Pass{From: 10*day - hour, Next: 10*day - hour, End: 10 * day}, true},
		{"over on the same day", state.Pass{End: 10 * day, At: 10*day + hour}, day, 10*day + 2*hour, at(10*day + 3*hour), state.Pass{End: 10 * day, At: 10*day + hour}, false},
		{"over on another day", state.Pass{End: 10 * day, At: 10*day + hour}, day, 11 * day, at(11 * day), state.Pass{From: 9 * day, Next: 9 * day, End: 11 * day, At: 10*day + hour}, true},
		{"under way", state.Pass{From: 9 * day, Next: 9*day + hour, End: 10 * day, Found: 1}, day, 11 * day, at(11 * day), state.Pass{From: 9 * day, Next: 9*day + hour, End: 10 * day, Found: 1}, true},
		{"left for so long that some is gone", state.Pass{From: 9 * day, Next: 9*day + hour, End: 10 * day, Found: 1}, day, 188*day + 2*hour, at(188*day + 3*hour), state.Pass{From: 9 * day, Next: 9*day + 2*hour, End: 10 * day, Found: 1}, true},
		{"left for so long that all is gone", state.Pass{From: 9 * day, Next: 9*day + hour, End: 10 * day, Found: 1}, day, 300 * day, at(300 * day), state.Pass{From: 121 * day, Next: 121 * day, End: 300 * day}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, open := tt.pass.Begin(tt.since, tt.due, tt.now)
			if diff := cmp.Diff(tt.want, got); diff != "" || open != tt.open {
				t.Errorf("open %v, want %v; pass (-want +got):\n%s", open, tt.open, diff)
			}
		})
	}
}
