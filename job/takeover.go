package job

import (
	"errors"
	"time"

	"dls/job/legacy"
	"dls/state"
)

// first refuses a first run that would send again what checkpoints elsewhere say is
// delivered, unless it is told to begin.
func (r *run) first() error {
	r.warnSystemd()
	if r.opts.Begin {
		return nil
	}
	if r.cfg.Bucket != nil {
		if known, err := r.known(); known || err != nil {
			return err
		}
	}
	search := legacy.SearchFor(r.cfg)
	search.Places = r.opts.Places
	if len(r.opts.Endpoints) > 0 {
		search.Endpoints = r.opts.Endpoints
	}
	strays := legacy.Elsewhere(search)
	for _, s := range strays {
		if note := s.Note(); note != "" {
			r.log.Warn(note + "; what it says was delivered is sent again unless a user who may read it moves it into dls_settings.checkpointing.directory")
		}
	}
	return legacy.Begins(r.cfg.Directory, strays)
}

// inherit makes the stream's own checkpoint of the one that duologsync left of it.
// It returns nil when there is none.
func (s *stream) inherit() (*state.Checkpoint, error) {
	if !s.run.cfg.Checkpointing || s.run.legacy() == nil {
		return nil, nil
	}
	from, err := legacy.Find(s.run.legacy(), s.id, s.run.start)
	if err != nil || from == nil {
		return nil, err
	}
	s.from, s.lines.sought = from, from.ID
	return s.inherited(), nil
}

// inherited is the checkpoint of a stream that goes on from duologsync's.
func (s *stream) inherited() *state.Checkpoint {
	from := s.from.From.UnixMilli()
	return &state.Checkpoint{Progress: state.Progress{Began: from, DeliveredUntil: from}}
}

// newer refuses a checkpoint beside which duologsync's is newer: somebody went back to
// it for a while, and both say what is delivered.
func (s *stream) newer(cp *state.Checkpoint) error {
	if !s.run.cfg.Checkpointing || s.run.legacy() == nil {
		return nil
	}
	return legacy.Newer(s.run.legacy(), s.id, time.UnixMilli(max(cp.DeliveredUntil, cp.LookedUntil)), s.run.start)
}

// errElsewhere tells that duologsync's time is another than the one asked for: reading
// begins again there.
var errElsewhere = errors.New("duologsync's checkpoint is of another time zone")

// verify checks what duologsync left against the first page.
func (s *stream) verify(found bool) error {
	if s.from == nil || s.verified {
		return nil
	}
	again, err := s.from.Verify(found)
	switch {
	case err != nil:
		return err
	case again:
		s.cp = s.inherited()
		return errElsewhere
	}
	s.verified = true
	return nil
}

// retire retires duologsync's file, now that the stream has a checkpoint of its own.
func (s *stream) retire() {
	if s.from != nil && s.run.saves() {
		s.from.Done(s.run.log.With("stream", s.result.Name()))
	}
	s.from = nil
}
