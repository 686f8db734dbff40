package sinks_test

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"

	"github.com/google/go-cmp/cmp"
)

// Where the receiver answers for what it takes, the pages that it has answered count
// though the session fails later; those behind them do not, and none of a session of TCP.
func TestAnsweredPagesCount(t *testing.T) {
	relp := &sinktest.RELPServer{Answer: func(n int, _ []byte) sinktest.RELPAnswer {
		if n == 5 { // of the third page
			return sinktest.RELPRefuse
		}
		return sinktest.RELPTake
	}}
	out := &sinktest.HEC{Before: func(n int, w http.ResponseWriter, _ []sinktest.HECEvent) bool {
		if n < 2 {
			return false
		}
		panic(http.ErrAbortHandler)
	}}
	late := &sinktest.HEC{Acks: true, Indexed: func(id int64, _ int) bool { return id != 2 }}
	for name, start := range map[string]func(t *testing.T) sinks.Sink{
		"RELP": func(t *testing.T) sinks.Sink {
			return newSink(t, sinks.RELP, func(c net.Conn) { relp.Serve(c, func([]byte) {}) })
		},
		"HEC":              func(t *testing.T) sinks.Sink { return hec(t, out) },
		"HEC acknowledged": func(t *testing.T) sinks.Sink { return hec(t, late) },
		"in memory": func(t *testing.T) sinks.Sink {
			return &model{refuses: func(lines []string) error { return errBroken }}
		},
	} {
		inVirtualTime(t, name, func(t *testing.T) {
			g := sinks.NewGroup(t.Context(), start(t))
			hold := g.Expect()
			var receipts []sinks.Receipt
			for range 4 {
				_, r, err := g.Send(t.Context(), batch("{}\n{}\n"), 0)
				if err != nil {
					break
				}
				receipts = append(receipts, r)
				synctest.Wait()
			}
			hold()
			var counts []bool
			for _, r := range receipts {
				<-r.Done()
				failed := r.Err()
				counts = append(counts, failed == nil)
				if failed != nil && (failed.Down || failed.Pages < 1 || name != "in memory" && failed.Pages > 2) {
					t.Errorf("%d pages may be why, down: %t: %v", failed.Pages, failed.Down, failed)
				}
			}
			want := map[string][]bool{"RELP": {true, true, false, true}, "HEC": {true, true}, "HEC acknowledged": {true, true, false, false}, "in memory": {false, false, false, false}}
			if diff := cmp.Diff(want[name], counts); diff != "" {
				t.Errorf("pages that count (-want +got):\n%s", diff)
			}
			g.Close()
			time.Sleep(time.Hour)
		})
	}
}
