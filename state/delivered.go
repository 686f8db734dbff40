package state

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Key identifies a record: a hash of its ids and its time, or of all its bytes
// where it has no id. Equal records have equal keys; that two others share one is
// as likely as a collision of 128 bits.
type Key [16]byte

// MarshalText writes the key in base64.
func (k Key) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, k[:]), nil
}

// UnmarshalText reads a key as it is written.
func (k *Key) UnmarshalText(b []byte) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(b))
	if err != nil || len(raw) != len(k) {
		return errors.New("it is no key")
	}
	*k = Key(raw)
	return nil
}

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

// Digest tells the versions of a record apart, which share a key: a keyed hash of the
// record's bytes. 0 is none.
type Digest uint64

// digester makes the digests of a stream's records: the first 64 bits of GMAC (NIST
// SP 800-38D) under a key of the stream's own, so that nobody who has a say in a record
// can make another one look the same. SHA-256 takes three times as long, a third of
// what a run does for a page (go test -bench Digest ./state).
type digester struct {
	key  [16]byte
	mac  cipher.AEAD
	room [16]byte
}

// set makes the digester that of a key, of a new one where it is zero.
func (d *digester) set(key [16]byte) error {
	for key == ([16]byte{}) {
		if _, err := rand.Read(key[:]); err != nil {
			return err
		}
	}
	block, err := aes.NewCipher(key[:])
	if err == nil {
		d.mac, err = cipher.NewGCM(block)
	}
	d.key = key
	return err
}

var noNonce [12]byte // the tags stay here

// Digest returns the digest of a record's bytes; it is never 0. Digests of one stream
// can be compared.
func (d *Delivered) Digest(raw []byte) Digest {
	if d.digester.mac == nil {
		if err := d.digester.set([16]byte{}); err != nil {
			panic(err) // crypto/rand and AES do not fail
		}
	}
	tag := d.digester.mac.Seal(d.digester.room[:0], noNonce[:], nil, raw)
	return max(Digest(binary.BigEndian.Uint64(tag)), 1)
}

// Ident is what a record is known by.
type Ident struct {
	// Key is made of the record's ids and time; where Counted is set, of its bytes.
	Key Key
	// Digest is that of the bytes, 0 where Counted is set.
	Digest Digest
	// Counted tells that the record has no id: equal ones are told apart by counting
	// them.
	Counted bool
}

// Mark stands for a record that was delivered.
type Mark struct {
	// At is the latest time, in milliseconds since the epoch, at which Duo may show
	// the record.
	At int64
	// Key and Digest are the record's. A Digest of 0 is that of a record without an
	// id, or of a mark that version 1 wrote, which stands for every version.
	Key    Key
	Digest Digest
	// Count is 1, or which of equal records without an id the record is.
	Count int
}

// append appends the mark as a JSON string: "milliseconds key" or "milliseconds
// key count", the digest, where there is one, joined to the key.
func (m Mark) append(b []byte) []byte {
	var name [24]byte
	n := copy(name[:], m.Key[:])
	if m.Digest != 0 {
		n = len(binary.BigEndian.AppendUint64(name[:n], uint64(m.Digest)))
	}
	b = append(b, '"')
	b = strconv.AppendInt(b, m.At, 10)
	b = append(b, ' ')
	b = base64.RawURLEncoding.AppendEncode(b, name[:n])
	if m.Count > 1 {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(m.Count), 10)
	}
	return append(b, '"')
}

// UnmarshalText reads a mark as it is written.
func (m *Mark) UnmarshalText(b []byte) error {
	at, rest, _ := strings.Cut(string(b), " ")
	name, count, counted := strings.Cut(rest, " ")
	var err error
	if m.At, err = strconv.ParseInt(at, 10, 64); err != nil {
		return errors.New("a mark has no time")
	}
	k, err := base64.RawURLEncoding.DecodeString(name)
	switch {
	case err == nil && len(k) == len(m.Key):
		m.Digest = 0
	case err == nil && len(k) == len(m.Key)+8:
		m.Digest = Digest(binary.BigEndian.Uint64(k[len(m.Key):]))
	default:
		return errors.New("a mark has no key")
	}
	m.Key, m.Count = Key(k[:len(m.Key)]), 1
	if counted {
		if m.Count, err = strconv.Atoi(count); err != nil || m.Count < 2 {
			return errors.New("a mark has no count")
		}
	}
	return nil
}

