package job_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duosim"
	"dls/sinks/sinktest"
	"dls/state"
	"dls/state/statetest"
)

var kills = flag.Int("kills", 6, "how often the kill tests kill a run")

// The environment that makes this test binary a run of the job: the path of the
// configuration, and the number of the step in a checkpoint's write before which
// the run kills itself.
const (
	childConfig = "DLS_TEST_KILL_CONFIG"
	childStep   = "DLS_TEST_KILL_STEP"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childConfig); path != "" {
		os.Exit(killedChild(path))
	}
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// killedChild runs the job, and kills the process before a step.
func killedChild(path string) int {
	step, err := strconv.ParseInt(os.Getenv(childStep), 10, 64)
	cfg, cerr := config.Load(path, config.Env{})
	if err = errors.Join(err, cerr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var n atomic.Int64
	opts := job.Options{Version: "test"}
	opts.SetStep(func(string) error {
		if n.Add(1) == step {
			return statetest.Kill()
		}
		return nil
	})
	sum, err := job.Sync(context.Background(), cfg, opts)
	if err != nil || len(sum.Failed()) > 0 {
		fmt.Fprintln(os.Stderr, err, sum.Failed())
		return 1
	}
	return 0
}

// built is the program itself, built once.
var built struct {
	sync.Once
	dir, path string
	err       error
}

// program returns the path of the real program.
func program(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "dls-kill-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "dls")
		if runtime.GOOS == "windows" {
			built.path += ".exe"
		}
		out, err := exec.Command("go", "build", "-o", built.path, "dls").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatalf("build the program: %v", built.err)
	}
	return built.path
}

// killNames are the streams that are read while a run is killed.
var killNames = []string{"telephony", "activity", "adminaction"}

func newKillWorld(t *testing.T) (*world, *sinktest.Receiver) {
	t.Helper()
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": killNames}
	w.config()
	return w, siem
}

// grow adds n new records to each stream.
func (w *world) grow(round, n int) {
	from := time.Now().Add(-100 * 24 * time.Hour).Add(time.Duration(round) * time.Hour)
	for _, name := range killNames {
		w.add(parent, name, duosim.Generator{Seed: uint64(round)}.Generate(name, n, from, time.Second)...)
	}
}

// whole fails the test unless every checkpoint that is there can be read.
func (w *world) whole() {
	w.t.Helper()
	dir, err := state.Open(w.path("state"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer dir.Close()
	for _, name := range killNames {
		if _, err := dir.Load(state.ID{IKey: ikey, Endpoint: name}); err != nil {
			w.t.Error(err)
		}
	}
}

// settle runs the job to the end and counts.
func (w *world) settle(siem *sinktest.Receiver, killed, most int) {
	w.t.Helper()
	w.clean(w.sync())
	before := len(siem.Lines())
	w.clean(w.sync())
	if n := len(siem.Lines()) - before; n > 0 {
		w.t.Errorf("the last run sent %d records, want none", n)
	}
	want := w.lines(parent, killNames...)
	missing, repeated, unknown := tally(want, siem.Take())
	w.t.Logf("%d kills; of %d records %d are missing, %d repeated", killed, len(want), missing, repeated)
	if missing+unknown > 0 || repeated > most {
		w.t.Errorf("%d missing, %d unknown, %d repeated, want 0, 0 and at most %d", missing, unknown, repeated, most)
	}
	left, err := filepath.Glob(w.path("state", ".dls-tmp-*"))
	if err != nil || len(left) > 0 {
		w.t.Errorf("files left behind: %q, %v", left, err)
	}
}

// A run is killed before each step of the writes of its checkpoints: those that
// note where a stream begins, and those that note a page.
func TestKillAtStep(t *testing.T) {
	t.Parallel()
	const page = 40
	w, siem := newKillWorld(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	steps := 6 * len(killNames)
	kill := func(step int) {
		t.Helper()
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childConfig+"="+w.path("config.yml"), childStep+"="+strconv.Itoa(step))
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() >= 0 && runtime.GOOS != "windows" {
			t.Fatalf("%v, want the run killed at step %d: %s", err, step, out)
		}
		w.whole()
	}
	killed := 0
	for step := range steps {
		kill(step + 1)
		killed++
		for _, name := range killNames {
			os.Remove(w.path("state", state.ID{Endpoint: name}.File())) // it may not be there yet
		}
	}
	w.clean(w.sync())
	for round := range max(*kills, steps) {
		w.grow(round, page)
		kill(round%steps + 1)
		killed++
		w.clean(w.sync())
	}
	w.settle(siem, killed, killed*len(killNames)*page)
}

// The real program is killed at any moment of a run.
func TestKillAtRandom(t *testing.T) {
	t.Parallel()
	w, siem := newKillWorld(t)
	dls := program(t)
	w.grow(0, pageSize+50)
	began := time.Now()
	if out, err := exec.Command(dls, "sync", w.path("config.yml")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	took := time.Since(began)
	killed, round := 0, 1
	for ; killed < *kills && round < 10**kills; round++ {
		if round%2 == 1 {
			w.grow(round, pageSize/2)
		}
		cmd := exec.Command(dls, "sync", w.path("config.yml"))
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(rand.N(took), func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && (exit.ExitCode() < 0 || runtime.GOOS == "windows") {
			killed++
		} else if err != nil {
			t.Fatal(err)
		} else {
			took = min(took, time.Since(began))
		}
		w.whole()
	}
	if killed < *kills {
		t.Errorf("%d kills in %d runs, want %d", killed, round, *kills)
	}
	w.settle(siem, killed, killed*len(killNames)*pageSize)
}

// A run that is told to stop, while Duo hangs, notes what is confirmed and says
// with its exit code what ended it.
func TestKillTerminate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such signals")
	}
	for _, tt := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGTERM, 143}, {syscall.SIGINT, 130}} {
		t.Run(tt.signal.String(), func(t *testing.T) {
			t.Parallel()
			w, siem := newKillWorld(t)
			w.grow(0, pageSize+50)
			w.sim.Inject(duosim.Match{Endpoint: victim, Skip: 1}, duosim.Hang().Forever())
			cmd := exec.Command(program(t), "sync", w.path("config.yml"))
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			siem.Wait(t, 2*(pageSize+50)+pageSize)
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
			defer timer.Stop()
			err := cmd.Wait()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != tt.code {
				t.Errorf("%v, want exit code %d", err, tt.code)
			}
			// Others may wait for their sessions to be confirmed.
			if text := stderr.String(); !strings.Contains(text, "activity") || !strings.Contains(text, ": interrupted by SIG") {
				t.Errorf("stderr says:\n%s", text)
			}
			w.sim.Heal()
			w.settle(siem, 1, len(killNames)*pageSize)
		})
	}
}

// A log file that cannot be written is a warning, not the end of the run.
func TestKillNoLog(t *testing.T) {
	t.Parallel()
	w, siem := newKillWorld(t)
	w.grow(0, 20)
	if err := os.Mkdir(w.path("dls.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(program(t), "sync", w.path("config.yml"))
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	if s := stderr.String(); !strings.Contains(s, "the run goes on without it") || !strings.Contains(s, "dls: hint: ") {
		t.Errorf("stderr:\n%s", s)
	}
	exactly(t, w.lines(parent, killNames...), siem.Lines())
	w.settle(siem, 0, 0)
}
