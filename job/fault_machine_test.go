package job_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dls/job"
	"dls/job/duosim"
	"dls/state"
)

// machineFaults are what goes wrong here.
var machineFaults = []fault{
	{
		name: "disk is full from the start", what: "fetches nothing, since it could note nothing, and says so", all: true,
		breaks: fails(0, syscall.ENOSPC), mend: works, err: syscall.ENOSPC.Error(), hint: "make room on the disk",
	},
	{
		name: "disk becomes full in mid-run", what: "stops each stream after the page that it could not note, and says so", all: true,
		breaks: fails(30, syscall.ENOSPC), mend: works, err: syscall.ENOSPC.Error(), hint: "make room on the disk", repeats: unconfirmed,
	},
	{
		name: "checkpoint directory becomes read-only", what: "stops each stream after the page that it could not note, and says so", all: true,
		breaks: fails(30, syscall.EROFS), mend: works, err: syscall.EROFS.Error(), hint: "checkpointing.directory writable", repeats: unconfirmed,
	},
	{name: "one step of a checkpoint's write fails", what: "keeps the old checkpoint or the new one, whole; the other streams go on", test: "TestFaultStep", repeats: unconfirmed},
	{
		name: "checkpoint is a symbolic link", what: "does not follow it, and says so",
		breaks: spoils(func(s *scene, path string) error {
			if err := os.Rename(path, path+".real"); err != nil {
				return err
			}
			return os.Symlink(path+".real", path)
		}), mend: restores, err: "it is a symbolic link", hint: "put back a good copy",
	},
	{
		name: "checkpoint belongs to another user", what: "does not read it, and says so",
		test: "TestFaultForeignCheckpoint",
	},
	{name: "a neighbour plants a checkpoint, a lock, a thousand files", what: "believes none of them, and says that somebody may have put them there", test: "TestNeighbourPlants"},
	{name: "others can write to the checkpoint directory", what: "warns, and delivers", test: "TestNeighbourSharesDirectory"},
	{name: "a file that is named is a FIFO", what: "refuses it by its name at once", test: "TestNeighbourFIFO"},
	{name: "root runs by hand what a user of its own runs", what: "writes as that user, who goes on from there", test: "TestNeighbourRoot"},
	{
		name: "checkpoint is torn", what: "does not guess, and says so",
		breaks: spoils(func(_ *scene, path string) error { return os.Truncate(path, 100) }),
		mend:   restores, err: "it is damaged", hint: "put back a good copy",
	},
	{
		name: "checkpoint is empty", what: "does not take it for a first run, and says so",
		breaks: spoils(func(_ *scene, path string) error { return os.Truncate(path, 0) }),
		mend:   restores, err: "it is empty", hint: "put back a good copy",
	},
	{
		name: "checkpoint is of a newer version", what: "does not touch it, and says so",
		breaks: spoils(edits(`"version":2`, `"version":3`)),
		mend:   restores, err: "newer than this program knows", hint: "put back a good copy",
	},
	{
		name: "checkpoint is of another account", what: "does not use it, and says so",
		breaks: spoils(edits(ikey, "DIBBBBBBBBBBBBBBBBBB")),
		mend:   restores, err: "it belongs to another account", hint: "correct account.ikey",
	},
	{name: "two runs at once", what: "the second one ends with exit code 75 and fetches nothing", test: "TestFaultTwoRuns"},
	{name: "clock is set back by an hour", what: "fetches nothing until the clock is right, and says so", test: "TestFaultClockBack"},
	{name: "clock is set back by a few minutes", what: "has nothing to do until time has caught up", test: "TestFaultClockBack"},
	{name: "SIGKILL at each step of a checkpoint's write", what: "the next run goes on from the last checkpoint", test: "TestKillAtStep", repeats: unconfirmed},
	{name: "SIGKILL at any moment", what: "the next run goes on from the last checkpoint", test: "TestKillAtRandom", repeats: unconfirmed},
	{name: "SIGTERM, SIGINT", what: "ends within seconds with exit code 143 or 130; what was confirmed is noted", test: "TestKillTerminate", repeats: unconfirmed},
	{name: "log file cannot be written", what: "warns and goes on without it", test: "TestKillNoLog"},
}

// fails makes every step of a checkpoint's write fail after the first n.
func fails(n int64, err error) func(*scene) {
	return func(s *scene) {
		s.listen()
		var steps atomic.Int64
		s.options = func(o *job.Options) {
			o.SetStep(func(string) error {
				if steps.Add(1) > n {
					return err
				}
				return nil
			})
		}
	}
}

func works(s *scene) { s.options = nil }

// checkpoint is the path of the victim's checkpoint.
func (s *scene) checkpoint() string {
	return s.path("state", state.ID{Endpoint: victim}.File())
}

