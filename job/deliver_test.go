package job_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dls/job/duosim"
	"dls/sinks/sinktest"
)

// Records that no datagram can hold are counted as a person counts.
func TestOversizeWarning(t *testing.T) {
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
