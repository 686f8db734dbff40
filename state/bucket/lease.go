package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	randv2 "math/rand/v2"
	"strings"
	"sync"
	"time"

	"dls/state"
)

// A lease is an object of its share. It is held while it has content and was written
// less than leaseFor ago by the store's clock; whoever holds it renews it. It ends a
// second run early, and nothing depends on it: that no two runs move one stream is
// the matter of conditional writes.
const (
	leaseFor   = time.Minute
	leaseRenew = leaseFor / 3

	leasePrefix, leaseSuffix = "dls_lease", ".txt"
)

func leaseName(share state.Share) string { return leasePrefix + share.Suffix() + leaseSuffix }

// leaseShare tells whose lease an object is.
func leaseShare(name string) (state.Share, bool) {
	suffix, ok := strings.CutSuffix(strings.TrimPrefix(name, leasePrefix), leaseSuffix)
	if !ok {
		return state.Share{}, false
	}
	return state.ParseSuffix(suffix)
}

// releaseTime bounds what is done when a claim is let go of.
const releaseTime = 5 * time.Second

// tries is how often a run looks whether another that claims just now has gone on.
const tries = 4

// Claim implements [state.Store] with leases. The error wraps [ErrUnconditional] where
// the store ignores conditions.
func (s *Store) Claim(ctx context.Context, share state.Share) (release func(), err error) {
	if err := s.Probe(); err != nil {
		return nil, err
	}
	for range tries {
		release, err = s.lease(share)
		if !errors.Is(err, errTied) {
			break
		}
		// The other one steps back, too: one of the two comes first now.
		if !sleep(ctx, randv2.N(time.Second)) {
			return nil, context.Cause(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.share, s.suffix, s.claimed = share, share.Suffix(), true
	s.mu.Unlock()
	return release, nil
}

// errTied is a run that claims at the same time.
var errTied = fmt.Errorf("%w: it has just begun", state.ErrLocked)

// lease takes the share's lease.
func (s *Store) lease(share state.Share) (release func(), err error) {
	held, own, err := s.held(share)
	if err != nil {
		return nil, err
	}
	if held != nil {
		return nil, held
	}
	l := &lease{store: s, name: leaseName(share), holder: rand.Text()}
	if l.etag, err = s.client.write(s.ctx, l.name, l.content(), condition{own}); errors.Is(err, errMoved) {
		return nil, fmt.Errorf("%w: share %v has just begun", state.ErrLocked, share)
	} else if err != nil {
		return nil, err
	}
	if held, _, err = s.held(share, l.name); held != nil || err != nil {
		l.free()
		if err != nil {
			return nil, err
		}
		return nil, errTied
	}
	ctx, cancel := context.WithCancel(s.ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { l.renew(ctx) })
	return func() {
		cancel()
		renewing.Wait()
		s.leave(l)
	}, nil
}

// held returns why the share cannot be claimed, if a lease says so that is not one of
// mine, and the version of its own.
func (s *Store) held(share state.Share, mine ...string) (why error, own string, err error) {
	all, err := s.client.list(s.ctx, leasePrefix)
	if err != nil {
		return nil, "", err
	}
	now := s.client.now()
	for _, e := range all {
		other, ok := leaseShare(e.name)
		if !ok {
			continue
		}
		if other == share {
			own = e.etag
		}
		age := now.Sub(e.modified)
		if len(mine) > 0 && e.name == mine[0] || e.size == 0 || age >= leaseFor || !other.Excludes(share) {
			continue
		}
		who := "a run of all streams"
		if other.N > 0 {
			who = "share " + other.String()
		}
		why = fmt.Errorf("%w: %s is running, or ended without a word less than %v ago", state.ErrLocked, who, leaseFor)
	}
	return why, own, nil
}

// lease is a lease that is held.
type lease struct {
	store  *Store
	name   string
	holder string
	n      int
	etag   string
	lost   bool
}

// content is that of the next version: no two are the same.
func (l *lease) content() []byte {
	l.n++
	return fmt.Appendf(nil, "%s %d\n", l.holder, l.n)
}

// renew renews the lease until ctx ends.
func (l *lease) renew(ctx context.Context) {
	for sleep(ctx, leaseRenew) {
		etag, err := l.store.client.write(ctx, l.name, l.content(), condition{l.etag})
		switch {
		case err == nil:
			l.etag = etag
		case errors.Is(err, errMoved):
			l.lost = true
			l.store.warn(fmt.Sprintf("%s: another run has taken the lease, after this one was cut off from the store for more than %v; streams that it moves this run leaves alone", l.store.Path(l.name), leaseFor))
			return
		}
	}
}

// free lets go of the lease: an object without content is held by nobody.
func (l *lease) free() {
	if l.lost {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.store.ctx), releaseTime)
	defer cancel()
	// Whoever comes sees the lease as held for a minute where this fails.
	_, _ = l.store.client.write(ctx, l.name, nil, condition{l.etag})
}

// leave does what is left to do before a run's lease is let go of.
func (s *Store) leave(l *lease) {
	if err := s.flush(); err != nil {
		s.warn(err.Error() + "; the order of the streams is another one next time")
	}
	if err := s.saveSnapshot(); err != nil {
		s.warn(err.Error() + "; the next run reads every checkpoint by itself")
	}
	s.mu.Lock()
	s.claimed = false
	s.mu.Unlock()
	l.free()
}

// Shares implements [state.Store], by the store's clock. The time of a share that is at
// work is that of its last sign of life.
func (s *Store) Shares() ([]state.ShareRun, error) {
	all, err := s.client.list(s.ctx, leasePrefix)
	if err != nil {
		return nil, err
	}
	var runs []state.ShareRun
	for _, e := range all {
		if share, ok := leaseShare(e.name); ok {
			runs = append(runs, state.ShareRun{Share: share, At: e.modified})
		}
	}
	return runs, nil
}
