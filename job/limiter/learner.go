package limiter

import "time"

const (
	// proofMost is the most calls that are answered before a shorter window is tried.
	proofMost = 32
	// small is the part by which the window changes when nothing more is known.
	small = 32
	// fine is the same where a refused call costs little, and the window is shorter than
	// quick: a trial comes every few minutes.
	fine, quick = 56, 10 * time.Second
	// unsure is how many calls at most are answered, one at a time, before accounts that
	// share a window that has changed call at the same time again.
	unsure = 20
	// large is the largest part by which it changes.
	large = 4
)

// learner learns an allowance: how many calls a window takes. It makes no more
// than n calls, refused ones included, in any window; that is legal for every kind
// of limit, if n and the window are right. See the package's documentation.
type learner struct {
	history
	search search
	trial  trial

	n      int           // calls in a window; 0: none was ever refused
	window time.Duration // 0: it is looked for
	spread bool          // n and window were made smaller together
	burst  int           // n as it was found
	whole  time.Duration // and its window
	credit int           // answers that Duo would not have given if it counted refused calls, less refusals that this would explain

	next     time.Time     // no call before, because of a refusal
	heard    time.Time     // the last answer or refusal
	told     time.Time     // the last refusal that was learned from
	refusals int           // since the last answer
	most     time.Duration // the longest pause
}

// trial shortens the window, to see whether Duo allows more.
type trial struct {
	proven  time.Duration // the window before; no trial runs while it is the window
	low     time.Duration // a window that was refused, or a guess; 0: none is known
	since   time.Time     // when the call was made that changed the window
	begun   time.Time     // and when the window changed
	answers int           // answers since then
	proof   int           // the least answers before the next trial
	down    int           // the window is shortened by a part of so many
	up      int           // and lengthened
	doubt   bool          // the window was found on the ladder, and not tested yet
}

// ready tells when a call may be made that has k others before it.
func (l *learner) ready(k int, now time.Time) time.Time {
	t := l.next
	if l.window > 0 {
		if at, ok := l.back(l.n - k%l.n); ok {
			t = later(t, at.Add(l.window*time.Duration(1+k/l.n)))
		}
	}
	doubtful := l.refusals > 0 || l.window > 0 && l.trial.answers < min(l.n, unsure)
	if doubtful && l.pending+k > 0 { // one call at a time
		t = later(t, now).Add(time.Second)
	}
	return t
}

// called notes that a call is being made.
func (l *learner) called(now time.Time) { l.add(now, max(memory, 2*l.window), l.n) }

// assume takes an allowance for a start.
func (l *learner) assume(n int, window time.Duration) {
	l.n, l.window = max(n, 1), window
	l.burst, l.whole = l.n, l.window
	l.trial = trial{proven: window, low: window / 2, down: small, up: small}
}

// settled tells whether a refusal of the last call is unexpected.
func (l *learner) settled() bool {
	return l.window > 0 && l.window == l.trial.proven && l.refusals == 0
}

// answered learns that the call made then was answered.
func (l *learner) answered(made, now time.Time) {
	l.heard, l.refusals = now, 0
	if l.n == 0 {
		return
	}
	if l.window == 0 {
		if l.search.early || made.Before(l.search.heard) {
			return // what it tells depends on how many more are answered, or it was under way
		}
		l.found(made)
	}
	if l.n == 1 && l.follows(made, l.window*7/8) { // so soon nobody is answered whose refused calls count
		l.free, l.credit = true, min(l.credit+1, 4)
	}
	t := &l.trial
	if made.Before(t.begun) {
		return // it tells nothing of the window
	}
	if e, ok := l.since(made, l.n); l.window < t.proven && ok && e >= t.proven {
		return // it would have been allowed before
	}
	t.answers++
	least := l.window * 3 / 4
	if t.low == 0 {
		least = max(least, l.whole) // a limit may be felt no sooner
	}
	lasted := made.Sub(t.since) >= least
	if l.window < t.proven {
		if t.answers < max(min(l.n, 4), min(t.down, small)/8) || !lasted {
			return
		}
		if l.window < t.low || t.low == 0 { // Duo allows more than it did
			t.low, t.down = 0, max(min(t.down, small)/2, large)
		}
		t.proven, t.since, t.begun, t.answers = l.window, made, now, 0
		lasted = false
	}
	if w := l.shorter(); l.window > time.Duration(l.n)*time.Millisecond && (t.low == 0 || t.answers >= l.answersBefore(w) && lasted) {
		if l.window-w < l.window/16 {
			t.up = small
		}
		l.window, t.since, t.begun, t.answers, t.proof = w, made, now, 0, 0
	}
}

