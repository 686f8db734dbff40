package feed

import (
	"context"
	"errors"
	"testing"
)

// A page that has more than it reserved, and waits, keeps no other from growing while
// the budget has room; where there is none, the others wait for it.
func TestGrow(t *testing.T) {
	stopped := errors.New("stopped")
	now, cancel := context.WithCancelCause(t.Context()) // what would wait fails
	cancel(stopped)
	m := NewMemory()
	reserve := func() *Room {
		r, err := m.Reserve(t.Context(), least)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	giant, page, late := reserve(), reserve(), reserve()
	if err := giant.Grow(t.Context(), 2*Budget); err != nil || !giant.excess {
		t.Fatalf("above the budget: %v", err)
	}
	for _, tt := range []struct {
		name string
		room *Room
		n    int
		want error
	}{
		{"within the budget", page, Budget / 2, nil},
		{"within what it has", page, Budget / 4, nil},
		{"no room is left", late, Budget, stopped},
	} {
		if err := tt.room.Grow(now, tt.n); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, r := range []*Room{giant, page, late} {
		r.Release()
		r.Release()
	}
	if !m.room.TryAcquire(Budget) || len(m.excess) != 0 {
		t.Error("not everything was given back")
	}
}
