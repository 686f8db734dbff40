package sinks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of the sessions of one server. Who hands pages over keeps some hundred
// bytes for each record until its session is decided: mostBytes bounds that, too.
const (
	mostOpen  = 4                // sessions that fill or settle at a time
	youngAge  = 10 * time.Second // how long one takes pages
	smallSize = 16 << 20         // how many bytes it takes
	mostBytes = 192 << 20        // how many all of them carry
	probeRest = time.Second      // how soon a server that is down is asked again
)

// Group shares the sessions of one server among streams. A page goes whole into one
// session, and a session is confirmed as a whole; of one that fails, the pages count that
// the receiver itself had answered. While one settles, the next one fills; sessions are
// few, whatever the number of streams. It is safe for concurrent use.
type Group struct {
	sink     Sink
	ctx      context.Context // its end ends the sessions
	sessions sync.WaitGroup

	mu       sync.Mutex
	filling  map[int]*shared // the sessions that take pages, by their limit; 0 is none
	open     int             // sessions that are not done
	bytes    int             // that they carry
	begun    int             // sessions so far
	changed  chan struct{}   // closed, and another put in its place, when one is done
	expected int             // pages on their way to this server
	proven   bool            // a session was confirmed in this run

	isDown atomic.Bool // down is not nil

	probing chan struct{} // holds a token while a probe is under way, which takes its time
	down    error         // why the last probe failed, or nil
	asked   time.Time     // when the last probe began
	probed  time.Time     // when it ended
}

// NewGroup returns the group of a server. Sessions end, and what they carried does
// not count, when ctx ends. [Group.Close] must be called.
func NewGroup(ctx context.Context, sink Sink) *Group {
	return &Group{sink: sink, ctx: ctx, filling: map[int]*shared{}, changed: make(chan struct{}), probing: make(chan struct{}, 1)}
}

// Sink returns the server.
func (g *Group) Sink() Sink { return g.sink }

// Close waits until all sessions have ended.
func (g *Group) Close() { g.sessions.Wait() }

// SessionError is a session that failed: of what it carried nothing counts but the pages
// that the receiver itself had answered, whose receipts say so.
type SessionError struct {
	// Err says why.
	Err error
	// Pages is how many pages the session carried that do not count, any of which may be
	// the reason. It is 0 where none is: the session was over before the page that was
	// handed over, or nobody listens at the port.
	Pages int
	// Down tells that the empty session that was tried next failed, too: the server is
	// down, and no page is to blame.
	Down bool
}

// Error returns the message of Err.
func (e *SessionError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *SessionError) Unwrap() error { return e.Err }

// Receipt stands for a page that was handed over. It is safe for concurrent use.
type Receipt struct {
	session *shared
	index   int // of the page among those that the session carried
}

// Done is closed when the page's session is decided.
func (r Receipt) Done() <-chan struct{} { return r.session.done }

// Err is nil once Done is closed and the page counts.
func (r Receipt) Err() *SessionError {
	if r.index < r.session.counted {
		return nil
	}
	return r.session.err
}

// shared is one session that pages of several streams go into.
type shared struct {
	group  *Group
	limit  int // the most pages, or 0
	number int // in the order in which sessions began
	in     chan *page
	seal   chan struct{} // closed when no more pages come
	done   chan struct{} // closed when err is there
	err    *SessionError

	carried int // pages that were sent
	counted int // how many of them, from the first on, count though it failed

	// Guarded by the group.
	began           time.Time
	pages, bytes    int // promised
	waiting         int // of them, those that have not come yet
	sealing, sealed bool
}

// page is a page on its way into a session.
type page struct {
	batch   Batch
	index   int // among those that the session carried
	refused []Refused
	err     error
	sent    chan struct{}
}

