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
	// A refusal that only other accounts' calls explain weighs as much as so many
	// answers that could have been refused for them; and it takes suspects of them.
	refusalWeighs, suspects, suspectsMost = 16, 2, 64
)

// Group is the limiters of one endpoint: those of all accounts that one
// application reads. It is safe for concurrent use.
type Group struct {
	most time.Duration

	mu        sync.Mutex
	pool      learner // of all accounts' calls; learns while they share an allowance
	shared    bool
	suspect   *Limiter   // one that was refused though it had no call of its own
	suspicion int        // that accounts share an allowance
	doubt     int        // how many refusals it takes
	queue     []*Limiter // those that wait for a turn, while shared; the longest waiting first

	answers int  // since the last test, or since the allowance was shared
	every   int  // answers to a test
	testing bool // calls beyond the allowance are let go, one at a time
	tried   bool // one is under way
	beyond  int  // and so many were answered
}

// Limiter tells one account when to call one endpoint. It is safe for concurrent
// use, though its calls follow each other.
type Limiter struct {
	group *Group
	own   learner

	made   time.Time // the last call
	last   time.Time // the call before
	test   bool      // it is beyond the allowance
	pooled bool      // the allowance was shared when it was made
	queued bool
	due    time.Time // when it was told to come, while queued
}

// New returns a group without limiters. No pause of theirs after an answer or a
// refusal is longer than most.
func New(most time.Duration) *Group { return &Group{most: most, every: testLeast, doubt: suspects} }

// Account returns a limiter for one more account.
func (g *Group) Account() *Limiter { return &Limiter{group: g} }

// Wait tells how long to wait before the next call; 0 means that it may be made
// now. One who was told to wait asks again when the time has passed.
func (l *Limiter) Wait(now time.Time) time.Duration {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.test = false
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
	if wait > 0 && g.beyondAllowed(l, now, at) {
		l.test, wait = true, 0
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

// beyondAllowed tells whether a call that would have to wait until at may be made
// now, to test whether the accounts do share an allowance.
func (g *Group) beyondAllowed(l *Limiter, now, at time.Time) bool {
	if g.pool.window == 0 || g.pool.refusals > 0 || l.own.ready(0, now).After(now) {
		return false
	}
	if !g.testing && g.answers >= g.every && at.Sub(now) > g.pool.window/2 {
		g.testing, g.beyond, g.answers = true, 0, 0
	}
	return g.testing && !g.tried
}

// Called notes that a call is being made.
func (l *Limiter) Called(now time.Time) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.last, l.made, l.pooled = l.made, now, g.shared
	g.tried = g.tried || l.test
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
	l.note(answered)
	if l.others(now) && !g.shared {
		g.suspicion = max(0, g.suspicion-1)
		if l.alone() {
			g.suspicion, g.suspect = 0, nil
		}
	}
	switch {
	case !g.shared || !l.pooled:
		l.own.answered(l.made, now)
	case l.test:
		if g.beyond++; g.beyond > g.pool.burst {
			g.part()
		}
	default:
		g.answers++
		g.pool.answered(l.made, now)
	}
}

// note notes what became of the call.
func (l *Limiter) note(o outcome) {
	l.own.note(l.made, o)
	l.group.pool.note(l.made, o)
	if l.test {
		l.group.tried = false
	}
}

// Refused notes that Duo refused the call because of its limit, and for how long
// it asks to be left alone, or 0.
func (l *Limiter) Refused(now time.Time, after time.Duration) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.note(refused)
	if !g.shared && l.others(now) {
		switch {
		case l.alone() && g.suspect != nil && g.suspect != l:
			g.share()
			l.pooled = true
		case l.alone() && g.suspect == nil:
			g.suspect = l
		case l.alone() || l.own.sure():
			if g.suspicion += refusalWeighs; g.suspicion >= g.doubt*refusalWeighs {
				g.share()
				g.pool.assume(g.pool.answeredIn(now.Add(-time.Minute), now), time.Minute)
			}
		}
	}
	switch {
	case !g.shared || !l.pooled:
		l.own.refused(l.made, now, after)
	case l.test:
		g.testing, g.every = false, min(2*g.every, testMost)
	default:
		g.pool.refused(l.made, now, after)
	}
}

// Lost notes that the call failed otherwise: it was neither answered nor refused.
func (l *Limiter) Lost(now time.Time) {
	g := l.group
	g.mu.Lock()
	defer g.mu.Unlock()
	l.note(lost)
}

// share makes the accounts share an allowance from now on.
func (g *Group) share() {
	g.shared, g.answers, g.suspicion, g.suspect = true, 0, 0, nil
}

// part forgets that the accounts share an allowance.
func (g *Group) part() {
	g.shared, g.testing, g.every = false, false, testLeast
	g.doubt = min(2*g.doubt, suspectsMost)
	g.pool = learner{calls: g.pool.calls, out: g.pool.out}
	for _, l := range g.queue {
		l.queued = false
	}
	g.queue = nil
}

// alone tells whether no call of the account's own can be a reason to refuse the
// last one.
func (l *Limiter) alone() bool {
	return l.own.answeredIn(l.made.Add(-longest), l.made) == 0
}

// others tells whether another account's call was answered that was made after
// this one's call before the last.
func (l *Limiter) others(now time.Time) bool {
	from := later(l.last.Add(1), l.made.Add(-longest))
	return l.group.pool.answeredIn(from, now) > l.own.answeredIn(from, now)
}
