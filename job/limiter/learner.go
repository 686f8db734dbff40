package limiter

import "time"

const (
	// memory is longer than any limit is believed to count calls.
	memory = 4 * time.Minute
	// remembered is the most calls that are remembered.
	remembered = 1024
)

// call is a call that was made.
type call struct {
	at      time.Time
	outcome outcome
}

type outcome int

const (
	pending outcome = iota
	answered
	refused
	lost
)

// learner learns one allowance.
type learner struct {
	most  time.Duration // no pause is longer
	calls []call        // made within memory, oldest first
	out   int           // calls neither answered nor refused yet
	told  time.Time     // of a refusal
	heard time.Time     // the last answer or refusal
	next  time.Time     // not before this, because of a refusal

	n      int           // calls in a window; 0: never refused
	burst  int           // n as it was found first
	window time.Duration // 0: not known yet
	proven time.Duration // the window before it was shortened; = window when it is not being tried
	low    time.Duration // a window that was refused
	first  time.Time     // while the window is looked for: the first call that may be counted
	last   time.Time     // and the first refusal
	rung   time.Duration // the window that is tried

	fresh    bool // the window was found but now
	even     bool
	lag      time.Duration
	step     int // the window is shortened by a 1/step
	up       int
	need     int
	calm     int // answers since the window was shortened or a call was refused
	refusals int // since the last answer
	changed  time.Time
}

func (l *learner) ready(k int, now time.Time) time.Time {
	t := l.next
	if l.n > 0 && l.window > 0 {
		if i := len(l.calls) - l.n + k%l.n; i >= 0 {
			if u := l.calls[i].at.Add(l.window * time.Duration(1+k/l.n)); u.After(t) {
				t = u
			}
		}
	}
	if l.refusals > 0 && l.out+k > 0 { // one call at a time
		t = later(t, now).Add(time.Second)
	}
	return t
}

func later(t, u time.Time) time.Time {
	if t.After(u) {
		return t
	}
	return u
}

// assume makes n in a window the allowance, for a start.
func (l *learner) assume(n int, window time.Duration) {
	l.n, l.burst = max(n, 1), max(n, 1)
	l.window, l.proven, l.low = window, window, window/2
	l.step, l.up = 32, 32
}

// sure tells whether a refusal of the last call is unexpected.
func (l *learner) sure() bool {
	return l.window > 0 && l.window >= l.proven && l.refusals == 0
}

// note notes what became of the call made then.
func (l *learner) note(made time.Time, o outcome) {
	for i := len(l.calls) - 1; i >= 0; i-- {
		if c := &l.calls[i]; c.at.Equal(made) && c.outcome == pending {
			c.outcome = o
			l.out--
			return
		}
	}
}

// answeredIn counts the calls from a time on, before another, that were not refused.
func (l *learner) answeredIn(from, to time.Time) int {
	n := 0
	for i := len(l.calls) - 1; i >= 0 && !l.calls[i].at.Before(from); i-- {
		if l.calls[i].outcome == answered && l.calls[i].at.Before(to) {
			n++
		}
	}
	return n
}

func (l *learner) called(now time.Time) {
	i := max(0, len(l.calls)-remembered)
	for i < len(l.calls) && now.Sub(l.calls[i].at) > max(memory, 2*l.window) && len(l.calls)-i > l.n {
		i++
	}
	l.out++
	l.calls = append(l.calls[i:], call{at: now})
}

func (l *learner) target() time.Duration {
	w := l.window - l.window/time.Duration(l.step)
	if l.low < l.window && l.window-l.low > l.window/24 && l.low > 0 {
		w = max(l.window*3/4, (l.low+l.window)/2)
		if l.fresh && l.rung < 30*time.Second {
			w = l.window - (l.window-l.low)/3
		}
	}
	return w
}

func (l *learner) answered(made, now time.Time) {
	l.heard = now
	l.lag = max(l.lag, now.Sub(made))
	l.refusals = 0
	if l.n == 0 {
		return
	}
	if l.window == 0 {
		l.window = l.rung
		l.proven, l.step, l.up, l.calm = l.window, 32, 32, 0
		if l.rung < 30*time.Second {
			l.step = 4
		}
		l.fresh = true
		quiet := l.rung / 2
		if l.n > 1 {
			quiet = made.Sub(l.calls[len(l.calls)-1-l.n].at) - l.lag/2
		}
		l.low = min(l.low, l.window*15/16)
		l.n = max(1, min(l.n, l.answeredIn(l.last.Add(-l.window), l.last.Add(1))))
		if quiet > l.window/4 && quiet < l.window*3/4 && l.rung > 31*time.Second {
			l.window, l.low = quiet, quiet/2
		}
		l.changed = made
		if l.window > 27*time.Second {
			l.need = 6 * l.n
		}
	}
	l.calm++
	if l.window < l.proven { // a try
		if l.calm >= max(min(l.n, 4), l.step/8) && made.Sub(l.changed) >= l.window*3/4 {
			l.changed = made
			l.calm = 0
			if l.window < l.low { // the limit is another one
				l.low = 0
				l.step = max(l.step/2, 4)
			} else {
				l.step = 32
			}
			l.proven = l.window
		}
		if l.window < l.proven {
			return
		}
	}
	w := l.target()
	if l.window > time.Millisecond*time.Duration(l.n) && (l.low == 0 || l.calm >= l.patience(w) && made.Sub(l.changed) >= l.window*3/4) {
		l.changed = made
		l.proven = l.window
		l.window = w
		l.calm = 0
		l.need = 0
		if l.window-w < l.window/16 {
			l.up = 32
		}
	}
}

