package state

import (
	"context"
	"time"
)

// Store is where a run keeps what it must remember: a checkpoint for each stream,
// what is shown of the last runs, in which order streams had their turns, and
// records that no server takes. *[Dir] is one. Its methods are safe for concurrent
// use, but for two writers of the same stream.
type Store interface {
	// Load reads the checkpoint of a stream; nil and no error where there is none. One
	// that is there and cannot be trusted is an *UntrustedError.
	Load(id ID) (*Checkpoint, error)
	// Stage writes a checkpoint beside the one that counts. The caller must hand what
	// it returns to Commit, or Discard it. The checkpoint may change afterwards.
	Stage(id ID, cp *Checkpoint) (Staged, error)
	// Commit makes what was staged count, in one step where the store can. It returns an
	// error for each: nil when a crash no longer undoes the checkpoint; otherwise it is
	// the old one or the new one, whole.
	Commit(staged []Staged) []error
	Ledgers
	// Append adds data to the end of a file of the store, durably.
	Append(name string, data []byte) error
	// Path names a file of the store in messages.
	Path(name string) string

	// SaveRuns is as [Dir.SaveRuns].
	SaveRuns(suffix, ikey string, runs []StreamRun, all bool) ([]StreamRun, error)
	// Turns and SaveTurns are as [Dir.Turns] and [Dir.SaveTurns].
	Turns(ikey string) (map[string]time.Time, error)
	SaveTurns(suffix, ikey string, turns map[string]time.Time) error

	// Lock, ShareLock and WaitLock are as those of [Dir].
	Lock(name string) (unlock func(), err error)
	ShareLock(name string) (unlock func(), err error)
	WaitLock(ctx context.Context, name string) (unlock func(), err error)
	// Names returns the names of the files in the store, in order.
	Names() ([]string, error)
	// Sweep and SweepOlder are as those of [Dir].
	Sweep() error
	SweepOlder(age time.Duration) error
	// Close lets go of the store.
	Close() error
}

// Staged is a checkpoint that is written and does not count yet.
type Staged interface {
	// Discard removes it.
	Discard()
}

var _ Store = (*Dir)(nil)
