//go:build unix

package safefile

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// owner is whose the files of a directory are to be.
type owner struct{ uid, gid int }

// ownerOfDir returns the owner of a directory.
func ownerOfDir(dir *os.File) (owner, error) {
	info, err := dir.Stat()
	if err != nil {
		return owner{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return owner{int(st.Uid), int(st.Gid)}, nil
}

// none is the owner of what stays the caller's.
func (o owner) none() owner { return owner{os.Geteuid(), os.Getegid()} }

// keeper is the owner of a file that takes the place of name.
func (d *Dir) keeper(string) owner { return d.owner }

// own gives a new file to the owner, which only root can, and only root needs.
func (o owner) own(f *os.File) error {
	if os.Geteuid() != 0 || o.uid == 0 {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

// trusts says why the owner of a file has no business in the directory, or nil.
func (d *Dir) trusts(_ *os.File, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &OwnerError{"unknown"}
	}
	switch uid, me := int(st.Uid), os.Geteuid(); {
	case uid == me, uid == 0, me == 0 && uid == d.owner.uid:
		return nil
	default:
		return &OwnerError{fmt.Sprintf("uid %d", uid)}
	}
}

// severalNames tells whether a file has more than one name.
func severalNames(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink > 1
}

// accessOf says who can do what.
func accessOf(_ *os.File, info fs.FileInfo) Access {
	mode, others := info.Mode().Perm(), fs.FileMode(0o066)
	a := Access{Known: true, Anybody: mode&0o002 != 0}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		a.Owner = fmt.Sprintf("uid %d", st.Uid)
		a.Foreign = st.Uid != 0 && os.Geteuid() != 0 && int(st.Uid) != os.Geteuid()
		if ofPod(int(st.Gid)) {
			others = 0o006
		}
	}
	if mode&others&0o044 != 0 {
		a.Readers = fmt.Sprintf("mode %04o", mode)
	}
	if mode&others&0o022 != 0 {
		a.Writers = fmt.Sprintf("mode %04o", mode)
	}
	return a
}

// ofPod tells whether a group is that of a Kubernetes pod (its fsGroup) in which this
// process runs as an ordinary user. Kubernetes gives volumes to that group, and lets it
// write: it is how the user of the pod, and nobody else, gets at them. Elsewhere a group
// may have members that no file of this machine names.
func ofPod(gid int) bool {
	if os.Getenv("KUBERNETES_SERVICE_HOST") == "" || os.Geteuid() == 0 {
		return false
	}
	groups, err := os.Getgroups()
	return gid == os.Getegid() || err == nil && slices.Contains(groups, gid)
}
