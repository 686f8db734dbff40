package safefile

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

func init() {
	inUse = func(err error) bool {
		return errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_LOCK_VIOLATION)
	}
	inTheWay = func(err error) bool { return inUse(err) || errors.Is(err, windows.ERROR_ACCESS_DENIED) }
}

// openFollow opens a file for reading, through links.
func openFollow(path string) (*os.File, error) {
	var f *os.File
	err := retry(inUse, func() (err error) {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// create makes a file, which must not be there. One that is the owner's alone
// (mode 0600) gets an access control list of the owner, the system and the
// administrators; another inherits that of the directory.
func (d *Dir) create(name string, flag int, mode fs.FileMode, owner owner) (*os.File, error) {
	if err := bare(name); err != nil {
		return nil, err
	}
	object, err := windows.NewNTUnicodeString(name)
	if err != nil {
		return nil, err
	}
	attributes := &windows.OBJECT_ATTRIBUTES{
		RootDirectory: windows.Handle(d.file.Fd()), ObjectName: object, Attributes: windows.OBJ_CASE_INSENSITIVE,
	}
	attributes.Length = uint32(unsafe.Sizeof(*attributes))
	if mode.Perm()&0o077 == 0 {
		if attributes.SecurityDescriptor, err = owner.private(); err != nil {
			return nil, err
		}
	}
	access := uint32(windows.FILE_GENERIC_WRITE | windows.FILE_READ_ATTRIBUTES | windows.SYNCHRONIZE)
	var handle windows.Handle
	var status windows.IO_STATUS_BLOCK
	err = windows.NtCreateFile(&handle, access, attributes, &status, nil, windows.FILE_ATTRIBUTE_NORMAL,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, windows.FILE_CREATE,
		windows.FILE_NON_DIRECTORY_FILE|windows.FILE_SYNCHRONOUS_IO_NONALERT|windows.FILE_OPEN_REPARSE_POINT, 0, 0)
	if nt, ok := err.(windows.NTStatus); ok {
		err = nt.Errno()
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(handle), d.Path(name))
	if flag == os.O_WRONLY {
		return f, nil
	}
	f.Close()
	return d.openOnce(name, flag&^(os.O_CREATE|os.O_EXCL))
}
