package duosim

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"slices"
	"sort"
	"sync"
	"time"
)

// Delay is how long Duo withholds a record after its event.
const Delay = 2 * time.Minute

// Record is one record of a log.
type Record struct {
	// At is the time of the event: surfaced_timestamp for Trust Monitor.
	At time.Time
	// ID is the record's id: txid, telephony_id, activity_id or sekey. Records
	// of the administrator log have none.
	ID string
	// VisibleAt is when the record appears. Zero is At plus Delay; a later time
	// makes a late record, which appears behind the cursors given out since.
	VisibleAt time.Time
	// Raw is the record's JSON. It is sent as it is, and not changed.
	Raw []byte
}

func (r Record) visibleAt() time.Time {
	if r.VisibleAt.IsZero() {
		return r.At.Add(Delay)
	}
	return r.VisibleAt
}

// Add adds records to an endpoint of an account, in any order. The Raw of the
// records must not be changed afterwards. It panics when the account or endpoint
// is unknown, or has a Backlog: the two cannot be mixed.
func (s *Server) Add(account, endpoint string, records ...Record) {
	st := s.store(s.mustStream(account, endpoint))
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.backlog != nil {
		panic(fmt.Sprintf("duosim: %s of %s has a backlog", endpoint, account))
	}
	st.added = append(st.added, records...)
}

// SetBacklog gives an endpoint of an account records that are made on demand, in
// the Style that the Server has by then. It panics when the account or endpoint
// is unknown or has records of its own, or when the backlog is longer than a
// time.Duration.
func (s *Server) SetBacklog(account, endpoint string, b Backlog) {
	st := s.store(s.mustStream(account, endpoint))
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.added)+len(st.sorted) > 0 {
		panic(fmt.Sprintf("duosim: %s of %s has records", endpoint, account))
	}
	if b.Step > 0 && int64(b.N) > math.MaxInt64/int64(b.Step) {
		panic("duosim: the backlog is too long")
	}
	st.backlog = b.source(endpoint, account, s.Style)
}

// Visible returns the records of an endpoint of an account that are visible now,
// in the order in which Duo gives them: what a client that loses and repeats
// nothing has got after reading everything. It panics when the account or
// endpoint is unknown.
func (s *Server) Visible(account, endpoint string) iter.Seq[Record] {
	v := s.view(s.mustStream(account, endpoint), s.Now())
	return func(yield func(Record) bool) {
		for i := range v.len() {
			at, id := v.mark(i)
			if !yield(Record{At: at, ID: id, Raw: v.appendRaw(nil, i)}) {
				return
			}
		}
	}
}

func (s *Server) store(key stream) *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stores[key]
	if st == nil {
		st = &store{seconds: endpointNamed(key.endpoint).seconds}
		s.stores[key] = st
	}
	return st
}

func (s *Server) view(key stream, now time.Time) view {
	return s.store(key).view(now, s.Quirks.MicrosecondOrder)
}

// store holds the records of one stream: explicit ones or a backlog.
type store struct {
	seconds bool

	mu      sync.Mutex
	added   []Record  // not yet in sorted
	sorted  []Record  // never changed in place: views share it
	last    time.Time // when the last of sorted becomes visible
	backlog *source
}

// view is the records visible at a moment, in the order of (millisecond, id).
type view interface {
	len() int
	mark(i int) (at time.Time, id string)
	appendRaw(dst []byte, i int) []byte
}

func (st *store) view(now time.Time, micros bool) view {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.backlog != nil {
		return st.backlog.until(now.Add(-Delay))
	}
	if len(st.added) > 0 {
		st.sorted = slices.Concat(st.sorted, st.added)
		for _, r := range st.added {
			if at := r.visibleAt(); at.After(st.last) {
				st.last = at
			}
		}
		st.added = nil
		slices.SortStableFunc(st.sorted, st.compare)
	}
	records := st.sorted
	if st.last.After(now) {
		records = nil
		for _, r := range st.sorted {
			if !r.visibleAt().After(now) {
				records = append(records, r)
			}
		}
	}
	if micros && !st.seconds {
		records = slices.Clone(records)
		slices.SortStableFunc(records, func(a, b Record) int {
			return cmp.Or(cmp.Compare(a.At.UnixMicro(), b.At.UnixMicro()), cmp.Compare(a.ID, b.ID))
		})
	}
	return recordView(records)
}

// compare orders records by (millisecond, id), or by second and otherwise in the
// order in which they were added.
func (st *store) compare(a, b Record) int {
	if st.seconds {
		return cmp.Compare(a.At.Unix(), b.At.Unix())
	}
	return cmp.Or(cmp.Compare(a.At.UnixMilli(), b.At.UnixMilli()), cmp.Compare(a.ID, b.ID))
}

type recordView []Record

func (v recordView) len() int                           { return len(v) }
func (v recordView) mark(i int) (time.Time, string)     { return v[i].At, v[i].ID }
func (v recordView) appendRaw(dst []byte, i int) []byte { return append(dst, v[i].Raw...) }

// since returns the index of the first record at or after a time given in units
// since 1970.
func since(v view, t int64, unit func(time.Time) int64) int {
	return sort.Search(v.len(), func(i int) bool {
		at, _ := v.mark(i)
		return unit(at) >= t
	})
}

func milliseconds(t time.Time) int64 { return t.UnixMilli() }
func seconds(t time.Time) int64      { return t.Unix() }
