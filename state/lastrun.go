package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Outcome is how a run ended for a stream.
type Outcome string

// The outcomes of a stream.
const (
	// Done: the window was read to its end, and everything in it is confirmed.
	Done Outcome = "done"
	// Failed: an error ended it; the next run goes on from there.
	Failed Outcome = "failed"
	// Unfinished: the run was told to stop, by a signal or for want of time.
	Unfinished Outcome = "unfinished"
)

// StreamRun is what the last run of a stream came to. Nothing is delivered or
// left out because of it: it is there to be shown.
type StreamRun struct {
	// Endpoint is the endpoint's name; Account and AccountName are the child
	// account's id and name, or "" for a single account.
	Endpoint    string `json:"endpoint"`
	Account     string `json:"account_id,omitempty"`
	AccountName string `json:"account_name,omitempty"`

	// Ended is when the last run of the stream ended. Required.
	Ended time.Time `json:"ended"`
	// Outcome is how it ended. Required.
	Outcome Outcome `json:"outcome"`
	// Error says why it was not Done, else "". [Notes.SaveRuns] cuts it.
	Error string `json:"error,omitempty"`

	// Fetched counts the records received, Delivered those of them that were
	// confirmed, Already those that had been delivered before.
	Fetched   int `json:"fetched"`
	Delivered int `json:"delivered"`
	Already   int `json:"already"`
	// Oversize counts those of Delivered that the receiver cannot take: they lie in a
	// file.
	Oversize int `json:"oversize,omitempty"`
	// Longest is the length in bytes of the longest of Delivered.
	Longest int `json:"longest,omitempty"`
	// Bytes counts what was sent.
	Bytes int64 `json:"bytes"`
	// Pages counts Duo's answers, Retries what was tried again, Limited the answers
	// that were Duo's rate limit.
	Pages   int `json:"pages"`
	Retries int `json:"retries"`
	Limited int `json:"limited"`
	// Duration is how long the stream took from its first turn on, waits included.
	Duration time.Duration `json:"duration_ns"`

	// Until is the time of the checkpoint when the run ended, or zero when that
	// could not be read.
	Until time.Time `json:"delivered_until,omitzero"`
	// CompleteUntil is the end of the window of the last run that was Done, and
	// Succeeded when that run ended: everything that Duo showed up to CompleteUntil
	// is delivered. Zero when there was no such run.
	CompleteUntil time.Time `json:"complete_until,omitzero"`
	Succeeded     time.Time `json:"succeeded,omitzero"`

	// Audited is when the last pass of the daily audit ended, zero for none, AuditMissing
	// how many records it found missing and could not tell from others, and Late how many
	// that Duo had shown late the last run delivered.
	Audited      time.Time `json:"audited,omitzero"`
	AuditMissing int       `json:"audit_missing,omitempty"`
	Late         int       `json:"late,omitempty"`

	// Gone tells that a later run of all streams did not have this one: Duo no
	// longer lists the account, or the configuration leaves the stream out.
	Gone bool `json:"gone,omitempty"`
}

// DeliveredUntil is the time up to which everything that Duo showed is
// delivered, or zero when nothing is known of it.
func (r *StreamRun) DeliveredUntil() time.Time {
	if r.Until.After(r.CompleteUntil) {
		return r.Until
	}
	return r.CompleteUntil
}

// Reached is the time up to which everything that Duo showed is delivered, as a
// stream's checkpoint and its last run tell, or zero when nothing is known. Either may be
// nil. A run that found nothing new moves no checkpoint, and still has read further.
func Reached(cp *Checkpoint, run *StreamRun) (at time.Time) {
	if cp != nil {
		at = time.UnixMilli(max(cp.DeliveredUntil, cp.LookedUntil)).UTC()
	}
	if run != nil && run.DeliveredUntil().After(at) {
		at = run.DeliveredUntil().UTC()
	}
	return at
}

// RunsError is a file of last runs that is there and cannot be used.
type RunsError struct {
	// Path is the file's path.
	Path string
	// Err says what is wrong with it.
	Err error
	// More is how many other such files cannot be used either.
	More int
}

// Error names the file and what is wrong with it.
func (e *RunsError) Error() string {
	text := fmt.Sprintf("last runs %q: %v", e.Path, e.Err)
	if e.More > 0 {
		text += fmt.Sprintf("; and %d more such files cannot be used", e.More)
	}
	return text
}

// Unwrap returns the cause.
func (e *RunsError) Unwrap() error { return e.Err }

