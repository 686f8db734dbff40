package job

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"dls/job/duo"
	"dls/job/record"
	"dls/state"
)

// desk is what a worker works with; the stream whose turn it is has the use of
// it. Its buffers grow to the size of a page and are used again.
type desk struct {
	answers [2]answer // one is worked on while the next is fetched
	turn    int
	page    page              // of the answer that is worked on
	marks   []state.Mark      // of the page's new records, one for each key
	count   map[state.Key]int // how many records without an id, of each key, the page holds
}

func newDesk() *desk { return &desk{count: map[state.Key]int{}} }

// answer returns the answers in turn.
func (d *desk) answer() *answer {
	d.turn = 1 - d.turn
	return &d.answers[d.turn]
}

// answer is what Duo says to a call.
type answer struct {
	body    []byte
	mintime int64  // from when on the call asked for records
	sought  string // an id that must be among the records, or ""
}

// mark notes the mark of a new record; one of a key that is noted already takes
// its place.
func (d *desk) mark(m state.Mark) {
	if m.Count > 1 {
		for i := range d.marks {
			if d.marks[i].Key == m.Key {
				d.marks[i].Count = m.Count
				return
			}
		}
	}
	d.marks = append(d.marks, m)
}

// page is one page: its records as lines, and what the answer says beside them.
type page struct {
	lines   []byte
	entries []entry
	next    string // Duo's cursor, or ""
	total   int    // how many records Duo says the segment has, or 0
	lastID  []byte // the first id of the last record, as JSON text
	found   bool   // a record has the id sought

	writer *record.Writer
	of     *stream // whose records writer writes
}

// entry is one record of a page.
type entry struct {
	end     int   // where its line ends; it begins where the one before ends
	at      int64 // its time in milliseconds since the epoch, or -1 when it tells none that can be read
	key     state.Key
	counted bool // it has no id: equal ones are told apart by counting them
	odd     bool // at cannot be its time: it is not in the segment that was asked for
}

// read takes an answer apart and writes its records as the stream's lines.
func (p *page) read(s *stream, a *answer) (err error) {
	p.lines, p.entries, p.lastID, p.found = p.lines[:0], p.entries[:0], p.lastID[:0], false
	if p.of != s {
		p.writer, p.of = record.NewWriter(s.fields, s.extra...), s
	}
	p.next, p.total, err = duo.ReadPage(s.row, a.body, func(i int) (end int, err error) {
		if p.lines, end, err = s.append(p.writer, p.lines, a.body, i); err != nil {
			return 0, fmt.Errorf("record %d: %w", len(p.entries)+1, err)
		}
		fields := &p.writer.Fields
		at := s.time(fields)
		key, counted := s.key(fields, a.body[i:end], at)
		p.entries = append(p.entries, entry{end: len(p.lines), at: at, key: key, counted: counted})
		p.lastID = append(p.lastID[:0], fields.Values[0]...)
		if a.sought != "" && record.Text(fields.Values[0]) == a.sought {
			p.found = true
		}
		return end, nil
	})
	return err
}

// cursor is the cursor that Duo would make of the last record, or "" where the
// record does not tell it: a time outside the segment would lead past others.
func (p *page) cursor(of segment) string {
	if len(p.entries) == 0 || len(p.of.row.ID) == 0 {
		return ""
	}
	at, id := p.entries[len(p.entries)-1].at, record.Text(p.lastID)
	if at < of.min || at > of.max || id == "" {
		return ""
	}
	return strconv.FormatInt(at, 10) + "," + id
}

// ascending tells whether the records are in the order of their time, odd ones
// left out.
func (p *page) ascending() bool {
	last := int64(-1)
	for _, e := range p.entries {
		if !e.odd {
			if e.at < last {
				return false
			}
			last = e.at
		}
	}
	return true
}

// begins is the time of the first record that is not odd, or -1.
func (p *page) begins() int64 {
	for _, e := range p.entries {
		if !e.odd {
			return e.at
		}
	}
	return -1
}

// append appends the line of the record at body[i] and fills in the fields of w.
func (s *stream) append(w *record.Writer, dst, body []byte, i int) (line []byte, end int, err error) {
	if s.run.cef == nil {
		return w.Append(dst, body, i)
	}
	if end, err = record.Scan(body, i, &w.Fields); err != nil {
		return dst, 0, err
	}
	line, err = s.run.cef.Append(dst, s.mapping, body[i:end], s.id.Account)
	return line, end, err
}

// The fields of a record that a stream looks at are its row's ids, and then its
// times.

// time is the record's time in milliseconds since the epoch, cut to the unit of
// mintime; -1 when it tells none that can be read.
func (s *stream) time(f *record.Fields) int64 {
	for k := range s.row.Times {
		if t, ok := record.Time(f.Values[len(s.row.ID)+k], s.row.TimeUnit.Duration()); ok {
			ms := t.UnixMilli()
			return ms - ms%s.unit()
		}
	}
	return -1
}

// key is what tells a record from all others: its ids and its time. Where it has
// no id it is all of the record, and counted: two such records may be equal.
func (s *stream) key(f *record.Fields, raw []byte, at int64) (key state.Key, counted bool) {
	if len(s.row.ID) == 0 || record.Empty(f.Values[0]) {
		return state.NewKey(raw), true
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at))
	if len(s.row.ID) == 1 {
		return state.NewKey(f.Values[0], ms[:]), false
	}
	return state.NewKey(f.Values[0], f.Values[1], ms[:]), false
}
