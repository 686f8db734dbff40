package limiter

import (
	"sync"
	"time"
)

type Group struct {
	mu   sync.Mutex
	most time.Duration
}

type Limiter struct {
	g     *Group
	own   learner
	made  time.Time
	known *learner
}

func New(most time.Duration) *Group { return &Group{most: most} }

func (g *Group) Account() *Limiter { return &Limiter{g: g} }

func (l *Limiter) Wait(now time.Time) time.Duration {
	t := l.own.ready(0)
	if l.known != nil {
		t = l.known.ready(0)
	}
	if u := l.own.heard.Add(l.g.most); t.After(u) {
		t = u
	}
	return max(0, t.Sub(now))
}
func (l *Limiter) Called(now time.Time) {
	l.made = now
	l.own.called(now)
	if l.known != nil {
		l.known.called(now)
	}
}
func (l *Limiter) Answered(now time.Time) { l.own.answered(l.made, now) }
func (l *Limiter) Refused(now time.Time, after time.Duration) {
	l.own.refused(l.made, now, after)
}
