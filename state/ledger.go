package state

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"math/bits"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"dls/state/internal/steps"
	"dls/state/safefile"
)

// LedgerFile is the name of the stream's ledger.
func (id ID) LedgerFile() string {
	if id.Account == "" {
		return id.Endpoint + "_ledger.bin"
	}
	return id.Endpoint + "_ledger_" + id.Account + ".bin"
}

// hourMillis is an hour in milliseconds.
const hourMillis = 3_600_000

// NoHour is the hour of records that tell no time.
const NoHour = -1

// HourOf is the hour of a time in milliseconds since the epoch; of a negative one
// [NoHour].
func HourOf(ms int64) int64 {
	if ms < 0 {
		return NoHour
	}
	return ms / hourMillis
}

// Sum is a set of records without their order: how many, and the sum of their keys. Its
// zero value is the empty set.
type Sum struct {
	Count  int64
	Hi, Lo uint64
}

// Add adds another set, which has no record in common with s.
func (s *Sum) Add(o Sum) {
	var carry uint64
	s.Count += o.Count
	s.Lo, carry = bits.Add64(s.Lo, o.Lo, 0)
	s.Hi, _ = bits.Add64(s.Hi, o.Hi, carry)
}

// Less returns what is to be added to o for it to be s.
func (s Sum) Less(o Sum) Sum {
	lo, borrow := bits.Sub64(s.Lo, o.Lo, 0)
	hi, _ := bits.Sub64(s.Hi, o.Hi, borrow)
	return Sum{s.Count - o.Count, hi, lo}
}

// One is the set of one record: that of a key, and of equal ones without an id that of
// the count.
func One(key Key, count int) Sum {
	if count > 1 {
		key = NewKey(key[:], strconv.AppendInt(nil, int64(count), 10))
	}
	return Sum{1, binary.BigEndian.Uint64(key[:]), binary.BigEndian.Uint64(key[8:])}
}

// Print is the short form by which the ledger knows single records.
func (s Sum) Print() uint64 { return s.Hi ^ s.Lo }

// Hour is what was delivered of the records of one hour.
type Hour struct {
	// Hour is the hour of the records' own time, since the epoch, or [NoHour].
	Hour int64
	Sum
	// Prints are those of single records, where they are kept: of all of the hour's
	// when there are as many as Count.
	Prints []uint64
}

// Tally is what was delivered, by the hour. Its zero value is empty.
type Tally []Hour

// Add adds a record; its print, too, where prints are kept, and where it has no hour:
// one whose text tells a time that has not come yet is looked for by its print then.
func (t *Tally) Add(hour int64, one Sum, print bool) {
	h := t.hour(hour)
	h.Sum.Add(one)
	if print || hour == NoHour {
		h.Prints = append(h.Prints, one.Print())
	}
}

// Merge adds what another tally has.
func (t *Tally) Merge(o Tally) {
	for _, h := range o {
		own := t.hour(h.Hour)
		own.Sum.Add(h.Sum)
		own.Prints = append(own.Prints, h.Prints...)
	}
}

// hour returns the hour, made if need be. It is valid until the next one is made.
func (t *Tally) hour(hour int64) *Hour {
	for i := len(*t) - 1; i >= 0; i-- {
		if (*t)[i].Hour == hour {
			return &(*t)[i]
		}
	}
	*t = append(*t, Hour{Hour: hour})
	return &(*t)[len(*t)-1]
}

// Clone returns a copy that shares nothing with t.
func (t Tally) Clone() Tally {
	c := slices.Clone(t)
	for i := range c {
		c[i].Prints = slices.Clone(c[i].Prints)
	}
	return c
}

// Ledger is the part of a stream's ledger that its checkpoint carries: the file beside
// counts up to Length, whatever a crash has left behind that, and Open is what is not in
// the file yet. Both together are what was delivered since Since.
type Ledger struct {
	// Since is the time, in milliseconds since the epoch and a whole hour, from which on
	// the ledger knows; 0: there is none.
	Since int64
	// Length is how many bytes of the file count.
	Length int64
	// Open are the hours whose records are not in the file yet.
	Open Tally
	// Pass is how far the daily audit has come.
	Pass Pass
}

