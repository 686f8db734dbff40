// Package feed brings what Duo has of one stream, page by page and in order. It
// fetches ahead, keeps to Duo's limits, tries again what may succeed later, and takes
// answers apart; its user sees whole pages only.
//
// Start with [New], then [Feed.Next] for each call that package window decides on.
package feed

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strconv"
	"time"

	"dls/job/duo"
	"dls/job/record"
	"dls/job/retry"
	"dls/job/window"
)

// Source makes Duo's calls; *[duo.Client] is one.
type Source interface {
	// Get is as [duo.Client.Get].
	Get(ctx context.Context, host, path string, params url.Values, buf []byte, room func(n int) error) ([]byte, error)
}

// Limiter is the pace at which calls may be made; *limiter.Limiter is one.
type Limiter interface {
	// Wait tells how long to wait before the next call.
	Wait(now time.Time) time.Duration
	// Called notes a call, Answered, Refused and Lost what became of it.
	Called(now time.Time)
	Answered(now time.Time)
	Refused(now time.Time, retryAfter time.Duration)
	Lost(now time.Time)
}

// Waiter waits on behalf of a feed; its user has other things to do meanwhile. An
// error ends the feed's call.
type Waiter interface {
	// Sleep waits for d. What the feed's user holds that others could use may be
	// given up meanwhile, the buffers of the page included.
	Sleep(ctx context.Context, d time.Duration) error
	// Await waits until done is closed.
	Await(ctx context.Context, done <-chan struct{}) error
}

// Reader takes the records of a page. Reset is called before the first of each try,
// and Read with the body and the index of each; it returns the index behind it.
type Reader interface {
	Reset(call window.Call)
	Read(body []byte, i int) (end int, err error)
}

// Options are what a feed is made of. All but Account are required.
type Options struct {
	Source  Source
	Limiter Limiter
	Waiter  Waiter
	Memory  *Memory
	Backoff *retry.Backoff // of its user, who tells it of progress
	Row     *duo.Endpoint
	Host    string
	Account string // the child account's id, or ""
	Name    string // of the stream, in messages
	Log     *slog.Logger
	Stats   *Stats
}

// Stats counts what a feed did.
type Stats struct {
	// Pages counts the answers, Retries what was tried again, Limited the answers that
	// were Duo's rate limit.
	Pages, Retries, Limited int
}

// Buffers is the memory that the answers of one feed at a time are read into. Its zero
// value is ready.
type Buffers struct {
	bodies [2][]byte // one is read while the other is filled
	turn   int
}

// Kept is how much of a buffer stays for the next page: more than any of Duo's needs.
const Kept = 4 << 20

// Trim gives back what is larger than [Kept]: the budget knows of pages under way, and
// not of what stays behind them. A page that was handed out is no longer valid, but for
// one that is fetched ahead. It tells whether something was.
func (b *Buffers) Trim() (trimmed bool) {
	for i, body := range b.bodies {
		if cap(body) > Kept {
			b.bodies[i], trimmed = nil, true
		}
	}
	return trimmed
}

// Feed is what Duo has of one stream. It is not safe for concurrent use.
type Feed struct {
	Options
	// Buffers must be set before a call of Next. The waiter's Sleep may change it.
	Buffers *Buffers
	// Last tells that no page is to be fetched ahead of the next call of Next: its user
	// is about to close the feed for a while.
	Last bool

	page  *fetch // the page that was handed out last
	ahead *fetch // what was asked for before its user did, or nil
	size  int    // of the largest page so far
}

// New returns a feed. It makes no call.
func New(opts Options) *Feed { return &Feed{Options: opts} }

// fetch is one call under way.
type fetch struct {
	call    window.Call
	cancel  context.CancelFunc
	claimed chan struct{} // closed when the page is its user's next
	done    chan struct{} // closed when the fields below are there
	room    *Room
	body    []byte
	err     error
	began   time.Time
	told    bool // the limiter knows that it was answered
}