// found takes the window from the search, when the call made then was answered.
func (l *learner) found(made time.Time) {
	w := l.search.window
	l.window = w
	l.trial = trial{proven: w, low: min(l.search.low, w*15/16), since: made, down: small, up: small, doubt: true}
	quiet := w / 2 // as long no call was made, or less than n
	if at, ok := l.back(l.n + 1); ok && l.n > 1 {
		quiet = made.Sub(at) - l.lag/2
	}
	l.n = max(1, min(l.n, l.history.answered(l.search.refused.Add(-w), l.search.heard)))
	l.burst, l.whole = l.n, w
	if w < usual {
		l.trial.down = large
		return
	}
	if w > usual*5/4 && w/4 < quiet && quiet < w*3/4 {
		// If refused calls count, the window is no longer than this: try it first.
		l.window, l.trial.low = quiet, quiet/2
	}
	// A place that a trial loses is free again after a window. Let the backlog be
	// many windows long by then.
	l.trial.proof = 6 * l.n
}

// shorter returns the window to try next.
func (l *learner) shorter() time.Duration {
	t := &l.trial
	switch between := l.window - t.low; {
	case t.low == 0 || between <= l.window*2/3/l.step():
		return l.window - l.window/time.Duration(t.down)
	case t.doubt && l.search.window < usual:
		return l.window - between*2/5
	default:
		return max(l.window*5/8, l.window-between/2)
	}
}

// step is the part by which the window changes when it is known well.
func (l *learner) step() time.Duration {
	if l.free && l.n == 1 && l.window < quick {
		return fine
	}
	return small
}

// answersBefore is how many answers it takes before w is tried: what a refusal costs is
// no more than what w would have gained by then.
func (l *learner) answersBefore(w time.Duration) int {
	n := max(int(min(proofMost, l.window/(l.window-w))), l.trial.proof)
	if l.trial.doubt && l.search.window < usual {
		n /= 4
	}
	return n
}

// refused learns that the call made then was refused, and for how long Duo asks to
// be left alone, or 0.
func (l *learner) refused(made, now time.Time, after time.Duration) {
	if !l.hears(made, now) {
		return
	}
	early := l.window == 0 && l.search.early
	if early && made.Sub(l.search.refused) > memory {
		l.n, early = 0, false
	}
	again := l.n == 1 && l.free && l.follows(made, l.window)
	if again { // the refusal before explains this one, if it counts
		l.credit--
		l.free = l.credit > 0
	}
	switch {
	case l.n == 0:
		from := made.Add(-memory)
		n := l.history.answered(from, now)
		if n == 0 {
			l.next = made.Add(time.Second << min(l.refusals, 16))
			break
		}
		l.n = n
		l.search = search{first: l.oldest(from), refused: made, heard: now}
		l.next = l.search.step(&l.history, n, made, now)
	case early && l.history.answered(l.search.heard, now) > 0:
		l.n = l.history.answered(l.search.heard, now)
		l.next = l.search.again(&l.history, l.n, made, now)
	case l.window == 0:
		l.next = l.search.step(&l.history, l.n, made, now)
	case l.window < l.trial.proven:
		l.withdraw()
		if l.n == 1 && l.credit == 0 && !again && l.trial.low >= l.window*7/8 {
			l.free = true // the next call shows whether it is so
		}
		if l.n > 1 || !l.free || again {
			l.backOff(made)
		}
	case again:
		l.backOff(made)
	default:
		l.tighten(made)
		l.backOff(made)
	}
	l.obey(now, after)
	if after > 0 && l.n > 0 && l.window == 0 {
		l.search.early = false
		l.search.window = l.next.Sub(l.search.first)
	}
}

