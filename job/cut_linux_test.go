package job_test

import (
	"context"
	"net"
	"testing"
	"time"

	"dls/job"
	"dls/sinks"
	"dls/sinks/sinktest"
)

// A network that breaks once a connection stands takes a page with it, whatever the
// system tells of the connection: the run fails, and the next one delivers everything.
func TestNetworkCut(t *testing.T) {
	if !sinktest.InNetwork(t) {
		return
	}
	w, siem := newWorld(t)
	w.text.endpoints = map[string][]string{"siem": {"auth"}}
	var duo oddDuo
	duo.add(20, time.Now().Add(-time.Hour).UnixMilli(), 1000)
	run := func(cut bool) *job.Summary {
		return w.sync(func(o *job.Options) {
			o.SetTransport(&duo)
			o.SetSink(func(s *sinks.Options) {
				s.DialTimeout, s.StallTimeout, s.CloseTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
				if cut {
					s.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
						conn, err := new(net.Dialer).DialContext(ctx, network, address)
						sinktest.Loopback(t, false)
						return conn, err
					}
				}
			})
		})
	}
	if sum := run(true); sum.Through() || len(sum.Failed()) != 1 || len(siem.Take()) != 0 {
		t.Errorf("the network is cut, and the run says %+v", sum.Results)
	}
	sinktest.Loopback(t, true)
	w.clean(run(false))
	if n := len(siem.Take()); n != 20 {
		t.Errorf("%d of 20 records came with the next run", n)
	}
}
