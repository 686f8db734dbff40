package job

import (
	"fmt"
	"testing"
)

// Each account is in one share, the shares are about equal, and when one is
// added few accounts move, all of them to it.
func TestShardHas(t *testing.T) {
	const accounts, n = 4000, 5
	share := func(id string, n int) int {
		found := -1
		for k := range n {
			if (Shard{k, n}).has(id) {
				if found >= 0 {
					t.Fatalf("%s is in the shares %d and %d of %d", id, found, k, n)
				}
				found = k
			}
		}
		if found < 0 {
			t.Fatalf("%s is in no share of %d", id, n)
		}
		return found
	}
	var sizes [n]int
	moved := 0
	for i := range accounts {
		id := fmt.Sprintf("DA%018d", i)
		before, after := share(id, n), share(id, n+1)
		sizes[before]++
		if after != before {
			moved++
			if after != n {
				t.Errorf("%s moved from share %d to %d", id, before, after)
			}
		}
	}
	for k, size := range sizes {
		if size < accounts/n*8/10 || size > accounts/n*12/10 {
			t.Errorf("share %d has %d of %d accounts", k, size, accounts)
		}
	}
	if moved < accounts/(n+1)*8/10 || moved > accounts/(n+1)*12/10 {
		t.Errorf("%d of %d accounts moved", moved, accounts)
	}
}
