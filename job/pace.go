package job

import "time"

const (
	// calmLeast and calmMost bound how many calls in a row are answered before
	// more are tried: soon at first, and then seldom enough that what is refused
	// stays a twentieth of the calls.
	calmLeast, calmMost = 5, 20
	// forever is longer than any limiter is believed to count calls.
	forever = 4 * time.Minute
)

// pace is how often a stream calls Duo. Duo allows about one or two calls a
// minute for each endpoint of an account, does not say how many nor how long it
// counts them, and may change its mind. So it is learned:
//
// Until the first refusal there is no pace. Then the next call is tried at longer
// and longer times, among them the half minute, the minute and two, and the first
// one that is answered tells the window: the time since the oldest call that may
// have been counted. The calls in it, spread evenly, are what Duo allows.
//
// From then on a call is made every gap. After some calm the gap is shortened
// step by step, until a call is refused: it is tried again when the steady gap is
// over, and the gap becomes what was answered on average over the last window.
//
// A pace is a value that only compares times; its zero value is ready. A call
// that failed otherwise is not told to it.
type pace struct {
	made, heard time.Time // the last call, and its answer or refusal
	next        time.Time // when the next call may be made

	counted []time.Time   // the answered calls that Duo may still count, oldest first
	window  time.Duration // how long Duo counts them, as far as is known; 0: it never refused
	gap     time.Duration // from one call to the next
	steady  time.Duration // the gap before it was shortened

	refusals int       // since the last answer
	answers  int       // since the last refusal
	calm     int       // how many answers it takes until more is tried
	changed  time.Time // when the gap changed last
}

// wait tells how long to wait before the next call. It keeps the pause after the
// last answer to most.
func (p *pace) wait(now time.Time, most time.Duration) time.Duration {
	next := p.next
	if last := p.heard.Add(most); next.After(last) {
		next = last
	}
	return max(next.Sub(now), 0)
}

// call notes that a call is being made.
func (p *pace) call(now time.Time) { p.made = now }

// answered notes that the call was answered.
func (p *pace) answered(now time.Time) {
	if p.refusals > 0 {
		p.learn()
	}
	p.counted = append(p.counted, p.made)
	p.forget()
	p.answers++
	p.hurry()
	p.heard, p.next = now, p.made.Add(p.gap)
}

// learn takes the pace from what was answered until the limit let a call
// through again.
func (p *pace) learn() {
	if len(p.counted) > 0 {
		tight := p.gap == p.steady // not a try for more, but the pace itself was refused
		if p.window == 0 {
			p.window = max(p.span(), 30*time.Second)
		}
		p.forget()
		p.gap = p.span() / time.Duration(len(p.counted))
		if tight {
			p.gap += p.gap / 64 // calls do not take the same time to arrive
		}
		p.steady = p.gap
	}
	p.calm = min(max(2*p.calm, calmLeast), calmMost)
	if p.refusals > 2 {
		p.calm = calmLeast // the limit is another one
	}
	p.refusals, p.answers, p.changed = 0, 0, p.made
}

// hurry shortens the gap when it is time to try for more. Each step lasts for
// some of the window, because a limit is not felt at once.
func (p *pace) hurry() {
	if p.gap > p.window*3/4 {
		p.steady = p.gap // the call before is not counted any more: one answer proves the gap
	}
	lasts := p.window / 4
	if p.gap == p.steady {
		lasts = p.reach()
	}
	if p.answers > p.calm && p.made.Sub(p.changed) >= lasts {
		p.gap, p.changed = p.gap*4/5, p.made
	}
}

// refused notes that the call was refused, and for how long Duo asks to be left
// alone, or 0.
func (p *pace) refused(now time.Time, after time.Duration) {
	p.refusals++
	p.heard = now
	switch {
	case after > 0:
		p.next = now.Add(after)
	case len(p.counted) == 0:
		p.next = now.Add(time.Minute / 32 << min(p.refusals, 16))
	case p.window == 0:
		since := time.Minute / 32
		for since <= p.span() {
			since *= 2
		}
		p.next = p.counted[0].Add(since + since/64)
	default:
		p.next = p.counted[len(p.counted)-1].Add(min(p.steady, 2*p.gap))
		if p.refusals > 1 || !p.next.After(now) {
			p.next = now.Add(min(p.steady, p.window/16) << min(p.refusals-1, 16))
		}
	}
}

// span is the time from the oldest call that may be counted to the last call.
func (p *pace) span() time.Duration { return p.made.Sub(p.counted[0]) }

// reach is how far back calls are looked at: somewhat farther than the window,
// which is not known exactly.
func (p *pace) reach() time.Duration {
	if p.window == 0 {
		return forever
	}
	return p.window * 5 / 4
}

// forget drops the calls that are out of reach, but for one.
func (p *pace) forget() {
	for len(p.counted) > 1 && p.span() > p.reach() {
		p.counted = p.counted[1:]
	}
}
