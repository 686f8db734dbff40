package job_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"dls/job"
)

var writeFaults = flag.String("faults", "", "write the catalogue of faults as Markdown to this `file`")

// A fault is one row of the catalogue: something breaks, and what becomes of the
// records. The victim is the stream activity, with three pages of records;
// telephony and auth go to a receiver of their own and must not feel a thing,
// unless the fault is one of the whole machine.
//
// The case is played so: the fault is made, the job is run; where the run cannot
// get over it, what is broken is mended and the job is run again; a last run must
// find nothing to do.
type fault struct {
	name string
	what string // what the run does about it, for docs/guarantees.md

	// breaks makes the fault. mend, where it is set, takes it away after a run
	// that could not get over it.
	breaks func(*scene)
	mend   func(*scene)
	// err and hint are parts of what the run then says of the victim; err is ""
	// when the run gets over the fault by itself. warns is part of a warning.
	err, hint, warns string
	// repeats bounds what is sent twice.
	repeats repeats

	real bool // on the real clock: the fault is in the time that a socket takes
	udp  bool // the victim's receiver takes datagrams
	// server are keys of the victim's server, its protocol among them. memory is that it
	// is reached in memory: its sessions wait by a bubble's clock, which stands still for
	// sockets.
	server map[string]any
	memory bool
	tls    bool // the victim's receiver speaks TLS
	all    bool // the bystanders meet the fault, too
	// whole is how all of a run fails, where no stream gets as far as a result.
	whole string

	// tells leaves the case out where the tests are built so that the system does
	// not tell what of a connection is acknowledged: there nothing would count.
	tells bool

	test string // the test whose row this is, where it is none of TestFaults
	// missing stands for 0 where no sender can know better.
	missing string
}

// repeats is how many records a fault may send twice.
type repeats int

const (
	noRecord    repeats = iota
	unconfirmed         // at most, for each try that failed
)

func (r repeats) String() string { return [...]string{"0", "what was not yet confirmed"}[r] }

// catalogue is all faults. The groups are in files of their own.
var catalogue = []struct {
	group  string
	faults []fault
}{{"Receiver", receiverFaults}, {"RELP", relpFaults}, {"HEC", hecFaults}, {"Duo", duoFaults}, {"Machine", machineFaults}}

// TestFaults breaks what a run depends on, one thing a case, and counts what
// was received in the end: nothing is missing, what is repeated was in a session
// that failed or was not yet noted, whatever was not delivered by the first run was
// an error of it, and the other streams went on.
func TestFaults(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range catalogue {
		for _, f := range c.faults {
			if seen[f.name] {
				t.Errorf("two cases are called %q", f.name)
			}
			seen[f.name] = true
			if f.test != "" {
				continue
			}
			t.Run(f.name, func(t *testing.T) {
				if f.tells && portable {
					t.Skip("the system does not tell what is acknowledged: nothing counts")
				}
				t.Parallel()
				play(t, &f)
			})
		}
	}
}

// play plays a case.
func play(t *testing.T, f *fault) {
	s := newScene(t, f)
	failures := 0 // tries that failed, each of which may have sent what it carried
	if f.breaks != nil {
		f.breaks(s)
	}
	s.run(func() {
		sum, err := s.try()
		switch {
		case f.whole != "":
			s.fails("the run", err, job.Hint(err))
		case err != nil:
			s.t.Fatal(err)
		default:
			failures += s.judge(sum)
		}
	})
	if !strings.Contains(s.log.String(), f.warns) {
		t.Errorf("no warning says %q:\n%s", f.warns, s.log.String())
	}
	if f.mend != nil {
		f.mend(s)
		s.run(func() {
			sum := s.sync()
			s.clean(sum)
			for _, r := range sum.Results {
				failures += r.Retries
			}
		})
	}
	before := len(s.received())
	s.run(func() { s.clean(s.sync()) })
	if n := len(s.received()) - before; n > 0 {
		t.Errorf("the last run sent %d records, want none", n)
	}
	s.count(failures)
}

// judge compares the summary of the run that met the fault with what the case
// says and with what was received, and returns how many tries failed.
func (s *scene) judge(sum *job.Summary) (failures int) {
	s.t.Helper()
	got := s.received()
	for _, r := range sum.Results {
		failures += r.Retries
		if r.Err != nil {
			failures++
		}
		missing, _, _ := tally(s.want[r.Endpoint], got)
		if missing > 0 && r.Err == nil && s.fault.missing == "" {
			s.t.Errorf("%s: %d records are missing, and the run does not say so", r.Endpoint, missing)
		}
		if r.Endpoint != victim && !s.fault.all {
			if r.Err != nil || missing > 0 {
				s.t.Errorf("%s had to suffer: %d records are missing, error %v", r.Endpoint, missing, r.Err)
			}
			continue
		}
		if s.fault.err == "" {
			if r.Err != nil {
				s.t.Errorf("%s: %v", r.Endpoint, r.Err)
			}
			continue
		}
		if r.Endpoint == victim || r.Err != nil {
			s.fails(r.Endpoint, r.Err, r.Hint())
		}
	}
	return failures
}

// fails checks an error and its hint.
func (s *scene) fails(what string, err error, hint string) {
	s.t.Helper()
	want := s.fault.err + s.fault.whole
	if err == nil || !strings.Contains(err.Error(), want) {
		s.t.Errorf("%s: error %v, want one that says %q", what, err, want)
	}
	if !strings.Contains(hint, s.fault.hint) || s.fault.hint == "" {
		s.t.Errorf("%s: hint %q, want one that says %q (error %v)", what, hint, s.fault.hint, err)
	}
}

// count compares what was received in all with what Duo has.
func (s *scene) count(failures int) {
	s.t.Helper()
	var want []string
	for _, lines := range s.want {
		want = append(want, lines...)
	}
	missing, repeated, unknown := tally(want, s.received())
	s.t.Logf("of %d records %d are missing, %d repeated; %d tries failed", len(want), missing, repeated, failures)
	if missing > 0 && s.fault.missing == "" {
		s.t.Errorf("%d records are missing", missing)
	}
	if unknown > 0 {
		s.t.Errorf("%d lines are none that Duo has", unknown)
	}
	most := 0
	if s.fault.repeats != noRecord {
		most = failures * len(want)
	}
	if repeated > most {
		s.t.Errorf("%d records came twice, want at most %d", repeated, most)
	}
}

// TestFaultTable holds the table of faults of docs/guarantees.md against the
// catalogue.
func TestFaultTable(t *testing.T) {
	text := faultTable()
	if *writeFaults != "" {
		if err := os.WriteFile(*writeFaults, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc, err := os.ReadFile("../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), text) {
		t.Error("docs/guarantees.md has another table of faults: write it with go test ./job -run TestFaultTable -faults FILE")
	}
}

// faultTable is the catalogue in Markdown.
func faultTable() string {
	var b strings.Builder
	for _, c := range catalogue {
		fmt.Fprintf(&b, "| %s | What the run does | Missing | Repeated | Test |\n|---|---|---|---|---|\n", c.group)
		for _, f := range c.faults {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n", f.name, f.what, cmp.Or(f.missing, "0"), f.repeats, cmp.Or(f.test, "TestFaults/"+strings.ReplaceAll(f.name, " ", "_")))
		}
		b.WriteString("\n")
	}
	return b.String()
}
