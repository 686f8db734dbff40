package job_test

import (
	"bytes"
	"testing"
	"time"

	"dls/job"
)

// A pull ends where it is told to, of administrators' records too, which Duo shows by the
// page from a time on; without an end all that Duo shows comes.
func TestPullUntil(t *testing.T) {
	w, _ := newWorld(t)
	from := time.Now().Add(-time.Hour)
	w.fill(parent, 30, from, 1)
	var at []time.Time
	for r := range w.sim.Visible(parent, "adminaction") {
		at = append(at, r.At.Truncate(time.Second))
	}
	if len(at) != 30 {
		t.Fatalf("%d records, want 30", len(at))
	}
	for _, tt := range []struct {
		name  string
		until time.Time
		want  int
	}{
		{"at a record", at[9], 10},
		{"between two records", at[9].Add(time.Second), 10},
		{"before all of them", at[0].Add(-time.Second), 0},
		{"left out", time.Time{}, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			opts := w.options()
			opts.Endpoints = []string{"adminaction"}
			sum, err := job.Pull(t.Context(), w.config(), job.PullOptions{Options: opts, Since: from.Add(-time.Minute), Until: tt.until, Out: &out})
			if err != nil || len(sum.Failed()) > 0 {
				t.Fatal(err, sum)
			}
			r := sum.Results[0]
			if n := bytes.Count(out.Bytes(), []byte("\n")); n != tt.want || r.Delivered != tt.want {
				t.Errorf("%d lines, and the summary says %s; want %d", n, r, tt.want)
			}
		})
	}
}
