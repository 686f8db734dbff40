package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Share is one of N shares of a store's streams, K from 0 to N-1. Its zero value is
// all of them.
type Share struct{ K, N int }

// String returns "K/N", or "" for all.
func (s Share) String() string {
	if s.N == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.K, s.N)
}

// Suffix tells the share's files from those of others: see [RunsFile].
func (s Share) Suffix() string {
	if s.N == 0 {
		return ""
	}
	return fmt.Sprintf("-%d-of-%d", s.K, s.N)
}

// ParseSuffix reads what [Share.Suffix] writes.
func ParseSuffix(suffix string) (s Share, ok bool) {
	if suffix == "" {
		return s, true
	}
	fmt.Sscanf(suffix, "-%d-of-%d", &s.K, &s.N)
	return s, s.N > 0 && s.Suffix() == suffix
}

// Excludes tells whether runs of the two must not go on at once: a whole run excludes
// all shares, and a share excludes itself and the shares of another N, whose streams
// are partly its own.
func (s Share) Excludes(o Share) bool { return s.N != o.N || s.K == o.K }

// ShareRun is when a run of a share was last at work.
type ShareRun struct {
	Share
	At time.Time
}

// turnName is the lock of the share that is about to take its own.
const turnName = "dls-shards.lock"

// turnWait bounds the wait for a turn, which takes as long as it takes to list
// the directory.
const turnWait = time.Minute

// abandoned is the age from which a temporary file is no running share's: it is
// there while a page is delivered, which a slow receiver may draw out.
const abandoned = 24 * time.Hour

// shareLock is the name of a share's own lock.
func shareLock(s Share) string {
	if s.N == 0 {
		return LockName
	}
	return "dls" + s.Suffix() + ".lock"
}

// lockShare tells whose lock a file is by its name.
func lockShare(name string) (s Share, ok bool) {
	name = lockOf(name)
	if name == LockName {
		return s, true
	}
	fmt.Sscanf(name, "dls-%d-of-%d.lock", &s.K, &s.N)
	return s, s.N > 0 && shareLock(s) == name
}

// Claim implements [Store] with locks that the kernel holds. It removes temporary
// files that killed runs left, and none that a share which is running may be writing.
// The lock's file is written, so that its time is that of the run: see [Dir.Shares].
func (d *Dir) Claim(ctx context.Context, s Share) (release func(), err error) {
	release, err = d.claim(ctx, s)
	if err != nil {
		return nil, err
	}
	if s.N == 0 {
		err = d.Sweep()
	} else {
		err = d.SweepOlder(abandoned)
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (d *Dir) claim(ctx context.Context, s Share) (release func(), err error) {
	if s.N == 0 {
		return d.lock(LockName, true, true)
	}
	whole, err := d.ShareLock(LockName)
	if err != nil {
		return nil, err
	}
	own, err := d.claimOwn(ctx, s)
	if err != nil {
		whole()
		return nil, err
	}
	return func() { own(); whole() }, nil
}

// claimOwn takes the share's own lock unless a share of another N holds its own.
// Shares look and take in turns, so that of two N that start at once, one gets all
// its shares and the other none. Lock files stay: another process may be about to
// lock them.
func (d *Dir) claimOwn(ctx context.Context, s Share) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, turnWait, ErrLocked)
	defer cancel()
	done, err := d.WaitLock(ctx, turnName)
	if err != nil {
		return nil, err
	}
	defer done()
	names, err := d.Names()
	if err != nil {
		return nil, err
	}
	looked := map[Share]bool{{}: true}
	for _, name := range names {
		other, ok := lockShare(name)
		if !ok || looked[other] || other.N == s.N {
			continue
		}
		looked[other] = true
		if err := d.free(names, shareLock(other)); errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("%w: share %v is running", err, other)
		} else if err != nil {
			return nil, err
		}
	}
	return d.lock(shareLock(s), true, true)
}

// stamp writes a lock's file, which has no other content than when it was taken.
// What fails is no reason not to run: the time is only shown.
func stamp(f *os.File) {
	text := strconv.AppendInt(nil, time.Now().Unix(), 10)
	_, _ = f.WriteAt(append(text, '\n'), 0)
}

// Shares returns when the whole and each share was last at work, by this machine's
// clock. What is somebody else's tells nothing.
func (d *Dir) Shares() ([]ShareRun, error) {
	times, err := d.Times()
	if err != nil {
		return nil, err
	}
	var runs []ShareRun
	for name, at := range times {
		if s, ok := lockShare(name); ok && d.dir.Look(name) == nil {
			runs = append(runs, ShareRun{s, at})
		}
	}
	return runs, nil
}
