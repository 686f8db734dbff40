// The file is named for the one system that tells the memory of a process in kilobytes.

package job_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dls/job/duosim"
	"dls/sinks/sinktest"
)

var long = flag.Int("long", 0, "how many records the long test of an audit has; 0 leaves it out")

// audited is what the program said, and what it took.
type audited struct {
	AtDuo, Found, Missing int
	Resent                *int
	code                  int
	took                  time.Duration
	memory                int64 // the most that was resident, in bytes
}

// audit runs the real program.
func (w *world) audit(args ...string) audited {
	w.t.Helper()
	var got audited
	began := time.Now()
	out := w.program(&got, append([]string{"audit", w.path("config.yml"), "--json"}, args...)...)
	got.took = time.Since(began)
	var form struct {
		AtDuo   int  `json:"at_duo"`
		Found   int  `json:"found"`
		Missing int  `json:"missing"`
		Resent  *int `json:"resent"`
	}
	if err := json.Unmarshal(out, &form); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	got.AtDuo, got.Found, got.Missing, got.Resent = form.AtDuo, form.Found, form.Missing, form.Resent
	return got
}

// program runs the real program and notes what it took.
func (w *world) program(got *audited, args ...string) []byte {
	w.t.Helper()
	cmd := exec.Command(program(w.t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // the code is looked at
	if stderr.Len() > 0 {
		w.t.Logf("stderr: %s", stderr.Bytes())
	}
	got.code = cmd.ProcessState.ExitCode()
	got.memory = int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) << 10
	return out
}

// A month of records, in the file of a real rsyslog, from which some lines are cut and
// some are torn: exactly those are missing, and none once they were sent again. The
// memory is bounded, and the time is that of reading.
func TestAuditLong(t *testing.T) {
	if *long == 0 {
		t.Skip("-long is not set")
	}
	w, _ := newWorld(t)
	port := sinktest.FreePort(t)
	w.text.servers = []server{{id: "siem", protocol: "TCP", port: port}}
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	w.text.api = map[string]any{"offset": 31}
	w.sim.SetBacklog(parent, "auth", duosim.Backlog{N: *long, From: time.Now().Add(-30 * 24 * time.Hour), Step: 30 * 24 * time.Hour / time.Duration(*long+1)})
	siem := newRsyslog(t, port, nil, nil)
	siem.start()
	w.clean(w.sync())
	siem.stop()

	cut := filepath.Join(t.TempDir(), "cut.log")
	info, err := os.Stat(siem.logFile)
	if err != nil {
		t.Fatal(err)
	}
	const gone, twice, torn = 137, 20, 5
	lines, err := mangle(siem.logFile, cut, *long, gone, twice, torn)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d lines, %d MB", lines, info.Size()>>20)

	var pull audited
	began := time.Now()
	w.program(&pull, "pull", w.path("config.yml"), "--since", "31d", "-o", filepath.Join(t.TempDir(), "pulled"))
	pages := time.Since(began)
	t.Logf("a pull of the pages: %v, %d MiB", pages.Round(time.Millisecond), pull.memory>>20)

	got := w.audit("--since", "31d", "--against", cut)
	t.Logf("audit: %v, %d MiB", got.took.Round(time.Millisecond), got.memory>>20)
	if got.AtDuo != lines || got.Missing != gone+torn || got.code != 1 {
		t.Errorf("%+v", got)
	}
	if got.memory > 64<<20 {
		t.Errorf("%d MiB of memory", got.memory>>20)
	}

	if err := os.Rename(cut, siem.logFile); err != nil {
		t.Fatal(err)
	}
	siem.start()
	got = w.audit("--since", "31d", "--against", siem.logFile, "--resend", "siem")
	t.Logf("audit and resend: %v, %d MiB", got.took.Round(time.Millisecond), got.memory>>20)
	if got.Missing != gone+torn || got.Resent == nil || *got.Resent != gone+torn {
		t.Errorf("%+v", got)
	}
	if got.memory > 64<<20 {
		t.Errorf("%d MiB of memory", got.memory>>20)
	}
	siem.stop()
	got = w.audit("--since", "31d", "--against", siem.logFile)
	if got.Missing != 0 || got.code != 0 {
		t.Errorf("after the resend: %+v", got)
	}
}

// mangle copies a file of n lines and leaves some out, writes some twice and tears some.
func mangle(from, to string, n, gone, twice, torn int) (lines int, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	w := bufio.NewWriterSize(out, 1<<20)
	chosen := map[int]int{}
	random := rand.New(rand.NewPCG(1, 9))
	for len(chosen) < gone+twice+torn {
		if i := random.IntN(n); chosen[i] == 0 {
			chosen[i] = len(chosen) + 1
		}
	}
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<20)
	for ; scan.Scan(); lines++ {
		line := scan.Text()
		k := chosen[lines]
		switch {
		case k == 0:
		case k <= gone:
			continue
		case k <= gone+twice:
			line += "\n" + line
		default:
			line = line[:strings.Index(line, "txid")+random.IntN(60)]
		}
		w.WriteString(line + "\n")
	}
	if err := scan.Err(); err != nil {
		return lines, err
	}
	return lines, w.Flush()
}
