package job_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dls/job"
	"dls/job/duosim"
	"dls/sinks/sinktest"
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

// telling is a record of telephony whose text tells another time than its place at Duo.
func telling(id string, at, told time.Time) duosim.Record {
	raw := fmt.Sprintf(`{"context":"authentication","phone":"+15550100","telephony_id":%q,"ts":%q,"txid":""}`, id, told.UTC().Format("2006-01-02T15:04:05.000000+00:00"))
	return duosim.Record{At: at, ID: id, Raw: []byte(raw)}
}

// A record whose text tells a time that has not come when it is delivered is found in the
// ledger before that, where it can be, and after; what tells such a time and never came is
// not; and no hour is called different for it. With the daily audit or without.
func TestAuditOfTimesAhead(t *testing.T) {
	for _, daily := range []string{"never", "daily"} {
		t.Run(daily, func(t *testing.T) {
			s := newScene(t, &fault{memory: true, server: overRELP})
			s.text.servers, s.text.endpoints = s.text.servers[:1], map[string][]string{"victim": {"telephony"}}
			s.text.settings = map[string]any{"audit": daily}
			s.text.api = map[string]any{"offset": 1}
			now := s.now.Truncate(time.Hour).Add(90 * time.Minute) // when the run begins
			s.now = now
			s.records = map[string][]duosim.Record{"telephony": {
				telling("first-00", now.Add(-150*time.Minute), now.Add(-150*time.Minute)),
				telling("ahead-05", now.Add(-40*time.Minute), now.Add(5*time.Hour)),
				telling("ahead-01", now.Add(-38*time.Minute), now.Add(20*time.Minute)),
				telling("behind-3", now.Add(-20*time.Minute), now.Add(-3*time.Hour)),
				telling("ordinary", now.Add(-10*time.Minute), now.Add(-10*time.Minute)),
				// Duo shows these later than the run looks.
				{At: now.Add(-35 * time.Minute), ID: "late-one", VisibleAt: now.Add(8 * time.Hour), Raw: telling("late-one", now, now.Add(4*time.Hour)).Raw},
				telling("tomorrow", now.Add(10*time.Hour), now.Add(10*time.Hour)),
			}}
			s.listening = true
			since := now.Add(-5 * time.Hour)
			examine := func() *job.Audit {
				t.Helper()
				o := s.world.options()
				o.SetTransport(s.transport)
				a, err := job.Examine(context.Background(), s.config(), job.AuditOptions{Options: o, Since: since, Until: time.Now()})
				if err != nil {
					t.Fatal(err)
				}
				s.clean(a.Read)
				return a
			}
			s.run(func() {
				if sum := s.sync(); sum.Results[0].Delivered != 5 {
					t.Fatalf("%+v", sum.Results[0])
				}
				a := examine()
				if a.Missing+a.Unclear+a.Unproved != 0 || a.Found != 3 || a.Pending != 2 {
					t.Errorf("at once: %+v", a)
				}
				time.Sleep(7 * time.Hour)
				a = examine()
				if a.Missing+a.Unclear+a.Unproved != 0 || a.AtDuo != 5 || a.Found != 5 || a.Pending != 0 {
					t.Errorf("when the times have come: %+v", a)
				}
				since = now
				a = examine()
				if a.Missing+a.Unclear+a.Unproved != 0 || a.AtDuo != 3 || a.Found != 3 || a.Outside != 1 {
					t.Errorf("from the hour on that a text tells, and not its place: %+v", a)
				}
				since = now.Add(-5 * time.Hour)
				time.Sleep(2 * time.Hour)
				a = examine()
				if a.Missing != 1 || a.Unclear+a.Unproved != 0 || a.AtDuo != 6 {
					t.Errorf("with a late one: %+v", a)
				}
			})
		})
	}
}

