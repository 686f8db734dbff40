package state

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dls/state/filetest"
	"dls/state/safefile"
	"dls/state/statetest"
)

// TestMain makes this test binary, where the environment asks for it, a process
// that commits two checkpoints and is killed before a step of that.
func TestMain(m *testing.M) {
	dir, step := os.Getenv("DLS_TEST_STATE"), os.Getenv("DLS_TEST_STEP")
	if dir == "" {
		os.Exit(m.Run())
	}
	n, err := strconv.Atoi(step)
	var d *Dir
	if err == nil {
		d, err = Open(dir)
	}
	if err == nil {
		_, err = d.Lock(LockName)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	statetest.Break(dir, func(string) error {
		if n--; n == 0 {
			return statetest.Kill()
		}
		return nil
	})
	one, err := d.Stage(auth, checkpoint(4))
	if err == nil {
		var two Staged
		if two, err = d.Stage(child, checkpoint(4)); err == nil {
			err = errors.Join(d.Commit([]Staged{one, two})...)
		}
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	os.Exit(3)
}

// A process that is killed before any step of a commit leaves each checkpoint the
// old one or the new one, whole, and no lock; what else it leaves is swept up.
func TestKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const steps = 2*4 + 2 + 1
	for step := 1; step <= steps+1; step++ {
		d := open(t)
		for _, id := range []ID{auth, child} {
			if err := d.Save(id, checkpoint(1)); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "DLS_TEST_STATE="+d.path, "DLS_TEST_STEP="+strconv.Itoa(step))
		out, err := cmd.CombinedOutput()
		if told := strings.Contains(string(out), "not killed: <nil>"); told != (step > steps) || err == nil {
			t.Fatalf("step %d: %v: %s", step, err, out)
		}
		unlock, err := d.Lock(LockName)
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		fresh := 0
		for _, id := range []ID{auth, child} {
			cp, err := d.Load(id)
			if err != nil || !cmp.Equal(shown(cp), shown(checkpoint(1))) && !cmp.Equal(shown(cp), shown(checkpoint(4))) {
				t.Errorf("step %d: %s: %v, %v", step, id.File(), cp, err)
			}
			if cmp.Equal(shown(cp), shown(checkpoint(4))) {
				fresh++
			}
		}
		if want := max(0, min(step-steps+2, 2)); fresh != want {
			t.Errorf("step %d: %d checkpoints are new, want %d", step, fresh, want)
		}
		if err := d.Sweep(); err != nil {
			t.Error(err)
		}
		for _, name := range filetest.Names(t, d.path) {
			if strings.HasPrefix(name, safefile.TempPrefix) {
				t.Errorf("step %d: %s is left", step, name)
			}
		}
		unlock()
	}
}