// KeepRuns is how long a stream without a run is remembered while others run.
const KeepRuns = 30 * 24 * time.Hour

// runsVersion is the version of the files of last runs that this program writes,
// and the only one that it reads.
const runsVersion = 1

// maxRunError is how many bytes of an error's text are kept, and maxRunName of an
// account's name.
const maxRunError, maxRunName = 500, 200

// runsForm is the form of a file of last runs.
type runsForm struct {
	Version int    `json:"version"`
	IKey    string `json:"ikey"`
	// Began is when the last runs began, the newest last: at most keepBegan.
	Began   []time.Time `json:"began,omitempty"`
	Streams []StreamRun `json:"streams"`
}

// keepBegan is of how many runs it is kept when they began.
const keepBegan = 3

const runsPrefix, runsSuffix = "dls_last_run", ".json"

// RunsFile is the name of the file of last runs with the given suffix: "" for a
// run of all accounts, and another for each that may go on beside others in the
// same directory.
func RunsFile(suffix string) string { return runsPrefix + suffix + runsSuffix }

// LoadRuns returns what is known of the last run of each stream, ordered by
// account and endpoint: of all the files of last runs in the directory, the
// newest that tells of a stream counts. It takes no lock. ikey is whose streams
// they must be.
//
// Files that cannot be used are left out, and the rest is returned all the same:
// the error is then one *RunsError.
func (n Notes) LoadRuns(ikey string) ([]StreamRun, error) {
	forms, err := n.loadForms(ikey)
	return merged(forms), err
}

// merged is what all files of last runs know.
func merged(forms map[string]runsForm) []StreamRun {
	var all []StreamRun
	for _, f := range forms {
		all = append(all, f.Streams...)
	}
	return merge(all)
}

// loadForms reads the files of last runs, by their names. Those that cannot be used are
// left out; the error is then a *RunsError.
func (n Notes) loadForms(ikey string) (map[string]runsForm, error) {
	names, err := n.files.Names()
	if err != nil {
		return nil, err
	}
	forms := map[string]runsForm{}
	var wrong *RunsError
	for _, name := range names {
		if !strings.HasPrefix(name, runsPrefix) || !strings.HasSuffix(name, runsSuffix) {
			continue
		}
		f, err := n.loadForm(name, ikey)
		switch {
		case err == nil:
			forms[name] = f
		case wrong == nil:
			wrong = &RunsError{Path: n.files.Path(name), Err: err}
		default:
			wrong.More++
		}
	}
	if wrong != nil {
		return forms, wrong
	}
	return forms, nil
}

func (n Notes) loadForm(name, ikey string) (f runsForm, err error) {
	data, err := n.files.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return runsForm{}, nil
	}
	if err != nil {
		return runsForm{}, err
	}
	if f, err = decodeRuns(data, ikey); err != nil {
		return runsForm{}, err
	}
	return f, nil
}

// Began returns when the last runs of a suffix began, the newest last: at most
// three, and none where that is not known. It is there to be shown.
func (n Notes) Began(suffix, ikey string) []time.Time {
	data, err := n.files.ReadFile(RunsFile(suffix))
	var f struct { // what is wrong with the file the next SaveRuns says
		IKey  string      `json:"ikey"`
		Began []time.Time `json:"began"`
	}
	if err != nil || json.Unmarshal(data, &f) != nil || f.IKey != ikey {
		return nil
	}
	return f.Began
}

func decodeRuns(data []byte, ikey string) (f runsForm, err error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return f, errors.New("it is empty")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err = dec.Decode(&f)
	if err != nil { // perhaps for a key that a newer version has
		_ = json.Unmarshal(data, &struct {
			Version *int `json:"version"`
		}{&f.Version})
	}
	switch {
	case f.Version > runsVersion:
		return f, fmt.Errorf("it is of version %d, newer than this program knows", f.Version)
	case err != nil || f.Version != runsVersion || slices.ContainsFunc(f.Streams, StreamRun.damaged):
		return f, errors.New("it is damaged")
	}
	if f.IKey != ikey {
		return f, fmt.Errorf("it belongs to another account, of the integration key %q", f.IKey)
	}
	return f, nil
}

func (r StreamRun) damaged() bool {
	known := r.Outcome == Done || r.Outcome == Failed || r.Outcome == Unfinished
	return r.Endpoint == "" || r.Ended.IsZero() || !known
}

