package job_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dls/job"
	"dls/job/duosim"
	"dls/sinks/sinktest"
)

// Records that no datagram can hold are counted as a person counts.
func TestOversizeWarning(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		1: "1 record is too long for a datagram; it is in ",
		2: "2 records are too long for a datagram; they are in ",
	} {
		w, _ := newWorld(t)
		udp := sinktest.ListenUDP(t, sinktest.Options{})
		w.text.servers = []server{{id: "siem", protocol: "UDP", port: udp.Port()}}
		w.text.endpoints = map[string][]string{"siem": {"activity"}}
		for i := range n {
			r := duosim.Record{At: time.Now().Add(-time.Hour), ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i)}
			r.Raw = fmt.Appendf(nil, `{"activity_id":%q,"ts":%q,"text":%q}`, r.ID, r.At.UTC().Format(time.RFC3339), strings.Repeat("x", 66_000))
			w.add(parent, "activity", r)
		}
		w.clean(w.sync())
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("no warning says %q:\n%s", want, w.log.String())
		}
	}
}

// A checkpoint that cannot be written does not make the records that no server takes
// be kept twice in one run.
func TestOversizeKeptOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, &fault{udp: true, real: true})
	s.listen()
	r := duosim.Record{At: s.now.Add(-time.Hour), ID: "00000000-0000-4000-8000-000000000000"}
	r.Raw = fmt.Appendf(nil, `{"activity_id":%q,"ts":%q,"text":%q}`, r.ID, r.At.UTC().Format(time.RFC3339), strings.Repeat("x", 66_000))
	s.records = map[string][]duosim.Record{victim: {r}}
	s.duo = func(d *duosim.Server) { d.Inject(duosim.Match{Endpoint: victim, Skip: 1}, duosim.HTML(503)) } // the page counts meanwhile
	s.options = func(o *job.Options) {
		o.Endpoints, o.RetryFor = []string{victim}, time.Minute
		renamed := 0
		o.SetStep(func(step string) error {
			if step == "rename" {
				if renamed++; renamed > 1 { // the first one is of the checkpoint with which the stream begins
					return errors.New("the disk is gone")
				}
			}
			return nil
		})
	}
	var sum *job.Summary
	s.run(func() { sum = s.sync() })
	if len(sum.Failed()) != 1 {
		t.Errorf("%d streams failed, want 1", len(sum.Failed()))
	}
	kept, err := os.ReadFile(s.path("state", "activity_udp_failed_ingestion_logs.txt"))
	if n := bytes.Count(kept, []byte("\n")); n != 1 || sum.Results[0].Oversize != 1 {
		t.Errorf("%d records are kept, %d counted, want 1 (%v)", n, sum.Results[0].Oversize, err)
	}
}
