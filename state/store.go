package state

import (
	"context"
	"fmt"
	"time"
)

// Store is where a run keeps what it must remember: a checkpoint for each stream,
// what is shown of the last runs, in which order streams had their turns, and
// records that no server takes. *[Dir] is one, a bucket (package bucket) another. Its methods are safe for concurrent
// use, but for two writers of the same stream.
type Store interface {
	// Load reads the checkpoint of a stream; nil and no error where there is none. One
	// that is there and cannot be trusted is an *UntrustedError.
	Load(id ID) (*Checkpoint, error)
	// Stage writes a checkpoint beside the one that counts, or makes as sure as the store
	// can that it may be written. The caller must hand what it returns to Commit, or
	// Discard it. The checkpoint may change afterwards. The error is a *FencedError where
	// another run has moved the stream since this one read it; so may be Commit's.
	Stage(id ID, cp *Checkpoint) (Staged, error)
	// Commit makes what was staged count, in one step where the store can. It returns an
	// error for each: nil when a crash no longer undoes the checkpoint; otherwise it is
	// the old one or the new one, whole.
	Commit(staged []Staged) []error
	Ledgers
	// Append adds data to the end of a file of the store, or to files whose names begin
	// with its, durably.
	Append(name string, data []byte) error
	// Path names a file of the store in messages.
	Path(name string) string

	// Claim takes the store for a run of the share, and removes what killed runs left.
	// The error wraps [ErrLocked] while a run is at work that excludes it (see
	// [Share.Excludes]); ctx ends the wait for others that claim just now. A crash
	// leaves nothing that keeps later runs out for long.
	Claim(ctx context.Context, share Share) (release func(), err error)
	// Shares returns when the whole and each share was last at work, in no order.
	Shares() ([]ShareRun, error)
	// Times returns when each checkpoint was last written, by the name of its file;
	// there may be others among them.
	Times() (map[string]time.Time, error)

	// LoadRuns, SaveRuns, Began, Turns and SaveTurns are as those of [Notes].
	LoadRuns(ikey string) ([]StreamRun, error)
	SaveRuns(suffix, ikey string, runs []StreamRun, all bool) ([]StreamRun, error)
	Began(suffix, ikey string) []time.Time
	Turns(ikey string) (map[string]time.Time, error)
	SaveTurns(suffix, ikey string, turns map[string]time.Time) error
	// Roster, HasRoster and Enrol are as those of [Notes].
	Roster(ikey string) (map[string]bool, error)
	HasRoster(suffix, ikey string) (bool, error)
	Enrol(suffix, ikey string, streams []string) error
	// AppendHistory and History are as those of [Dir].
	AppendHistory(suffix, ikey string, at time.Time, runs []StreamRun) error
	History(ikey string) ([]RunPoint, error)
	// Close lets go of the store.
	Close() error
}

// FencedError is a checkpoint that another run has moved since this one read it: this
// run has lost its place and must deliver nothing more of the stream. What it sent
// since its last checkpoint the other run may have sent, too.
type FencedError struct {
	// Path names the checkpoint.
	Path string
}

// Error names the checkpoint and what happened.
func (e *FencedError) Error() string {
	return fmt.Sprintf("checkpoint %q: another run has moved it since this one read it; this run delivers nothing more of the stream", e.Path)
}

// Staged is a checkpoint that is written and does not count yet.
type Staged interface {
	// Discard removes it.
	Discard()
}

var _ Store = (*Dir)(nil)
