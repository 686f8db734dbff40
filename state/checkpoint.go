package state

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is the version of the checkpoint files that this program writes, and
// the newest that it reads.
const Version = 1

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

// Key identifies a record: a hash of what does. Equal records have equal keys;
// that two others share one is as likely as a collision of 128 bits.
type Key [16]byte

// NewKey hashes the parts of which a record's identity is made up.
func NewKey(parts ...[]byte) Key {
	var room [256]byte
	b := room[:0]
	for _, p := range parts {
		// The lengths keep ("ab", "c") and ("a", "bc") apart. A UUID and a time must
		// not be longer than 55 bytes with them: one block of SHA-256.
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return Key(sum[:16])
}

// Mark stands for a record that was delivered.
type Mark struct {
	// At is the record's time in milliseconds since the epoch.
	At int64
	// Key is the record's key.
	Key Key
	// Count is how many records with this key were delivered: more than one only
	// where records have no id and equal ones are counted.
	Count int
}

// append appends the mark as "milliseconds key" or "milliseconds key count", a
// JSON string.
func (m Mark) append(b []byte) []byte {
	b = append(b, '"')
	b = strconv.AppendInt(b, m.At, 10)
	b = append(b, ' ')
	b = base64.RawURLEncoding.AppendEncode(b, m.Key[:])
	if m.Count > 1 {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(m.Count), 10)
	}
	return append(b, '"')
}

// UnmarshalText reads a mark as it is written.
func (m *Mark) UnmarshalText(b []byte) error {
	at, rest, _ := strings.Cut(string(b), " ")
	key, count, counted := strings.Cut(rest, " ")
	var err error
	if m.At, err = strconv.ParseInt(at, 10, 64); err != nil {
		return errors.New("a mark has no time")
	}
	k, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil || len(k) != len(m.Key) {
		return errors.New("a mark has no key")
	}
	m.Key, m.Count = Key(k), 1
	if counted {
		if m.Count, err = strconv.Atoi(count); err != nil || m.Count < 2 {
			return errors.New("a mark has no count")
		}
	}
	return nil
}

// Checkpoint is what is remembered of a stream.
type Checkpoint struct {
	// From is where the stream began: what lies before it was never asked for.
	From int64
	// Until is the time up to which everything that Duo showed is delivered; what
	// shows up later, behind it, is found by the overlap. In milliseconds since the
	// epoch, as all times here.
	Until int64
	// Known is since when Delivered is complete: what lies before it may be
	// delivered and is not remembered, whatever the overlap is now.
	Known int64
	// Looked is the end of the last window that was read to its end and noted, so
	// that a stream on which nothing happens is not taken for one with a gap.
	Looked int64
	// Reread and RereadBegan are the turn in which an overlap of more records than
	// fit a call is read again: where its next slice begins (0: no turn is under way),
	// and when the turn began.
	Reread, RereadBegan int64
	// Delivered are the marks of the records delivered in the overlap before Until
	// and after it, ordered by time.
	Delivered []Mark
}

// form is the file's form.
type form struct {
	Version     int       `json:"version"`
	IKey        string    `json:"ikey"`
	Endpoint    string    `json:"endpoint"`
	Account     string    `json:"account_id,omitempty"`
	From        time.Time `json:"began"`
	Until       time.Time `json:"delivered_until"`
	Known       time.Time `json:"remembered_since,omitzero"`
	Looked      time.Time `json:"looked_until,omitzero"`
	Reread      time.Time `json:"reread_from,omitzero"`
	RereadBegan time.Time `json:"reread_began,omitzero"`
	Delivered   []Mark    `json:"delivered,omitempty"`
}

func (cp *Checkpoint) encode(id ID) ([]byte, error) {
	stamp := func(ms int64) time.Time {
		if ms == 0 {
			return time.Time{}
		}
		return time.UnixMilli(ms).UTC()
	}
	data, err := json.Marshal(form{
		Version: Version, IKey: id.IKey, Endpoint: id.Endpoint, Account: id.Account,
		From: time.UnixMilli(cp.From).UTC(), Until: time.UnixMilli(cp.Until).UTC(), Known: stamp(cp.Known), Looked: stamp(cp.Looked),
		Reread: stamp(cp.Reread), RereadBegan: stamp(cp.RereadBegan),
	})
	// The marks can be tens of thousands, and are written after each page.
	data = slices.Grow(data, 48*len(cp.Delivered)+24)
	data = append(bytes.TrimSuffix(data, []byte("}")), `,"delivered":[`...)
	for i, m := range cp.Delivered {
		if i > 0 {
			data = append(data, ',')
		}
		data = m.append(data)
	}
	return append(data, "]}\n"...), err
}

func (cp *Checkpoint) decode(data []byte, id ID) error {
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
	if dec.Decode(&f) != nil || f.Version != Version || f.Until.IsZero() {
		return errors.New("it is damaged")
	}
	if f.IKey != id.IKey {
		return fmt.Errorf("%w, of the integration key %q", ErrAccount, f.IKey)
	}
	if f.Endpoint != id.Endpoint || f.Account != id.Account {
		return fmt.Errorf("it belongs to another stream, %q", ID{Endpoint: f.Endpoint, Account: f.Account}.File())
	}
	ms := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.UnixMilli()
	}
	*cp = Checkpoint{
		From: ms(f.From), Until: ms(f.Until), Known: ms(f.Known), Looked: ms(f.Looked),
		Reread: ms(f.Reread), RereadBegan: ms(f.RereadBegan), Delivered: f.Delivered,
	}
	if !slices.IsSortedFunc(cp.Delivered, byTime) {
		return errors.New("it is damaged")
	}
	return nil
}

func byTime(a, b Mark) int { return cmp.Compare(a.At, b.At) }

// Add adds the marks of more records. A mark with a count takes the place of the
// one with its key and time.
func (cp *Checkpoint) Add(marks []Mark) {
	old := *cp // in order, whatever is added meanwhile
	for _, m := range marks {
		if i := old.find(m); i >= 0 {
			cp.Delivered[i].Count = m.Count
		} else {
			cp.Delivered = append(cp.Delivered, m)
		}
	}
	if !slices.IsSortedFunc(cp.Delivered, byTime) {
		slices.SortStableFunc(cp.Delivered, byTime)
	}
}

// find returns the index of the mark with m's key and time, or -1. Only a count
// above one can have a forerunner.
func (cp *Checkpoint) find(m Mark) int {
	if m.Count < 2 {
		return -1
	}
	for i := cp.since(m.At); i < len(cp.Delivered) && cp.Delivered[i].At == m.At; i++ {
		if cp.Delivered[i].Key == m.Key {
			return i
		}
	}
	return -1
}

// since returns the index of the first mark at or after the time.
func (cp *Checkpoint) since(at int64) int {
	i, _ := slices.BinarySearchFunc(cp.Delivered, Mark{At: at}, byTime)
	return i
}

// Since returns the marks at or after the time, in milliseconds since the epoch,
// in the order of time. They are cp's own, until it changes.
func (cp *Checkpoint) Since(at int64) []Mark { return cp.Delivered[cp.since(at):] }

// Forget drops the marks of records before the time given and returns them.
func (cp *Checkpoint) Forget(before int64) []Mark {
	cp.Known = max(cp.Known, before)
	i := cp.since(before)
	gone := cp.Delivered[:i]
	cp.Delivered = cp.Delivered[i:]
	return gone
}
