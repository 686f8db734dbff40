package limiter

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// limit is a simulated limit of Duo's.
type limit interface {
	// free returns the first time from now on at which a call is answered.
	free(now time.Time) time.Time
	// count counts a call that arrives now.
	count(now time.Time, answered bool)
}

// kind is a way to allow n calls in a window. In each of them at is some moment.
type kind struct {
	name string
	make func(n int, window time.Duration, at time.Time) limit
}

var kinds = []kind{
	{"sliding window", func(n int, w time.Duration, _ time.Time) limit { return &sliding{n: n, window: w} }},
	{"fixed windows", func(n int, w time.Duration, at time.Time) limit { return &fixed{n: n, window: w, start: at} }},
	{"token bucket", func(n int, w time.Duration, _ time.Time) limit { return &bucket{size: n, period: w / time.Duration(n)} }},
	{"leaky", func(n int, w time.Duration, _ time.Time) limit { return &bucket{size: 1, period: w / time.Duration(n)} }},
	{"attempts counted", func(n int, w time.Duration, _ time.Time) limit { return &sliding{n: n, window: w, refused: true} }},
}

// sliding allows n calls in any window. It counts refused calls if refused is set.
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
	return later(now, s.times[len(s.times)-s.n].Add(s.window))
}

func (s *sliding) count(now time.Time, answered bool) {
	if !answered && !s.refused {
		return
	}
	if len(s.times) > 2*s.n {
		s.times = append(s.times[:0], s.times[len(s.times)-s.n:]...)
	}
	s.times = append(s.times, now)
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

// bucket holds size tokens, of which a call takes one, and gets one each period.
// With one token it is leaky: calls have to keep a distance.
type bucket struct {
	size   int
	period time.Duration
	full   time.Time // when it is full again
}

func (b *bucket) free(now time.Time) time.Time {
	return later(now, b.full.Add(-b.period*time.Duration(b.size-1)))
}

func (b *bucket) count(now time.Time, answered bool) {
	if answered {
		b.full = later(b.full, now).Add(b.period)
	}
}

// latency is how long calls take, evenly spread: half of it to arrive, half of it
// to be answered, unless a world says otherwise.
type latency struct{ low, top time.Duration }

func (l latency) String() string {
	if l.low == l.top {
		return fmt.Sprintf("%g s", l.low.Seconds())
	}
	return fmt.Sprintf("%g–%g s", l.low.Seconds(), l.top.Seconds())
}

// ways is how long the next call takes to arrive, and its answer.
func (w *world) ways() (there, back time.Duration) {
	took := w.low + time.Duration(w.dice.Int64N(int64(w.top-w.low)+1))
	there = took * w.there / 100
	return there, took - there
}

// begin is when simulations begin.
var begin = time.Date(2026, 1, 1, 0, 0, 17, 0, time.UTC)

// world is what a seed decides: the limit and the latencies.
type world struct {
	limit
	latency
	dice  *rand.Rand
	there time.Duration // what part of the time of a call is its way there, in percent
	after time.Duration // for how long one who is refused is asked to leave accounts alone
}

func newWorld(k kind, n int, window time.Duration, lat latency, seed uint64) *world {
	dice := rand.New(rand.NewPCG(seed, 7))
	return &world{k.make(n, window, begin.Add(-time.Duration(dice.Int64N(int64(window))))), lat, dice, 50, 0}
}

// result is what became of a simulation.
type result struct {
	answered, refused int
	late, lateRefused int // calls after the first minute
	took              time.Duration
}

func (r result) wasted() float64 { return float64(r.lateRefused) / float64(max(r.late, 1)) }

func (r *result) note(made time.Time, ok bool, now time.Time) {
	late := made.Sub(begin) > time.Minute
	if late {
		r.late++
	}
	if ok {
		r.answered++
	} else if r.refused++; late {
		r.lateRefused++
	}
	r.took = now.Sub(begin)
}

// caller is what a simulation needs of a Limiter.
type caller interface {
	Wait(now time.Time) time.Duration
	Called(now time.Time)
	Answered(now time.Time)
	Refused(now time.Time, after time.Duration)
}

// run makes calls, one after another, until pages are answered or the time is up.
func run(l caller, w *world, pages int, limit time.Duration) result {
	var r result
	for now := begin; r.answered < pages && now.Sub(begin) < limit; {
		for wait := l.Wait(now); wait > 0; wait = l.Wait(now) {
			now = now.Add(wait)
		}
		l.Called(now)
		made := now
		there, back := w.ways()
		now = now.Add(there)
		ok := !w.free(now).After(now)
		w.count(now, ok)
		now = now.Add(back)
		r.note(made, ok, now)
		if ok {
			l.Answered(now)
		} else {
			l.Refused(now, 0)
		}
	}
	return r
}

// ideal is what a caller gets who knows the limit, and beforehand how long each
// call will take.
func ideal(w *world, pages int, limit time.Duration) result {
	var r result
	for now := begin; r.answered < pages && now.Sub(begin) < limit; {
		there, back := w.ways()
		at := w.free(now.Add(there))
		w.count(at, true)
		now = at.Add(back)
		r.note(at.Add(-there), true, now)
	}
	return r
}

// seer knows the limit and what it has counted, but not how long the next call will
// take: it sends each call so much before a call would be answered.
type seer struct {
	*world
	early time.Duration
}

func (s seer) Wait(now time.Time) time.Duration {
	return max(0, s.free(now).Add(-s.early).Sub(now))
}
func (seer) Called(time.Time)                 {}
func (seer) Answered(time.Time)               {}
func (seer) Refused(time.Time, time.Duration) {}

// account is one of several that are read at the same time.
type account struct {
	*Limiter
	limit
	pages int // still to read

	act      func(now time.Time) time.Time // what it does next, and when it does something after that
	at       time.Time
	answered int
}

// runAll reads accounts with so many workers, until all are read or the time is up.
// It calls served with each one that is answered.
func runAll(accounts []*account, workers int, w *world, limit time.Duration, served func(*account)) result {
	var r result
	busy := 0
	for i, a := range accounts {
		a := a
		a.at = begin.Add(time.Duration(i) * time.Millisecond)
		var ask func(time.Time) time.Time
		ask = func(now time.Time) time.Time {
			if busy == workers {
				return now.Add(200 * time.Millisecond)
			}
			if wait := a.Wait(now); wait > 0 {
				return now.Add(wait)
			}
			a.Called(now)
			busy++
			made := now
			there, back := w.ways()
			a.act = func(now time.Time) time.Time { // the call arrives
				ok := !a.free(now).After(now)
				a.count(now, ok)
				a.act = func(now time.Time) time.Time { // and the answer
					busy--
					r.note(made, ok, now)
					a.act = ask
					if !ok {
						a.Refused(now, w.after)
						return now
					}
					a.Answered(now)
					a.pages--
					a.answered++
					if served != nil {
						served(a)
					}
					return now
				}
				return now.Add(back)
			}
			return now.Add(there)
		}
		a.act = ask
	}
	for {
		var next *account
		for _, a := range accounts {
			if a.pages > 0 && (next == nil || a.at.Before(next.at)) {
				next = a
			}
		}
		if next == nil || next.at.Sub(begin) > limit {
			return r
		}
		next.at = next.act(next.at)
	}
}