// An hour from which Duo has taken a record away, and in which it shows two more than were
// delivered, differs: that one record more stands there does not tell which it is, nor that
// nothing is missing.
func TestAuditOfRecordsTakenAway(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	hour := time.Now().Truncate(time.Hour).Add(-9 * time.Hour)
	w.add(parent, "auth", duosim.Generator{Seed: 1}.Generate("auth", 4, hour, time.Minute)...)
	w.clean(w.sync())
	dir, err := state.Open(w.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	id := state.ID{IKey: ikey, Endpoint: "auth"}
	cp, err := dir.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	cp.Ledger.Add(state.Tally{{Hour: state.HourOf(hour.UnixMilli()), Sum: state.One(state.NewKey([]byte("taken away")), 1)}})
	if err := dir.Save(id, cp); err != nil {
		t.Fatal(err)
	}
	dir.Close()
	w.add(parent, "auth", duosim.Generator{Seed: 2}.Generate("auth", 2, hour.Add(30*time.Minute), time.Minute)...)
	siem.Take()
	examine := func(resend string) *job.Audit {
		a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{Options: w.options(), Since: hour.Add(-time.Hour), Resend: resend})
		if err != nil {
			t.Fatal(err)
		}
		w.clean(a.Read)
		return a
	}
	if a := examine("siem"); a.Missing != 1 || a.Unclear != 1 || a.Resent == nil {
		t.Errorf("%+v, want one missing at least, and an hour that differs", a)
	}
	if n := len(siem.Take()); n != 6 {
		t.Errorf("%d records sent, want the hour's 6", n)
	}
	if a := examine(""); a.Missing+a.Unclear != 0 {
		t.Errorf("after the resend: %+v", a)
	}
}

// A ledger stands for all servers of a stream: what one of them alone gets again is not
// noted.
func TestResendToOneOfTwo(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	other := sinktest.Listen(t, sinktest.Options{})
	w.text.servers = []server{{id: "siem", protocol: "TCP", port: siem.Port()}, {id: "other", protocol: "TCP", port: other.Port()}}
	w.text.endpoints = map[string][]string{"siem": {"auth"}, "other": {"auth"}}
	hour := time.Now().Truncate(time.Hour).Add(-9 * time.Hour)
	w.add(parent, "auth", duosim.Generator{Seed: 1}.Generate("auth", 4, hour, time.Minute)...)
	w.clean(w.sync())
	w.add(parent, "auth", duosim.Generator{Seed: 2}.Generate("auth", 1, hour.Add(30*time.Minute), time.Minute)...)
	siem.Take()
	for range 2 {
		a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{Options: w.options(), Since: hour.Add(-time.Hour), Resend: "siem"})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(siem.Take()); a.Missing != 1 || n != 1 || len(a.Resent.Failed()) != 0 {
			t.Errorf("%+v, %d sent", a, n)
		}
	}
	if !strings.Contains(w.log.String(), `it goes to \"other\", too`) {
		t.Errorf("the log does not tell: %s", w.log.String())
	}
}

// What the files lack is missing where Duo's own order tells that it was delivered,
// whatever its text says.
func TestAuditFilesOfTimesAhead(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"telephony"}}
	now := time.Now()
	w.add(parent, "telephony",
		telling("far-ahead", now.Add(-5*time.Hour), now.Add(1000*time.Hour)),
		telling("ordinary", now.Add(-4*time.Hour), now.Add(-4*time.Hour)),
		telling("last-one", now.Add(-3*time.Hour), now.Add(1000*time.Hour)),
	)
	w.clean(w.sync())
	var lines []string
	for _, line := range siem.Take() {
		lines = append(lines, strings.TrimSuffix(string(line), "\n"))
	}
	if a := w.lookIn(lines); a.AtDuo != 3 || a.Found != 3 || a.Pending != 0 {
		t.Errorf("all lines: %+v", a)
	}
	if a := w.lookIn(nil); a.Missing != 3 || a.Unproved != 0 || a.Pending != 0 {
		t.Errorf("no line: %+v", a)
	}
}

// However many records are missing, they are sent once each, a list of them after the other,
// and by one that fails the stream is told to have failed.
func TestResendInLists(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth", "activity"}}
	from := time.Now().Add(-20 * time.Hour)
	w.add(parent, "auth", duosim.Generator{Seed: 1}.Generate("auth", 50, from, time.Minute)...)
	w.add(parent, "activity", duosim.Generator{Seed: 1}.Generate("activity", 21, from, time.Minute)...)
	resend := func(o *job.AuditOptions) { o.Resend = "siem"; o.SetList(7) }
	a := w.lookIn(nil, resend)
	lines := map[string]bool{}
	for _, line := range siem.Take() {
		if lines[string(line)] {
			t.Errorf("twice: %s", line)
		}
		lines[string(line)] = true
	}
	if a.Missing != 71 || len(lines) != 71 || len(a.Resent.Results) != 2 || a.Resent.Results[0].Delivered+a.Resent.Results[1].Delivered != 71 {
		t.Errorf("%d lines; %+v, %+v", len(lines), a, a.Resent)
	}
	siem.Close()
	a = w.lookIn(nil, resend)
	if len(a.Resent.Failed()) != 2 {
		t.Errorf("a server that is down: %+v", a.Resent)
	}
}

