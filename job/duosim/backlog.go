package duosim

import (
	"sort"
	"time"
)

// Backlog is a log of N records that takes no memory: record i is made on
// demand, and is the same whenever and wherever it is made. Like all records
// they become visible Delay after their time, so that a backlog may reach into
// the future.
type Backlog struct {
	// N is the number of records.
	N int
	// From is the time of the first record.
	From time.Time
	// Step is the time from one record to the next, zero or more. The ids rise
	// with the records, so that any number may share a millisecond.
	Step time.Duration
	// Seed makes one backlog differ from another. The account does so too.
	Seed uint64
}

// source makes the records of a backlog. It is a view.
type source struct {
	Backlog
	kind   *kind
	second bool
}

func (b Backlog) source(endpoint, account string, style Style) *source {
	b.Seed ^= hashText(account) ^ mix(hashText(endpoint))
	return &source{
		Backlog: b,
		kind:    kindOf(endpoint, style),
		second:  style.WholeSeconds || endpointNamed(endpoint).seconds,
	}
}

// until returns the view of the records up to a time.
func (s *source) until(t time.Time) *source {
	cut := *s
	cut.N = sort.Search(s.N, func(i int) bool { return s.at(i).After(t) })
	return &cut
}

func (s *source) at(i int) time.Time {
	t := s.From.Add(time.Duration(i) * s.Step)
	if s.second {
		return t.Truncate(time.Second)
	}
	return t.Truncate(time.Microsecond)
}

// values gives record i an id that begins with i.
func (s *source) values(i int) values {
	r := mix(s.Seed + uint64(i))
	return values{at: s.at(i), id: newUUID(uint64(i)<<16|r&0xffff, mix(r)), serial: i}
}

func (s *source) len() int { return s.N }

func (s *source) mark(i int) (time.Time, string) {
	v := s.values(i)
	return v.at, s.kind.id(v)
}

func (s *source) appendRaw(dst []byte, i int) []byte {
	return s.kind.append(dst, s.values(i), mix(s.Seed^uint64(i)))
}
