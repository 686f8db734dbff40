package job_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dls/job"
	"dls/job/duosim"
	"dls/state"
)

// yesterday makes the daily audit of every stream one of yesterday's, as if the clock had
// gone on.
func (w *world) yesterday(names ...string) {
	w.t.Helper()
	dir, err := state.Open(w.path("state"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer dir.Close()
	for _, name := range names {
		id := state.ID{IKey: ikey, Endpoint: name}
		cp, err := dir.Load(id)
		if err != nil {
			w.t.Fatal(err)
		}
		if cp.Ledger.Pass.At == 0 {
			w.t.Fatalf("%s was not audited: %+v", name, cp.Ledger)
		}
		cp.Ledger.Pass.At -= 24 * time.Hour.Milliseconds()
		if err := dir.Save(id, cp); err != nil {
			w.t.Fatal(err)
		}
	}
}

// What a ledger does not know of is no proof: an audit counts what it did not look at.
func TestAuditOutsideLedger(t *testing.T) {
	w, _ := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.text.api = map[string]any{"offset": 1}
	hour := time.Now().Truncate(time.Hour)
	w.add(parent, "auth", duosim.Generator{Seed: 1}.Generate("auth", 10, hour.Add(-30*time.Hour), time.Minute)...)
	w.add(parent, "auth", duosim.Generator{Seed: 2}.Generate("auth", 20, hour.Add(-5*time.Hour), time.Minute)...)
	w.clean(w.sync())
	a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{Options: w.options(), Since: hour.Add(-48 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	w.clean(a.Read)
	if a.AtDuo != 20 || a.Missing+a.Unclear != 0 || a.Outside != 10 {
		t.Errorf("%+v, want 20 records and 10 outside", a)
	}
}

// Records that Duo shows hours late are delivered by the audit of the day, once, and none
// of the others again.
func TestDailyAudit(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	names := []string{"auth", "telephony", "activity", "adminaction"}
	w.text.endpoints = map[string][]string{"siem": names}
	w.text.settings = map[string]any{"audit": "daily"}
	hour := time.Now().Truncate(time.Hour)
	for _, name := range names {
		w.add(parent, name, duosim.Generator{Seed: 1, Jitter: true}.Generate(name, 300, hour.Add(-40*time.Hour), 7*time.Minute)...)
	}
	w.clean(w.sync())
	w.clean(w.sync())
	if n := len(siem.Take()); n != 1200 {
		t.Fatalf("%d records, want 1200", n)
	}
	for _, name := range names {
		w.add(parent, name, duosim.Generator{Seed: 2, Jitter: true}.Generate(name, 40, hour.Add(-9*time.Hour), 3*time.Minute)...)
	}
	w.clean(w.sync())
	if n := len(siem.Take()); n != 0 {
		t.Fatalf("%d records before the day's audit, want none", n)
	}
	w.yesterday(names...)
	sum := w.sync()
	w.clean(sum)
	late := 0
	for _, r := range sum.Results {
		late += r.Late
		if r.Audited.IsZero() || r.Missing != 0 {
			t.Errorf("%s: %+v", r.Name(), r)
		}
	}
	if n := len(siem.Take()); n != 160 || late != 160 {
		t.Errorf("%d records came, %d late ones counted, want 160", n, late)
	}
	w.yesterday(names...)
	w.clean(w.sync())
	w.clean(w.sync())
	if n := len(siem.Take()); n != 0 {
		t.Errorf("%d records came again", n)
	}
	if !strings.Contains(w.log.String(), "records that Duo showed late were found by the daily audit and delivered") {
		t.Error("the log does not tell")
	}
}

// A run that is killed at any step of a checkpoint's or a ledger's write leaves a ledger
// that knows each record once.
func TestLedgerAgreesWithDuo(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t)
	names := []string{"auth", "adminaction"}
	w.text.endpoints = map[string][]string{"siem": names}
	hour := time.Now().Truncate(time.Hour)
	broken := errors.New("killed")
	for step := 1; step < 14; step++ {
		for _, name := range names {
			w.add(parent, name, duosim.Generator{Seed: uint64(step)}.Generate(name, 20, hour.Add(time.Duration(2*step-40)*time.Hour), 5*time.Minute)...)
		}
		var n atomic.Int64
		_, err := w.try(func(o *job.Options) {
			o.Parallel = 1
			o.SetStep(func(string) error {
				if n.Add(1) >= int64(step) {
					return broken
				}
				return nil
			})
		})
		if err != nil && !errors.Is(err, broken) {
			t.Fatal(err)
		}
		w.clean(w.sync())
		a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{Options: w.options(), Since: hour.Add(-48 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		w.clean(a.Read)
		if a.Missing+a.Unclear != 0 || a.AtDuo == 0 {
			t.Fatalf("step %d: %+v", step, a)
		}
	}
}

// A pass that is too long for one run goes on in the next ones.
func TestDailyAuditInPieces(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.text.settings = map[string]any{"audit": "daily"}
	hour := time.Now().Truncate(time.Hour)
	w.add(parent, "auth", duosim.Generator{Seed: 1}.Generate("auth", 12_000, hour.Add(-23*time.Hour), 6*time.Second)...)
	pieces := 0
	quick := func(o *job.Options) { o.SetPiece(0) }
	w.clean(w.sync(quick))
	id := state.ID{IKey: ikey, Endpoint: "auth"}
	for ; ; pieces++ {
		dir, err := state.Open(w.path("state"))
		if err != nil {
			t.Fatal(err)
		}
		cp, err := dir.Load(id)
		dir.Close()
		if err != nil {
			t.Fatal(err)
		}
		if cp.Ledger.Pass.At != 0 {
			break
		}
		if pieces > 100 {
			t.Fatalf("the pass does not end: %+v", cp.Ledger.Pass)
		}
		w.clean(w.sync(quick))
	}
	if pieces < 3 {
		t.Errorf("%d pieces", pieces)
	}
	if n := len(siem.Lines()); n != 12_000 {
		t.Errorf("%d records", n)
	}
}

// Of a server that is down nothing is noted, and the resend is told to have failed.
func TestResendFails(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.add(parent, "auth", duosim.Generator{}.Generate("auth", 5, time.Now().Add(-5*time.Hour), time.Second)...)
	siem.Close()
	a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{
		Options: w.options(), Since: time.Now().Add(-24 * time.Hour), Resend: "siem",
		Against: []job.AuditFile{{Name: "nothing", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.Missing != 5 || len(a.Resent.Failed()) != 1 || a.Resent.Results[0].Delivered != 0 {
		t.Errorf("%+v, %+v", a, a.Resent)
	}
}

// lookIn looks for what Duo has in lines.
func (w *world) lookIn(lines []string, change ...func(*job.AuditOptions)) *job.Audit {
	w.t.Helper()
	opts := job.AuditOptions{Options: w.options(), Since: time.Now().Add(-48 * time.Hour)}
	opts.Against = []job.AuditFile{{Name: "export", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Join(lines, "\n"))), nil
	}}}
	for _, f := range change {
		f(&opts)
	}
	a, err := job.Examine(context.Background(), w.config(), opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clean(a.Read)
	return a
}

// The children of an MSP are audited each by itself: a record of one is not found by an
// equal one of another.
func TestAuditChildren(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"JSON", "CEF"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			w, siem := newWorld(t)
			w.text.format = format
			w.child("DACHILD0000000000001", "One")
			w.child("DACHILD0000000000002", "Two")
			from := time.Now().Add(-6 * time.Hour)
			for _, account := range []string{"DACHILD0000000000001", "DACHILD0000000000002"} {
				w.add(account, "adminaction", duosim.Generator{Seed: 3}.Generate("adminaction", 20, from, time.Minute)...)
				w.add(account, "auth", duosim.Generator{Seed: uint64(account[19])}.Generate("auth", 20, from, time.Minute)...)
			}
			w.clean(w.sync())
			var lines []string
			for _, line := range siem.Take() {
				lines = append(lines, strings.TrimSuffix(string(line), "\n"))
			}
			if a := w.lookIn(lines); a.AtDuo != 80 || a.Missing != 0 {
				t.Errorf("all lines: %d of %d missing", a.Missing, a.AtDuo)
			}
			var of []string
			for _, line := range lines {
				if strings.Contains(line, "DACHILD0000000000001") {
					of = append(of, line)
				}
			}
			a := w.lookIn(of, func(o *job.AuditOptions) { o.Resend = "siem" })
			if a.Missing != 40 || len(a.Rows) < 4 || len(a.Resent.Failed()) > 0 {
				t.Errorf("one child's lines: %+v", a)
			}
			for _, r := range a.Rows {
				if (r.Missing > 0) != (r.Account == "DACHILD0000000000002") {
					t.Errorf("%+v", r)
				}
			}
			for _, line := range siem.Take() {
				of = append(of, strings.TrimSuffix(string(line), "\n"))
			}
			if a := w.lookIn(of); a.Missing != 0 || len(of) != 80 {
				t.Errorf("after the resend %d are missing, of %d lines", a.Missing, len(of))
			}
			if a := w.lookIn(nil, func(o *job.AuditOptions) { o.Account = "DACHILD0000000000001" }); a.Missing != 40 {
				t.Errorf("one account: %d missing", a.Missing)
			}
		})
	}
}
