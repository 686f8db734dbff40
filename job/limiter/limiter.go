// Package limiter learns how often Duo lets an endpoint be called.
//
// Duo allows about one or two calls a minute for each endpoint, and does not say
// how many nor how long it counts them, whether it counts refused ones, nor whether
// the accounts of an application count together. So all of it is learned, from
// answers and refusals alone. The package knows the time only from its callers,
// waits for nothing and says nothing.
//
// # One allowance
//
// A learner lets no more than n calls, refused ones included, go in any window.
// That is legal for each kind of limit that is known: sliding and fixed windows of
// n calls, buckets of n tokens, distances to be kept (n is 1), and limits that count
// refused calls. So only two numbers are learned:
//
//   - Until the first refusal there is none, and no call waits.
//   - Then n is what was answered until then, and the window is looked for: calls
//     are tried after half a minute, a minute and two, and where n is 1 after two
//     seconds and more. Where n is large, one is tried after ten seconds: if that one
//     is answered, and another refused before long, what lay between both is the pace.
//   - From then on a shorter window is tried now and then, after as many answers
//     as make good what a refusal costs: in the middle of what was refused and what
//     is proven, then by a thirty-second; and faster while Duo allows more than it
//     once did.
//   - A call is taken to arrive half of the time later by which it took longer than
//     the fastest: its place in the window is free when the window has passed since then.
//   - An unexpected refusal makes the window longer; or n smaller, if there was
//     room for more calls; or it spreads the calls, half of them in half of the
//     window, if calls that follow each other closely are refused. A single call
//     in an n-th of the window is legal wherever n calls in the window are.
//   - Where n is 1, one call is made that is legal only if refused calls do not count.
//     If it is answered, they take no place from then on, until that explains a refusal.
//   - A refusal of a shorter window spreads the calls, too, if each call that was
//     refused followed one more closely than any of the many that were answered.
//
// # Accounts
//
// Each account has a learner. The accounts of a [Group] share one instead once
// refusals show that Duo counts them together: an account is refused that has no
// answered call which a limit of its own could count, while others' are answered,
// twice in turn; or one is refused, again and again, where its own allowance had
// room. Then turns are handed out in the order in which they were asked for, and one
// account calls at a time when the window has changed, until some calls are answered.
// From time to time calls are let go beyond the shared allowance. If so many of them are
// answered that no limit explains it, the accounts part; a refusal that one of them
// explains changes nothing. While nobody is answered, as where the run before has used
// up what Duo allows, one account at a time tries for all; then as many call at the same
// time as have been answered since.
//
// # What cannot be had
//
// The tests hold the figures, which docs/limits.md has, with what is proved of those that
// fall short, and what is not. The reasons are:
//
//   - Nothing tells how long the next call will take to arrive. Of a limit that asks for
//     a distance of 6 s, the best who knows it uses 82 % if calls take 0 to 6 s.
//   - Until the first refusal, and often after it, kinds of limits look the same, and what
//     suits one is refused by another.
//   - One who never tries for more never learns of a higher limit. With a trial in
//     32 calls, of which a refused one costs two if it counts, 6 % are lost; at 2 calls
//     a minute it takes a quarter of an hour to notice.
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
	// thawMost is how many calls are answered, after a time in which none was, before all
	// accounts may call again.
	thawMost = 8
	// chance is how many calls more than the limit that is known may be answered in its
	// window, because the limit is a higher one.
	chance = 8
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

	unheard int       // refusals in turn since a call of any account was answered, while not shared
	thawed  int       // answers since nobody was answered: so many may call at a time, up to thawMost
	probe   time.Time // no call before, because of them
	told    time.Time // the last of them

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
	passed   int       // calls beyond the allowance that were answered
	at       time.Time // when the last of them was made
}

// Limiter tells one account when to call one endpoint. It is safe for concurrent
// use beside the others of its group. Its own calls follow each other: after
// [Limiter.Wait] has returned 0 there is one Called, and then one of Answered,
// Refused and Lost, before the next Called.
type Limiter struct {
	group *Group
	own   learner

	made   time.Time // the last call
	last   time.Time // the call before
	beyond bool      // it is beyond the allowance, for a test
	pooled bool      // the allowance was shared when it was made
	queued bool
	barred time.Time // Duo asked to be left alone until then
	clues  int       // unexpected refusals after others' calls, less the answers
	turn   time.Time // when it was told to come, while queued
}

// New returns a group without limiters. No pause of theirs after an answer or a
// refusal is longer than most.
func New(most time.Duration) *Group {
	return &Group{most: most, thawed: thawMost, pool: learner{most: most}, test: test{every: testLeast}, doubt: proofsLeast}
}

