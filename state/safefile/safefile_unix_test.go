//go:build unix

package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// What never answers is no file, at once.
func TestNothingIsWaitedFor(t *testing.T) {
	d := open(t)
	if err := unix.Mkfifo(d.Path("fifo"), 0o600); err != nil {
		t.Skip("no FIFOs here:", err)
	}
	short, err := os.MkdirTemp("", "s") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	l, err := net.Listen("unix", filepath.Join(short, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Rename(filepath.Join(short, "socket"), d.Path("socket")); err != nil {
		t.Skip("no sockets here:", err)
	}
	if err := os.Mkdir(d.Path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "socket", "dir"} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREATE} {
			if _, err := d.OpenFile(name, flag); !errors.Is(err, ErrNotRegular) {
				t.Errorf("open %s: %v, want %v", name, err, ErrNotRegular)
			}
		}
		if _, err := d.Stage(name, nil, 0o600); !errors.Is(err, ErrNotRegular) {
			t.Errorf("stage %s: %v, want %v", name, err, ErrNotRegular)
		}
		if _, _, err := Read(d.Path(name), 10); !errors.Is(err, ErrNotRegular) {
			t.Errorf("read %s by its path: %v, want %v", name, err, ErrNotRegular)
		}
	}
}

// A neighbour who has a file be now a link, now a FIFO, now gone gets nothing: no
// file is made where the link leads, and nothing hangs.
func TestToggling(t *testing.T) {
	d := open(t)
	target := filepath.Join(t.TempDir(), "target")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Symlink(target, d.Path("x"))
			_ = os.Remove(d.Path("x"))
			_ = unix.Mkfifo(d.Path("x"), 0o600)
			_ = os.Remove(d.Path("x"))
		}
	}()
	for range 2000 {
		if f, err := d.OpenFile("x", os.O_RDWR|os.O_CREATE); err == nil {
			f.Close()
			_ = os.Remove(d.Path("x"))
		}
	}
	close(stop)
	<-stopped
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where the link leads: %v", err)
	}
}

func TestSharedFiles(t *testing.T) {
	d := open(t)
	write(t, d.Path("file"), "x")
	if err := os.Link(d.Path("file"), d.Path("second")); err != nil {
		t.Skip("no hard links here:", err)
	}
	if _, _, err := d.Read("file", 10); !errors.Is(err, ErrLinked) {
		t.Errorf("read with a second name: %v", err)
	}
	if _, err := OpenAppend(d.Path("file"), true); !errors.Is(err, ErrLinked) {
		t.Errorf("append with a second name: %v", err)
	}
	if err := os.Remove(d.Path("second")); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[fs.FileMode]error{0o600: nil, 0o664: nil, 0o602: ErrShared} {
		if err := os.Chmod(d.Path("file"), mode); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.Read("file", 10); !errors.Is(err, want) {
			t.Errorf("mode %v: %v, want %v", mode, err, want)
		}
	}
}

func TestAccess(t *testing.T) {
	d := open(t)
	for mode, want := range map[fs.FileMode]Access{
		0o700: {},
		0o755: {Readers: "mode 0755"},
		0o770: {Readers: "mode 0770", Writers: "mode 0770"},
		0o777: {Readers: "mode 0777", Writers: "mode 0777", Anybody: true},
	} {
		if err := os.Chmod(d.Path(""), mode.Perm()); err != nil {
			t.Fatal(err)
		}
		want.Known, want.Owner = true, fmt.Sprintf("uid %d", os.Geteuid())
		if got, err := d.Access(); got != want || err != nil {
			t.Errorf("%v: %+v, %v, want %+v", mode, got, err, want)
		}
	}
}

// The users of these tests: they need no entry in a table.
const alice, mallory = 61001, 61002

