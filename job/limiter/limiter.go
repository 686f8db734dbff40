package limiter

import (
	"sync"
	"time"
)

const (
	// longest is the longest window that Duo is believed to have.
	longest = 2 * time.Minute
	// grace is how long a turn is kept for one who was told to come.
	grace = time.Second
	// testLeast and testMost bound how many calls of accounts that share an
	// allowance are answered before it is tested whether they share it.
	testLeast, testMost = 10, 160
	// proofsLeast and proofsMost bound how many refusals it takes that only other
	// accounts' calls explain.
	proofsLeast, proofsMost = 2, 16
	// refusalWeighs is how many answers an unexpected refusal weighs.
	refusalWeighs = 16
)

// Group is the limiters of one endpoint: those of all accounts that one
// application reads. It is safe for concurrent use.
type Group struct {
	most time.Duration

	mu     sync.Mutex
	pool   learner // of all accounts' calls; learns while they share an allowance
	shared bool
	proofs int        // refusals in turn that only other accounts' calls explain
	doubt  int        // how many it takes
	queue  []*Limiter // those that wait for a turn, while shared; the longest waiting first

	test test
}

// test is whether accounts that seem to share an allowance do: calls beyond it are
// let go. One may be under way at first, and one more for each that is answered.
type test struct {
	every    int // answers within the allowance to a test
	answers  int // since the last test, or since the allowance is shared
	running  bool
	began    time.Time
	underWay int
	passed   int // calls beyond the allowance that were answered
}

// Limiter tells one account when to call one endpoint. It is safe for concurrent
// use, though its calls follow each other.
type Limiter struct {
	group *Group
	own   learner

	made   time.Time // the last call
	last   time.Time // the call before
	beyond bool      // it is beyond the allowance, for a test
	pooled bool      // the allowance was shared when it was made
	queued bool
	clues  int       // unexpected refusals after others' calls, less the answers
	due    time.Time // when it was told to come, while queued
}

// New returns a group without limiters. No pause of theirs after an answer or a
// refusal is longer than most.
func New(most time.Duration) *Group {
	return &Group{most: most, pool: learner{most: most}, test: test{every: testLeast}, doubt: proofsLeast}
}

// Account returns a limiter for one more account.
func (g *Group) Account() *Limiter { return &Limiter{group: g, own: learner{most: g.most}} }

// Wait tells how long to wait before the next call; 0 means that it may be made
// now. One who was told to wait asks again when the time has passed.
func (l *Limiter) Wait(now time.Time) time.Duration {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.beyond = false
	if !g.shared {
		l.queued = false
		return max(0, g.cap(&l.own, l.own.ready(0, now)).Sub(now))
	}
	if !l.queued {
		l.queued = true
		g.queue = append(g.queue, l)
	}
	ahead := 0
	for _, o := range g.queue {
		if o == l {
			break
		}
		if !o.due.Add(grace).Before(now) {
			ahead++
		}
	}
	at := g.pool.ready(ahead, now)
	if ahead == 0 {
		at = g.cap(&g.pool, at)
	}
	wait := min(max(0, at.Sub(now)), g.most)
	if wait > 0 && g.mayTest(l, now) {
		l.beyond, wait = true, 0
	}
	l.due = now.Add(wait)
	return wait
}

// cap keeps the pause after the last answer to the longest.
func (g *Group) cap(of *learner, at time.Time) time.Time {
	if last := of.heard.Add(g.most); !of.heard.IsZero() && at.After(last) {
		return last
	}
	return at
}

// mayTest tells whether l, who would have to wait, may call now, to test whether the
// accounts do share an allowance. No limit of the account's own may be in the way,
// and the time for the call must be far.
func (g *Group) mayTest(l *Limiter, now time.Time) bool {
	own := l.made.IsZero() || now.Sub(l.made) >= longest || l.own.n > 0 && !l.own.ready(0, now).After(now)
	if !own || g.pool.window == 0 || g.pool.refusals > 0 || g.pool.ready(0, now).Sub(now) <= g.pool.window/2 {
		return false
	}
	switch t := &g.test; {
	case !t.running && t.answers >= t.every:
		t.running, t.began, t.passed, t.answers = true, now, 0, 0
	case t.running && now.Sub(t.began) > g.pool.whole:
		t.running, t.answers = false, 0 // it proves nothing any more
	}
	return g.test.running && g.test.underWay <= g.test.passed
}

