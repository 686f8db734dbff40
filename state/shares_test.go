package state

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is said of shares that nobody runs, and of another N at work.
func TestSharesNotes(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	began := []time.Time{at, at.Add(time.Minute), at.Add(2 * time.Minute)}
	ran := func(k, n int, after time.Duration) ShareRun { return ShareRun{Share{k, n}, at.Add(after)} }
	const nobody = ": nobody reads the logs of their accounts"
	for _, tt := range []struct {
		name string
		of   Share
		runs []ShareRun
		want []string
	}{
		{"all run", Share{0, 3}, []ShareRun{ran(0, 3, 0), ran(1, 3, time.Second), ran(2, 3, time.Minute)}, nil},
		{"one never has", Share{0, 2}, []ShareRun{ran(0, 2, 0)}, []string{"share 1/2 has never run" + nobody}},
		{"one stopped", Share{0, 2}, []ShareRun{ran(1, 2, -time.Second)}, []string{"share 1/2 has not run since 2026-05-04T03:02:00Z" + nobody}},
		{"two", Share{0, 3}, nil, []string{"share 1/3 has never run, and another of 3 has not run for three intervals" + nobody}},
		{"four", Share{0, 5}, nil, []string{"share 1/5 has never run, and 3 others of 5 have not run for three intervals" + nobody}},
		{"another N", Share{0, 1}, []ShareRun{ran(3, 4, time.Minute)}, []string{"shares of 4 are at work beside those of shares of 1, the last at 2026-05-04T03:03:01Z: one N only should be"}},
		{"another N, before", Share{0, 1}, []ShareRun{ran(3, 4, -time.Minute)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, LookAtShares(tt.of, began, tt.runs).Notes()); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			if s := LookAtShares(tt.of, began[:2], tt.runs); len(s.Notes()) > 0 {
				t.Errorf("before three runs: %v", s.Notes())
			}
		})
	}
}
