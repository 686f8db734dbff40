//go:build unix

package job_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/state"
)

// What never answers is refused by its name, at once, wherever the configuration
// names it.
func TestNeighbourFIFO(t *testing.T) {
	w, _ := newWorld(t)
	good := w.config()
	fifo := w.path("fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Skip("no FIFOs here:", err)
	}
	text, err := os.ReadFile(w.path("config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "it is no regular file") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = config.Load(fifo, config.Env{})
	refuses("configuration", err)
	_, err = config.Parse("config.yml", []byte(strings.Replace(strings.Replace(string(text), `"skey"`, `"skey_filepath"`, 1), skey, fifo, 1)), config.Env{})
	refuses("skey_filepath", err)

	cfg := *good
	cfg.CAFile = fifo
	_, err = job.Sync(t.Context(), &cfg, job.Options{Version: "test"})
	refuses("ca_filepath", err)
	cfg = *good
	cfg.Servers = []config.Server{good.Servers[0]}
	cfg.Servers[0].Protocol, cfg.Servers[0].CertFile = config.TLS, fifo
	_, err = job.Sync(t.Context(), &cfg, job.Options{Version: "test"})
	refuses("cert_filepath", err)

	lock := w.path("state", state.LockName)
	if err := syscall.Mkfifo(lock, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = job.Sync(t.Context(), good, w.options())
	refuses("lock", err)
	if !strings.Contains(job.Hint(err), "remove it") {
		t.Errorf("hint %q", job.Hint(err))
	}
}

// Where others can write, every run says so, and delivers all the same.
func TestNeighbourSharesDirectory(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.fill(parent, 3, time.Now().Add(-time.Hour), 1)
	if err := os.Chmod(w.path("state"), 0o777); err != nil {
		t.Fatal(err)
	}
	w.clean(w.sync())
	if len(siem.Lines()) == 0 {
		t.Error("nothing was delivered")
	}
	if log := w.log.String(); !strings.Contains(log, "other users can write there (mode 0777)") || !strings.Contains(log, "mode 0700") {
		t.Errorf("no warning:\n%s", log)
	}
}

// What a neighbour puts there is not believed; the hint is safe to follow.
func TestNeighbourPlants(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	t.Parallel()
	for name, plant := range map[string]string{
		"checkpoint":               state.ID{Endpoint: "auth"}.File(),
		"checkpoint of duologsync": "auth_checkpoint_data.txt",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := newWorld(t)
			w.fill(parent, 3, time.Now().Add(-time.Hour), 1)
			path := w.path("state", plant)
			if err := errors.Join(os.WriteFile(path, []byte("{}"), 0o644), os.Chown(path, 61002, 61002)); err != nil {
				t.Fatal(err)
			}
			failed := w.sync().Failed()
			if len(failed) != 1 || failed[0].Endpoint != "auth" {
				t.Fatalf("failed: %v, want auth", failed)
			}
			hint := failed[0].Hint()
			if !errors.Is(failed[0].Err, state.ErrOwner) || !strings.Contains(hint, "somebody else may have put "+fmt.Sprintf("%q", path)+" there") || strings.Contains(hint, "give it") {
				t.Errorf("error %v, hint %q", failed[0].Err, hint)
			}
		})
	}
	t.Run("lock", func(t *testing.T) {
		w, _ := newWorld(t)
		path := w.path("state", state.LockName)
		if err := errors.Join(os.WriteFile(path, nil, 0o666), os.Chown(path, 61002, 61002)); err != nil {
			t.Fatal(err)
		}
		_, err := w.try()
		if _, setup := errors.AsType[*job.SetupError](err); !setup || errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), "it belongs to another user (uid 61002)") || !strings.Contains(job.Hint(err), "remove it") {
			t.Errorf("error %v, hint %q", err, job.Hint(err))
		}
	})
	t.Run("lock where others can write", func(t *testing.T) {
		w, siem := newWorld(t)
		w.fill(parent, 3, time.Now().Add(-time.Hour), 1)
		w.config()
		const alice = 61001
		dls, lock := program(t), w.path("state", state.LockName)
		mallory, err := os.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		defer mallory.Close()
		err = errors.Join(
			mallory.Chown(61002, 61002), syscall.Flock(int(mallory.Fd()), syscall.LOCK_EX),
			os.Chmod(w.path("state"), 0o777|os.ModeSticky),
			os.Chmod(filepath.Dir(w.dir), 0o755), os.Chmod(w.dir, 0o755), os.Chmod(filepath.Dir(dls), 0o755),
			os.Chown(w.path("config.yml"), alice, alice), os.Chown(w.path("ca.pem"), alice, alice))
		if err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"sync", w.path("config.yml")}, {"check", "--offline", w.path("config.yml")}} {
			cmd := exec.Command(dls, args...)
			cmd.Dir = "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: alice, Gid: alice}}
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Count(string(out), "other users can write there") != 1 {
				t.Errorf("%q: %v, want one warning:\n%s", args, err, out)
			}
			if args[0] == "check" && !strings.Contains(string(out), fmt.Sprintf("lock %q: it belongs to another user (uid 61002)", lock)) {
				t.Errorf("the check does not tell of the lock:\n%s", out)
			}
		}
		if len(siem.Lines()) == 0 {
			t.Error("nothing was delivered")
		}
		other, err := state.Open(w.path("state"))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		unlock, err := other.Lock(state.LockName)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		if _, err := w.try(); !errors.Is(err, state.ErrLocked) {
			t.Errorf("two runs of one user: %v, want %v", err, state.ErrLocked)
		}
	})
	t.Run("a thousand accounts", func(t *testing.T) {
		w, _ := newWorld(t)
		w.text.msp = true
		w.config()
		for i := range 1000 {
			path := w.path("state", state.ID{Endpoint: "auth", Account: fmt.Sprintf("DA%d", i)}.File())
			if err := errors.Join(os.WriteFile(path, []byte("{}"), 0o644), os.Chown(path, 61002, 61002)); err != nil {
				t.Fatal(err)
			}
		}
		for _, args := range [][]string{{"status"}, {"check", "--offline"}} {
			out, _ := exec.Command(program(t), append(args, w.path("config.yml"))...).CombinedOutput()
			if n := strings.Count(string(out), "\n"); n > 20 || !strings.Contains(string(out), "another user") {
				t.Errorf("%q: %d lines:\n%.1500s", args, n, out)
			}
		}
	})
	for _, kind := range []string{"dls_last_run-%d.json", "dls_turns-%d.json", "dls_history-%d.ndjson"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w, _ := newWorld(t)
			for i := range 1000 {
				path := w.path("state", fmt.Sprintf(kind, i))
				if err := errors.Join(os.WriteFile(path, []byte("{}"), 0o644), os.Chown(path, 61002, 61002)); err != nil {
					t.Fatal(err)
				}
			}
			w.clean(w.sync())
			if n := strings.Count(w.log.String(), "level=WARN"); n > 1 || len(w.log.String()) > 1000 {
				t.Errorf("%d warnings, want 1 at most:\n%.1000s", n, w.log.String())
			}
		})
	}
}