// Called notes that a call is being made.
func (l *Limiter) Called(now time.Time) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.last, l.made, l.pooled = l.made, now, g.shared
	if l.beyond {
		g.test.underWay++
	}
	l.own.called(now)
	g.pool.called(now)
	g.leave(l)
}

// leave takes l out of the queue, and all that have not come for long.
func (g *Group) leave(l *Limiter) {
	left := g.queue[:0]
	for _, o := range g.queue {
		if o == l || l.made.Sub(o.due) > memory {
			o.queued = false
			continue
		}
		left = append(left, o)
	}
	clear(g.queue[len(left):])
	g.queue = left
}

// Answered notes that the call was answered.
func (l *Limiter) Answered(now time.Time) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.end(now, answered)
	if l.alone() {
		g.proofs = 0
	}
	l.clues = max(0, l.clues-1)
	switch {
	case !g.shared || !l.pooled:
		l.own.answered(l.made, now)
	case l.beyond:
		g.test.passed++
		// No kind of limit lets more than twice its calls go in a window.
		if g.pool.history.answered(now.Add(-g.pool.whole), now) > 2*g.pool.burst {
			g.part()
		}
	default:
		g.test.answers++
		g.pool.answered(l.made, now)
	}
}

// end notes what became of the call.
func (l *Limiter) end(now time.Time, o outcome) {
	l.own.end(l.made, now, o)
	l.group.pool.end(l.made, now, o)
	if l.beyond {
		l.group.test.underWay--
	}
}

// Refused notes that Duo refused the call because of its limit, and for how long
// it asks to be left alone, or 0.
func (l *Limiter) Refused(now time.Time, after time.Duration) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.end(now, refused)
	if !g.shared && l.others(now) {
		if l.alone() {
			g.proofs++
		} else if l.own.settled() {
			l.clues += refusalWeighs
		}
		if g.proofs >= g.doubt || l.clues >= 3*refusalWeighs*g.doubt {
			g.share(now)
			l.pooled = true
		}
	}
	switch {
	case !g.shared || !l.pooled:
		l.own.refused(l.made, now, after)
	case l.beyond:
		g.test.running, g.test.every = false, min(2*g.test.every, testMost)
	default:
		g.pool.refused(l.made, now, after)
	}
}

// Lost notes that the call failed otherwise: it was neither answered nor refused.
func (l *Limiter) Lost(now time.Time) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.end(now, lost)
}

// share makes the accounts share an allowance from now on.
func (g *Group) share(now time.Time) {
	g.shared, g.proofs, g.test.answers = true, 0, 0
	if now.Sub(g.pool.calls[0].at) > time.Minute { // they have called for long enough to tell
		g.pool.assume(g.pool.history.answered(now.Add(-time.Minute), now), time.Minute)
	}
}

// part forgets that the accounts share an allowance.
func (g *Group) part() {
	g.shared, g.test = false, test{every: testLeast, underWay: g.test.underWay}
	g.doubt = min(2*g.doubt, proofsMost)
	g.pool = learner{most: g.most, history: g.pool.history}
	for _, l := range g.queue {
		l.queued = false
	}
	g.queue = nil
}

// alone tells whether no call of the account's own can be a reason to refuse the
// last one.
func (l *Limiter) alone() bool {
	return l.own.history.answered(l.made.Add(-longest), l.made.Add(-1)) == 0
}

// others tells whether another account's call was answered that was made after
// this one's call before the last.
func (l *Limiter) others(now time.Time) bool {
	from := later(l.last.Add(1), l.made.Add(-longest))
	return l.group.pool.history.answered(from, now) > l.own.history.answered(from, now)
}