// spoils lets a run deliver the first page and a half, and does something to the
// victim's checkpoint then; restores puts back what was there.
func spoils(how func(s *scene, path string) error) func(*scene) {
	return func(s *scene) {
		s.listen()
		all := s.records
		s.records = map[string][]duosim.Record{}
		for name, records := range all {
			s.records[name] = records[:len(records)/2]
		}
		s.run(func() { s.clean(s.sync()) })
		s.records = all
		data, err := os.ReadFile(s.checkpoint())
		if err == nil {
			err = os.WriteFile(s.path("copy"), data, 0o600)
		}
		if err == nil {
			err = how(s, s.checkpoint())
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func restores(s *scene) {
	if err := os.Rename(s.path("copy"), s.checkpoint()); err != nil {
		s.t.Fatal(err)
	}
}

// edits replaces a text in the file.
func edits(old, new string) func(*scene, string) error {
	return func(_ *scene, path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Contains(data, []byte(old)) {
			return errors.New("the checkpoint does not hold " + old)
		}
		return os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600)
	}
}

// Each step of each of the first writes fails once: one stream fails at most,
// and nothing is lost.
func TestFaultStep(t *testing.T) {
	for _, step := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			for nth := range int64(5) {
				s := newScene(t, &fault{repeats: unconfirmed, all: true})
				s.listen()
				var seen atomic.Int64
				s.options = func(o *job.Options) {
					o.SetStep(func(name string) error {
						if name == step && seen.Add(1) == nth+1 {
							return syscall.EIO
						}
						return nil
					})
				}
				s.run(func() {
					// Checkpoints that are committed together share the sync of their directory.
					failed := s.sync().Failed()
					if len(failed) < 1 || len(failed) > 1 && step != "syncdir" {
						s.t.Errorf("write %d: failed %v, want one", nth, failed)
					}
					for _, r := range failed {
						if !errors.Is(r.Err, syscall.EIO) {
							s.t.Errorf("write %d: %v, want %v", nth, r.Err, syscall.EIO)
						}
					}
				})
				s.options = nil
				s.run(func() { s.clean(s.sync()) })
				s.run(func() { s.clean(s.sync()) })
				s.count(1)
				for _, r := range s.receivers {
					r.Close()
				}
			}
		})
	}
}

// Somebody else's checkpoint could be there to make records be skipped.
func TestFaultForeignCheckpoint(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	t.Parallel()
	play(t, &fault{
		breaks: spoils(func(_ *scene, path string) error { return os.Chown(path, 12345, 12345) }),
		mend:   restores, err: "it belongs to another user", hint: "somebody else may have put ",
	})
}

// The second of two runs finds the lock held; the first one goes on.
func TestFaultTwoRuns(t *testing.T) {
	t.Parallel()
	s := newScene(t, &fault{real: true})
	s.listen()
	reached, release := make(chan struct{}), make(chan struct{})
	s.options = func(o *job.Options) {
		var first atomic.Bool
		o.SetStep(func(string) error {
			if first.CompareAndSwap(false, true) {
				close(reached)
				<-release
			}
			return nil
		})
	}
	s.run(func() {
		done := make(chan error, 1)
		go func() {
			sum, err := s.try()
			if err == nil && len(sum.Failed()) > 0 {
				err = sum.Failed()[0].Err
			}
			done <- err
		}()
		<-reached
		calls := len(s.sim.Calls())
		s.options = nil
		_, err := s.try()
		if !errors.Is(err, state.ErrLocked) || !strings.Contains(job.Hint(err), "give each account a checkpointing.directory of its own") {
			t.Errorf("the second run: error %v, hint %q", err, job.Hint(err))
		}
		if n := len(s.sim.Calls()); n > calls+len(bystanders)+1 {
			t.Errorf("%d calls, the second run made some", n)
		}
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.run(func() { s.clean(s.sync()) })
	s.count(0)
}

// After the clock was set back, nothing is skipped and nothing comes twice.
func TestFaultClockBack(t *testing.T) {
	for name, back := range map[string]time.Duration{"an hour": time.Hour, "four minutes": 4 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, &fault{})
			s.listen()
			// Up to the very moment, so that the checkpoint is as new as can be.
			begin := s.now.Add(2 * time.Hour)
			records, want := map[string][]duosim.Record{}, map[string][]string{}
			shown := duosim.New(duosim.Account{ID: parent, Host: apiHost})
			shown.Now = func() time.Time { return begin.Add(24 * time.Hour) }
			s.sim = shown
			for name := range s.records {
				records[name] = duosim.Generate(name, 300, begin.Add(-100*time.Minute), 30*time.Second)
				s.add(parent, name, records[name]...)
				want[name] = s.lines(parent, name)
			}
			s.records, s.want = records, want

			s.now = begin
			s.run(func() { s.clean(s.sync()) })
			s.now = begin.Add(-back)
			s.clock = back // Duo's is right
			if back < 5*time.Minute {
				s.clock = back
			}
			s.run(func() {
				for _, r := range s.sync().Results {
					switch {
					case back < 5*time.Minute && r.Err != nil:
						s.t.Errorf("%s: %v", r.Name(), r.Err)
					case back > 5*time.Minute && (r.Err == nil || !strings.Contains(r.Err.Error(), "ahead of this machine's clock") || !strings.Contains(r.Hint(), "set this machine's clock")):
						s.t.Errorf("%s: error %v, hint %q", r.Name(), r.Err, r.Hint())
					}
				}
			})
			s.clock = 0
			s.now = begin.Add(3 * time.Hour)
			s.run(func() { s.clean(s.sync()) })
			s.count(0)
		})
	}
}

// A record that no datagram can hold is kept in a file; the others are sent.
func TestFaultOversize(t *testing.T) {
	t.Parallel()
	s := newScene(t, &fault{udp: true, real: true})
	s.few()
	big := s.long(0, 66_000)
	s.listen()
	s.run(func() {
		sum := s.sync()
		s.clean(sum)
		for _, r := range sum.Results {
			if want := map[bool]int{true: 1}[r.Endpoint == victim]; r.Oversize != want {
				s.t.Errorf("%s: %d records too long, want %d", r.Endpoint, r.Oversize, want)
			}
		}
	})
	s.target.Wait(t, 40)
	s.run(func() { s.clean(s.sync()) })
	s.count(0)
	kept, err := os.ReadFile(filepath.Join(s.path("state"), victim+"_udp_failed_ingestion_logs.txt"))
	if want := dumps(t, big.Raw) + "\n"; err != nil || string(kept) != want {
		t.Errorf("kept %d bytes, want %d; %v", len(kept), len(want), err)
	}
	if !strings.Contains(s.log.String(), "too long for a datagram") {
		t.Error("no warning")
	}
}
