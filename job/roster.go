package job

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"dls/job/duo"
	"dls/state"
	"dls/state/once"
)

// roster is what the store knows of streams that had a checkpoint. Its zero value is
// ready.
type roster struct {
	once  once.Once
	names map[string]bool // nil where there is none
	err   error
	begun atomic.Int64 // streams that the roster does not know and that begin
}

// MissingError is a stream whose checkpoint has gone: the store has known it, and has
// none.
type MissingError struct {
	// Path names the checkpoint, Stream whose it is.
	Path   string
	Stream state.ID
}

const wasKnown = "the store has known this stream, and all of dls_settings.api.offset would be sent again"

// Error names the checkpoint.
func (e *MissingError) Error() string {
	return fmt.Sprintf("checkpoint %q is gone: %s", e.Path, wasKnown)
}

// Reason says the same where it stands beside the stream's name.
func (e *MissingError) Reason() string { return "it is gone: " + wasKnown }

func (e *MissingError) hint() string {
	only := "--endpoint " + e.Stream.Endpoint
	if e.Stream.Account != "" {
		only += " --account " + e.Stream.Account
	}
	return "put back a copy; or begin the stream anew on purpose: run dls sync as usual, with --begin " + only
}

// NoRosterError is a store in which there never was a checkpoint, where the
// configuration says that there must be one.
type NoRosterError struct {
	// Directory is the store, as the configuration names it.
	Directory string
}

// Error names the store.
func (e *NoRosterError) Error() string {
	return fmt.Sprintf("there never was a checkpoint of this account in %q, and dls_settings.checkpointing.must_exist is set", e.Directory)
}

// mustExist refuses a store in which there never was a checkpoint, where the
// configuration says so and the run is not told to begin.
func (r *run) mustExist() error {
	if !r.cfg.MustExist || r.opts.Begin {
		return nil
	}
	known, err := r.known()
	if err != nil || known {
		return err
	}
	return &NoRosterError{r.cfg.Directory}
}

// known tells whether the store has a roster of the account, or checkpoints from before
// there were rosters. One with another account's is not known.
func (r *run) known() (bool, error) {
	has, err := r.store.HasRoster(r.opts.Shard.suffix(), r.cfg.Account.IKey)
	if has || err != nil {
		return has, err
	}
	times, err := r.store.Times()
	return err == nil && FromBeforeRosters(times), err
}

// FromBeforeRosters tells by a store's files whether there are checkpoints and no
// roster of any account.
func FromBeforeRosters(files map[string]time.Time) bool {
	found := false
	for name := range files {
		if state.IsRoster(name) {
			return false
		}
		endpoint, rest, ok := strings.Cut(name, "_checkpoint")
		found = found || ok && strings.HasSuffix(rest, ".json") && duo.Named(endpoint) != nil
	}
	return found
}

// absent is called for a stream without a checkpoint. It returns a *MissingError where
// the store has had one, unless the run is told to begin.
func (s *stream) absent() error {
	r := s.run
	if !r.cfg.Checkpointing {
		return nil
	}
	err := r.roster.lost(r.store, s.id)
	if _, gone := errors.AsType[*MissingError](err); err != nil && !(gone && r.opts.Begin) {
		return err
	}
	r.roster.begun.Add(1)
	r.log.Info("no checkpoint yet: it begins at dls_settings.api.offset", "stream", s.result.Name())
	return nil
}

// lost is a *MissingError where the store has had the checkpoint of a stream that has
// none.
func (r *roster) lost(store state.Store, id state.ID) error {
	r.once.Do(func() { r.names, r.err = store.Roster(id.IKey) })
	switch {
	case r.err != nil:
		return r.err
	case r.names[id.File()]:
		return &MissingError{Path: store.Path(id.File()), Stream: id}
	}
	return nil
}

// enrol adds the streams that have a checkpoint to the store's roster.
func (r *run) enrol(streams []*stream) {
	if !r.saves() {
		return
	}
	var names []string
	for _, s := range streams {
		if s.kept {
			names = append(names, s.id.File())
		}
	}
	if len(names) == 0 {
		return
	}
	if err := r.store.Enrol(r.opts.Shard.suffix(), r.cfg.Account.IKey, names); err != nil {
		r.log.Warn(err.Error()+"; it is not noticed when the checkpoint of a new stream goes", "hint", Hint(err))
	}
}