// Pass is one pass of the daily audit over a stream. Times are in milliseconds since the
// epoch; those of records are whole hours.
type Pass struct {
	// From, Next and End are where the pass begins, goes on and ends. Next is 0 when it is
	// over, and all are before the first.
	From int64 `json:"from"`
	Next int64 `json:"next,omitempty"`
	End  int64 `json:"end"`
	// Found counts the records that the pass under way has found missing, and that could
	// not be told from others.
	Found int `json:"found,omitempty"`
	// At is when the last pass was over, and Missing what Found was then.
	At      int64 `json:"at,omitempty"`
	Missing int   `json:"missing,omitempty"`
}

// dayMillis is a day in milliseconds.
const dayMillis = 24 * hourMillis

// Begin returns the pass that is under way, or begins one where the last one was over on
// another day, in UTC, than now; else open is false. A ledger knows since then; due is
// the hour up to which everything is delivered. A pass looks at the day before the last
// one's end once more: what came late. One that was left for so long that Duo no longer
// keeps what it was to look at goes on with what is kept.
func (p Pass) Begin(since, due int64, now time.Time) (_ Pass, open bool) {
	if p.Next != 0 {
		if p.Next = max(p.Next, due-Retention); p.Next < p.End {
			return p, true
		}
		p.Next = 0
	}
	if p.At != 0 && p.At/dayMillis >= now.UnixMilli()/dayMillis {
		return p, false
	}
	from := due - dayMillis
	if p.End != 0 {
		from = p.End - dayMillis
	}
	p.From, p.End, p.Found = max(from, since, due-Retention), due, 0
	p.Next = p.From
	return p, p.Next < p.End
}

// Retention is for how long an audit looks back at the most, in milliseconds: Duo keeps
// records for a day more.
const Retention = 179 * dayMillis

// Reach returns the pass after it has come to a time; lost is what it found on the way.
func (p Pass) Reach(to int64, lost int, now time.Time) Pass {
	p.Next = to
	p.Found += lost
	if to >= p.End {
		p.Next, p.At, p.Missing, p.Found = 0, now.UnixMilli(), p.Found, 0
	}
	return p
}

// Last tells when the last pass was over, the zero time for none, and what it missed.
func (p Pass) Last() (at time.Time, missing int) {
	if p.At == 0 {
		return time.Time{}, 0
	}
	return time.UnixMilli(p.At).UTC(), p.Missing
}

// Begin begins the ledger of a stream that has none: it knows of the hours after the
// time, in milliseconds since the epoch.
func (l *Ledger) Begin(after int64) {
	if l.Since == 0 {
		*l = Ledger{Since: max((after+hourMillis-1)/hourMillis*hourMillis, hourMillis)}
	}
}

// Add adds what was delivered; what lies before Since is left out.
func (l *Ledger) Add(t Tally) {
	for _, h := range t {
		if l.Since != 0 && (h.Hour == NoHour || h.Hour >= l.Since/hourMillis) {
			l.Open.Merge(Tally{h})
		}
	}
}

// clone returns a copy that shares nothing with l.
func (l *Ledger) clone() Ledger { return Ledger{l.Since, l.Length, l.Open.Clone(), l.Pass} }

// ErrLedger is a ledger's file that is not what its checkpoint says.
var ErrLedger = errors.New("the ledger is not what its checkpoint says")

// Ledgers keeps the files of ledgers.
type Ledgers interface {
	// AppendLedger writes data behind the first at bytes of the file that count. When it
	// returns nil, a crash does not undo it. [ErrLedger] tells that there are not as many.
	AppendLedger(id ID, at int64, data []byte) error
	// ReadLedger returns the first n bytes that count, or what they were made into.
	ReadLedger(id ID, n int64) ([]byte, error)
}

