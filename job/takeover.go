package job

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"dls/job/duo"
	"dls/state"
)

// takeover is a checkpoint of duologsync from which a stream goes on.
type takeover struct {
	name string // of the file, or of the one that another child's stream has retired
	at   time.Time
	id   string // of the last record that duologsync delivered, or ""
}

// legacyKinds says what duologsync writes for each endpoint.
var legacyKinds = map[string]state.LegacyKind{
	"auth": state.LegacyAuth, "activity": state.LegacyMillisID, "telephony": state.LegacyMillisID,
	"trustmonitor": state.LegacyMillis, "adminaction": state.LegacySeconds,
}

// Inherited looks for the checkpoint that duologsync left of a stream without one
// of its own. name is that of the file, or "" when there is none; from.At is in
// the unit of the endpoint. An error is as that of [state.Dir.LoadLegacy]. What it
// accepts, the first page that Duo shows may still refute.
func Inherited(dir *state.Dir, id state.ID, now time.Time) (name string, from state.Legacy, err error) {
	names := []string{state.LegacyName(id.Endpoint, id.Account)}
	if id.Account != "" && id.Endpoint == "telephony" {
		// One file for all children, which the first of them retires.
		shared := state.LegacyName(id.Endpoint, "")
		names = append(names, shared, shared+state.Imported)
	}
	for _, name := range names {
		from, ok, err := dir.LoadLegacy(name, legacyKinds[id.Endpoint], now)
		if err != nil {
			return "", state.Legacy{}, err
		}
		if ok {
			from.At = from.At.Truncate(duo.Named(id.Endpoint).AskUnit.Duration())
			return name, from, nil
		}
	}
	return "", state.Legacy{}, nil
}

// inherit makes the stream's own checkpoint of the one that duologsync left of it.
// It returns nil when there is none.
//
// For the children of an MSP duologsync read the parent's telephony and activity:
// its files tell how far a child's stream would have been, and no more.
func (s *stream) inherit() (*state.Checkpoint, error) {
	if !s.run.cfg.Checkpointing {
		return nil, nil
	}
	name, from, err := Inherited(s.run.dir, s.id, s.run.start)
	if err != nil || name == "" {
		return nil, err
	}
	s.from = &takeover{name: name, at: from.At, id: from.ID}
	return &state.Checkpoint{From: from.At.UnixMilli(), Until: from.At.UnixMilli()}, nil
}

// verify checks what duologsync left against the first page. The times that it
// wrote for activity and telephony are off by the zone of its host; a time that
// is too late would skip records, and shows in that the last record delivered is
// not among those from then on.
func (t *takeover) verify(s *stream, page *page) error {
	if t.id == "" || legacyKinds[s.row.Name] != state.LegacyMillisID || s.id.Account != "" || t.at.UnixMilli() < s.run.oldest() {
		return nil
	}
	if page.found {
		return nil
	}
	return &state.UntrustedError{Path: s.run.dir.Path(t.name), Err: &state.LegacyError{
		Problem: fmt.Sprintf("it says %s, but the record that it names is not there: the time is that of another zone, or the file is another account's", t.at.Format(time.RFC3339)),
		Hint:    "replace its content by the time from which to go on, in milliseconds since 1970-01-01 UTC, or remove it to begin at offset",
	}}
}

// done retires duologsync's file, now that the stream has a checkpoint of its
// own.
func (t *takeover) done(s *stream) {
	if s.run.opts.DryRun {
		return
	}
	s.run.log.Info(fmt.Sprintf("took over duologsync's checkpoint %q: going on from %s", s.run.dir.Path(t.name), t.at.Format(time.RFC3339)),
		"stream", s.result.Name())
	if s.id.Account != "" && legacyKinds[s.row.Name] == state.LegacyMillisID {
		s.run.log.Warn(fmt.Sprintf("duologsync never read the %s of child accounts: what lies before %s was not delivered", s.row.Name, t.at.Format(time.RFC3339)),
			"stream", s.result.Name())
	}
	if strings.HasSuffix(t.name, state.Imported) {
		return
	}
	if err := s.run.dir.Retire(t.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.run.log.Warn(err.Error(), "stream", s.result.Name())
	}
}
