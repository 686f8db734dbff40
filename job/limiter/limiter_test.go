package limiter

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Whatever happens, no pause after an answer or a refusal is longer than the
// longest, and a call is allowed in the end.
func TestWaitIsBounded(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 1))
		refusals := dice.IntN(10) // of ten calls
		l := New(most).Account()
		now := begin
		for range 400 {
			heard := now
			for polls := 0; ; polls++ {
				wait := l.Wait(now)
				if wait == 0 {
					break
				}
				if wait < 0 || now.Add(wait).Sub(heard) > most || polls > 10 {
					t.Fatalf("seed %d: a wait of %v, %v after the last answer, asked %d times", seed, wait, now.Sub(heard), polls)
				}
				now = now.Add(wait)
			}
			l.Called(now)
			now = now.Add(time.Duration(dice.Int64N(int64(6 * time.Second))))
			switch {
			case dice.IntN(20) == 0:
				l.Lost(now)
				now = now.Add(time.Minute)
			case dice.IntN(10) < refusals:
				l.Refused(now, time.Duration(dice.IntN(3)*dice.IntN(3600))*time.Second)
			default:
				l.Answered(now)
			}
		}
	}
}

// Until Duo refuses a call none waits.
func TestNoWaitBeforeARefusal(t *testing.T) {
	g := New(most)
	now := begin
	for range 50 {
		l := g.Account()
		for range 3 {
			if wait := l.Wait(now); wait != 0 {
				t.Fatalf("a wait of %v", wait)
			}
			l.Called(now)
			now = now.Add(time.Millisecond)
			l.Answered(now)
		}
	}
}

// Calls that are refused for following others too closely are told from those that are
// refused for another reason, and from chance.
func TestApart(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		distances []time.Duration // of answered calls, in turn
		refused   time.Duration   // after the last one
		want      bool
	}{
		"closer than any":    {[]time.Duration{4 * s, 3 * s}, 2 * s, true},
		"not closer":         {[]time.Duration{4 * s, 2 * s}, 3 * s, false},
		"as close":           {[]time.Duration{4 * s, 3 * s}, 3 * s, false},
		"refused at a burst": {[]time.Duration{4 * s, 0}, 0, false},
	} {
		for calls, want := range map[int]bool{10: false, 60: c.want} {
			var h history
			now := begin
			for i := range calls {
				h.add(now, time.Hour, 0)
				h.end(now, now, answered)
				now = now.Add(c.distances[i%len(c.distances)])
			}
			now = h.calls[calls-1].at.Add(c.refused)
			h.add(now, time.Hour, 0)
			h.end(now, now, refused)
			if got := h.apart(); got != want {
				t.Errorf("%s, after %d calls: %v, want %v", name, calls, got, want)
			}
		}
	}
}

// What Duo asks for is done, and tells the window.
func TestRetryAfter(t *testing.T) {
	lim := &sliding{n: 2, window: 100 * time.Second}
	l := New(most).Account()
	refused, answered := 0, 0
	now := begin
	for now.Sub(begin) < time.Hour {
		for wait := l.Wait(now); wait > 0; wait = l.Wait(now) {
			now = now.Add(wait)
		}
		l.Called(now)
		free := lim.free(now)
		lim.count(now, !free.After(now))
		if free.After(now) {
			refused++
			l.Refused(now, free.Sub(now))
		} else {
			answered++
			l.Answered(now)
		}
		now = now.Add(time.Second)
	}
	if answered < 65 || refused > 5 {
		t.Errorf("%d answered and %d refused, want 65 of 72 and at most 5", answered, refused)
	}
}

// What Duo asks for is done by an account that shares its allowance, too, whatever the
// refusal tells of that: nothing, where the call tested it or another one was refused meanwhile.
func TestRetryAfterShared(t *testing.T) {
	for name, spoil := range map[string]func(*Group, *Limiter){
		"a test":                        func(_ *Group, l *Limiter) { l.beyond = true },
		"another was refused meanwhile": func(g *Group, _ *Limiter) { g.pool.told = begin.Add(time.Second) },
	} {
		g := New(most)
		l := g.Account()
		g.shared = true
		l.Wait(begin)
		l.Called(begin)
		spoil(g, l)
		now := begin.Add(time.Second / 2)
		l.Refused(now, time.Minute)
		if wait := l.Wait(now); wait != time.Minute {
			t.Errorf("%s: a wait of %v, want %v", name, wait, time.Minute)
		}
	}
}