// Account returns a limiter for one more account.
func (g *Group) Account() *Limiter { return &Limiter{group: g, own: learner{most: g.most}} }

// Wait returns how long to wait before the next call; 0 means that it may be made
// now. One who was told to wait asks again when the time has passed, and may then
// be told to wait again. While accounts share an allowance, those who asked first
// come first; one who does not come within a second of the time lets the others
// go ahead, and keeps the place. Wait returns no more than the longest pause, and,
// but for one who has to wait for others, nothing that ends later than that after
// the last answer or refusal.
func (l *Limiter) Wait(now time.Time) time.Duration {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.beyond = false
	if !g.shared {
		l.queued = false
		at := g.cap(&l.own, l.own.ready(0, now))
		if g.unheard > 0 {
			at = later(at, g.probe)
		}
		if g.pool.pending >= max(1, g.thawed) && g.thawed < thawMost {
			at = later(at, now.Add(time.Second))
		}
		return max(0, later(at, l.barred).Sub(now))
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
		if !o.turn.Add(grace).Before(now) {
			ahead++
		}
	}
	at := g.pool.ready(ahead, now)
	if ahead == 0 {
		at = g.cap(&g.pool, at)
	}
	wait := min(max(0, later(at, l.barred).Sub(now)), g.most)
	if wait > 0 && !l.barred.After(now) && g.mayTest(l, now) {
		l.beyond, wait = true, 0
	}
	l.turn = now.Add(wait)
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

// Called notes that a call is being made now.
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
	l.turn = time.Time{} // it is not waited for, but keeps its place until it is answered
}

// leave takes l out of the queue, and all that have not come for long.
func (g *Group) leave(l *Limiter) {
	left := g.queue[:0]
	for _, o := range g.queue {
		if o == l || !o.turn.IsZero() && l.made.Sub(o.turn) > memory {
			o.queued = false
			continue
		}
		left = append(left, o)
	}
	clear(g.queue[len(left):])
	g.queue = left
}

// Answered notes that the call was answered now, whatever the answer is worth.
func (l *Limiter) Answered(now time.Time) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.end(now, answered)
	g.unheard, g.thawed = 0, g.thawed+1
	g.leave(l)
	if l.alone() {
		g.proofs = 0
	}
	l.clues = max(0, l.clues-1)
	switch {
	case !g.shared || !l.pooled:
		l.own.answered(l.made, now)
	case l.beyond:
		g.test.passed++
		g.test.at = l.made
		// No kind of limit lets more than twice its calls go in a window.
		if g.pool.history.answered(now.Add(-g.pool.whole), now) > 2*g.pool.burst+chance {
			g.part()
		}
	default:
		g.test.answers++
		g.pool.answered(l.made, now)
	}
}

// end notes what became of the call.
func (l *Limiter) end(now time.Time, o outcome) {
	l.turn = now
	l.own.end(l.made, now, o)
	l.group.pool.end(l.made, now, o)
	if l.beyond {
		l.group.test.underWay--
	}
}

// Refused notes that Duo refused the call now because of its limit, and for how
// long it asks to be left alone, or 0.
func (l *Limiter) Refused(now time.Time, after time.Duration) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.end(now, refused)
	l.barred = now.Add(min(after, g.most)) // whatever is learned from the refusal
	if !g.shared {
		g.refused(l.made, now)
	}
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
	case l.made.Sub(g.test.at) < max(g.pool.whole, 2*usual) && g.pool.settled(): // one that was let go beyond may have had its place
		g.pool.excused(l.made, now, after)
	default:
		g.pool.refused(l.made, now, after)
	}
}

// Lost notes that the call failed otherwise, or was given up: nothing is learned
// from it, but Duo may count it.
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

// refused notes that the call made then was refused. Where nobody is answered one account
// tries for all: where refused calls count, and accounts share a limit, they would keep
// each other out for ever.
func (g *Group) refused(made, now time.Time) {
	underWay := made.Before(g.told) // when another was refused
	if underWay || g.pool.history.answered(now.Add(-memory), now) > 0 {
		return
	}
	g.unheard, g.told, g.thawed = g.unheard+1, now, 0
	g.probe = made.Add(min(time.Second<<min(g.unheard, 16), g.most))
}

// others tells whether another account's call was answered that was made after
// this one's call before the last.
func (l *Limiter) others(now time.Time) bool {
	from := later(l.last.Add(1), l.made.Add(-longest))
	return l.group.pool.history.answered(from, now) > l.own.history.answered(from, now)
}
