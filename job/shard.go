package job

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"strconv"
	"strings"

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

// share is the shard as a store knows it.
func (s Shard) share() state.Share { return state.Share(s) }
