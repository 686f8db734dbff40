package job_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job"
	"dls/job/report"
)

// A run that had nothing to do says so to those who ask; streams that failed for
// the same reason are named together.
func TestReport(t *testing.T) {
	results := func(err error, names ...string) (list []*job.Result) {
		for _, name := range names {
			list = append(list, &job.Result{Endpoint: name, Err: err})
		}
		return list
	}
	down := errors.New("the receiver is down")
	const idle = "dls: nothing to deliver: "
	for _, tt := range []struct {
		name    string
		results []*job.Result
		want    string
	}{
		{"idle", results(nil, "auth", "activity"), idle + "2 streams, read up to 2026-11-24T03:00:00Z\n"},
		{"idle, one stream", results(nil, "auth"), idle + "1 stream, read up to 2026-11-24T03:00:00Z\n"},
		{"work done", append(results(nil, "auth"), &job.Result{Endpoint: "activity", Delivered: 1}), ""},
		{"some failed", append(results(nil, "auth"), results(down, "b")...), "dls: error: b: the receiver is down\n"},
		{"six failed", results(down, "a", "b", "c", "d", "e", "f"), "dls: error: a, b, c, d, e, f: the receiver is down\n"},
		{"seven failed", results(down, "a", "b", "c", "d", "e", "f", "g"), "dls: error: a, b, c, d, e and 2 more streams: the receiver is down\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sum := &job.Summary{Results: tt.results, WindowEnd: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)}
			var b strings.Builder
			sum.Report(slog.New(report.NewConsole(&b, slog.LevelInfo)))
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
