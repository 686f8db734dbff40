package job

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"

	"dls/state"
)

// Shard is one of N shares of an MSP's child accounts. Which share an account is
// in depends on its id and N alone, so that machines which know nothing of each
// other divide the accounts; when N grows by one, one account in N moves.
type Shard struct {
	// K counts from 0 to N-1. N is 0 for all accounts.
	K, N int
}

// UnmarshalText reads "K/N".
func (s *Shard) UnmarshalText(b []byte) error {
	k, n, ok := strings.Cut(string(b), "/")
	var err1, err2 error
	s.K, err1 = strconv.Atoi(k)
	s.N, err2 = strconv.Atoi(n)
	if !ok || err1 != nil || err2 != nil || s.N < 1 || s.N > 10_000 || s.K < 0 || s.K >= s.N {
		*s = Shard{}
		return errors.New("it must be K/N with K from 0 to N-1, as in 0/4")
	}
	return nil
}

// has tells whether the account is in the share: of all shares, it is in the one
// for which the hash of account and share is highest (rendezvous hashing).
func (s Shard) has(account string) bool {
	if s.N == 0 {
		return true
	}
	best, highest := 0, uint64(0)
	for k := range s.N {
		h := fnv.New64a()
		h.Write([]byte(account))
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(k)))
		if v := mix(h.Sum64()); v > highest || k == 0 {
			best, highest = k, v
		}
	}
	return best == s.K
}

// mix spreads the bits of a hash over all of it, which FNV does not.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// turnName is the lock of the share that is about to take its own.
const turnName = "dls-shards.lock"

// turnWait bounds the wait for a turn, which takes as long as it takes to list
// the directory.
const turnWait = time.Minute

// abandoned is the age from which a temporary file is no running share's: it is
// there while a page is delivered, which a slow receiver may draw out.
const abandoned = 24 * time.Hour

// lockName is the name of the share's own lock.
func (s Shard) lockName() string { return fmt.Sprintf("dls-%d-of-%d.lock", s.K, s.N) }

// claim takes the locks of the share: a whole run excludes all shares, a share
// excludes whole runs, itself, and the shares of another N, whose accounts are
// partly its own. The error wraps state.ErrLocked when one of them is running.
func (s Shard) claim(ctx context.Context, dir state.Store) (release func(), err error) {
	if s.N == 0 {
		return dir.Lock(state.LockName)
	}
	whole, err := dir.ShareLock(state.LockName)
	if err != nil {
		return nil, err
	}
	own, err := s.claimOwn(ctx, dir)
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
func (s Shard) claimOwn(ctx context.Context, dir state.Store) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, turnWait, state.ErrLocked)
	defer cancel()
	done, err := dir.WaitLock(ctx, turnName)
	if err != nil {
		return nil, err
	}
	defer done()
	names, err := dir.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var other Shard // of another name than name, if that is no share's
		fmt.Sscanf(name, "dls-%d-of-%d.lock", &other.K, &other.N)
		if other.lockName() != name || other.N == s.N {
			continue
		}
		free, err := dir.Lock(name)
		if errors.Is(err, state.ErrLocked) {
			return nil, fmt.Errorf("%w: share %d/%d is running", err, other.K, other.N)
		}
		if err != nil {
			return nil, err
		}
		free()
	}
	return dir.Lock(s.lockName())
}

// sweep removes temporary files that killed runs left, and none that a share
// which is running may be writing.
func (s Shard) sweep(dir state.Store) error {
	if s.N == 0 {
		return dir.Sweep()
	}
	return dir.SweepOlder(abandoned)
}