// excused notes that the call made then was refused, which tells nothing of the allowance,
// and for how long Duo asks to be left alone, or 0.
func (l *learner) excused(made, now time.Time, after time.Duration) {
	if l.hears(made, now) {
		l.backOff(made)
		l.obey(now, after)
	}
}

// hears tells whether the refusal of the call made then is to be learned from: not if the
// call was under way when another was refused.
func (l *learner) hears(made, now time.Time) bool {
	l.heard = now
	if made.Before(l.told) {
		return false
	}
	l.told = now
	l.refusals++
	return true
}

// obey leaves Duo alone for as long as it asks to be, if it does.
func (l *learner) obey(now time.Time, after time.Duration) {
	if after > 0 {
		asked := now.Add(after)
		if l.refusals > 1 { // what Duo asked for before was not enough
			asked = later(asked, l.next)
		}
		l.next = asked
	}
}

// withdraw ends a trial that was refused.
func (l *learner) withdraw() {
	t := &l.trial
	if l.n > 1 && l.apart() {
		l.window = t.proven
		l.keepApart()
		t.proven, t.doubt, t.down, t.answers = l.window, false, small, 0
		return
	}
	t.low = l.window
	if t.doubt && l.window > t.proven*5/8 {
		if t.doubt = false; l.search.window >= usual {
			t.low = t.proven * 15 / 16
		}
	}
	l.window, t.down, t.answers = t.proven, int(l.step()), 0
}

// tighten allows less, because the call made then was refused, unexpectedly.
func (l *learner) tighten(made time.Time) {
	t := &l.trial
	t.up = min(max(t.up, t.answers), small) // a window that lasted for so many is wrong by a part of so many
	longer := l.window + l.window/time.Duration(t.up)
	e := l.window // since the call whose place in the window this one took
	if at, ok := l.back(l.n + 1); ok {
		e = made.Sub(at)
	}
	switch c := l.before(made); {
	case l.refusals > 1 && l.spread:
		// The wait for a window to end tells nothing of a part of it.
	case l.refusals > 1:
		e = min(e, 2*l.window) // and it is longer than this
		t.low, l.window = max(l.window, e), max(longer, min(e+e/64, 2*l.window))
	case l.n > 1 && l.apart():
		l.keepApart()
	case !l.spread && 0 < c && c < l.n-1 && e > l.window*9/8:
		l.n = max(c, l.n/2) // there was room for more, but not at Duo's
	case l.n > 1 && made.Sub(l.calls[len(l.calls)-2].at) < l.window/time.Duration(2*l.n):
		l.halve() // calls that follow each other closely are refused
	default:
		t.low, l.window = l.window, longer
		if t.up < small && l.n > 1 {
			l.halve()
		}
		t.up = max(t.up/2, large)
	}
	l.window = min(l.window, l.most*9/8*time.Duration(l.n))
	t.proven, t.since, t.answers, t.down = l.window, made, 0, small
}

// before counts the calls within a window before the last one, but for refused ones.
func (l *learner) before(made time.Time) int {
	n := 0
	for i := len(l.calls) - 2; i >= 0 && made.Sub(l.calls[i].at) < l.window; i-- {
		if l.calls[i].outcome != refused {
			n++
		}
	}
	return n
}

// halve spreads the calls: half of them in half of the window. What was refused of all
// of them tells little of half of them.
func (l *learner) halve() {
	half := l.n / 2
	l.window = l.window * time.Duration(half) / time.Duration(l.n)
	l.trial.low = min(l.trial.low*time.Duration(half)/time.Duration(l.n), l.window*3/4)
	l.n, l.spread = half, true
	l.trial.proof = min(l.trial.proof, 6*half)
}

// keepApart spreads the calls, because they are refused for following each other closely:
// then no window is known to be too short.
func (l *learner) keepApart() {
	l.halve()
	l.trial.low = min(l.trial.low, l.window/4)
}

// backOff waits for a place to be free, and longer after each refusal in turn.
func (l *learner) backOff(made time.Time) {
	gap := l.window / time.Duration(l.n)
	if l.spread {
		gap += gap * 3 / 8
	}
	l.next = made.Add(gap << min(l.refusals-1, 16))
}
