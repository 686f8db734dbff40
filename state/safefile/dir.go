package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TempPrefix begins the names of files that are not yet what they will be. A
// killed process leaves them behind.
const TempPrefix = ".dls-tmp-"

// Dir is an open directory, in which files are named by their bare names. It stays
// the same directory whatever becomes of its path. Its methods are safe for
// concurrent use.
type Dir struct {
	path  string
	root  *os.Root
	file  *os.File // of the directory itself
	owner owner
}

// Open opens a directory, which must be there. The path may lead through symbolic
// links. The error is one of package os, with the path.
func Open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	file, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	d := &Dir{path: filepath.Clean(path), root: root, file: file}
	if d.owner, err = ownerOfDir(file); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return errors.Join(d.file.Close(), d.root.Close()) }

// Path returns the path of a file in the directory.
func (d *Dir) Path(name string) string { return filepath.Join(d.path, name) }

// Access says whose the directory is, and who else can write there. The error does
// not repeat the path.
func (d *Dir) Access() (Access, error) {
	info, err := d.file.Stat()
	if err != nil {
		return Access{}, Cause(err)
	}
	return accessOf(d.file, info), nil
}

// SameFile tells whether the directory is what info is about.
func (d *Dir) SameFile(info fs.FileInfo) bool {
	mine, err := d.file.Stat()
	return err == nil && os.SameFile(mine, info)
}

// List returns what is in the directory, in the order of the names.
func (d *Dir) List() ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	return entries, Cause(err)
}

// OpenFile opens a file in the directory with flags of package os, and makes it, of
// mode 0600, if os.O_CREATE is among them. A symbolic link, what is no regular
// file, what belongs to somebody else ([OwnerError]), and for writing what has a
// second name are refused; nothing is waited for. The error does not repeat the
// path.
func (d *Dir) OpenFile(name string, flag int) (*os.File, error) {
	for range 3 { // the file may come or go meanwhile
		f, err := d.openOnce(name, flag&^(os.O_CREATE|os.O_EXCL))
		if flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		f, err = d.create(name, flag, 0o600, d.owner)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
	return nil, errors.New("it comes and goes while it is opened")
}

// openOnce opens a file that is there.
func (d *Dir) openOnce(name string, flag int) (*os.File, error) {
	if err := bare(name); err != nil {
		return nil, err
	}
	var f *os.File
	err := retry(inUse, func() (err error) {
		f, err = openNoFollow(d, name, flag)
		return err
	})
	if err != nil {
		// What it is says more than that it cannot be opened.
		if why := d.look(name, writes(flag)); why != nil && !errors.Is(why, fs.ErrNotExist) {
			return nil, why
		}
		return nil, Cause(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = d.judge(f, info, writes(flag))
	}
	if err != nil {
		f.Close()
		return nil, Cause(err)
	}
	return f, nil
}

// judge says why a file is not used, or nil.
func (d *Dir) judge(f *os.File, info fs.FileInfo, writing bool) error {
	if !info.Mode().IsRegular() {
		return ErrNotRegular
	}
	if err := d.trusts(f, info); err != nil {
		return err
	}
	if writing && severalNames(info) {
		return ErrLinked
	}
	return nil
}

// Look says why [Dir.OpenFile] would refuse what has the name, or nil. It is for
// messages and for what is not opened: what counts is judged once it is open.
func (d *Dir) Look(name string) error { return d.look(name, false) }

func (d *Dir) look(name string, writing bool) error {
	info, err := d.root.Lstat(name)
	switch {
	case err != nil:
		return Cause(err)
	case info.Mode()&fs.ModeSymlink != 0:
		return ErrSymlink
	}
	return d.judge(nil, info, writing)
}

func writes(flag int) bool { return flag&(os.O_WRONLY|os.O_RDWR) != 0 }

// Stat returns the facts of what has the name, which is not followed.
func (d *Dir) Stat(name string) (fs.FileInfo, error) {
	info, err := d.root.Lstat(name)
	return info, Cause(err)
}

// Read returns the content of a file in the directory, and its facts. Beside what
// [Dir.OpenFile] refuses, it refuses what somebody else can have written: a file
// with a second name, and one that any user can write to. A file that is not there
// is fs.ErrNotExist.
func (d *Dir) Read(name string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := d.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, Cause(err)
	}
	if severalNames(info) {
		return nil, nil, ErrLinked
	}
	if accessOf(f, info).Anybody {
		return nil, nil, ErrShared
	}
	data, err := readAll(f, limit)
	return data, info, err
}

// Remove removes a file in the directory. The error does not repeat the path.
func (d *Dir) Remove(name string) error {
	return Cause(retry(inTheWay, func() error { return d.root.Remove(name) }))
}

// Rename gives a file in the directory another name there, and replaces what has
// that; it does not sync the directory. The error does not repeat the paths.
func (d *Dir) Rename(from, to string) error {
	return Cause(retry(inTheWay, func() error { return d.root.Rename(from, to) }))
}

// RenameNew is Rename for a name that nothing has: what has it stays, and the error
// is fs.ErrExist.
func (d *Dir) RenameNew(from, to string) error {
	if err := d.root.Link(from, to); err != nil {
		return Cause(err)
	}
	return d.Remove(from)
}

// Sync makes what was renamed last.
func (d *Dir) Sync() error { return Cause(syncDir(d.root)) }

// bare refuses what would lead out of the directory.
func bare(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') || strings.ContainsRune(name, filepath.Separator) {
		return errors.New("it is no file's name")
	}
	return nil
}

// OpenAppend opens the file at a path for appending as [Dir.OpenFile] does, and
// makes it where create is set. The directory's path may lead through symbolic
// links. The error does not repeat the path.
func OpenAppend(path string, create bool) (*os.File, error) {
	d, err := Open(filepath.Dir(path))
	if err != nil {
		return nil, Cause(err)
	}
	defer d.Close()
	flag := os.O_WRONLY | os.O_APPEND
	if create {
		flag |= os.O_CREATE
	}
	return d.OpenFile(filepath.Base(path), flag)
}