// SaveRuns notes what a run came to, one entry for each of its streams, and
// returns what is then known of all. Streams that the run did not touch keep
// what is known of them; those of which nothing was heard for [KeepRuns] are
// dropped. all tells that the run was of every stream there is (for the suffix):
// others are gone then. An entry that is not Done keeps its stream's
// CompleteUntil and Succeeded, whatever it says itself.
//
// The caller holds the lock under which nobody else writes this suffix. When the
// error is a *RunsError, files could not be read: the runs are saved, but what
// those files knew is missing. Any other error is one of
// writing. Neither is a reason to fail a run.
func (n Notes) SaveRuns(suffix, ikey string, runs []StreamRun, all bool) ([]StreamRun, error) {
	forms, damage := n.loadForms(ikey)
	known, own := merged(forms), forms[RunsFile(suffix)]
	clear(forms)
	before := make(map[streamName]*StreamRun, len(known))
	for i := range known {
		before[known[i].name()] = &known[i]
	}
	fresh := make([]StreamRun, 0, max(len(runs), len(known)))
	touched := make(map[streamName]bool, len(runs))
	for _, r := range runs {
		touched[r.name()] = true
		r.Error, r.AccountName = cut(r.Error, maxRunError), cut(r.AccountName, maxRunName)
		old := before[r.name()]
		if old == nil {
			old = new(StreamRun)
		}
		if r.Outcome != Done {
			r.CompleteUntil, r.Succeeded = old.CompleteUntil, old.Succeeded
		}
		if r.Until.IsZero() {
			r.Until = old.Until
		}
		if r.Audited.IsZero() {
			r.Audited, r.AuditMissing = old.Audited, old.AuditMissing
		}
		r.Gone = false
		fresh = append(fresh, r)
	}
	// A run of all accounts knows of the streams in every file.
	mine := known
	if suffix != "" {
		mine = own.Streams // what is wrong with it is in damage
	}
	for _, r := range mine {
		if !touched[r.name()] {
			r.Gone = r.Gone || all
			fresh = append(fresh, r)
		}
	}
	mine = merge(fresh)
	began := own.Began
	if len(runs) > 0 {
		first := runs[0].Ended
		for _, r := range runs {
			if at := r.Ended.Add(-r.Duration); at.Before(first) {
				first = at
			}
		}
		began = append(began, first)
		began = began[max(len(began)-keepBegan, 0):]
	}
	data, err := json.Marshal(runsForm{runsVersion, ikey, began, mine})
	if err == nil {
		err = n.files.Replace(RunsFile(suffix), append(data, '\n'))
	}
	if err != nil {
		damage = fmt.Errorf("write last runs %q: %w", n.files.Path(RunsFile(suffix)), err)
	}
	if suffix == "" {
		return mine, damage // of all
	}
	for _, r := range known {
		if !touched[r.name()] {
			fresh = append(fresh, r)
		}
	}
	return merge(fresh), damage
}

// merge keeps the newest entry of each stream, and of these the ones that are
// not much older than the newest of all.
func merge(runs []StreamRun) []StreamRun {
	byName := func(a, b StreamRun) int { return a.name().compare(b.name()) }
	runs = slices.Clone(runs)
	slices.SortStableFunc(runs, func(a, b StreamRun) int {
		// A run of all streams that misses one notes it as gone, and leaves its time.
		gone := 0
		if a.Gone != b.Gone {
			gone = 1
			if a.Gone {
				gone = -1
			}
		}
		return cmp.Or(byName(a, b), b.Ended.Compare(a.Ended), gone)
	})
	runs = slices.CompactFunc(runs, func(a, b StreamRun) bool { return byName(a, b) == 0 })
	var newest time.Time
	now := time.Now() // an entry of a wrong clock must not age the others
	for _, r := range runs {
		if r.Ended.After(newest) && !r.Ended.After(now) {
			newest = r.Ended
		}
	}
	return slices.DeleteFunc(runs, func(r StreamRun) bool { return newest.Sub(r.Ended) > KeepRuns })
}

// streamName tells a stream from the others of its integration key.
type streamName struct{ account, endpoint string }

func (r *StreamRun) name() streamName { return streamName{r.Account, r.Endpoint} }

func (n streamName) compare(o streamName) int {
	return cmp.Or(cmp.Compare(n.account, o.account), cmp.Compare(n.endpoint, o.endpoint))
}

// cut returns text of at most so many bytes, and whole characters of it.
func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	most -= len("…")
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
