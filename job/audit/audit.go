// Package audit finds out which of Duo's records stand in files that a SIEM exports,
// and which do not.
//
// Start with [New]; add what Duo has by [Index.Add], then read files by [Index.Look],
// then ask for [Index.Result]. A record is found where its id and its own time stand in
// one line that is whole, and as often as there are lines for it: files may be lines of
// JSON, CEF, tables (CSV) or raw syslog, in any order and with duplicates. Records
// without an id are found by the externalId of their line of CEF, or by their members.
//
// Memory does not grow with the records, but for some bits of each: they are kept as
// rows of 44 bytes that are sorted, in temporary files where there are many. What a
// file says is never printed, and nothing of it but counts is kept. The package reads no
// clock and makes no call.
package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"dls/job/record"
)

// Wanted is one record that is looked for.
type Wanted struct {
	// ID is the record's id, "" where it has none.
	ID string
	// Time is the record's own time as Duo wrote it, and At that in milliseconds since
	// the epoch: -1 where it tells none.
	Time string
	At   int64
	// External is the externalId of the record's line of CEF where that is not ID.
	External string
	// Raw is the record, and Account the child account's id, or "": a record without an
	// id is known by its members.
	Raw     []byte
	Account string
	// Stream is the number of its stream, Page and Line say where its line is kept.
	Stream, Page, Line int
	// Doubtful tells that the record may be one that nobody has yet: where it is not
	// found it is not missing, but unproved.
	Doubtful bool
}

// Index is what is looked for. Add is safe for concurrent use, the rest is not.
type Index struct {
	temp Temp

	mu       sync.Mutex
	wanted   sorter
	observed sorter
	aliases  []alias
	counts   map[Day]*Count
	lines    lineReader
	timeless bool

	ready bool
	known filter
	hits  []hit
}

// alias is another key by which a record is found.
type alias struct{ key, of [16]byte }

// hit is what one line says of a record.
type hit struct {
	key   [16]byte
	exact uint64
	sure  bool
	id    string
}

// Day is one day of one stream: days since the epoch, [NoDay] where no time is told.
type Day struct{ Stream, Day int }

// NoDay is the day of records that tell no time.
const NoDay = -1

// Time returns when the day begins.
func (d Day) Time() time.Time { return time.Unix(int64(d.Day)*86400, 0).UTC() }

// Count is what there was of a day.
type Count struct {
	// AtDuo counts the records that Duo has, Found those of them that are in the files,
	// and Unproved those that are not, and doubtful.
	AtDuo, Found, Unproved int
}

// New returns an index without records. temp makes its temporary files.
func New(temp Temp) *Index {
	x := &Index{temp: temp, counts: map[Day]*Count{}}
	x.wanted = sorter{size: wantedSize, temp: temp}
	x.observed = sorter{size: observedSize, temp: temp}
	x.lines.accounts = map[string]bool{}
	return x
}

// Close takes the temporary files away.
func (x *Index) Close() { x.wanted.close(); x.observed.close() }

// The rows: a key, which is made of an id and the milliseconds of a time, a hash of
// the time's text, and of what is wanted the stream, the page, the line and the time.
const (
	observedSize = 16 + 8
	wantedSize   = observedSize + 3*4 + 8
)

// doubtful marks the stream of a record that is.
const doubtful = 1 << 31

// hashed is a key made of parts.
func hashed(kind byte, parts ...string) (key [16]byte) {
	var room [128]byte
	b := append(room[:0], kind)
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	copy(key[:], sum[:])
	return key
}

// timedKey is the key of a record with an id and a time, in milliseconds since the
// epoch; a negative one is none.
func timedKey(id []byte, ms int64) (key [16]byte) {
	var room [maxID + 16]byte
	b := append(room[:0], 'i')
	b = strconv.AppendInt(b, max(ms, -1), 10)
	b = append(b, ' ')
	b = append(b, id...)
	sum := sha256.Sum256(b)
	copy(key[:], sum[:])
	return key
}

func externalKey(id string) [16]byte { return hashed('x', id) }

func membersKey(m *memberSet) [16]byte { return hashed('m', m.text[:]...) }

