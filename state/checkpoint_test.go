package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAddAndForget(t *testing.T) {
	mark := func(at int64, key byte, count int) Mark { return Mark{at, Key{key}, count} }
	cp := new(Checkpoint)
	cp.Add([]Mark{mark(5, 1, 1), mark(3, 2, 1)})
	cp.Add(nil)
	if diff := cmp.Diff([]Mark{mark(3, 2, 1), mark(5, 1, 1)}, cp.Delivered); diff != "" {
		t.Errorf("after the first Add (-want +got):\n%s", diff)
	}
	cp.Add([]Mark{mark(4, 3, 1), mark(5, 4, 1), mark(3, 2, 2), mark(9, 5, 3)})
	cp.Add([]Mark{mark(1, 6, 1)})
	want := []Mark{mark(1, 6, 1), mark(3, 2, 2), mark(4, 3, 1), mark(5, 1, 1), mark(5, 4, 1), mark(9, 5, 3)}
	if diff := cmp.Diff(want, cp.Delivered); diff != "" {
		t.Errorf("after Add (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[3:], cp.Since(5)); diff != "" {
		t.Errorf("Since (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:2], cp.Forget(4)); diff != "" {
		t.Errorf("forgotten (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[2:], cp.Delivered); diff != "" {
		t.Errorf("after Forget (-want +got):\n%s", diff)
	}
	if cp.Known != 4 {
		t.Errorf("known since %d, want 4", cp.Known)
	}
}

// A mark finds the one whose place it takes, whatever was added before it.
func TestAddCounts(t *testing.T) {
	mark := func(at int64, key byte, count int) Mark { return Mark{at, Key{key}, count} }
	cp := new(Checkpoint)
	cp.Add([]Mark{mark(1, 1, 1), mark(9, 9, 1)})
	cp.Add([]Mark{mark(3, 3, 1), mark(4, 4, 1), mark(5, 5, 1), mark(9, 9, 2)})
	want := []Mark{mark(1, 1, 1), mark(3, 3, 1), mark(4, 4, 1), mark(5, 5, 1), mark(9, 9, 2)}
	if diff := cmp.Diff(want, cp.Delivered); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNewKey(t *testing.T) {
	keys := map[Key]string{}
	for name, parts := range map[string][][]byte{
		"none": {}, "empty": {{}}, "ab": {[]byte("ab")}, "a b": {[]byte("a"), []byte("b")}, "ab nothing": {[]byte("ab"), {}}, "nothing ab": {{}, []byte("ab")},
	} {
		key := NewKey(parts...)
		if other, taken := keys[key]; taken {
			t.Errorf("%s and %s have one key", name, other)
		}
		keys[key] = name
	}
}

// FuzzDecode holds what is read to what is written: anything else is refused.
func FuzzDecode(f *testing.F) {
	data, err := checkpoint(3).encode(auth)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"ikey":"DIAAAAAAAAAAAAAAAAAA","endpoint":"auth","began":"2026-01-01T00:00:00Z","delivered_until":"2026-01-01T00:00:00Z","delivered":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var cp, again Checkpoint
		if cp.decode(data, auth) != nil {
			return
		}
		data, err := cp.encode(auth)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.decode(data, auth); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(cp, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
