package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is a file or, with a name that ends in a slash, a folder.
type entry struct {
	name     string
	mode     fs.FileMode
	uid, gid int
	data     []byte
}

// archive writes the tar.gz or, for Windows, the zip of a binary and what goes
// with it, in one folder.
func (r *release) archive(b binary, docs documents) error {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	folder := r.fileName(b, "/")
	entries := []entry{{name: folder, mode: 0o755}, {name: folder + filepath.Base(b.path), mode: 0o755, data: program}}
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		switch {
		case name == "copyright": // the packages'
		case strings.HasPrefix(name, "completions/") && strings.HasSuffix(name, ".ps1") != (b.os == "windows"):
		case name == "dls.1" && b.os == "windows":
		default:
			entries = append(entries, entry{name: folder + name, mode: 0o644, data: docs[name]})
		}
	}
	write, ending := writeTar, ".tar.gz"
	if b.os == "windows" {
		write, ending = writeZip, ".zip"
	}
	data, err := write(entries, r.epoch)
	if err != nil {
		return err
	}
	if ending == ".tar.gz" {
		data = compress(data)
	}
	return os.WriteFile(filepath.Join(r.out, r.fileName(b, ending)), data, 0o644)
}

// writeTar returns a tar in which nothing is of this machine.
func writeTar(entries []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: tarMode(e.mode), Uid: e.uid, Gid: e.gid, ModTime: at, Format: tar.FormatUSTAR}
		h.Typeflag, h.Size = tar.TypeReg, int64(len(e.data))
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("write %q: %w", e.name, err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("write %q: %w", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// tarMode is a mode as tar writes it.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	if m&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	return mode
}

// writeZip returns a zip of the files.
func writeZip(entries []entry, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		h.SetMode(e.mode)
		if strings.HasSuffix(e.name, "/") {
			h.Method = zip.Store
			h.SetMode(e.mode | fs.ModeDir)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			return nil, fmt.Errorf("write %q: %w", e.name, err)
		}
		if _, err := f.Write(e.data); err != nil {
			return nil, fmt.Errorf("write %q: %w", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