// A limit that changes is learned again: 10 a minute, for an hour 2, and 10. How
// long it takes to notice that Duo allows more is the price of few refusals: at 2
// a minute a trial comes every 14 minutes.
func TestChanges(t *testing.T) {
	for _, k := range kinds {
		for _, lat := range latencies[:2] {
			worst, wasted := 1.0, 0.0
			for seed := range uint64(seeds) {
				w := newWorld(k, 10, time.Minute, lat, seed)
				w.limit = &changing{first: w.limit, then: newWorld(k, 2, time.Minute, lat, seed).limit, from: begin.Add(time.Hour), to: begin.Add(2 * time.Hour)}
				r := run(New(most).Account(), w, 1e9, 3*time.Hour)
				worst = min(worst, float64(r.answered)/(600+120+600))
				wasted = max(wasted, r.wasted())
			}
			t.Logf("%s, latency %v: %.0f %% used, %.1f %% refused", k.name, lat, 100*worst, 100*wasted)
			if worst < changesGoal || wasted > refusedGoal {
				t.Errorf("%s, latency %v: %.3f used, want %.2f; %.3f refused, want %.2f", k.name, lat, worst, changesGoal, wasted, refusedGoal)
			}
		}
	}
}

// changing is one limit, but for some time another.
type changing struct {
	first, then limit
	from, to    time.Time
}

func (c *changing) now(now time.Time) limit {
	if now.Before(c.from) || now.After(c.to) {
		return c.first
	}
	return c.then
}

func (c *changing) free(now time.Time) time.Time       { return c.now(now).free(now) }
func (c *changing) count(now time.Time, answered bool) { c.now(now).count(now, answered) }

// Accounts that share an allowance are served in turn.
func TestFair(t *testing.T) {
	for _, lat := range latencies {
		w := newWorld(kinds[0], 2, time.Minute, lat, 1)
		_, all := group(w, 60, 12)
		runAll(all, 8, w, 24*time.Hour, func(*account) {
			least, top := all[0].pages+all[0].answered, 0
			for _, a := range all {
				least, top = min(least, a.answered), max(top, a.answered)
			}
			if top-least > 4 { // the first calls before the others begin, and who tests comes out of turn
				t.Fatalf("latency %v: one account has %d answers, another %d", lat, top, least)
			}
		})
	}
}

// One who was told to come and does not holds nobody up.
func TestAbsent(t *testing.T) {
	w := newWorld(kinds[0], 2, time.Minute, latencies[0], 1)
	g, all := group(w, 30, 2)
	gone := g.Account()
	asked := false
	r := runAll(all, 8, w, 24*time.Hour, func(*account) {
		if g.shared && !asked {
			gone.Wait(g.pool.heard) // and it is never heard of again
			asked = true
		}
	})
	if r.answered != 60 || r.took > 33*time.Minute {
		t.Errorf("%d answered in %v", r.answered, r.took)
	}
}

// Accounts that seemed to share an allowance, because another program used up that
// of some of them, are parted again.
func TestParted(t *testing.T) {
	for _, k := range kinds {
		w := newWorld(k, 2, time.Minute, latencies[1], 1)
		g, all := group(w, 60, 20)
		for i, a := range all {
			a.limit = k.make(2, time.Minute, begin)
			if 0 < i && i < 6 {
				a.count(begin, true)
				a.count(begin, true)
			}
		}
		wasShared := false
		r := runAll(all, 8, w, 24*time.Hour, func(*account) { wasShared = wasShared || g.shared })
		if !wasShared || g.shared || r.took > 30*time.Minute {
			t.Errorf("%s: shared %v, then %v; %v for 20 pages at 2 a minute", k.name, wasShared, g.shared, r.took)
		}
	}
}

// Accounts whose limit is used up when they begin are answered in the end, whether refused
// calls count or not, and whether the limit is that of all or of each; and not each of them
// tries how long it takes.
func TestUsedUp(t *testing.T) {
	for _, k := range kinds {
		for _, after := range []time.Duration{0, time.Minute} {
			for _, lat := range latencies {
				for _, shared := range []bool{true, false} {
					w := newWorld(k, 2, time.Minute, lat, 1)
					w.after = after
					_, all := group(w, 16, 2)
					least := 16 * time.Minute
					if !shared {
						least = 2 * time.Minute
					}
					for i, a := range all {
						if !shared {
							a.limit = k.make(2, time.Minute, begin)
						}
						if !shared || i < 2 {
							a.count(begin, true)
							a.count(begin, true)
						}
					}
					if r := runAll(all, 16, w, 24*time.Hour, nil); r.answered != 32 || r.took > 2*least+5*time.Minute || shared && r.refused > 32 {
						t.Errorf("%s, retry after %v, shared %v, %v: %d answered, %d refused, in %v", k.name, after, shared, lat, r.answered, r.refused, r.took)
					}
				}
			}
		}
	}
}