// A ledger that is damaged fails its own stream, and no other one.
func TestAuditOfDamagedLedger(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth", "activity"}}
	from := time.Now().Add(-20 * time.Hour)
	for _, name := range []string{"auth", "activity"} {
		w.add(parent, name, duosim.Generator{Seed: 1}.Generate(name, 30, from, 30*time.Minute)...)
	}
	w.clean(w.sync())
	w.text.settings = map[string]any{"audit": "daily"}
	file := w.path("state", state.ID{IKey: ikey, Endpoint: "auth"}.LedgerFile())
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-20] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{Options: w.options(), Since: from.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if failed := a.Read.Failed(); len(failed) != 1 || failed[0].Endpoint != "auth" || !errors.Is(failed[0].Err, state.ErrLedger) || a.Found != 30 {
		t.Errorf("%+v, %+v", a, failed)
	}
	sum := w.sync()
	w.clean(sum)
	for _, r := range sum.Results {
		if r.Audited.IsZero() != (r.Endpoint == "auth") {
			t.Errorf("%s was audited: %v", r.Name(), r.Audited)
		}
	}
	if !strings.Contains(w.log.String(), "the daily audit: read ledger") {
		t.Errorf("the log does not tell: %s", w.log.String())
	}
}

// A checkpoint that is damaged fails its own stream, and no other one.
func TestAuditOfDamagedCheckpoint(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth", "activity"}}
	from := time.Now().Add(-20 * time.Hour)
	for _, name := range []string{"auth", "activity"} {
		w.add(parent, name, duosim.Generator{Seed: 1}.Generate(name, 30, from, 30*time.Minute)...)
	}
	w.clean(w.sync())
	lines := siem.Take()
	if err := os.WriteFile(w.path("state", state.ID{IKey: ikey, Endpoint: "auth"}.File()), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := job.AuditFile{Name: "export", Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(bytes.Join(lines, nil))), nil }}
	for _, against := range [][]job.AuditFile{nil, {file}} {
		a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{Options: w.options(), Since: from.Add(-time.Hour), Against: against})
		if err != nil {
			t.Fatal(err)
		}
		if failed := a.Read.Failed(); len(failed) != 1 || failed[0].Endpoint != "auth" || a.Found != 30 || a.Missing != 0 {
			t.Errorf("against %d files: %+v, %+v", len(against), a, failed)
		}
	}
}

// A stream whose checkpoint is gone is not one of which nothing was delivered yet.
func TestAuditOfCheckpointGone(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	from := time.Now().Add(-20 * time.Hour)
	w.add(parent, "auth", duosim.Generator{Seed: 1}.Generate("auth", 30, from, 30*time.Minute)...)
	audit := func() *job.Result {
		t.Helper()
		a, err := job.Examine(context.Background(), w.config(), job.AuditOptions{Options: w.options(), Since: from.Add(-time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		failed := a.Read.Failed()
		if len(failed) != 1 {
			t.Fatalf("failed: %+v", failed)
		}
		return failed[0]
	}
	if err := audit().Err; !strings.Contains(err.Error(), "no run has delivered anything yet") {
		t.Errorf("before the first run: %v", err)
	}
	w.clean(w.sync())
	if err := os.Remove(w.path("state", state.ID{IKey: ikey, Endpoint: "auth"}.File())); err != nil {
		t.Fatal(err)
	}
	failed := audit()
	if _, ok := errors.AsType[*job.MissingError](failed.Err); !ok || !strings.Contains(failed.Hint(), "--begin --endpoint auth") {
		t.Errorf("%v; %s", failed.Err, failed.Hint())
	}
}
