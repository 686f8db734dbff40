package safefile

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// The accounts of the system itself, which can do everything anyhow: SYSTEM, the
// administrators, TrustedInstaller.
var system = []string{
	"S-1-5-18", "S-1-5-32-544",
	"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
}

// services are the accounts LocalService and NetworkService, as which a scheduled
// task runs.
var services = []string{"S-1-5-19", "S-1-5-20"}

// everybody are the groups that any user of a machine is in or can come to be in.
var everybody = map[string]string{
	"S-1-1-0": "Everyone", "S-1-5-11": "Authenticated Users", "S-1-5-32-545": "Users",
	"S-1-5-4": "Interactive", "S-1-5-7": "Anonymous", "S-1-5-32-546": "Guests",
}

// owner is whose the files of a directory are to be, beside the user's: a security
// identifier, or "".
type owner struct{ sid string }

func ownerOfDir(dir *os.File) (owner, error) {
	sd, err := security(dir)
	if err != nil {
		return owner{}, nil // a file system without owners
	}
	return owner{ownerOf(sd)}, nil
}

// none is the owner of what stays the caller's.
func (owner) none() owner { return owner{} }

// private is the access control list of a file of the owner's.
func (o owner) private() (*windows.SECURITY_DESCRIPTOR, error) {
	sids := []string{"SY", "BA", me()}
	if o.sid != "" && !slices.Contains(system, o.sid) && o.sid != me() {
		sids = append(sids, o.sid)
	}
	list := "D:P"
	for _, sid := range sids {
		list += "(A;;FA;;;" + sid + ")"
	}
	return windows.SecurityDescriptorFromString(list)
}

// keeper is the owner of a file that takes the place of name: that of the file
// there, so that an administrator does not shut out the account of the task.
func (d *Dir) keeper(name string) owner {
	sd, err := windows.GetNamedSecurityInfo(d.Path(name), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return d.owner
	}
	return owner{ownerOf(sd)}
}

func security(f *os.File) (*windows.SECURITY_DESCRIPTOR, error) {
	return windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
}

func ownerOf(sd *windows.SECURITY_DESCRIPTOR) string {
	sid, _, err := sd.Owner()
	if err != nil || sid == nil {
		return ""
	}
	return sid.String()
}

// me is the user of this process.
func me() string {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return ""
	}
	return user.User.Sid.String()
}

// elevated tells whether this process has an administrator's rights.
func elevated() bool {
	administrators, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return false
	}
	member, err := windows.Token(0).IsMember(administrators)
	return err == nil && member
}

// trusts says why the owner of a file has no business in the directory, or nil.
// Where the file system knows no owners, it asks none.
func (d *Dir) trusts(f *os.File, info fs.FileInfo) error {
	var sd *windows.SECURITY_DESCRIPTOR
	var err error
	if f != nil {
		sd, err = security(f)
	} else {
		sd, err = windows.GetNamedSecurityInfo(d.Path(info.Name()), windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	}
	if err != nil {
		return nil
	}
	return trusted(ownerOf(sd), d.owner)
}

// trusted says why an owner has no business in a directory, or nil.
func trusted(sid string, directory owner) error {
	switch {
	case sid == "", sid == me(), slices.Contains(system, sid):
		return nil
	case (sid == directory.sid || slices.Contains(services, sid)) && elevated():
		return nil
	}
	return &OwnerError{sid}
}

// severalNames is not asked: links need the right to write to the file here.
func severalNames(fs.FileInfo) bool { return false }

const (
	reading = windows.FILE_READ_DATA | windows.GENERIC_READ | windows.GENERIC_ALL
	// writing is also what leads to it: to remove a file, or to change whose it is.
	writing = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | 0x40 /* FILE_DELETE_CHILD */ | windows.DELETE |
		windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_WRITE | windows.GENERIC_ALL
)

// granted returns whom the access control list allows any of the rights. What it
// denies is not taken off: a list is to be read at a glance.
func granted(sd *windows.SECURITY_DESCRIPTOR, rights windows.ACCESS_MASK) []string {
	list, _, err := sd.DACL()
	if err != nil || list == nil {
		return []string{"S-1-1-0"} // no list lets everybody in
	}
	var sids []string
	for i := range uint32(list.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if windows.GetAce(list, i, &ace) != nil || ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE ||
			ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 || ace.Mask&rights == 0 {
			continue
		}
		sids = append(sids, (*windows.SID)(unsafe.Pointer(&ace.SidStart)).String())
	}
	return sids
}

// accessOf says who can do what. Known is false where the file system keeps no
// access control lists.
func accessOf(f *os.File, _ fs.FileInfo) Access {
	sd, err := security(f)
	if err != nil {
		return Access{}
	}
	return accessIn(sd)
}

// accessIn says who can do what by a security descriptor.
func accessIn(sd *windows.SECURITY_DESCRIPTOR) Access {
	mine := append([]string{ownerOf(sd), me(), "S-1-3-0", "S-1-3-4"}, system...)
	mine = append(mine, services...)
	others := func(rights windows.ACCESS_MASK) string {
		var names []string
		for _, sid := range granted(sd, rights) {
			if slices.Contains(mine, sid) {
				continue
			}
			if everybody[sid] != "" {
				sid = everybody[sid]
			}
			if !slices.Contains(names, sid) {
				names = append(names, sid)
			}
		}
		return strings.Join(names, ", ")
	}
	a := Access{Known: true, Owner: ownerOf(sd), Readers: others(reading), Writers: others(writing)}
	a.Anybody = slices.ContainsFunc(granted(sd, writing), func(sid string) bool { return everybody[sid] != "" })
	a.Foreign = a.Owner != me() && !slices.Contains(system, a.Owner) && !slices.Contains(services, a.Owner) && !elevated()
	return a
}