// Close puts the hours that end before the time, in milliseconds since the epoch, from
// the checkpoint into the file. The checkpoint must be saved next: until then the file
// counts as before. A file that is lost begins anew, behind what is delivered up to until;
// knows is then the time from which on the ledger knows, else 0. An error leaves the
// ledger as it is.
func (l *Ledger) Close(files Ledgers, id ID, before, until int64) (knows int64, err error) {
	var data []byte
	var open Tally
	for _, h := range l.Open {
		if h.Hour != NoHour && (h.Hour+1)*hourMillis > before {
			open = append(open, h)
			continue
		}
		data = h.append(data)
	}
	if len(data) == 0 {
		return 0, nil
	}
	err = files.AppendLedger(id, l.Length, data)
	if errors.Is(err, ErrLedger) {
		// What the file held is not known any more.
		newest := HourOf(until) + 1
		for _, h := range l.Open {
			newest = max(newest, h.Hour+1)
		}
		*l = Ledger{Since: newest * hourMillis, Pass: l.Pass}
		return l.Since, nil
	}
	if err != nil {
		return 0, err
	}
	l.Length += int64(len(data))
	l.Open = open
	return 0, nil
}

// Read returns what was delivered, by the hour, in order. Prints tells which hours'
// prints are wanted.
func (l *Ledger) Read(files Ledgers, id ID, prints func(hour int64) bool) (Tally, error) {
	var all Tally
	if l.Length > 0 {
		data, err := files.ReadLedger(id, l.Length)
		if err != nil {
			return nil, err
		}
		if all, err = parseLedger(data, prints); err != nil {
			return nil, fmt.Errorf("read ledger %q: %w", id.LedgerFile(), err)
		}
	}
	for _, h := range l.Open.Clone() {
		if !prints(h.Hour) {
			h.Prints = nil
		}
		all = append(all, h)
	}
	return mergedTally(all), nil
}

// mergedTally makes one of the entries of each hour.
func mergedTally(all Tally) Tally {
	slices.SortStableFunc(all, func(a, b Hour) int { return int(max(min(a.Hour-b.Hour, 1), -1)) })
	n := 0
	for i, h := range all {
		if i > 0 && n > 0 && all[n-1].Hour == h.Hour {
			all[n-1].Sum.Add(h.Sum)
			all[n-1].Prints = append(all[n-1].Prints, h.Prints...)
			continue
		}
		all[n] = h
		n++
	}
	return all[:n]
}

// An entry is the hour, the count, the sum, the number of prints, a checksum, and the
// prints.
const (
	entrySize = 4 + 4 + 16 + 4 + 4
	noHour    = math.MaxUint32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// append appends the entry.
func (h Hour) append(b []byte) []byte {
	at := len(b)
	hour := uint32(noHour)
	if h.Hour >= 0 {
		hour = uint32(h.Hour)
	}
	b = binary.BigEndian.AppendUint32(b, hour)
	b = binary.BigEndian.AppendUint32(b, uint32(int32(h.Count)))
	b = binary.BigEndian.AppendUint64(b, h.Hi)
	b = binary.BigEndian.AppendUint64(b, h.Lo)
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.Prints)))
	check := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, p := range h.Prints {
		b = binary.BigEndian.AppendUint64(b, p)
	}
	binary.BigEndian.PutUint32(b[check:], entrySum(b[at:]))
	return b
}

func entrySum(e []byte) uint32 {
	return crc32.Update(crc32.Checksum(e[:entrySize-4], castagnoli), castagnoli, e[entrySize:])
}

// parseLedger reads entries.
func parseLedger(data []byte, prints func(hour int64) bool) (Tally, error) {
	var all Tally
	for len(data) > 0 {
		if len(data) < entrySize {
			return nil, ErrLedger
		}
		n := int64(binary.BigEndian.Uint32(data[24:]))
		if n*8 > int64(len(data)-entrySize) {
			return nil, ErrLedger
		}
		e := data[:entrySize+n*8]
		data = data[len(e):]
		if entrySum(e) != binary.BigEndian.Uint32(e[entrySize-4:]) {
			return nil, ErrLedger
		}
		h := Hour{Hour: int64(binary.BigEndian.Uint32(e)), Sum: Sum{
			int64(int32(binary.BigEndian.Uint32(e[4:]))), binary.BigEndian.Uint64(e[8:]), binary.BigEndian.Uint64(e[16:]),
		}}
		if h.Hour == noHour {
			h.Hour = NoHour
		}
		if n > 0 && prints(h.Hour) {
			h.Prints = make([]uint64, n)
			for i := range h.Prints {
				h.Prints[i] = binary.BigEndian.Uint64(e[entrySize+8*i:])
			}
		}
		all = append(all, h)
		if len(all) > 1<<16 {
			all = mergedTally(all) // a day has a few entries more than hours
		}
	}
	return mergedTally(all), nil
}