// exactOf hashes the text of a time (FNV-1a). Its lowest bit tells that the text is of
// whole seconds, which stand for no more exact time.
func exactOf(text []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range text {
		h = (h ^ uint64(c)) * 1099511628211
	}
	h &^= 1
	if len(text) == 10 {
		h |= 1
	}
	return h
}

// Add adds a record.
func (x *Index) Add(w Wanted) error {
	var row [wantedSize]byte
	var key [16]byte
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ready {
		return errors.New("a record was added after files were read")
	}
	if w.Account != "" {
		x.lines.accounts[w.Account] = true
	}
	switch {
	case w.ID != "":
		key = timedKey([]byte(w.ID), w.At)
		if w.At >= 0 {
			binary.BigEndian.PutUint64(row[16:], exactOf([]byte(w.Time)))
		} else {
			x.timeless = true
		}
		plain := len(w.ID) >= minID && len(w.ID) <= maxID
		for i := 0; i < len(w.ID); i++ {
			plain = plain && isWord[w.ID[i]]
		}
		x.lines.lengths[min(len(w.ID), maxID)] = true
		x.lines.texts = x.lines.texts || !plain
	default:
		x.lines.members = true
		var m memberSet
		if _, err := record.Object(w.Raw, 0, func(name []byte, i int) (int, error) {
			end, err := record.Skip(w.Raw, i)
			if err == nil && w.Raw[i] != '{' && w.Raw[i] != '[' {
				m.putRaw(name, w.Raw[i:end])
			}
			return end, err
		}); err != nil {
			return err
		}
		m.put("child_account_id", w.Account)
		key = membersKey(&m)
	}
	if w.External != "" && w.External != w.ID {
		x.aliases = append(x.aliases, alias{externalKey(w.External), key})
		x.lines.lengths[min(len(w.External), maxID)] = true
	}
	copy(row[:], key[:])
	stream := uint32(w.Stream)
	if w.Doubtful {
		stream |= doubtful
	}
	binary.BigEndian.PutUint32(row[24:], stream)
	binary.BigEndian.PutUint32(row[28:], uint32(w.Page))
	binary.BigEndian.PutUint32(row[32:], uint32(w.Line))
	binary.BigEndian.PutUint64(row[36:], uint64(w.At))
	x.count(w.Stream, w.At).AtDuo++
	return x.wanted.add(row[:])
}

func (x *Index) count(stream int, at int64) *Count {
	d := Day{stream, NoDay}
	if at >= 0 {
		d.Day = int(at / 86_400_000)
	}
	c := x.counts[d]
	if c == nil {
		c = new(Count)
		x.counts[d] = c
	}
	return c
}

// prepare makes the index ready for lines.
func (x *Index) prepare() error {
	if x.ready {
		return nil
	}
	x.ready = true
	slices.SortFunc(x.aliases, func(a, b alias) int { return bytes.Compare(a.key[:], b.key[:]) })
	x.known = newFilter(2 * x.wanted.n)
	m := x.wanted.sorted()
	for row := m.peek(); row != nil; row = m.peek() {
		key := [16]byte(row)
		x.known.add(key, 0)
		x.known.add(key, cmp.Or(binary.BigEndian.Uint64(row[16:]), noTime))
		m.advance()
	}
	return m.err
}

// noTime stands in the filter for the text of a time that a key has none of: what is looked
// for by its key alone must be there twice, and is hardly ever taken for what it is not.
const noTime = 1 << 63

// keyed tells whether a record may be wanted that is found by its key alone.
func (x *Index) keyed(key [16]byte) bool { return x.known.has(key, 0) && x.known.has(key, noTime) }

