// Package legacy knows everything about the checkpoint files of duologsync: their
// names, what stands in them, where they lie, and how far they can be trusted.
//
// Start with [Find], which tells from where a stream goes on that has no checkpoint
// of its own. [Newer] is for a stream that has one, [Elsewhere] for the first run
// in a directory.
//
// What is promised: a file that cannot be trusted stops its stream with a hint. It
// is neither taken for an order to begin anew, which sends everything again, nor
// for a time that skips records. No file is changed before [Takeover.Done].
package legacy

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"dls/job/duo"
	"dls/state"
)

// Dir is a directory of checkpoints, such as a [state.Dir].
type Dir interface {
	// Path returns the path of a file, for messages.
	Path(name string) string
	// Read returns a file's content and facts; fs.ErrNotExist is one that is not
	// there. It refuses what somebody else can have put there.
	Read(name string, limit int64) ([]byte, fs.FileInfo, error)
	// Retire adds [state.Imported] to a file's name.
	Retire(name string) error
}

// Names are the names of duologsync's checkpoint file of a stream, the one that
// counts first: version 1.0 called that of auth otherwise. The account is "" for a
// single account.
//
// In MSP mode duologsync has such a file for each child and endpoint but
// telephony, of which it has one, named as that of a single account. Telephony
// and activity it reads for the parent only, so these files say nothing of what
// a child's stream got.
func Names(endpoint, account string) []string {
	switch {
	case account != "" && endpoint == "telephony":
		// One file for all children, which the first of them retires.
		shared := endpoint + "_checkpoint_data.txt"
		return []string{endpoint + "_checkpoint_data_" + account + ".txt", shared, shared + state.Imported}
	case account != "":
		return []string{endpoint + "_checkpoint_data_" + account + ".txt"}
	case endpoint == "auth":
		return []string{"auth_checkpoint_data.txt", "authlog_checkpoint_data.txt"}
	}
	return []string{endpoint + "_checkpoint_data.txt"}
}

// Takeover is a checkpoint of duologsync from which a stream goes on.
type Takeover struct {
	// Name is the name of the file.
	Name string
	// From is the time from which to ask, in the endpoint's unit. [Takeover.Verify]
	// may change it.
	From time.Time
	// ID is the id that must be among the records of the first page from From on, or
	// "" where there is nothing to prove.
	ID string

	dir   Dir
	id    state.ID
	says  time.Time   // what the file says
	times []time.Time // what From may be if it is not what it is, the latest first
	err   error       // why the file is not trusted if none of them is right
}

// keep is how long Duo keeps records: what is older cannot be proved by one.
const keep = 180*24*time.Hour - 10*time.Minute

// Find looks for the checkpoint that duologsync left of a stream without one of
// its own. It returns nil when there is none. The error is a *[state.UntrustedError],
// whose cause may be an *[Error]. What Find accepts, the first page that Duo shows
// may still refute: see [Takeover.Verify].
//
// duologsync writes a time that is off by the zone of its host for activity and
// telephony. West of UTC it is too late and would skip records. Where the file
// names the last record, each time that this record can have had is tried, the
// latest first: where the record is found, nothing was delivered after it.
func Find(dir Dir, id state.ID, now time.Time) (*Takeover, error) {
	for _, name := range Names(id.Endpoint, id.Account) {
		data, info, err := dir.Read(name, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue // perhaps another stream has retired it just now
		}
		if err != nil {
			return nil, &state.UntrustedError{Path: dir.Path(name), Err: err}
		}
		written := info.ModTime()
		if now.Before(written) {
			written = now.In(written.Location())
		}
		p, err := parse(kinds[id.Endpoint], data, written)
		t := &Takeover{Name: name, dir: dir, id: id, says: p.At, err: err}
		at := p.At.Truncate(duo.Named(id.Endpoint).AskUnit.Duration())
		// Of a child's records duologsync read none: the id is one of the parent's.
		if p.ID != "" && kinds[id.Endpoint] == millisIDKind && id.Account == "" && now.Sub(p.At) < keep {
			t.ID = p.ID
			for _, at := range zones(at, written.Location()) {
				if !at.After(written.Add(clockSlack)) && now.Sub(at) < keep {
					t.times = append(t.times, at)
				}
			}
		} else if err == nil {
			t.times = []time.Time{at}
		}
		if !t.next() {
			return nil, &state.UntrustedError{Path: dir.Path(name), Err: err}
		}
		return t, nil
	}
	return nil, nil
}

