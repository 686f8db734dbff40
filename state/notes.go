package state

import "dls/state/internal/bounds"

// Files is where [Notes] are kept: files that are small enough to be read and replaced
// as a whole.
type Files interface {
	// Names returns the names of all files, in order; there may be others among them.
	Names() ([]string, error)
	// ReadFile returns a file's content; the error wraps fs.ErrNotExist where there is
	// none, and does not repeat the name.
	ReadFile(name string) ([]byte, error)
	// Replace puts a file in the place of the one of that name, if there is one.
	Replace(name string, data []byte) error
	// Path names a file in messages.
	Path(name string) string
}

// Notes are what a store keeps beside the checkpoints, in files: what is known of the
// last runs, of turns, and which streams there were. No position depends on them.
type Notes struct{ files Files }

// NewNotes returns the notes that are kept in files.
func NewNotes(files Files) Notes { return Notes{files} }

// dirFiles are the files of a directory.
type dirFiles struct{ *Dir }

func (d dirFiles) ReadFile(name string) ([]byte, error) {
	data, _, err := d.dir.Read(name, int64(bounds.File))
	return data, err
}

func (d dirFiles) Replace(name string, data []byte) error { return d.replace(name, data) }
