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
	if !m.budgets[0].room.TryAcquire(Budget) || len(m.budgets[0].excess) != 0 {
		t.Error("not everything was given back")
	}
}

// Pages for one server hold at most half of the budget, those for two servers as much of
// both halves; what could not be reserved is not held.
func TestHalf(t *testing.T) {
	stopped := errors.New("stopped")
	now, cancel := context.WithCancelCause(t.Context()) // what would wait fails
	cancel(stopped)
	m := NewMemory()
	a, b := m.Half(), m.Half()
	large, err := a.Reserve(t.Context(), Budget)
	if err != nil || large.n != Budget/2 {
		t.Fatalf("%d bytes of %d, error %v", large.n, Budget/2, err)
	}
	if _, err := a.Reserve(now, 1); !errors.Is(err, stopped) {
		t.Errorf("beyond the half: error %v, want %v", err, stopped)
	}
	if _, err := Both(b, a).Reserve(now, 1); !errors.Is(err, stopped) {
		t.Errorf("for both: error %v, want %v", err, stopped)
	}
	other, err := b.Reserve(t.Context(), least)
	if err != nil {
		t.Fatalf("for the other server: %v", err)
	}
	if err := other.Grow(now, Budget/2); err != nil || other.excess {
		t.Errorf("for the other server, up to its half: %v", err)
	}
	if err := large.Grow(t.Context(), Budget); err != nil || !large.excess {
		t.Errorf("above the half: %v", err)
	}
	large.Release()
	if _, err := a.Reserve(t.Context(), Budget/4); err != nil {
		t.Fatal(err)
	}
	late, err := a.Reserve(t.Context(), least)
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Grow(t.Context(), Budget/2); err != nil || !late.excess {
		t.Errorf("above what is left of the half: %v", err)
	}
	late.Release()
	other.Release()
	if !m.budgets[0].room.TryAcquire(Budget-Budget/4) || !b.budgets[0].room.TryAcquire(Budget/2) || !a.budgets[0].room.TryAcquire(Budget/4) {
		t.Error("not everything was given back")
	}
}