// Whose the configuration and what it names are, a check says: they can change it.
func TestNeighbourOwns(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	t.Parallel()
	const alice, mallory = 61001, 61002
	w, _ := newWorld(t)
	w.config()
	dls := program(t)
	err := errors.Join(
		os.Chmod(filepath.Dir(w.dir), 0o755), os.Chmod(w.dir, 0o755), os.Chmod(filepath.Dir(dls), 0o755),
		os.Chown(w.path("config.yml"), alice, alice), os.Chown(w.path("ca.pem"), mallory, mallory), os.Chmod(w.path("ca.pem"), 0o644),
		os.Chown(w.path("state"), alice, alice))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(dls, "check", "--offline", w.path("config.yml"))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: alice, Gid: alice}}
	out, err := cmd.CombinedOutput()
	want := fmt.Sprintf("warning  configuration: %q belongs to another user (uid %d), who can change it\n", w.path("ca.pem"), mallory)
	if err != nil || strings.Count(string(out), "belongs to another user") != 1 || !strings.Contains(string(out), want) {
		t.Errorf("%v, want %q in:\n%s", err, want, out)
	}
}

// After the runs of a user of its own, as a timer starts them, root can look and
// run by hand; and the user goes on from there.
func TestNeighbourRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	t.Parallel()
	const alice = 61001
	w, siem := newWorld(t)
	w.config()
	dls := program(t)
	err := errors.Join(
		os.Chmod(filepath.Dir(w.dir), 0o755), os.Chmod(w.dir, 0o755), os.Chmod(filepath.Dir(dls), 0o755),
		os.Chown(w.path("config.yml"), alice, alice), os.Chown(w.path("ca.pem"), alice, alice), os.Chown(w.path("state"), alice, alice))
	if err != nil {
		t.Fatal(err)
	}
	run := func(uid int, args ...string) {
		t.Helper()
		cmd := exec.Command(dls, args...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q as %d: %v:\n%s", args, uid, err, out)
		}
	}
	grow := func(n int) { w.fill(parent, 3, time.Now().Add(-time.Duration(100-n)*time.Hour), uint64(n)) }
	grow(1)
	run(alice, "sync", w.path("config.yml"))
	run(0, "status", w.path("config.yml"))
	run(0, "check", "--offline", w.path("config.yml"))
	grow(2)
	run(0, "sync", w.path("config.yml"))
	grow(3)
	run(alice, "sync", w.path("config.yml"))
	run(alice, "status", w.path("config.yml"))
	before := len(siem.Lines())
	run(0, "sync", w.path("config.yml"))
	if n := len(siem.Lines()) - before; n != 0 || before == 0 {
		t.Errorf("%d records, and %d came twice", before, n)
	}
	entries, err := os.ReadDir(w.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != alice {
			t.Errorf("%s is not the user's: %v", e.Name(), err)
		}
	}
}