func byTime(a, b Mark) int { return cmp.Compare(a.At, b.At) }

// Delivered is what is known to be delivered of a stream: the marks of the
// records delivered in the overlap and after it. Its zero value is empty. It
// is not safe for concurrent use.
type Delivered struct {
	marks    []Mark // in the order of time
	index    index
	since    int64
	digester digester
}

// digestKey is the key of the digests, nil where there are none yet.
func (d *Delivered) digestKey() []byte {
	if d.digester.mac == nil {
		return nil
	}
	return d.digester.key[:]
}

// Len is how many marks are remembered.
func (d *Delivered) Len() int { return len(d.marks) }

// Since returns the marks at or after the time, in milliseconds since the epoch,
// in the order of time. They are d's own, until it changes.
func (d *Delivered) Since(at int64) []Mark {
	i, _ := slices.BinarySearchFunc(d.marks, Mark{At: at}, byTime)
	return d.marks[i:]
}

// RememberedSince is the time, in milliseconds since the epoch, before which
// delivered records are not remembered.
func (d *Delivered) RememberedSince() int64 { return d.since }

// Add adds the marks of records that were delivered.
func (d *Delivered) Add(marks []Mark) {
	sorted := len(d.marks) == 0 || len(marks) == 0 || d.marks[len(d.marks)-1].At <= marks[0].At
	d.marks = append(d.marks, marks...)
	if !sorted || !slices.IsSortedFunc(marks, byTime) {
		slices.SortStableFunc(d.marks, byTime)
	}
	for _, m := range marks {
		s := d.index.add(m.Key, m.Digest)
		s.marks++
		s.count = max(s.count, int32(m.Count))
	}
}

// Forget drops the marks of records before the time, in milliseconds since the
// epoch, and returns them. They are valid until d changes.
func (d *Delivered) Forget(before int64) []Mark {
	d.since = max(d.since, before)
	i, _ := slices.BinarySearchFunc(d.marks, Mark{At: before}, byTime)
	gone := d.marks[:i]
	d.marks = d.marks[i:]
	for _, m := range gone {
		if s := d.index.find(m.Key, m.Digest); s != nil {
			if s.marks--; s.marks == 0 {
				d.index.remove(m.Key, m.Digest)
			}
		}
	}
	return gone
}

// Holds tells whether a record of the key is remembered as delivered: the one of that
// count among equal ones without an id, else 1.
func (d *Delivered) Holds(key Key, count int) bool {
	if count > 1 {
		s := d.index.find(key, 0)
		return s != nil && int(s.count) >= count
	}
	return d.index.has(key)
}

// count is how many records of the identity, whose slots begin at head, are delivered.
func (d *Delivered) count(id Ident, head int32) int32 {
	if s := d.index.from(head, id.Digest); s != nil {
		return s.count
	}
	if id.Digest != 0 {
		if s := d.index.from(head, 0); s != nil {
			return s.count // a mark of version 1
		}
	}
	return 0
}

// Verdict is what a record that Duo shows turns out to be.
type Verdict int

// The verdicts on a record.
const (
	// Known: it is delivered already, or on its way.
	Known Verdict = iota
	// New: nothing of its identity was seen.
	New
	// Changed: a record of its ids and time is known, with other bytes.
	Changed
)

// Reading is one reading of a window: what Duo shows, in order, against what is
// delivered and what is on its way. What is on its way is known to the reading
// alone, so that a reading which is dropped leaves nothing behind. It is not safe
// for concurrent use.
type Reading struct {
	delivered *Delivered
	seen      index
	turn      int32
}

// NewReading begins to read against what is delivered. The caller adds to d what
// the reading found once it counts, and tells the reading what d forgets.
func NewReading(d *Delivered) *Reading { return &Reading{delivered: d, turn: 1} }

