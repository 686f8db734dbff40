package job

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"dls/cef"
	"dls/job/duo"
	"dls/job/feed"
	"dls/job/record"
	"dls/job/window"
	"dls/state"
)

// slot is what a worker works with; the stream that has it has the use of its
// buffers, which grow to the size of a page and are used again.
type slot struct {
	feed.Buffers
	page page
	of   *stream // that has it, or had it last
}

// trim gives back what an uncommonly large page has left behind: the next one may be
// long in coming. The slot is that of l's stream from now on.
func (s *slot) trim(l *lines) {
	if s.Trim() || cap(s.page.bytes) > feed.Kept {
		s.page = page{}
	}
	s.page.use(l)
}

// Reset and Read implement [feed.Reader].
func (s *stream) Reset(call window.Call) { s.slot.page.reset(call) }

func (s *stream) Read(body []byte, i int) (end int, err error) { return s.slot.page.read(body, i) }

// page is one page: its records as lines, and what is known of them.
type page struct {
	call    window.Call
	of      *lines // of the stream whose records they are
	writer  *record.Writer
	bytes   []byte // the lines of records that are to be delivered, after dedupe
	entries []entry
	sought  bool // a record has the id that the stream seeks
	marks   []state.Mark
	times   []int64     // of the records to be delivered, for their receivers
	owns    []int64     // the first time that each of them tells, or -1
	lows    []int64     // for an audit: the times between which
	highs   []int64     // Duo has each of them
	news    []bool      // that each of them is no new version of a known one
	tally   state.Tally // of the records to be delivered, but for new versions of known ones
	raws    [][]byte    // the records to be delivered as Duo wrote them, for an audit
	facts   window.Page
	bounds  window.Span // between which Duo has its records, whatever they tell
	changed int         // how many of them are new versions of known records
	untimed int         // how many of them tell no time that could be theirs
	longest int         // the length of the longest line to be delivered, without its newline
}

// maxRecords is how many records a page may have: fifty of Duo's largest. What is kept of
// a record takes more memory than a small one itself.
const maxRecords = 50_000

// entry is one record of a page.
type entry struct {
	end  int // where its line ends; it begins where the one before ends
	told [4]int64
	id   state.Ident
	raw  []byte // valid as long as the answer that it lies in
}

func (p *page) reset(call window.Call) {
	p.call, p.bytes, p.entries, p.sought = call, p.bytes[:0], p.entries[:0], false
}

// use makes the page that of a stream.
func (p *page) use(l *lines) {
	if p.of != l {
		p.of, p.writer = l, record.NewWriter(l.fields, l.extra...)
	}
}

// read takes the record at body[i] and writes its line.
func (p *page) read(body []byte, i int) (end int, err error) {
	if len(p.entries) == maxRecords {
		return 0, fmt.Errorf("it has more than %d records", maxRecords)
	}
	if room := len(body) + len(body)/8; len(p.entries) == 0 && cap(p.bytes) < room {
		p.bytes = make([]byte, 0, room) // in one piece: to grow bit by bit takes as much once more
	}
	if p.bytes, end, err = p.of.append(p.writer, p.bytes, body, i); err != nil {
		return 0, fmt.Errorf("record %d: %w", len(p.entries)+1, err)
	}
	fields := &p.writer.Fields
	e := entry{end: len(p.bytes), raw: body[i:end]}
	e.told = p.of.times(fields)
	e.id = p.of.ident(fields, body[i:end], e.told)
	p.sought = p.sought || p.of.sought != "" && record.Text(fields.Values[0]) == p.of.sought
	p.entries = append(p.entries, e)
	return end, nil
}

// lines is how a stream's records become lines, and what is looked at in them.
type lines struct {
	endpoint *duo.Endpoint
	fields   []string // the members of a record that are looked at: ids, then times
	extra    []record.Extra
	cef      *cef.Formatter // nil where lines are JSON
	mapping  *cef.Mapping
	account  string
	sought   string // an id that is looked for, or ""

	delivered *state.Delivered // makes the digests
}

// append appends the line of the record at body[i] and fills in the fields of w.
func (l *lines) append(w *record.Writer, dst, body []byte, i int) (line []byte, end int, err error) {
	if l.cef == nil {
		return w.Append(dst, body, i)
	}
	if end, err = record.Scan(body, i, &w.Fields); err != nil {
		return dst, 0, err
	}
	line, err = l.cef.Append(dst, l.mapping, body[i:end], l.account)
	return line, end, err
}

// times are the times that a record tells, in milliseconds since the epoch, in the
// order of the row's fields; -1 where one tells none.
func (l *lines) times(f *record.Fields) (told [4]int64) {
	for k := range told {
		told[k] = -1
		if k >= len(l.endpoint.Times) {
			continue
		}
		if t, ok := record.Time(f.Values[len(l.endpoint.ID)+k], l.endpoint.TimeUnit.Duration()); ok {
			told[k] = t.UnixMilli()
		}
	}
	return told
}

