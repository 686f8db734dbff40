package state

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecode holds what is read to what is written: anything else is refused.
func FuzzDecode(f *testing.F) {
	data, err := checkpoint(3).Encode(auth)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"ikey":"DIAAAAAAAAAAAAAAAAAA","endpoint":"auth","began":"2026-01-01T00:00:00Z","delivered_until":"2026-01-01T00:00:00Z","delivered":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var cp, again Checkpoint
		if cp.Decode(data, auth) != nil {
			return
		}
		data, err := cp.Encode(auth)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Decode(data, auth); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(shown(&cp), shown(&again)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// shown is what is remembered of a checkpoint, as a test can compare it.
func shown(cp *Checkpoint) any {
	if cp == nil {
		return nil
	}
	return []any{cp.Progress, cp.Delivered.RememberedSince(), append([]Mark{}, cp.Delivered.Since(0)...)}
}