// Again tells that the reading begins again at a time: equal records without an id
// are counted afresh, since Duo shows the earlier ones once more.
func (r *Reading) Again() { r.turn++ }

// Judge takes the next record that Duo shows. count is which of equal records
// without an id it is, else 1; shown tells that the reading has seen it, or an equal
// one, before.
func (r *Reading) Judge(id Ident) (v Verdict, count int, shown bool) {
	seen, delivered := r.seen.head(id.Key), r.delivered.index.head(id.Key)
	other := !id.Counted && (seen > 0 || delivered > 0)
	s := r.seen.from(seen, id.Digest)
	shown = s != nil
	if !shown {
		s = r.seen.insert(id.Key, id.Digest, seen)
	}
	if s.turn != r.turn {
		s.turn, s.shown = r.turn, 0
	}
	s.shown++
	count = 1
	if id.Counted {
		count = int(s.shown)
	}
	if int32(count) <= max(s.count, r.delivered.count(id, delivered)) {
		return Known, count, shown
	}
	s.count = int32(count)
	if other {
		return Changed, count, shown
	}
	return New, count, shown
}

// Forget drops what the reading has seen of the marks that what is delivered has
// forgotten. Of equal records without an id it drops nothing while one is remembered:
// their count goes on.
func (r *Reading) Forget(marks []Mark) {
	for _, m := range marks {
		if r.delivered.index.find(m.Key, m.Digest) == nil {
			r.seen.remove(m.Key, m.Digest)
		}
	}
}

// index finds slots by key and digest. A key has one digest, nearly always.
type index struct {
	first map[Key]int32 // of the slots of a key
	slots []slot
	free  []int32
}

// slot is what is known of one key and digest.
type slot struct {
	digest Digest
	count  int32 // how many are delivered, or on their way
	marks  int32 // how many marks stand for it
	shown  int32 // how many were shown in the turn
	turn   int32
	next   int32 // the index of another slot of the key plus one, or 0
}

func (x *index) has(key Key) bool { _, ok := x.first[key]; return ok }

// head is where the slots of a key begin: the index of the first one plus one, or 0.
func (x *index) head(key Key) int32 {
	if i, ok := x.first[key]; ok {
		return i + 1
	}
	return 0
}

// from returns the slot of a digest among those that begin at head, or nil.
func (x *index) from(head int32, digest Digest) *slot {
	for ; head > 0; head = x.slots[head-1].next {
		if s := &x.slots[head-1]; s.digest == digest {
			return s
		}
	}
	return nil
}

func (x *index) find(key Key, digest Digest) *slot { return x.from(x.head(key), digest) }

// add returns the slot of key and digest, made if need be. It is valid until the
// next add.
func (x *index) add(key Key, digest Digest) *slot {
	head := x.head(key)
	if s := x.from(head, digest); s != nil {
		return s
	}
	return x.insert(key, digest, head)
}

// insert makes the slot of key and digest, before those that begin at head.
func (x *index) insert(key Key, digest Digest, head int32) *slot {
	if x.first == nil {
		x.first = map[Key]int32{}
	}
	fresh := slot{digest: digest, next: head}
	i := int32(len(x.slots))
	if n := len(x.free); n > 0 {
		i, x.free = x.free[n-1], x.free[:n-1]
		x.slots[i] = fresh
	} else {
		x.slots = append(x.slots, fresh)
	}
	x.first[key] = i
	return &x.slots[i]
}

func (x *index) remove(key Key, digest Digest) {
	i, ok := x.first[key]
	if !ok {
		return
	}
	for before := int32(-1); ; before, i = i, x.slots[i].next-1 {
		if x.slots[i].digest == digest {
			switch next := x.slots[i].next; {
			case before >= 0:
				x.slots[before].next = next
			case next > 0:
				x.first[key] = next - 1
			default:
				delete(x.first, key)
			}
			x.free = append(x.free, i)
			return
		}
		if x.slots[i].next == 0 {
			return
		}
	}
}