// Accounts with limits of their own do not delay each other.
func TestOwnLimits(t *testing.T) {
	for _, k := range kinds {
		w := newWorld(k, 2, time.Minute, latencies[1], 1)
		g, all := group(w, 20, 20)
		for _, a := range all {
			a.limit = k.make(2, time.Minute, begin)
		}
		r := runAll(all, 20, w, 24*time.Hour, nil)
		if g.shared || r.took > 12*time.Minute {
			t.Errorf("%s: shared %v; %v for 20 pages at 2 a minute", k.name, g.shared, r.took)
		}
	}
}

// The limiters of a group are used at the same time.
func TestConcurrent(t *testing.T) {
	g := New(most)
	var all sync.WaitGroup
	for i := range uint64(16) {
		all.Go(func() {
			dice := rand.New(rand.NewPCG(i, 1))
			l, now := g.Account(), begin
			for range 300 {
				now = now.Add(l.Wait(now))
				l.Called(now)
				now = now.Add(time.Second)
				switch dice.IntN(4) {
				case 0:
					l.Refused(now, 0)
				case 1:
					l.Lost(now)
				default:
					l.Answered(now)
				}
			}
		})
	}
	all.Wait()
	if g.pool.pending != 0 {
		t.Errorf("%d calls are pending", g.pool.pending)
	}
}

// However soon Duo asks to be called again, one whom it then refuses again and again calls
// less and less often: where refused calls count, all others would be refused, too.
func TestRetryAfterInVain(t *testing.T) {
	for _, answered := range []int{0, 1, 2, 20} {
		l := New(most).Account()
		now, calls := begin, 0
		for now.Sub(begin) < time.Hour {
			now = now.Add(l.Wait(now))
			l.Called(now)
			if calls++; calls <= answered {
				l.Answered(now)
			} else {
				l.Refused(now, time.Second)
			}
		}
		if calls -= answered; calls > 50 {
			t.Errorf("%d calls in an hour after %d that were answered, want at most 50", calls, answered)
		}
	}
}

// Who does what Duo asks for after the refusal of many calls knows the window: nothing is
// left to be found out by another refusal.
func TestRetryAfterManyCalls(t *testing.T) {
	lim := &sliding{n: 30, window: time.Minute}
	l := New(most).Account()
	now, answered, refused := begin, 0, 0
	for answered < 90 {
		for wait := l.Wait(now); wait > 0; wait = l.Wait(now) {
			now = now.Add(wait)
		}
		l.Called(now)
		ok := !lim.free(now).After(now)
		lim.count(now, ok)
		if ok {
			answered++
			l.Answered(now)
		} else {
			refused++
			l.Refused(now, time.Minute)
		}
		now = now.Add(time.Second / 5)
	}
	if refused != 1 {
		t.Errorf("%d calls were refused, want 1", refused)
	}
}

// A call that was under way when another one was refused, and is answered, tells nothing: not
// that the window that is tried first is long enough, nor how many calls are answered by the
// time of a try soon after.
func TestAnsweredMeanwhile(t *testing.T) {
	for _, calls := range []int{10, 20} {
		g := New(most)
		g.shared = true
		a, b := g.Account(), g.Account()
		now := begin
		for range calls {
			a.Called(now)
			now = now.Add(time.Second / 5)
			a.Answered(now)
		}
		a.Called(now)
		b.Called(now.Add(time.Second / 10))
		now = now.Add(time.Second / 5)
		a.Refused(now, 0)
		b.Answered(now.Add(time.Second / 10))
		if g.pool.window != 0 {
			t.Errorf("after %d calls the window is taken to be %v, want none before the first try", calls, g.pool.window)
		}
		for wait := a.Wait(now); wait > 0; wait = a.Wait(now) {
			now = now.Add(wait)
		}
		a.Called(now)
		a.Refused(now, 0)
		if g.pool.n < calls {
			t.Errorf("%d calls are allowed, want the %d that were answered", g.pool.n, calls)
		}
	}
}