// next makes From the next time that can be the right one, if there is one.
func (t *Takeover) next() bool {
	if len(t.times) == 0 {
		return false
	}
	t.From, t.times = t.times[0], t.times[1:]
	return true
}

// shifted tells whether From is another time than the file says.
func (t *Takeover) shifted() bool { return t.says.Sub(t.From).Abs() >= time.Minute }

// Verify is told whether the first page from From on holds the record ID. It
// returns false when the stream may go on from there; true when From has changed,
// and the page from there on is to be looked at in place of this one; and an error
// when the file cannot be trusted.
func (t *Takeover) Verify(found bool) (again bool, err error) {
	if found || t.ID == "" {
		return false, nil
	}
	if t.next() {
		return true, nil
	}
	if t.err == nil {
		t.err = &Error{
			Problem: fmt.Sprintf("it says %s, but the record that it names is not there, nor where a host in another time zone would have found it: perhaps the file is another account's", t.says.Format(time.RFC3339)),
			Hint:    hint,
		}
	}
	return false, &state.UntrustedError{Path: t.dir.Path(t.Name), Err: t.err}
}

// Doubt says why From may not be the time from which the stream will go on, or "".
func (t *Takeover) Doubt() string {
	switch {
	case t.err != nil:
		return t.err.Error()
	case t.shifted():
		return fmt.Sprintf("it says %s, which this host's time zone would have shifted", t.says.Format(time.RFC3339))
	}
	return ""
}

// Done retires the file, now that the stream has a checkpoint of its own, and logs
// what was taken over. The log has what names the stream.
func (t *Takeover) Done(log *slog.Logger) {
	text := fmt.Sprintf("took over duologsync's checkpoint %q: going on from %s", t.dir.Path(t.Name), t.From.Format(time.RFC3339))
	if t.shifted() {
		text += fmt.Sprintf(", where Duo has the record that it names; its own time, %s, is off by the zone of duologsync's host", t.says.Format(time.RFC3339))
	}
	log.Info(text)
	if t.id.Account != "" && kinds[t.id.Endpoint] == millisIDKind {
		log.Warn(fmt.Sprintf("duologsync never read the %s of child accounts: what lies before %s was not delivered", t.id.Endpoint, t.From.Format(time.RFC3339)))
	}
	if strings.HasSuffix(t.Name, state.Imported) {
		return
	}
	if err := t.dir.Retire(t.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn(err.Error())
	}
}

// Newer is for a stream that has a checkpoint of its own, up to which everything
// is delivered. A file of duologsync that goes further was written by a duologsync
// that ran after dls: what it delivered would come again. The error says which of
// the two files to keep; it is a *[state.UntrustedError].
func Newer(dir Dir, id state.ID, until, now time.Time) error {
	if id.Account != "" && kinds[id.Endpoint] == millisIDKind {
		return nil // the file says nothing of the child's records
	}
	for _, name := range Names(id.Endpoint, id.Account) {
		data, info, err := dir.Read(name, maxFile)
		if err != nil {
			continue // what cannot be read stops nothing: the stream has its own
		}
		p, _ := parse(kinds[id.Endpoint], data, info.ModTime())
		if !p.At.After(until) || p.ID != "" && kinds[id.Endpoint] == millisIDKind && takenOver(dir, id, info) {
			continue
		}
		own := dir.Path(id.File())
		return &state.UntrustedError{Path: dir.Path(name), Err: &Error{
			Problem: fmt.Sprintf("duologsync has gone on after dls: it says %s, dls's own checkpoint %q says %s", p.At.Format(time.RFC3339), own, until.UTC().Format(time.RFC3339)),
			Hint: fmt.Sprintf("keep one of the two: move away %q to go on from duologsync's time, or %q to go on from dls's own, which sends again what duologsync delivered since; and stop duologsync (systemctl disable --now)",
				own, dir.Path(name)),
		}}
	}
	return nil
}

// maxOwn is longer than any checkpoint.
const maxOwn = 1 << 32

// takenOver tells whether a file of duologsync was written before the stream's own
// checkpoint was. So was one from which an audit has sent what was missing since: what
// duologsync delivered meanwhile then comes again.
func takenOver(dir Dir, id state.ID, info fs.FileInfo) bool {
	_, own, err := dir.Read(id.File(), maxOwn)
	return err == nil && info.ModTime().Before(own.ModTime())
}