// Expect tells that a page may be on its way to this server, until done is called:
// while that is so a young session is kept open for it.
func (g *Group) Expect() (done func()) {
	g.mu.Lock()
	g.expected++
	g.mu.Unlock()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.expected--; g.expected == 0 {
			for _, s := range g.filling {
				g.finish(s)
			}
		}
	})
}

// Send hands a page over to a session and returns when it is written; refused names
// the records that the server does not take. limit bounds how many pages the session
// may carry, 0 is no bound: a page that may be the reason for which a session failed
// goes with fewer others. The error is a *SessionError or the cause with which ctx
// ended; the page may have been sent all the same.
func (g *Group) Send(ctx context.Context, b Batch, limit int) (refused []Refused, r Receipt, err error) {
	defer g.Expect()()
	for {
		s, err := g.session(ctx, len(b.Lines), limit)
		if err != nil {
			return nil, Receipt{}, err
		}
		p := &page{batch: b, sent: make(chan struct{})}
		select {
		case s.in <- p:
			<-p.sent // the batch is its owner's again
			g.arrived(s)
			if p.err != nil {
				<-s.done
				return nil, Receipt{}, s.err
			}
			return p.refused, Receipt{s, p.index}, nil
		case <-s.done:
			g.arrived(s)
			if s.err != nil {
				return nil, Receipt{}, &SessionError{Err: s.err.Err, Down: s.err.Down}
			}
			// The peer has ended the session, and all that it carried counts: another one.
		case <-ctx.Done():
			g.arrived(s)
			return nil, Receipt{}, context.Cause(ctx)
		}
	}
}

// session returns a session that takes a page of so many bytes; it waits for it.
func (g *Group) session(ctx context.Context, bytes, limit int) (*shared, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		full := g.bytes > 0 && g.bytes+bytes > mostBytes
		if full {
			for _, s := range g.filling {
				g.finish(s)
			}
		}
		s := g.filling[limit]
		if s != nil && g.open < mostOpen && (time.Since(s.began) >= youngAge || s.bytes >= smallSize) {
			g.finish(s)
			s = nil
		}
		if s == nil && g.open < mostOpen && !full {
			s = g.start(limit)
		}
		if s != nil {
			s.pages++
			s.bytes += bytes
			g.bytes += bytes
			s.waiting++
			if s.pages == limit {
				g.finish(s)
			}
			return s, nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
			g.mu.Lock()
		case <-ctx.Done():
			g.mu.Lock()
			return nil, context.Cause(ctx)
		}
	}
}

// start opens a session that takes pages. The caller holds g.mu.
func (g *Group) start(limit int) *shared {
	g.begun++
	s := &shared{group: g, limit: limit, number: g.begun, in: make(chan *page), seal: make(chan struct{}), done: make(chan struct{}), began: time.Now()}
	g.filling[limit] = s
	g.open++
	g.sessions.Go(s.run)
	return s
}

// finish lets a session take no more pages: it is sealed when those that were
// promised have come. The caller holds g.mu.
func (g *Group) finish(s *shared) {
	s.sealing = true
	if g.filling[s.limit] == s {
		delete(g.filling, s.limit)
	}
	if s.waiting == 0 && !s.sealed {
		s.sealed = true
		close(s.seal)
	}
}

// arrived tells that a page that was promised has come, or will not.
func (g *Group) arrived(s *shared) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.waiting--; s.sealing {
		g.finish(s)
	}
}

// aged lets a session that is no longer young take no more pages. While no other may be
// opened the newest one goes on, and only that: sessions of other limits would keep
// each other open, and the pages that none of them takes waiting.
func (g *Group) aged(s *shared) {
	g.mu.Lock()
	defer g.mu.Unlock()
	newest := s
	for _, other := range g.filling {
		if other.number > newest.number {
			newest = other
		}
	}
	if g.open < mostOpen || s != newest {
		g.finish(s)
	}
}