// How long the ledger keeps what it knows, in hours before the newest one: a day more
// than Duo keeps records, and single records for as long as they may come late.
const (
	keepHours  = 181 * 24
	keepPrints = 96
	maxPrints  = 2 << 20
)

// compacted is the entries without what is too old, one an hour.
func compacted(data []byte) ([]byte, error) {
	all, err := parseLedger(data, func(int64) bool { return true })
	if err != nil {
		return nil, err
	}
	newest := int64(0)
	for _, h := range all {
		newest = max(newest, h.Hour)
	}
	room := maxPrints
	for i := len(all) - 1; i >= 0; i-- {
		h := &all[i]
		if h.Hour != NoHour && h.Hour < newest-keepPrints || int64(len(h.Prints)) != h.Count || len(h.Prints) > room {
			h.Prints = nil
		}
		room -= len(h.Prints)
	}
	var b []byte
	for _, h := range all {
		if h.Hour == NoHour || h.Hour >= newest-keepHours {
			b = h.append(b)
		}
	}
	return b, nil
}

// A ledger's file begins with a mark, whose it is, how many bytes that counted are no
// longer there, since they were made into fewer, and how long it was then.
const (
	ledgerMark   = "dlsLedg1"
	ledgerHeader = 8 + 16 + 8 + 8
	maxLedger    = 64 << 20
)

// ledgerHead is a file's beginning.
type ledgerHead struct{ gone, live int64 }

func (h ledgerHead) append(b []byte, id ID) []byte {
	owner := NewKey([]byte(id.IKey), []byte(id.Endpoint), []byte(id.Account))
	b = append(append(b, ledgerMark...), owner[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.gone))
	return binary.BigEndian.AppendUint64(b, uint64(h.live))
}

func (h *ledgerHead) parse(b []byte, id ID) error {
	owner := NewKey([]byte(id.IKey), []byte(id.Endpoint), []byte(id.Account))
	if len(b) < ledgerHeader || string(b[:8]) != ledgerMark || string(b[8:24]) != string(owner[:]) {
		return ErrLedger
	}
	h.gone, h.live = int64(binary.BigEndian.Uint64(b[24:])), int64(binary.BigEndian.Uint64(b[32:]))
	return nil
}

// AppendLedger implements [Ledgers].
func (d *Dir) AppendLedger(id ID, at int64, data []byte) error {
	err := d.appendLedger(id, at, data)
	if err != nil && !errors.Is(err, ErrLedger) {
		err = fmt.Errorf("write ledger %q: %w", d.Path(id.LedgerFile()), safefile.Cause(err))
	}
	return err
}

func (d *Dir) appendLedger(id ID, at int64, data []byte) error {
	if err := steps.Before(d.path, "ledger"); err != nil {
		return err
	}
	flags := os.O_RDWR
	if at == 0 { // what is there belongs to a checkpoint that is gone
		flags |= os.O_CREATE
	}
	f, err := d.dir.OpenFile(id.LedgerFile(), flags)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ErrLedger
	case err != nil:
		return err
	}
	defer f.Close()
	if at == 0 {
		return d.writeLedger(f, 0, newLedger(id, data))
	}
	room := make([]byte, ledgerHeader)
	if _, err := f.ReadAt(room, 0); err != nil {
		return ErrLedger
	}
	var head ledgerHead
	if err := head.parse(room, id); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := ledgerHeader + at - head.gone
	if end < ledgerHeader || info.Size() < end {
		return ErrLedger
	}
	if head.grown(end) {
		f.Close()
		whole, _, err := d.dir.Read(id.LedgerFile(), maxLedger)
		if err == nil {
			whole, err = ExtendLedger(whole, id, at, data)
		}
		if err != nil {
			return err
		}
		return d.replace(id.LedgerFile(), whole)
	}
	return d.writeLedger(f, end, data)
}

