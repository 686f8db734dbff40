package limiter

import "time"

const (
	// memory is longer than any limit is believed to count calls.
	memory = 4 * time.Minute
	// remembered is the most calls that are remembered.
	remembered = 1024
)

// learner learns one allowance.
type learner struct {
	calls []time.Time // made within memory, refused ones too, oldest first
	heard time.Time   // the last answer or refusal
	next  time.Time   // not before this, because of a refusal

	n      int           // calls in a window; 0: never refused
	window time.Duration // 0: not known yet
	proven time.Duration // the window before it was shortened; = window when it is not being tried
	first  time.Time     // while the window is looked for: the first call that may be counted
	last   time.Time     // and the first refusal

	step     int // the window is shortened by a 1/step
	calm     int // answers since the window was shortened or a call was refused
	need     int
	refusals int // since the last answer
	changed  time.Time
}

func (l *learner) ready(k int) time.Time {
	t := l.next
	if l.n > 0 && l.window > 0 {
		if i := len(l.calls) - l.n + k%l.n; i >= 0 {
			if u := l.calls[i].Add(l.window * time.Duration(1+k/l.n)); u.After(t) {
				t = u
			}
		}
	}
	return t
}

func (l *learner) called(now time.Time) {
	i := max(0, len(l.calls)-remembered)
	for i < len(l.calls) && now.Sub(l.calls[i]) > max(memory, 2*l.window) && len(l.calls)-i >= l.n {
		i++
	}
	l.calls = append(l.calls[i:], now)
}

func (l *learner) answered(made, now time.Time) {
	l.heard = now
	l.refusals = 0
	if l.n == 0 {
		return
	}
	if l.window == 0 {
		l.window = made.Sub(l.first)
		l.proven, l.step, l.need, l.calm = l.window, 32, 20, 0
		l.changed = made
		if l.n == 1 {
			l.step, l.need = 4, 1
		}
	}
	l.calm++
	if l.calm >= l.need && made.Sub(l.changed) >= l.window*3/4 {
		l.changed = made
		if l.window < l.proven { // a try has worked
			l.step = max(l.step/2, 4)
		}
		l.proven = l.window
		l.window -= l.window / time.Duration(l.step)
		l.need, l.calm = l.n, 0
	}
}

func (l *learner) refused(made, now time.Time, after time.Duration) {
	l.heard = now
	l.refusals++
	switch {
	case l.n == 0:
		l.n = 0
		for _, t := range l.calls {
			if t.Before(made) && made.Sub(t) < memory {
				l.n++
			}
		}
		l.n -= l.refusals - 1
		if l.n <= 0 {
			l.n = 0
			l.next = made.Add(time.Second << min(l.refusals, 16))
			break
		}
		l.first, l.last = l.calls[len(l.calls)-l.n-1], made
		fallthrough
	case l.window == 0:
		l.search(now)
	case l.window < l.proven:
		l.window = l.proven
		l.step = min(l.step*4, 32)
		l.calm, l.need = 0, min(max(l.need, 10)*2, 40)
		l.backoff(made)
	default:
		l.window += l.window / 32 << min(max(0, l.refusals-2), 4)
		if l.n > 1 {
			half := l.n / 2
			l.window = l.window * time.Duration(half) / time.Duration(l.n)
			l.n = half
		}
		l.proven = l.window
		l.changed = made
		l.calm, l.need = 0, 20
		l.backoff(made)
	}
	if after > 0 {
		l.next = now.Add(after)
	}
}

func (l *learner) backoff(made time.Time) {
	l.next = made.Add(l.window / time.Duration(l.n) << min(l.refusals-1, 16))
}

// search tells when to try next.
func (l *learner) search(now time.Time) {
	var tries []time.Time
	if l.n == 1 {
		for _, s := range []time.Duration{2, 4, 8, 15} {
			tries = append(tries, l.first.Add(s*time.Second))
		}
	}
	for _, s := range []time.Duration{30, 60, 120} {
		s *= time.Second
		if s == 30*time.Second && l.n > 5 {
			continue
		}
		s += s / 64
		tries = append(tries, l.first.Add(s), l.last.Add(s))
	}
	for _, t := range tries {
		if t.After(now.Add(time.Second)) {
			l.next = t
			return
		}
	}
	l.next = now.Add(2 * time.Minute)
}