// run is the life of the session.
func (s *shared) run() {
	g := s.group
	ctx := g.ctx
	if err := s.carry(ctx); err != nil {
		s.err = s.diagnose(ctx, err)
	}
	g.mu.Lock()
	g.finish(s) // nobody joins a session that is done
	g.proven = g.proven || s.err == nil
	g.open--
	g.bytes -= s.bytes
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
	close(s.done)
}

// carry opens the session, carries pages until it is sealed, and confirms it.
func (s *shared) carry(ctx context.Context) error {
	session, err := s.group.sink.Open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		session.Abort()
		if a, ok := session.(answered); ok {
			s.counted = a.answered()
		}
	}()
	old := time.NewTimer(youngAge)
	defer old.Stop()
	for {
		select {
		case p := <-s.in:
			p.index = s.carried
			s.carried++
			p.refused, p.err = session.Send(ctx, p.batch)
			close(p.sent)
			if p.err != nil {
				return p.err
			}
		case <-old.C:
			s.group.aged(s)
			old.Reset(time.Second)
		case <-s.seal:
			return session.Confirm(ctx)
		case <-session.Failed():
			return session.Confirm(ctx) // a receiver that answers each record may end it in order
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// diagnose finds out whether a failed session's server is down: an empty session
// tells.
func (s *shared) diagnose(ctx context.Context, err error) *SessionError {
	g, failing := s.group, time.Now()
	g.mu.Lock()
	g.finish(s) // nobody joins what has failed: the page would be taken for its reason
	g.mu.Unlock()
	failed := &SessionError{Err: err, Pages: s.carried - s.counted}
	if errors.Is(err, errRefused) { // by ICMP, for what was sent to a port
		failed.Pages = 0
	}
	if _, permanent := errors.AsType[*PermanentError](err); permanent || ctx.Err() != nil {
		return failed
	}
	down := g.probe(ctx, true, func() bool { return !g.asked.Before(failing) })
	failed.Down = down != nil && ctx.Err() == nil
	return failed
}

// Down tells, without asking it, whether the server was down when it was asked last.
func (g *Group) Down() bool { return g.isDown.Load() }

// Ready returns nil when the server is not known to be down, or an empty session
// shows that it is no longer; else a *SessionError, or the cause with which ctx ended.
func (g *Group) Ready(ctx context.Context) error {
	return sessionError(ctx, g.probe(ctx, false, g.lately()))
}

// sessionError is the error of a probe as those who wait for the server get it.
func sessionError(ctx context.Context, down error) error {
	switch {
	case down == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return &SessionError{Err: down, Down: true}
}

// lately tells whether the last probe ended a moment before now, or later.
func (g *Group) lately() func() bool {
	since := time.Now().Add(-probeRest)
	return func() bool { return g.probed.After(since) }
}

// probe tries an empty session, where the server is down or must be asked, unless what
// the last one told is good enough. It waits for one that is under way, which is of
// another context.
func (g *Group) probe(ctx context.Context, must bool, enough func() bool) error {
	select {
	case g.probing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-g.probing }()
	switch {
	case g.down == nil && !must:
		return nil
	case enough():
		return g.down
	}
	asked := time.Now()
	_, err := g.sink.Check(ctx)
	if ctx.Err() == nil {
		g.down, g.asked, g.probed = err, asked, time.Now()
		g.isDown.Store(err != nil)
	}
	return err
}

// Prove makes sure, once in a run, that the server can be reached: a page that goes to
// several servers must not reach some of them in every run while another is down. Its
// errors are those of Ready.
func (g *Group) Prove(ctx context.Context) error {
	g.mu.Lock()
	proven := g.proven
	g.mu.Unlock()
	if proven && !g.Down() {
		return nil
	}
	if err := g.probe(ctx, true, g.lately()); err != nil {
		return sessionError(ctx, err)
	}
	g.mu.Lock()
	g.proven = true
	g.mu.Unlock()
	return nil
}

// String names the group in messages.
func (g *Group) String() string { return fmt.Sprintf("server %q", g.sink.ID()) }
