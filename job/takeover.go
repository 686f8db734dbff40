package job

import (
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
	search := legacy.Search{
		Dir: r.cfg.Directory, IKey: r.cfg.Account.IKey, MSP: r.cfg.Account.MSP, BlockList: r.cfg.Account.BlockList,
		Endpoints: r.opts.Endpoints, Places: r.opts.Places,
	}
	if len(search.Endpoints) == 0 {
		for _, route := range r.cfg.Routes {
			search.Endpoints = append(search.Endpoints, route.Endpoint.Name)
		}
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
