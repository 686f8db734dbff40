package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"dls/state/internal/bounds"
)

// Version is the version of the checkpoint files that this program writes, and
// the newest that it reads. It reads version 1, too.
const Version = 2

// ID names a stream, and whose it is.
type ID struct {
	// IKey is the integration key of the application that reads the stream.
	IKey string
	// Endpoint is the endpoint's name.
	Endpoint string
	// Account is the child account's id, or "" for a single account. It holds
	// letters and digits only.
	Account string
}

// File is the name of the stream's checkpoint file.
func (id ID) File() string {
	if id.Account == "" {
		return id.Endpoint + "_checkpoint.json"
	}
	return id.Endpoint + "_checkpoint_" + id.Account + ".json"
}

// Progress is how far a stream has come. Its fields have the names that they have
// in the file; times are in milliseconds since the epoch, 0 for none.
type Progress struct {
	// Began is where the stream began: what lies before it was never asked for.
	Began int64
	// DeliveredUntil is the time up to which everything that Duo showed is delivered;
	// what shows up later, behind it, is found by the overlap.
	DeliveredUntil int64
	// LookedUntil is the end of the last window that was read to its end and noted,
	// so that a stream on which nothing happens is not taken for one with a gap.
	LookedUntil int64
	// RereadFrom and RereadBegan are the turn in which an overlap of more records
	// than fit a call is read again: where its next slice begins (0: no turn is under
	// way), and when the turn began.
	RereadFrom, RereadBegan int64
	// Pages is what is known of the sizes of Duo's pages.
	Pages Pages
}

// Pages is what is known of the sizes of a stream's pages, in records. Times are in
// milliseconds since the epoch.
type Pages struct {
	// Largest is the largest page of the day that began at LargestAt.
	Largest   int   `json:"largest,omitempty"`
	LargestAt int64 `json:"largest_at,omitempty"`
	// End is the largest page of the day that began at EndAt that a further call
	// proved to be the end of a window.
	End   int   `json:"end,omitempty"`
	EndAt int64 `json:"end_at,omitempty"`
	// ProvedAt is when an end was proved last.
	ProvedAt int64 `json:"proved_at,omitempty"`
	// Last is the key of the record that Duo showed last before the end that was
	// proved last.
	Last Key `json:"last,omitzero"`
}

// Checkpoint is what is remembered of a stream.
type Checkpoint struct {
	Progress
	// Delivered is what is known to be delivered.
	Delivered Delivered
	// Ledger tells how many records were delivered, by the hour.
	Ledger Ledger
}

// Fit forgets the oldest marks where there are more than a file may hold, and
// returns them. They are valid until cp changes.
func (cp *Checkpoint) Fit() (gone []Mark) {
	over := cp.Delivered.Len() - bounds.Marks
	if over <= 0 {
		return nil
	}
	over += bounds.Marks / 8 // not again with the next page
	return cp.Delivered.Forget(cp.Delivered.marks[over].At)
}

// With returns what the checkpoint will be with this progress, these marks and this
// tally added, to be staged and nothing else; what is older than since is left out. cp
// stays as it is.
func (cp *Checkpoint) With(p Progress, marks []Mark, tally Tally, since int64) *Checkpoint {
	next := &Checkpoint{Progress: p, Ledger: cp.Ledger.clone()}
	next.Ledger.Add(tally)
	d := &next.Delivered
	d.since = max(cp.Delivered.since, since)
	d.digester = cp.Delivered.digester
	d.marks = slices.Concat(cp.Delivered.Since(since), marks)
	slices.SortStableFunc(d.marks, byTime)
	i, _ := slices.BinarySearchFunc(d.marks, Mark{At: since}, byTime)
	d.marks = d.marks[i:]
	return next
}

// form is the file's form.
type form struct {
	Version         int        `json:"version"`
	IKey            string     `json:"ikey"`
	Endpoint        string     `json:"endpoint"`
	Account         string     `json:"account_id,omitempty"`
	Began           time.Time  `json:"began"`
	DeliveredUntil  time.Time  `json:"delivered_until"`
	RememberedSince time.Time  `json:"remembered_since,omitzero"`
	LookedUntil     time.Time  `json:"looked_until,omitzero"`
	RereadFrom      time.Time  `json:"reread_from,omitzero"`
	RereadBegan     time.Time  `json:"reread_began,omitzero"`
	Pages           Pages      `json:"pages,omitzero"`
	DigestKey       []byte     `json:"digest_key,omitempty"`
	Ledger          ledgerForm `json:"ledger,omitzero"`
	Delivered       []Mark     `json:"delivered,omitempty"`
}