// writeLedger writes data at the end of what counts, and takes away what a crash has left
// behind it. The directory is synced with the checkpoint.
func (d *Dir) writeLedger(f *os.File, end int64, data []byte) error {
	if err := steps.Before(d.path, "ledger write"); err != nil {
		return err
	}
	if _, err := f.WriteAt(data, end); err != nil {
		return err
	}
	if err := f.Truncate(end + int64(len(data))); err != nil {
		return err
	}
	if err := steps.Before(d.path, "ledger sync"); err != nil {
		return err
	}
	return f.Sync()
}

// ReadLedger implements [Ledgers].
func (d *Dir) ReadLedger(id ID, n int64) ([]byte, error) {
	b, err := d.readLedger(id, n)
	if err != nil {
		err = fmt.Errorf("read ledger %q: %w", d.Path(id.LedgerFile()), err)
	}
	return b, err
}

func (d *Dir) readLedger(id ID, n int64) ([]byte, error) {
	b, _, err := d.dir.Read(id.LedgerFile(), maxLedger)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("it is not there: %w", ErrLedger)
	}
	if err != nil {
		return nil, err
	}
	return LedgerEntries(b, id, n)
}

// newLedger is a file of these entries.
func newLedger(id ID, data []byte) []byte { return append(ledgerHead{}.append(nil, id), data...) }

// grown tells whether the entries up to end, where they end in the file, are worth
// making into fewer.
func (h ledgerHead) grown(end int64) bool { return end-ledgerHeader > 2*h.live+64<<10 }

// LedgerEntries returns the first n bytes that count of a ledger's file, or what they
// were made into. The error is [ErrLedger].
func LedgerEntries(file []byte, id ID, n int64) ([]byte, error) {
	var head ledgerHead
	if err := head.parse(file, id); err != nil {
		return nil, err
	}
	end := ledgerHeader + n - head.gone
	if end < ledgerHeader || int64(len(file)) < end {
		return nil, ErrLedger
	}
	return file[ledgerHeader:end], nil
}

// ExtendLedger returns a ledger's file with data behind its first at bytes that count.
// What is old is left out where that is worth it. file is nil where there is none. The
// error is [ErrLedger].
func ExtendLedger(file []byte, id ID, at int64, data []byte) ([]byte, error) {
	if at == 0 {
		return newLedger(id, data), nil
	}
	entries, err := LedgerEntries(file, id, at)
	if err != nil {
		return nil, err
	}
	var head ledgerHead
	if err := head.parse(file, id); err != nil {
		return nil, err
	}
	if head.grown(ledgerHeader + int64(len(entries))) {
		if entries, err = compacted(entries); err != nil {
			return nil, err
		}
		n := int64(len(entries))
		head = ledgerHead{gone: at - n, live: n}
	}
	return append(append(head.append(nil, id), entries...), data...), nil
}

// MarshalText writes an open hour as it stands in a checkpoint: "hour count sum", and
// the prints.
func (h Hour) MarshalText() ([]byte, error) {
	b := strconv.AppendInt(nil, h.Hour, 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, h.Count, 10)
	b = append(b, ' ')
	raw := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, h.Hi), h.Lo)
	for _, p := range h.Prints {
		raw = binary.BigEndian.AppendUint64(raw, p)
	}
	return base64.RawURLEncoding.AppendEncode(b, raw), nil
}

// UnmarshalText reads what MarshalText wrote.
func (h *Hour) UnmarshalText(b []byte) error {
	parts := strings.Split(string(b), " ")
	wrong := errors.New("an hour of the ledger is damaged")
	if len(parts) != 3 {
		return wrong
	}
	var err error
	if h.Hour, err = strconv.ParseInt(parts[0], 10, 33); err != nil || h.Hour < NoHour {
		return wrong
	}
	if h.Count, err = strconv.ParseInt(parts[1], 10, 32); err != nil {
		return wrong
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(raw) < 16 || len(raw)%8 != 0 {
		return wrong
	}
	h.Hi, h.Lo = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
	h.Prints = nil
	for raw = raw[16:]; len(raw) > 0; raw = raw[8:] {
		h.Prints = append(h.Prints, binary.BigEndian.Uint64(raw))
	}
	return nil
}
