package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

const rosterPrefix, rosterSuffix = "dls_roster", ".json"

// RosterFile is the name of the roster with the given suffix, as [RunsFile] has it.
func RosterFile(suffix string) string { return rosterPrefix + suffix + rosterSuffix }

// IsRoster tells whether a file is a roster by its name.
func IsRoster(name string) bool {
	return strings.HasPrefix(name, rosterPrefix) && strings.HasSuffix(name, rosterSuffix)
}

// rosterForm is the form of a roster: the streams of which there was a checkpoint, by
// its name.
type rosterForm struct {
	Version int      `json:"version"`
	IKey    string   `json:"ikey"`
	Streams []string `json:"streams"`
}

// RosterError is a roster that is there and cannot be used: nobody can tell which
// streams the store has known.
type RosterError struct {
	// Path is the file's path.
	Path string
	// Err says what is wrong with it.
	Err error
}

// Error names the file and what is wrong with it.
func (e *RosterError) Error() string { return fmt.Sprintf("roster %q: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *RosterError) Unwrap() error { return e.Err }

// Roster returns the streams of the integration key of which the store has had a
// checkpoint, by its name, of all suffixes; nil where there is no roster. The error is
// a *RosterError, or one of reading the store.
func (n Notes) Roster(ikey string) (map[string]bool, error) {
	names, err := n.files.Names()
	if err != nil {
		return nil, err
	}
	var all map[string]bool
	for _, name := range names {
		if !IsRoster(name) {
			continue
		}
		own, err := n.loadRoster(name, ikey)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = own
		} else {
			maps.Copy(all, own)
		}
	}
	return all, nil
}

// loadRoster reads one roster; one that is not there, or another integration key's, is
// nil.
func (n Notes) loadRoster(name, ikey string) (map[string]bool, error) {
	data, err := n.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var f rosterForm
	switch {
	case err != nil:
		return nil, &RosterError{n.files.Path(name), err}
	case json.Unmarshal(data, &f) != nil || f.Version < 1:
		return nil, &RosterError{n.files.Path(name), errors.New("it is damaged")}
	case f.Version > 1:
		return nil, &RosterError{n.files.Path(name), fmt.Errorf("it is of version %d, newer than this program knows", f.Version)}
	case f.IKey != ikey:
		return nil, nil
	}
	streams := make(map[string]bool, len(f.Streams))
	for _, s := range f.Streams {
		streams[s] = true
	}
	return streams, nil
}

// HasRoster tells whether the store has a roster of the integration key, of any suffix.
// That of the suffix is looked for first.
func (n Notes) HasRoster(suffix, ikey string) (bool, error) {
	own, err := n.loadRoster(RosterFile(suffix), ikey)
	if err != nil || own != nil {
		return own != nil, err
	}
	all, err := n.Roster(ikey)
	return all != nil, err
}

// Enrol adds streams, by the names of their checkpoints, to the roster of the suffix.
// Those that it names stay. The error is a *RosterError where the roster is another
// integration key's. The caller holds the lock under which nobody else writes the suffix.
func (n Notes) Enrol(suffix, ikey string, streams []string) error {
	name := RosterFile(suffix)
	known, err := n.loadRoster(name, ikey)
	if err != nil {
		return err
	}
	if known == nil {
		if _, err := n.files.ReadFile(name); err == nil {
			return &RosterError{n.files.Path(name), ErrAccount}
		}
	}
	before := len(known)
	if known == nil {
		known, before = map[string]bool{}, -1
	}
	for _, s := range streams {
		known[s] = true
	}
	if len(known) == before {
		return nil
	}
	data, err := json.Marshal(rosterForm{1, ikey, slices.Sorted(maps.Keys(known))})
	if err == nil {
		err = n.files.Replace(name, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write roster %q: %w", n.files.Path(name), err)
	}
	return nil
}
