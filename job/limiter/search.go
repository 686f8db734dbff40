package limiter

import "time"

// Half a minute, a minute and two are what services count. Shorter windows are
// looked for only where one call is the allowance, because only there they cost
// much: elsewhere what they would allow is soon made good.
var ladder = []time.Duration{
	2 * time.Second, 3 * time.Second, 4500 * time.Millisecond, 7 * time.Second, 10 * time.Second, 15 * time.Second,
	usual, 2 * usual, 4 * usual,
}

const (
	// usual is the shortest window that services use.
	usual = 30 * time.Second
	// fewCalls is how many calls a burst has at most for the shortest usual window
	// to be tried. A try that is refused may take a place in the window, and with
	// many calls in it, all at its begin, the last of a backlog waits for that place.
	fewCalls = 5
	// manyCalls is how many calls a burst has at least for a call to be tried soon after
	// the refusal. A bucket has tokens again by then, and with so many calls in a window
	// the place that a refused try may take is free a few seconds before the next one.
	manyCalls, soon = 13, 10 * time.Second
)

// search looks for the window, from the first refusal until a call is answered.
type search struct {
	first   time.Time     // the call that has to leave the window
	refused time.Time     // the first call that was refused
	heard   time.Time     // and when it was
	window  time.Duration // the one that is tried
	low     time.Duration // the longest that was refused
	tried   bool          // soon after the refusal
	early   bool          // so soon that no place in a usual window can be free
}

// step returns the time of the next try, after the call made then was refused.
func (s *search) step(h *history, n int, made, now time.Time) time.Time {
	s.low = max(made.Sub(s.first), 1)
	if at, ok := h.back(n); ok && n > 1 {
		s.first = at
	}
	late := h.lag / 2 // one call may take so much longer to arrive than another
	s.early = false
	if at := s.refused.Add(soon + late); n >= manyCalls && !s.tried && at.Before(s.first.Add(2*usual+late)) {
		s.tried, s.early = true, at.Before(s.first.Add(2*usual-late))
		s.window = 2 * usual
		return at
	}
	for _, w := range ladder {
		if n > 1 && w < usual || n > fewCalls && w == usual {
			continue
		}
		w += w / 64
		if at := s.first.Add(w + late); w > s.low && at.After(now) {
			s.window = w
			if n == 1 && w > usual*5/4 {
				// Leave half of it quiet, in case refused calls count.
				at = later(at, made.Add(w/2+h.lag))
			}
			return at
		}
		// Where windows are fixed, the one that the refusal fell in ends within a window
		// after it.
		for _, since := range []time.Duration{w / 3, w / 2, w * 3 / 4, w} {
			if at := s.refused.Add(since + late); (n > fewCalls || n > 1 && since == w) && at.Sub(now) > 4*time.Second {
				s.window = w
				return at
			}
		}
	}
	s.window = ladder[len(ladder)-1]
	return now.Add(s.window)
}

// again returns the time of the next try, where the early one was answered, n calls with
// it, and the one made then was refused: what lay between both refusals is as long as a
// bucket takes for n tokens, and so that is tried first.
func (s *search) again(h *history, n int, made, now time.Time) time.Time {
	between := made.Sub(s.refused)
	*s = search{first: h.oldest(s.heard), refused: made, heard: now, window: between, low: between / 2, tried: true}
	return made.Add(between/time.Duration(n) + h.lag/2)
}

// later returns the later time.
func later(t, u time.Time) time.Time {
	if t.After(u) {
		return t
	}
	return u
}
