package state

import (
	"testing"

	"dls/state/internal/bounds"
	"dls/state/statetest"

	"github.com/google/go-cmp/cmp"
)

func mark(at int64, key byte, count int) Mark { return Mark{At: at, Key: Key{key}, Count: count} }

func TestAddAndForget(t *testing.T) {
	d := new(Delivered)
	d.Add([]Mark{mark(5, 1, 1), mark(3, 2, 1)})
	d.Add(nil)
	if diff := cmp.Diff([]Mark{mark(3, 2, 1), mark(5, 1, 1)}, d.Since(0)); diff != "" {
		t.Errorf("after the first Add (-want +got):\n%s", diff)
	}
	d.Add([]Mark{mark(4, 3, 1), mark(5, 4, 1), mark(3, 2, 2), mark(9, 5, 3)})
	d.Add([]Mark{mark(1, 6, 1)})
	want := []Mark{mark(1, 6, 1), mark(3, 2, 1), mark(3, 2, 2), mark(4, 3, 1), mark(5, 1, 1), mark(5, 4, 1), mark(9, 5, 3)}
	if diff := cmp.Diff(want, d.Since(0)); diff != "" {
		t.Errorf("after Add (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[4:], d.Since(5)); diff != "" {
		t.Errorf("Since (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[:3], d.Forget(4)); diff != "" {
		t.Errorf("forgotten (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[3:], d.Since(0)); diff != "" {
		t.Errorf("after Forget (-want +got):\n%s", diff)
	}
	if d.RememberedSince() != 4 || d.Len() != 4 {
		t.Errorf("%d remembered since %d, want 4 since 4", d.Len(), d.RememberedSince())
	}
}

// What Duo shows, against what is delivered and on its way.
func TestJudge(t *testing.T) {
	a, b := Key{1}, Key{2}
	id := func(k Key, d Digest) Ident { return Ident{Key: k, Digest: d} }
	bare := Ident{Key: b, Counted: true}
	type step struct {
		id      Ident
		again   bool // reading begins again before it
		verdict Verdict
		count   int
		shown   bool
	}
	for _, tt := range []struct {
		name      string
		delivered []Mark
		steps     []step
	}{
		{"new, then shown again", nil, []step{{id(a, 7), false, New, 1, false}, {id(a, 7), false, Known, 1, true}}},
		{"three of one id and time", nil, []step{{id(a, 7), false, New, 1, false}, {id(a, 8), false, Changed, 1, false}, {id(a, 9), false, Changed, 1, false}, {id(a, 8), true, Known, 1, true}}},
		{"delivered", []Mark{{At: 1, Key: a, Digest: 7, Count: 1}}, []step{{id(a, 7), false, Known, 1, false}, {id(a, 8), false, Changed, 1, false}}},
		{"a mark of version 1 stands for every version", []Mark{{At: 1, Key: a, Count: 1}}, []step{{id(a, 7), false, Known, 1, false}, {id(a, 8), false, Known, 1, false}}},
		{"equal ones without an id, over two pages", nil, []step{{bare, false, New, 1, false}, {bare, false, New, 2, true}, {bare, false, New, 3, true}}},
		{"equal ones afresh where reading begins again", nil, []step{{bare, false, New, 1, false}, {bare, false, New, 2, true}, {bare, true, Known, 1, true}, {bare, false, Known, 2, true}, {bare, false, New, 3, true}}},
		{"equal ones, some delivered", []Mark{mark(1, 2, 1), mark(1, 2, 2)}, []step{{bare, false, Known, 1, false}, {bare, false, Known, 2, true}, {bare, false, New, 3, true}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := new(Delivered)
			d.Add(tt.delivered)
			r := NewReading(d)
			for i, s := range tt.steps {
				if s.again {
					r.Again()
				}
				v, count, shown := r.Judge(s.id)
				if v != s.verdict || count != s.count || shown != s.shown {
					t.Errorf("step %d: verdict %d, count %d, shown %v, want %d, %d, %v", i, v, count, shown, s.verdict, s.count, s.shown)
				}
			}
		})
	}
}

// What is forgotten is no longer known, and leaves room for others.
func TestForgetAndJudge(t *testing.T) {
	d := new(Delivered)
	r := NewReading(d)
	for i := range 100 {
		at, id := int64(i), Ident{Key: NewKey([]byte{byte(i)}), Digest: Digest(i + 1)}
		if v, _, _ := r.Judge(id); v != New {
			t.Fatalf("record %d: verdict %d", i, v)
		}
		d.Add([]Mark{{At: at, Key: id.Key, Digest: id.Digest, Count: 1}})
		r.Forget(d.Forget(at - 9))
		if d.Len() > 10 || len(d.index.slots) > 12 || len(r.seen.slots) > 12 {
			t.Fatalf("%d marks, %d and %d slots", d.Len(), len(d.index.slots), len(r.seen.slots))
		}
	}
	old := Ident{Key: NewKey([]byte{1}), Digest: 2}
	if v, _, shown := r.Judge(old); v != New || shown {
		t.Errorf("a forgotten record: verdict %d, shown %v", v, shown)
	}
	young := Ident{Key: NewKey([]byte{99}), Digest: 100}
	if v, _, _ := NewReading(d).Judge(young); v != Known {
		t.Errorf("a remembered record: verdict %d", v)
	}
}

// Of equal records without an id the first is forgotten, and the next one that Duo shows
// is the third all the same.
func TestForgetOneOfEqual(t *testing.T) {
	d, id := new(Delivered), Ident{Key: Key{1}, Counted: true}
	r := NewReading(d)
	for i, at := range []int64{10, 20} {
		_, count, _ := r.Judge(id)
		if count != i+1 {
			t.Fatalf("count %d, want %d", count, i+1)
		}
		d.Add([]Mark{{At: at, Key: id.Key, Count: count}})
	}
	r.Forget(d.Forget(20))
	if v, count, _ := r.Judge(id); v != New || count != 3 {
		t.Errorf("verdict %d, count %d, want a new record, the third", v, count)
	}
}

// What a file has no room for is forgotten, the oldest first, and what is left can be
// read again and says from when on it remembers.
func TestFit(t *testing.T) {
	defer statetest.Bound(bounds.File, 80)()
	cp := &Checkpoint{Progress: Progress{DeliveredUntil: 1_000}}
	for i := range 80 {
		cp.Delivered.Add([]Mark{mark(int64(1_000+i), byte(i+1), 1)})
	}
	if gone := cp.Fit(); gone != nil {
		t.Fatalf("%d marks are forgotten, and all have room", len(gone))
	}
	cp.Delivered.Add([]Mark{mark(2_000, 81, 1)})
	gone := cp.Fit()
	if len(gone) != 11 || gone[10] != mark(1_010, 11, 1) || cp.Delivered.RememberedSince() != 1_011 || cp.Delivered.Holds(Key{11}, 1) || !cp.Delivered.Holds(Key{12}, 1) {
		t.Errorf("forgotten: %v; remembered since %d", gone, cp.Delivered.RememberedSince())
	}
	data, err := cp.Encode(auth)
	if err != nil {
		t.Fatal(err)
	}
	var again Checkpoint
	if err := again.Decode(data, auth); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(shown(cp), shown(&again)); diff != "" {
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

// Digests tell any two versions apart, are those of the checkpoint's own key, and
// outlive it in the file.
func TestDigest(t *testing.T) {
	var one, two Checkpoint
	a, b := []byte(`{"txid":"a","result":"success"}`), []byte(`{"txid":"a","result":"denied"}`)
	first, again := one.Delivered.Digest(a), one.Delivered.Digest(a)
	if first == one.Delivered.Digest(b) || first != again {
		t.Error("the digests of one stream do not tell records apart")
	}
	if one.Delivered.Digest(a) == two.Delivered.Digest(a) {
		t.Error("two streams have one key")
	}
	one.DeliveredUntil = 1
	data, err := one.Encode(auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Decode(data, auth); err != nil {
		t.Fatal(err)
	}
	if one.Delivered.Digest(a) != two.Delivered.Digest(a) {
		t.Error("the key is lost with the file")
	}
}

func BenchmarkDigest(b *testing.B) {
	var d Delivered
	raw := make([]byte, 1150)
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		d.Digest(raw)
	}
}
