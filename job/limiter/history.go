package limiter

import "time"

const (
	// memory is longer than any limit is believed to count calls.
	memory = 4 * time.Minute
	// remembered is the most calls that are remembered, more than a caller makes
	// within a window.
	remembered = 1024
)

// outcome is what became of a call.
type outcome int

const (
	pending outcome = iota
	answered
	refused
	lost
)

// call is a call that was made.
type call struct {
	at      time.Time
	took    time.Duration // until it was answered or refused, or 0
	outcome outcome
}

// history is the calls that Duo may still count, oldest first.
type history struct {
	calls   []call
	pending int           // calls neither answered nor refused nor lost
	lag     time.Duration // the longest time that an answer took
	fastest time.Duration // the shortest, of the calls that are remembered
	free    bool          // a refused call takes no place where one call is the allowance
}

// add notes that a call is being made. It forgets those older than age, but for
// the last keep.
func (h *history) add(now time.Time, age time.Duration, keep int) {
	i := 0
	for ; len(h.calls)-i > remembered || len(h.calls)-i > keep && now.Sub(h.calls[i].at) > age; i++ {
		if h.calls[i].outcome == pending {
			h.pending--
		}
	}
	h.calls = append(h.calls[i:], call{at: now})
	h.pending++
}

// end notes what became, now, of the call made then.
func (h *history) end(made, now time.Time, o outcome) {
	h.lag = max(h.lag, now.Sub(made))
	for i := len(h.calls) - 1; i >= 0; i-- {
		if c := &h.calls[i]; c.outcome == pending && c.at.Equal(made) {
			c.outcome = o
			h.pending--
			if o != lost {
				c.took = now.Sub(made)
			}
			break
		}
	}
	h.fastest = h.lag
	for _, c := range h.calls {
		if c.outcome == answered || c.outcome == refused {
			h.fastest = min(h.fastest, c.took)
		}
	}
}

// arrived is when a call arrived, if the fastest one took no time to. Half of what a
// call took longer than that one is taken to be its way there: nothing tells whether it
// was, and half is never far off.
func (h *history) arrived(c call) time.Time { return c.at.Add(max(0, c.took-h.fastest) / 2) }

// answered counts the answered calls made at or after from and not after to.
func (h *history) answered(from, to time.Time) int {
	n := 0
	for i := len(h.calls) - 1; i >= 0 && !h.calls[i].at.Before(from); i-- {
		if h.calls[i].outcome == answered && !h.calls[i].at.After(to) {
			n++
		}
	}
	return n
}

// oldest returns the time of the first answered call made at or after from.
func (h *history) oldest(from time.Time) time.Time {
	for _, c := range h.calls {
		if c.outcome == answered && !c.at.Before(from) {
			return c.at
		}
	}
	return time.Time{}
}

// back returns when the n-th last call arrived.
func (h *history) back(n int) (at time.Time, ok bool) {
	i := len(h.calls) - n
	for n == 1 && h.free && i >= 0 && h.calls[i].outcome == refused {
		i--
	}
	if i < 0 {
		return time.Time{}, false
	}
	return h.arrived(h.calls[i]), true
}

// follows tells whether the call made then followed a refused one within so much time.
func (h *history) follows(made time.Time, within time.Duration) bool {
	for i := len(h.calls) - 1; i > 0; i-- {
		if h.calls[i].at.Equal(made) {
			before := h.calls[i-1]
			return before.outcome == refused && made.Sub(before.at) < within
		}
	}
	return false
}

// since returns the time from the arrival of the n-th call before the one made then to
// its own.
func (h *history) since(made time.Time, n int) (d time.Duration, ok bool) {
	for i := len(h.calls) - 1; i >= n; i-- {
		if h.calls[i].at.Equal(made) {
			return h.arrived(h.calls[i]).Sub(h.arrived(h.calls[i-n])), true
		}
	}
	return 0, false
}

// apart tells whether calls seem to be refused for following an answered one too closely:
// each that was refused did so more closely than any that was answered, of so many that
// chance hardly explains it.
func (h *history) apart() bool {
	const enough = 40
	var last time.Time // when the last answered call arrived
	var least, most time.Duration
	n := 0 // answered calls
	for _, c := range h.calls {
		at := h.arrived(c)
		d := at.Sub(last)
		switch {
		case c.outcome == answered:
			if n == 1 || n > 1 && d < least {
				least = d
			}
			n, last = n+1, at
		case c.outcome == refused && n > 0:
			most = max(most, d)
		}
	}
	return n > enough && 0 < most && most < least
}
