package job

import (
	"dls/job/legacy"
	"dls/state"
)

// inherit makes the stream's own checkpoint of the one that duologsync left of it.
// It returns nil when there is none.
func (s *stream) inherit() (*state.Checkpoint, error) {
	if !s.run.cfg.Checkpointing {
		return nil, nil
	}
	from, err := legacy.Find(s.run.dir, s.id, s.run.start)
	if err != nil || from == nil {
		return nil, err
	}
	s.from = from
	return s.inherited(), nil
}

// inherited is the checkpoint of a stream that goes on from duologsync's.
func (s *stream) inherited() *state.Checkpoint {
	from := s.from.From.UnixMilli()
	return &state.Checkpoint{From: from, Until: from}
}

// verify checks what duologsync left against the first page. again is true when
// duologsync's time was another than the one asked for: the stream has gone there.
func (s *stream) verify(page *page) (again bool, err error) {
	again, err = s.from.Verify(page.found)
	if !again || err != nil {
		return false, err
	}
	s.cp = s.inherited()
	s.high = s.cp.Until
	s.place, err = s.window()
	return true, err
}