func (l *learner) refused(made, now time.Time, after time.Duration) {
	l.heard = now
	l.lag = max(l.lag, now.Sub(made))
	l.refusals++
	if made.Before(l.told) { // it was under way when the one before was refused
		l.refusals--
		return
	}
	l.told = now
	switch {
	case l.n == 0:
		l.n = 0
		for _, c := range l.calls {
			if c.outcome == answered && made.Sub(c.at) < memory {
				if l.n == 0 {
					l.first = c.at
				}
				l.n++
			}
		}
		if l.n <= 0 {
			l.n = 0
			l.next = made.Add(time.Second << min(l.refusals, 16))
			break
		}
		l.last, l.burst = made, l.n
		fallthrough
	case l.window == 0:
		l.search(made, now)
	case l.window < l.proven:
		l.low = l.window
		if l.fresh && l.window > l.proven*5/8 {
			if l.fresh = false; l.rung >= 30*time.Second {
				l.low = l.proven * 15 / 16
			}
		}
		l.window = l.proven
		l.step = 32
		l.calm = 0
		l.backoff(made)
	default:
		c := 0 // answered in the window before
		for i := len(l.calls) - 2; i >= 0 && made.Sub(l.calls[i].at) < l.window; i-- {
			if l.calls[i].outcome != refused {
				c++
			}
		}
		e := l.window // since the call whose place this one takes
		if i := len(l.calls) - 1 - l.n; i >= 0 {
			e = made.Sub(l.calls[i].at)
		}
		if l.calm > max(20, 2*l.n) {
			l.up = 32
		}
		switch {
		case l.refusals == 1 && !l.even && 0 < c && c < l.n-1 && e > l.window*9/8:
			l.n = max(c, l.n/2)
		case l.refusals == 1 && l.n > 1 && made.Sub(l.calls[len(l.calls)-2].at) < l.window/time.Duration(2*l.n):
			l.spread() // calls that follow each other fast are refused
		case l.refusals > 1 && l.even:
		case l.refusals > 1:
			l.low = max(l.window, min(e, 2*l.window))
			l.window = max(l.window+l.window/time.Duration(l.up), min(e+e/64, 2*l.window))
		default:
			l.low = l.window
			l.window += l.window / time.Duration(l.up)
			if l.up < 32 && l.n > 1 {
				l.spread()
			}
			l.up = max(l.up/2, 4)
		}
		l.window = min(l.window, l.most*9/8*time.Duration(l.n))
		l.proven = l.window
		l.changed = made
		l.calm = 0
		l.backoff(made)
	}
	if after > 0 {
		l.next = now.Add(after)
	}
}

// spread halves the calls of a window and the window.
func (l *learner) spread() {
	half := l.n / 2
	l.window = l.window * time.Duration(half) / time.Duration(l.n)
	l.low = l.low * time.Duration(half) / time.Duration(l.n)
	l.n = half
	l.even = true
}

func (l *learner) backoff(made time.Time) {
	l.next = made.Add(l.window / time.Duration(l.n) << min(l.refusals-1, 16))
}

// search tells when to try next.
func (l *learner) search(made, now time.Time) {
	l.low = max(made.Sub(l.first), 1)
	if l.n > 1 {
		l.first = l.calls[len(l.calls)-l.n].at
	}
	for _, s := range []time.Duration{2000, 3000, 4500, 7000, 10000, 15000, 30000, 60000, 120000} {
		s *= time.Millisecond
		if s < 30*time.Second && l.n > 1 || s == 30*time.Second && l.n > 5 {
			continue
		}
		s += s / 64
		if t := l.first.Add(s + l.lag/2); t.After(now) && s > l.low {
			l.next, l.rung = t, s
			if l.n == 1 && s > 31*time.Second {
				l.next = later(t, made.Add(s/2+l.lag))
			}
			return
		}
		if t := l.last.Add(s + l.lag/2); l.n > 1 && t.After(now.Add(4*time.Second)) {
			l.next, l.rung = t, s
			return
		}
	}
	l.next, l.rung = now.Add(2*time.Minute), 2*time.Minute
}

// patience is how many answers it takes before w is tried, so that a refusal costs
// no more than the answers in w would gain.
func (l *learner) patience(w time.Duration) int {
	n := max(int(min(40, l.window/(l.window-w))), l.need)
	if l.fresh && l.rung < 30*time.Second {
		n /= 4
	}
	return n
}