// TooOldError is a call that Duo refused because it no longer keeps what lies so far
// back.
type TooOldError struct{ Err error }

// Error returns the message of Err.
func (e *TooOldError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *TooOldError) Unwrap() error { return e.Err }

// Next fetches the page of the call, hands its records to r, and returns what stands
// beside them. Of what to ask for ask tells anew after each wait, since what Duo keeps
// depends on the time. What r was given is valid until [Feed.Release] or the next Next.
// The error is a *TooOldError, one of Duo's that no further try mends, the last one when
// the back-off has reached its limit, or the waiter's.
func (f *Feed) Next(ctx context.Context, ask func() window.Call, r Reader) (duo.Meta, error) {
	f.Release()
	for {
		call, err := f.pace(ctx, ask)
		if err != nil {
			return duo.Meta{}, err
		}
		p, err := f.fetched(ctx, call)
		if err != nil {
			return duo.Meta{}, err
		}
		meta, err := f.read(ctx, p, r)
		if err == nil {
			f.page = p
			f.Stats.Pages++
			return meta, nil
		}
		f.drop()
		p.room.Release()
		if err := f.failed(ctx, p, err); err != nil {
			return duo.Meta{}, err
		}
	}
}

// Release gives back the memory of the page that was handed out last.
func (f *Feed) Release() {
	if f.page != nil {
		f.page.room.Release()
		f.page = nil
	}
}

// Close ends what is under way.
func (f *Feed) Close() {
	f.drop()
	f.Release()
}

// pace waits until the limiter allows the call, unless it is under way, and returns it.
func (f *Feed) pace(ctx context.Context, ask func() window.Call) (window.Call, error) {
	if call := ask(); f.ahead != nil && same(f.ahead.call, call) {
		return call, nil
	}
	f.drop()
	for {
		wait := f.Limiter.Wait(time.Now())
		if wait <= 0 {
			return ask(), nil
		}
		if err := f.Waiter.Sleep(ctx, wait); err != nil {
			return window.Call{}, err
		}
	}
}

// same tells whether two calls ask for the same.
func same(a, b window.Call) bool {
	return a.Cursor == b.Cursor && a.Maxtime == b.Maxtime && (a.Cursor != "" || a.Mintime == b.Mintime)
}

// fetched waits for the answer to the call, which may be under way.
func (f *Feed) fetched(ctx context.Context, call window.Call) (*fetch, error) {
	p := f.ahead
	f.ahead = nil
	if p == nil {
		p = f.begin(ctx, call)
	}
	close(p.claimed)
	if err := f.Waiter.Await(ctx, p.done); err != nil {
		f.ahead = p
		f.drop()
		return nil, err
	}
	return p, nil
}

