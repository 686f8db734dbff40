package limiter

import (
	"math/rand/v2"
	"time"
)

// limit is a simulated limit of Duo's.
type limit interface {
	// free tells the first time from now on at which a call would be answered.
	free(now time.Time) time.Time
	// count counts a call that is answered or refused.
	count(now time.Time, answered bool)
}

// kinds are the ways to allow n calls in a window. at is any moment.
var kinds = []struct {
	name string
	make func(n int, window time.Duration, at time.Time) limit
}{
	{"sliding", func(n int, w time.Duration, _ time.Time) limit { return &sliding{n: n, window: w} }},
	{"fixed", func(n int, w time.Duration, at time.Time) limit { return &fixed{n: n, window: w, start: at} }},
	{"bucket", func(n int, w time.Duration, _ time.Time) limit { return &bucket{size: n, period: w / time.Duration(n)} }},
	{"leaky", func(n int, w time.Duration, _ time.Time) limit { return &bucket{size: 1, period: w / time.Duration(n)} }},
	{"attempts", func(n int, w time.Duration, _ time.Time) limit { return &sliding{n: n, window: w, refused: true} }},
}

// sliding allows n calls in any window; refused calls count if refused is set.
type sliding struct {
	n       int
	window  time.Duration
	refused bool
	times   []time.Time
}

func (s *sliding) free(now time.Time) time.Time {
	if len(s.times) < s.n {
		return now
	}
	if t := s.times[len(s.times)-s.n].Add(s.window); t.After(now) {
		return t
	}
	return now
}

func (s *sliding) count(now time.Time, answered bool) {
	if answered || s.refused {
		if len(s.times) > 2*s.n {
			s.times = append(s.times[:0], s.times[len(s.times)-s.n:]...)
		}
		s.times = append(s.times, now)
	}
}

// fixed allows n calls in each window since start.
type fixed struct {
	n      int
	window time.Duration
	start  time.Time
	used   int
}

func (f *fixed) free(now time.Time) time.Time {
	if k := now.Sub(f.start) / f.window; k > 0 {
		f.start, f.used = f.start.Add(k*f.window), 0
	}
	if f.used < f.n {
		return now
	}
	return f.start.Add(f.window)
}

func (f *fixed) count(now time.Time, answered bool) {
	f.free(now)
	if answered {
		f.used++
	}
}

// bucket gets a token each period, holds size of them, and a call takes one.
type bucket struct {
	size   int
	period time.Duration
	full   time.Time // when it is full again
}

func (b *bucket) free(now time.Time) time.Time {
	if t := b.full.Add(-b.period * time.Duration(b.size-1)); t.After(now) {
		return t
	}
	return now
}

func (b *bucket) count(now time.Time, answered bool) {
	if answered {
		if b.full.Before(now) {
			b.full = now
		}
		b.full = b.full.Add(b.period)
	}
}

// delays draws how long calls take to arrive and to be answered.
type delays struct {
	dice     *rand.Rand
	low, top time.Duration // of both ways together
}

func (d delays) draw() (there, back time.Duration) {
	both := d.low
	if d.top > d.low {
		both += time.Duration(d.dice.Int64N(int64(d.top - d.low)))
	}
	return both / 2, both - both/2
}

var start = time.Date(2026, 1, 1, 0, 0, 17, 0, time.UTC)

// result is what became of a run.
type result struct {
	answered, late, refused int // late: calls after the first minute; refused: those of them
	total                   int // refused
	took                    time.Duration
}

// run makes calls until pages are answered or the time is up.
func run(l caller, lim limit, d delays, pages int, limitTime time.Duration, trace func(now time.Time, ok bool)) result {
	var o result
	now := start
	for o.answered < pages && now.Sub(start) < limitTime {
		for {
			w := l.Wait(now)
			if w == 0 {
				break
			}
			now = now.Add(w)
		}
		l.Called(now)
		there, back := d.draw()
		at := now.Add(there)
		ok := !lim.free(at).After(at)
		lim.count(at, ok)
		if trace != nil {
			trace(now, ok)
		}
		if now.Sub(start) > time.Minute {
			o.late++
			if !ok {
				o.refused++
			}
		}
		now = at.Add(back)
		if ok {
			o.answered++
			l.Answered(now)
		} else {
			o.total++
			l.Refused(now, 0)
		}
	}
	o.took = now.Sub(start)
	return o
}

// ideal is the run of a caller that knows the limit and each delay beforehand.
func ideal(lim limit, d delays, pages int, limitTime time.Duration) result {
	var o result
	now := start
	for o.answered < pages && now.Sub(start) < limitTime {
		there, back := d.draw()
		at := lim.free(now.Add(there))
		lim.count(at, true)
		now = at.Add(back)
		o.answered++
	}
	o.took = now.Sub(start)
	return o
}

// caller is what run needs of a Limiter.
type caller interface {
	Wait(now time.Time) time.Duration
	Called(now time.Time)
	Answered(now time.Time)
	Refused(now time.Time, after time.Duration)
}

// knower knows the limit.
type knower struct{ schedule learner }

func (k *knower) Wait(now time.Time) time.Duration { return max(0, k.schedule.ready(0, now).Sub(now)) }
func (k *knower) Called(now time.Time)             { k.schedule.called(now) }
func (k *knower) Answered(time.Time)               { k.schedule.pending = 0 }
func (k *knower) Refused(time.Time, time.Duration) { k.schedule.pending = 0 }

// stream is one of several accounts that are read at the same time.
type stream struct {
	l     *Limiter
	lim   limit
	pages int           // still to read
	at    time.Time     // when it acts next
	state int           // 0: asks for a turn; 1: its call arrives; 2: its answer comes
	back  time.Duration // of its call
	ok    bool

	answered, refused int
	done              time.Time // its last answer
	ends              time.Time // of its first call's answer
}

// runMany lets workers read streams, in turn, until all are read or the time is up.
func runMany(streams []*stream, workers int, d delays, limitTime time.Duration, trace func(i int, now time.Time, ok bool)) result {
	var o result
	busy := 0
	for i, s := range streams {
		s.at = start.Add(time.Duration(i) * time.Millisecond)
	}
	for {
		var s *stream
		idx := 0
		for i, t := range streams {
			if t.pages > 0 && (s == nil || t.at.Before(s.at)) {
				s, idx = t, i
			}
		}
		if s == nil || s.at.Sub(start) > limitTime {
			return o
		}
		now := s.at
		switch s.state {
		case 0:
			if busy == workers {
				s.at = now.Add(200 * time.Millisecond)
				continue
			}
			if w := s.l.Wait(now); w > 0 {
				s.at = now.Add(w)
				continue
			}
			busy++
			s.l.Called(now)
			there, back := d.draw()
			s.at, s.back, s.state = now.Add(there), back, 1
			if now.Sub(start) > time.Minute {
				o.late++
			}
		case 1:
			s.ok = !s.lim.free(now).After(now)
			s.lim.count(now, s.ok)
			if trace != nil {
				trace(idx, now, s.ok)
			}
			s.at, s.state = now.Add(s.back), 2
		case 2:
			s.state = 0
			busy--
			o.took = now.Sub(start)
			if s.ok {
				s.l.Answered(now)
				s.answered++
				o.answered++
				s.pages--
				s.done = now
			} else {
				s.l.Refused(now, 0)
				s.refused++
				o.total++
				if now.Sub(start) > time.Minute {
					o.refused++
				}
			}
		}
	}
}
