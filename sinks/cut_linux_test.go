package sinks_test

import (
	"testing"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"
)

// A network that breaks once the connection stands takes the page, whether or not
// the connection was held open before, and whatever the system tells.
func TestNetworkCut(t *testing.T) {
	if !sinktest.InNetwork(t) {
		return
	}
	for _, settle := range []time.Duration{0, 10 * time.Millisecond} {
		for _, tr := range streams(t) {
			t.Run(tr.name+", settle "+settle.String(), func(t *testing.T) {
				s, r := tr.start(t, nil, func(o *sinks.Options) {
					impatient(o)
					o.Settle = settle
				})
				lines := page("a", 20, 200)
				session, err := s.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer session.Abort()
				sinktest.Loopback(t, false)
				_, err = session.Send(t.Context(), sinks.Batch{Lines: lines})
				if err == nil {
					err = session.Confirm(t.Context())
				}
				if err == nil || sinks.Hint(err) == "" {
					t.Errorf("error %v, hint %q; %d lines received", err, sinks.Hint(err), len(r.Lines()))
				}
				sinktest.Loopback(t, true)
				if err := deliver(t.Context(), s, lines); err != nil || !hasAll(r.Lines(), lines) {
					t.Errorf("once the network is back: error %v", err)
				}
			})
		}
	}
}