// begin makes a call.
func (f *Feed) begin(ctx context.Context, call window.Call) *fetch {
	ctx, cancel := context.WithCancel(ctx)
	p := &fetch{call: call, cancel: cancel, claimed: make(chan struct{}), done: make(chan struct{}), began: time.Now()}
	b := f.Buffers
	b.turn = 1 - b.turn
	buf := b.bodies[b.turn]
	need := f.size + f.size/8
	f.Limiter.Called(time.Now())
	go func() {
		defer close(p.done)
		defer cancel()
		if p.room, p.err = f.Memory.Reserve(ctx, need); p.err != nil {
			return
		}
		p.body, p.err = f.Source.Get(ctx, f.Host, f.Row.Path, f.params(call), buf, func(n int) error {
			if n <= p.room.n {
				return nil
			}
			// The page before may need what this one would take.
			select {
			case <-p.claimed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			return p.room.Grow(ctx, n)
		})
	}()
	return p
}

// drop ends the call that was made ahead, if there is one. What Duo has said to it counts
// though nobody waits for it any more.
func (f *Feed) drop() {
	p := f.ahead
	if p == nil {
		return
	}
	f.ahead = nil
	p.cancel()
	<-p.done
	err := p.err
	if err == nil { // a refusal may have the status of a page
		_, err = duo.ReadPage(f.Row, p.body, func(i int) (int, error) { return record.Skip(p.body, i) })
	}
	p.room.Release()
	f.tell(time.Now(), err)
}

// tell tells the limiter what became of a call.
func (f *Feed) tell(now time.Time, err error) {
	switch api, ok := errors.AsType[*duo.APIError](err); {
	case ok && api.Limited(): // whatever its status is
		f.Stats.Limited++
		f.Limiter.Refused(now, api.RetryAfter)
	case ok, err == nil:
		f.Limiter.Answered(now)
	default:
		f.Limiter.Lost(now)
	}
}

// read takes the answer apart. Before it looks at the records it asks for the next
// page, so that Duo has work meanwhile.
func (f *Feed) read(ctx context.Context, p *fetch, r Reader) (duo.Meta, error) {
	if p.err != nil {
		return duo.Meta{}, p.err
	}
	f.Buffers.bodies[f.Buffers.turn] = p.body
	now := time.Now()
	next := duo.Foresee(f.Row, p.body)
	if next.Cursor != "" {
		f.Limiter.Answered(now) // who else knows of cursors?
		p.told = true
		f.ask(ctx, p.call, next, now)
	}
	r.Reset(p.call)
	meta, err := duo.ReadPage(f.Row, p.body, func(i int) (int, error) { return r.Read(p.body, i) })
	if err == nil && !p.told {
		f.Limiter.Answered(now)
	}
	if err == nil {
		f.size = max(f.size, 2*len(p.body)) // and its lines
	}
	return meta, err
}

// ask makes the next call ahead, where Duo says that there is more or the caller will
// ask in any case, and where it need not wait.
func (f *Feed) ask(ctx context.Context, call window.Call, next duo.Meta, now time.Time) {
	if f.Last || f.Row.Cursor != duo.NextOffset || next.Cursor == call.Cursor || !call.More && next.Total <= f.Row.Limit || f.Limiter.Wait(now) > 0 {
		return
	}
	call.Cursor = next.Cursor
	f.ahead = f.begin(ctx, call)
}

// failed decides about a call that brought no page: it waits and returns nil, or
// returns why the feed ends.
func (f *Feed) failed(ctx context.Context, p *fetch, err error) error {
	now := time.Now()
	api, _ := errors.AsType[*duo.APIError](err)
	if !p.told {
		f.tell(now, err)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case api != nil && api.TooOld():
		return &TooOldError{err}
	case !duo.Temporary(err):
		return err
	}
	wait, ok := f.Backoff.Failed(now.Sub(p.began))
	if !ok {
		return f.Backoff.Exhausted(err)
	}
	if api != nil && api.Limited() {
		wait = 0 // the limiter knows better
	}
	f.Stats.Retries++
	f.Log.Info("trying again", "stream", f.Name, "in", max(wait, f.Limiter.Wait(now)).Round(time.Millisecond), "because", err)
	if wait == 0 {
		return nil
	}
	return f.Waiter.Sleep(ctx, wait)
}

// params are the parameters of a call.
func (f *Feed) params(c window.Call) url.Values {
	unit := f.Row.AskUnit.Duration().Milliseconds()
	text := func(ms int64) string { return strconv.FormatInt(ms/unit, 10) }
	v := url.Values{"mintime": {text(c.Mintime)}}
	if c.Maxtime != 0 {
		v.Set("maxtime", text(c.Maxtime))
	}
	if f.Row.SendLimit {
		v.Set("limit", strconv.Itoa(f.Row.Limit))
	}
	if f.Row.Sort != "" {
		v.Set("sort", f.Row.Sort)
	}
	if c.Cursor != "" {
		v.Set(f.Row.Cursor.Param(), c.Cursor)
	}
	if f.Account != "" {
		v.Set("account_id", f.Account)
	}
	return v
}