// ledgerForm is the ledger's form in the file.
type ledgerForm struct {
	Since  time.Time `json:"since"`
	Length int64     `json:"length"`
	Open   Tally     `json:"open,omitempty"`
	Pass   Pass      `json:"audit,omitzero"`
}

// Encode returns the content of the stream's checkpoint file: one line. One that would
// be too large to be read again is [ErrTooLarge].
func (cp *Checkpoint) Encode(id ID) ([]byte, error) {
	stamp := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms).UTC()
	}
	data, err := json.Marshal(form{
		Version: Version, IKey: id.IKey, Endpoint: id.Endpoint, Account: id.Account,
		Began: time.UnixMilli(cp.Began).UTC(), DeliveredUntil: time.UnixMilli(cp.DeliveredUntil).UTC(),
		RememberedSince: stamp(cp.Delivered.since), LookedUntil: stamp(cp.LookedUntil),
		RereadFrom: stamp(cp.RereadFrom), RereadBegan: stamp(cp.RereadBegan), Pages: cp.Pages,
		DigestKey: cp.Delivered.digestKey(),
		Ledger:    ledgerForm{stamp(cp.Ledger.Since), cp.Ledger.Length, cp.Ledger.Open, cp.Ledger.Pass},
	})
	// The marks can be tens of thousands, and are written after each session.
	data = slices.Grow(data, 60*cp.Delivered.Len()+24)
	data = append(bytes.TrimSuffix(data, []byte("}")), `,"delivered":[`...)
	for i, m := range cp.Delivered.marks {
		if i > 0 {
			data = append(data, ',')
		}
		data = m.append(data)
	}
	data = append(data, "]}\n"...)
	if err == nil && len(data) > bounds.File {
		err = fmt.Errorf("%w: %d bytes, and %d are the most", ErrTooLarge, len(data), bounds.File)
	}
	return data, err
}

// Decode makes cp what the content of a stream's checkpoint file says. The error says
// why the content cannot be trusted, and does not name the file.
func (cp *Checkpoint) Decode(data []byte, id ID) error {
	var version struct {
		Version int `json:"version"`
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return errors.New("it is empty")
	}
	if json.Unmarshal(data, &version) != nil {
		return errors.New("it is damaged")
	}
	if version.Version > Version {
		return fmt.Errorf("it is of version %d, newer than this program knows", version.Version)
	}
	var f form
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&f) != nil || f.Version < 1 || f.DeliveredUntil.IsZero() || !slices.IsSortedFunc(f.Delivered, byTime) {
		return errors.New("it is damaged")
	}
	if f.IKey != id.IKey {
		return fmt.Errorf("%w, of the integration key %q", ErrAccount, f.IKey)
	}
	if f.Endpoint != id.Endpoint || f.Account != id.Account {
		return fmt.Errorf("it belongs to another stream, %q", ID{Endpoint: f.Endpoint, Account: f.Account}.File())
	}
	strange := false
	ms := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		strange = strange || t.Before(time.UnixMilli(0)) || t.Year() >= 2200
		return t.UnixMilli()
	}
	*cp = Checkpoint{Progress: Progress{
		Began: ms(f.Began), DeliveredUntil: ms(f.DeliveredUntil), LookedUntil: ms(f.LookedUntil),
		RereadFrom: ms(f.RereadFrom), RereadBegan: ms(f.RereadBegan), Pages: f.Pages,
	}}
	cp.Ledger = Ledger{ms(f.Ledger.Since), f.Ledger.Length, f.Ledger.Open, f.Ledger.Pass}
	cp.Delivered.since = ms(f.RememberedSince)
	if strange {
		return errors.New("it tells a time beyond all clocks")
	}
	if f.DigestKey != nil {
		if len(f.DigestKey) != 16 || cp.Delivered.digester.set([16]byte(f.DigestKey)) != nil {
			return errors.New("it is damaged")
		}
	}
	cp.Delivered.Add(f.Delivered)
	return nil
}