// observe notes what a line says. A line stands for one record of a key; and for several
// records only where each of them is an object that stands in no text. It tells whether the
// line could be one of several, and stands for none.
func (x *Index) observe() (several bool, err error) {
	x.hits = x.hits[:0]
	lines := &x.lines
	outer, named := false, false
	for _, g := range lines.groups {
		if g.depth == 0 {
			outer = outer || g.exact
			named = named || g.id != nil
		}
	}
	for _, g := range lines.groups {
		switch {
		case outer && (g.depth > 0 || !g.exact), named && !outer && g.depth > 0 && !lines.named(g.id):
		case g.id == nil:
			if x.keyed(g.key) {
				x.hit(hit{g.key, 0, true, g.name()})
			}
		case g.exact:
			x.record(g.id, lines.owns[g.from:g.to])
		default:
			x.record(g.id, lines.owns, lines.times)
		}
	}
	if !outer && !named {
		for _, id := range lines.ids {
			x.record(id.text, lines.times)
		}
	}
	if !outer && !x.one(named) {
		return true, nil
	}
	for _, h := range x.hits {
		var row [observedSize]byte
		copy(row[:], h.key[:])
		binary.BigEndian.PutUint64(row[16:], h.exact)
		if err := x.observed.add(row[:]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// record notes a record of an id and one of the times; or of none, where such are wanted.
func (x *Index) record(id []byte, times ...[]instant) {
	found := false
	for _, list := range times {
		for _, t := range list {
			if key := timedKey(id, t.ms); x.known.has(key, 0) {
				exact := exactOf(t.text)
				x.hit(hit{key, exact, x.known.has(key, exact), string(id)})
				found = true
			}
		}
	}
	if x.timeless && !found {
		if key := timedKey(id, -1); x.keyed(key) {
			x.hit(hit{key, 0, true, string(id)})
		}
	}
	if len(x.aliases) == 0 {
		return
	}
	key := externalKey(string(id))
	i, ok := slices.BinarySearchFunc(x.aliases, key, func(a alias, key [16]byte) int { return bytes.Compare(a.key[:], key[:]) })
	if ok {
		x.hit(hit{x.aliases[i].of, 0, true, string(id)})
	}
}

// one leaves the hits of one id, if there is one: of those for which a time stands as Duo
// wrote it, or else of all. A record that stands in the line as it was delivered counts among
// the former, also where nobody looks for it: what else the line holds may be its texts.
func (x *Index) one(named bool) bool {
	if len(x.hits) == 0 {
		return true
	}
	id, sure := "", false
	take := func(other string, certain bool) bool {
		if id == "" || certain && !sure {
			id, sure = other, certain
		}
		return id == other || certain != sure
	}
	for _, g := range x.lines.groups {
		if g.exact && (!named || x.lines.named(g.id)) && !take(g.name(), true) {
			return false
		}
	}
	for _, h := range x.hits {
		if !take(h.id, h.sure) {
			return false
		}
	}
	x.hits = slices.DeleteFunc(x.hits, func(h hit) bool { return h.id != id })
	return true
}

// hit adds a hit of the line. Of the spellings of one time the one that Duo wrote
// counts.
func (x *Index) hit(h hit) {
	for i := range x.hits {
		if x.hits[i].key == h.key {
			if !x.hits[i].sure && h.sure {
				x.hits[i] = h
			}
			return
		}
	}
	x.hits = append(x.hits, h)
}

// Result is what came of looking.
type Result struct {
	// Days are the counts of each day of each stream that has any, in order.
	Days []Day
	// Counts are those of Days.
	Counts map[Day]*Count
	// AtDuo, Found, Unproved and Missing are the sums.
	AtDuo, Found, Unproved, Missing int

	missing sorter
}

// Close takes the temporary files away.
func (r *Result) Close() { r.missing.close() }

// Missing is a record that was not found: where its line is kept, and its time.
type Missing struct {
	Stream, Page, Line int
	At                 int64
}

// Each calls f with each record that is missing, those of a stream together and in the
// order in which Duo showed them.
func (r *Result) Each(f func(Missing) error) error {
	m := r.missing.sorted()
	for row := m.peek(); row != nil; row = m.peek() {
		one := Missing{
			int(binary.BigEndian.Uint32(row)), int(binary.BigEndian.Uint32(row[4:])),
			int(binary.BigEndian.Uint32(row[8:])), int64(binary.BigEndian.Uint64(row[12:])),
		}
		m.advance()
		if err := f(one); err != nil {
			return err
		}
	}
	return m.err
}

// Result tells what was found.
func (x *Index) Result() (*Result, error) {
	if err := x.prepare(); err != nil {
		return nil, err
	}
	r := &Result{Counts: x.counts, missing: sorter{size: wantedSize - observedSize, temp: x.temp}}
	if err := x.join(r); err != nil {
		r.Close()
		return nil, err
	}
	for d, c := range x.counts {
		r.Days = append(r.Days, d)
		r.AtDuo += c.AtDuo
		r.Found += c.Found
		r.Unproved += c.Unproved
	}
	r.Missing = r.AtDuo - r.Found - r.Unproved
	slices.SortFunc(r.Days, func(a, b Day) int { return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Day, b.Day)) })
	return r, nil
}

// join holds what is wanted against what was observed, key by key: both are sorted.
func (x *Index) join(r *Result) error {
	wanted, observed := x.wanted.sorted(), x.observed.sorted()
	for row := wanted.peek(); row != nil; row = wanted.peek() {
		key := [16]byte(row)
		for o := observed.peek(); o != nil && bytes.Compare(o[:16], key[:]) < 0; o = observed.peek() {
			observed.advance()
		}
		var seen []spelling
		for o := observed.peek(); o != nil && bytes.Equal(o[:16], key[:]); o = observed.peek() {
			exact := binary.BigEndian.Uint64(o[16:])
			if n := len(seen); n > 0 && seen[n-1].exact == exact {
				seen[n-1].n++
			} else {
				seen = append(seen, spelling{exact: exact, n: 1})
			}
			observed.advance()
		}
		if err := x.match(r, wanted, key, seen); err != nil {
			return err
		}
	}
	return cmp.Or(wanted.err, observed.err)
}

// spelling is how often a key was seen with one spelling of its time.
type spelling struct {
	exact uint64
	n     int
	own   bool // it is that of a record which is wanted
}

// match holds the records of one key against the lines that were seen for it. A line
// that has the time as Duo wrote it stands for a record with that text; one that has it
// in another form, as CEF does, for any of the key.
func (x *Index) match(r *Result, wanted *merge, key [16]byte, seen []spelling) error {
	var left [][wantedSize]byte
	for row := wanted.peek(); row != nil && bytes.Equal(row[:16], key[:]); row = wanted.peek() {
		exact := binary.BigEndian.Uint64(row[16:])
		i, ok := slices.BinarySearchFunc(seen, exact, func(s spelling, exact uint64) int { return cmp.Compare(s.exact, exact) })
		if ok {
			seen[i].own = true
		}
		switch {
		case ok && seen[i].n > 0:
			seen[i].n--
			x.found(row)
		case len(seen) == 0:
			if err := x.miss(r, row); err != nil {
				return err
			}
		default:
			left = append(left, [wantedSize]byte(row))
		}
		wanted.advance()
	}
	spare := 0
	for _, s := range seen {
		if !s.own && s.exact&1 == 0 {
			spare += s.n
		}
	}
	for i := range left {
		if i < spare {
			x.found(left[i][:])
		} else if err := x.miss(r, left[i][:]); err != nil {
			return err
		}
	}
	return nil
}

func (x *Index) found(row []byte) { x.countOf(row).Found++ }

func (x *Index) miss(r *Result, row []byte) error {
	if binary.BigEndian.Uint32(row[24:])&doubtful != 0 {
		x.countOf(row).Unproved++
		return nil
	}
	return r.missing.add(row[24:])
}

func (x *Index) countOf(row []byte) *Count {
	return x.count(int(binary.BigEndian.Uint32(row[24:])&^doubtful), int64(binary.BigEndian.Uint64(row[36:])))
}

// filter tells that a key is none of those added, but for one in a hundred (a Bloom
// filter): what it lets through is sorted out by join.
type filter struct{ bits []uint64 }

func newFilter(n int64) filter { return filter{make([]uint64, n*10/64+1)} }

func (f filter) places(key [16]byte, exact uint64, do func(word int, bit uint64) bool) bool {
	a := binary.LittleEndian.Uint64(key[:]) ^ exact*0x9e3779b97f4a7c15
	b := binary.LittleEndian.Uint64(key[8:]) ^ exact*0xbf58476d1ce4e5b9 | 1
	n := uint64(len(f.bits)) * 64
	for range 5 {
		at := a % n
		if !do(int(at/64), 1<<(at%64)) {
			return false
		}
		a += b
	}
	return true
}

func (f filter) add(key [16]byte, exact uint64) {
	f.places(key, exact, func(word int, bit uint64) bool { f.bits[word] |= bit; return true })
}

func (f filter) has(key [16]byte, exact uint64) bool {
	return f.places(key, exact, func(word int, bit uint64) bool { return f.bits[word]&bit != 0 })
}