// ident is what tells a record from all others: its ids and the first time that it
// tells, and its bytes. Where it has no id it is all of the record, and counted: two
// such records may be equal.
func (l *lines) ident(f *record.Fields, raw []byte, told [4]int64) state.Ident {
	if len(l.endpoint.ID) == 0 || record.Empty(f.Values[0]) {
		return state.Ident{Key: state.NewKey(raw), Counted: true}
	}
	at := int64(-1)
	for _, t := range told {
		if t >= 0 {
			at = t - t%l.endpoint.AskUnit.Duration().Milliseconds()
			break
		}
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at))
	id := state.Ident{Digest: l.delivered.Digest(raw)}
	if len(l.endpoint.ID) == 1 {
		id.Key = state.NewKey(f.Values[0], ms[:])
	} else {
		id.Key = state.NewKey(f.Values[0], f.Values[1], ms[:])
	}
	return id
}

// believed is the time, of whole units, that a record's position may be judged by: the
// first one told that lies in the span; else the first one told, or -1.
func (e *entry) believed(span window.Span, unit int64) (at int64, within bool) {
	at = -1
	for _, t := range e.told {
		if t < 0 {
			continue
		}
		t -= t % unit
		if span.Min <= t && t <= span.Max {
			return t, true
		}
		if at < 0 {
			at = t
		}
	}
	return at, false
}

// own is the first time that the record tells, or -1.
func (e *entry) own() int64 {
	for _, t := range e.told {
		if t >= 0 {
			return t
		}
	}
	return -1
}

// dedupe takes the lines of records that are delivered already, or on their way, out
// of the page, and makes the marks of the others. They are known to the reading from
// now on; if their delivery fails, the reading is dropped.
func (s *stream) dedupe(w *window.Window, meta duo.Meta) *page {
	p, r := &s.slot.page, s.reading
	if p.call.Cursor == "" {
		r.Again()
	}
	span, unit, newest := w.Span(), s.unit(), w.Newest()
	p.marks, p.times, p.raws, p.owns, p.news = p.marks[:0], p.times[:0], p.raws[:0], p.owns[:0], p.news[:0]
	p.tally, p.changed, p.untimed, p.longest = nil, 0, 0, 0
	p.facts = window.Page{
		Times: p.facts.Times[:0], Repeated: true,
		RememberedSince: s.cp.Delivered.RememberedSince(), Cursor: meta.Cursor, Unreadable: meta.Unreadable, Total: meta.Total,
	}
	running, latest := w.Bounds(p.facts)
	p.bounds = window.Span{Min: running, Max: latest}
	ahead := state.HourOf(time.Now().Add((aheadHours - 1) * time.Hour).UnixMilli())
	start, kept, behind, unwanted := 0, 0, s.behind(span), 0
	for i := range p.entries {
		e := &p.entries[i]
		line := p.bytes[start:e.end]
		start = e.end
		at, within := e.believed(span, unit)
		newer := s.endpoint.Cursor == duo.Mintime && at > span.Max
		p.facts.Times = append(p.facts.Times, at)
		// A mark is kept for as long as Duo may show its record again: a text that reads
		// earlier than the record before it is not believed, nor one beyond the page.
		until := latest
		if within && at <= latest && s.endpoint.Cursor != duo.Offset {
			running = max(running, at)
			until = running
		} else if within {
			until = at
		} else if newer {
			until = min(at, time.Now().Add(window.Skew).UnixMilli()) // a run may be long
		}
		p.facts.Newest = p.facts.Newest || e.id.Key == newest
		p.facts.Last = e.id.Key
		if newer && i >= behind {
			unwanted++ // a page that shows records of the span behind it delivers it
			continue
		}
		verdict, count, shown := r.Judge(e.id)
		p.facts.Repeated = p.facts.Repeated && shown
		if verdict == state.Known {
			continue
		}
		if verdict == state.Changed {
			p.changed++
		}
		if within && at < p.facts.RememberedSince {
			p.facts.Forgotten++
		}
		if !within && !newer {
			p.untimed++
		}
		if kept < e.end-len(line) { // lines before this one were taken out
			copy(p.bytes[kept:], line)
		}
		kept += len(line)
		p.longest = max(p.longest, len(line)-1)
		p.marks = append(p.marks, state.Mark{At: until, Key: e.id.Key, Digest: e.id.Digest, Count: count})
		p.times = append(p.times, at)
		p.raws = append(p.raws, e.raw)
		own := e.own()
		p.owns = append(p.owns, own)
		p.news = append(p.news, verdict == state.New)
		if verdict == state.New {
			hour := state.HourOf(own)
			if hour > ahead { // else the ledger would take that for the present
				hour = state.NoHour
			}
			p.tally.Add(hour, state.One(e.id.Key, count), s.run.cfg.Audit)
		}
	}
	p.bytes = p.bytes[:kept]
	p.facts.Fresh = len(p.marks)
	s.result.Fetched += len(p.entries) - unwanted
	s.result.Already += len(p.entries) - unwanted - len(p.marks)
	return p
}

// behind is the index from which on records of a page that tell a later time than the span
// are not wanted. A run delivers them, since the next one would have to. Of a pull with an
// end they are those behind the last record that tells a time of the span, since Duo's
// order is that of time: what only one text tells takes nothing away before it.
func (s *stream) behind(span window.Span) int {
	entries := s.slot.page.entries
	if !s.run.bounded {
		return len(entries)
	}
	for i, e := range slices.Backward(entries) {
		if _, within := e.believed(span, s.unit()); within {
			return i + 1
		}
	}
	return 0
}

// since is the time before which delivered records need not be remembered once the
// progress counts.
func (s *stream) since(p state.Progress) int64 {
	return p.DeliveredUntil - s.run.cfg.Overlap.Milliseconds()
}