// as runs one of the cases below in a process of another user.
func as(t *testing.T, uid int, job, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The directory of the test's own program is root's alone.
	program := filepath.Join(dir, "..", "program")
	if _, err := os.Stat(program); err != nil {
		data, err := os.ReadFile(self)
		if err == nil {
			err = os.WriteFile(program, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-test.run=^TestHelper$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "DLS_TEST_JOB="+job, "DLS_TEST_DIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s as %d: %v: %s", job, uid, err, out)
	}
	_, result, _ := strings.Cut(string(out), "result: ")
	result, _, _ = strings.Cut(result, "\n")
	return result
}

// TestHelper is what a process of another user does; see [as].
func TestHelper(t *testing.T) {
	job, dir := os.Getenv("DLS_TEST_JOB"), os.Getenv("DLS_TEST_DIR")
	if job == "" {
		t.Skip("it is a part of other tests")
	}
	result := func(err error) { fmt.Printf("result: %v\n", err) }
	d, err := Open(dir)
	if err != nil {
		result(err)
		return
	}
	switch job {
	case "plant":
		result(os.WriteFile(d.Path("file"), []byte("planted"), 0o666))
	case "write":
		result(Replace(d.Path("file"), []byte("mine"), 0o600))
	case "read":
		_, _, err := d.Read("file", 100)
		result(err)
	case "append":
		f, err := d.OpenFile("log", os.O_WRONLY|os.O_APPEND|os.O_CREATE)
		if err == nil {
			_, err = f.WriteString("line\n")
		}
		result(err)
	case "access":
		a, _ := d.Access()
		fmt.Printf("result: %v %v\n", a.Foreign, a.Writers)
	}
}

// ground is a directory of a user's in which the tests of two users play.
func ground(t *testing.T, uid int, mode fs.FileMode) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be two users")
	}
	base, err := os.MkdirTemp("", "dls-users-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	dir := filepath.Join(base, "state")
	err = errors.Join(os.Chmod(base, 0o755), os.Mkdir(dir, 0o700), os.Chown(dir, uid, uid), os.Chmod(dir, mode))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Root reads what the owner of a directory has, and what it writes there is the
// owner's; the owner goes on from there.
func TestRootWritesAsTheOwner(t *testing.T) {
	dir := ground(t, alice, 0o700)
	if got := as(t, alice, "write", dir); got != "<nil>" {
		t.Fatalf("alice writes: %q", got)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if data, _, err := d.Read("file", 100); string(data) != "mine" || err != nil {
		t.Errorf("root reads %q, %v", data, err)
	}
	if err := Replace(d.Path("file"), []byte("root's"), 0o600); err != nil {
		t.Error(err)
	}
	f, err := d.OpenFile("log", os.O_WRONLY|os.O_APPEND|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, name := range []string{"file", "log"} {
		info, err := os.Stat(d.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != alice || st.Gid != alice {
			t.Errorf("%s belongs to %d:%d, want %d", name, st.Uid, st.Gid, alice)
		}
	}
	for _, job := range []string{"read", "append", "write"} {
		if got := as(t, alice, job, dir); got != "<nil>" {
			t.Errorf("alice's %s after root: %q", job, got)
		}
	}
	// The secret of who upgrades a configuration stays with them.
	if err := ReplaceOwn(d.Path("secret"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.Path("secret")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("the secret belongs to another user: %v", err)
	}
}

// What somebody else puts into a directory that all can write to is used by
// nobody but them.
func TestPlanted(t *testing.T) {
	dir := ground(t, 0, fs.ModeSticky|0o777)
	if got := as(t, mallory, "plant", dir); got != "<nil>" {
		t.Fatalf("mallory plants: %q", got)
	}
	want := fmt.Sprintf("it belongs to another user (uid %d)", mallory)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, _, err := d.Read("file", 100); !errors.Is(err, ErrOwner) || err.Error() != want {
		t.Errorf("root reads: %v, want %q", err, want)
	}
	if _, err := d.Stage("file", nil, 0o600); !errors.Is(err, ErrOwner) {
		t.Errorf("root stages: %v", err)
	}
	if got := as(t, alice, "read", dir); got != want {
		t.Errorf("alice reads: %q, want %q", got, want)
	}
	if got := as(t, alice, "access", dir); got != "false mode 0777" {
		t.Errorf("alice sees %q", got)
	}
	if got := as(t, alice, "append", dir); got != "<nil>" {
		t.Errorf("alice's own file there: %q", got)
	}
	if got := as(t, alice, "access", ground(t, mallory, 0o755)); got != "true " {
		t.Errorf("alice sees in mallory's directory %q", got)
	}
}

// The group of a volume of Kubernetes is the pod's own, where this process is in a pod,
// in that group and not root.
func TestAccessOfVolume(t *testing.T) {
	for _, test := range []struct {
		name string
		pod  string
		gid  int
		mode fs.FileMode
		want string
	}{
		{"fsGroup", "10.0.0.1", alice, fs.ModeSetgid | 0o770, "false "},
		{"anybody as well", "10.0.0.1", alice, fs.ModeSetgid | 0o777, "false mode 0777"},
		{"another group", "10.0.0.1", mallory, fs.ModeSetgid | 0o770, "false mode 0770"},
		{"no pod", "", alice, fs.ModeSetgid | 0o770, "false mode 0770"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := ground(t, alice, 0o700)
			if err := errors.Join(os.Chown(dir, alice, test.gid), os.Chmod(dir, test.mode)); err != nil {
				t.Fatal(err)
			}
			t.Setenv("KUBERNETES_SERVICE_HOST", test.pod)
			if got := as(t, alice, "access", dir); got != test.want {
				t.Errorf("access %q, want %q", got, test.want)
			}
		})
	}
}

// A Secret as the kubelet mounts it is nobody's to change, and no reason to warn.
func TestMountedSecret(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the kubelet is root")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "..2026"), 0o755); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "..2026", "skey")
	if err := os.WriteFile(target, []byte("secret"), 0o440); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"..data": "..2026", "skey": "..data/skey", "other": "..2026/skey"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []os.FileMode{0o440, 0o644} {
		if err := os.Chmod(target, mode); err != nil {
			t.Fatal(err)
		}
		if _, access, err := Read(filepath.Join(dir, "skey"), 100); access.Readers != "" || err != nil {
			t.Errorf("mode %v: %+v, %v", mode, access, err)
		}
		if _, access, err := Read(filepath.Join(dir, "other"), 100); access.Readers == "" || err != nil {
			t.Errorf("mode %v, another link: %+v, %v", mode, access, err)
		}
	}
	if err := os.Chmod(target, 0o664); err != nil {
		t.Fatal(err)
	}
	if _, access, _ := Read(filepath.Join(dir, "skey"), 100); access.Readers == "" {
		t.Error("a file that its group can change is no Secret")
	}
}
