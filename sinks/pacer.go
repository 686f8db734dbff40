package sinks

import (
	"context"
	"time"
)

// Linux gives a UDP socket a receive buffer of 212,992 bytes
// (net.core.rmem_default) and charges it not with the payload but with the
// memory that holds it: for each Ethernet frame a buffer of 2 KiB and the
// 256 bytes of its descriptor, however short the record. About 92 datagrams
// fill it. The kernel may hold back a quarter of the buffer for a while after
// it was read.
//
// A burst is under a third of that. The pause after it is more than thirty
// times what a receiver that takes 100,000 datagrams a second needs to read it,
// so a receiver may be away for some 20 ms and still lose nothing. The rate is
// about 2,800 short records a second: a page of 1,000 takes 0.4 s.
const (
	burst      = 64 << 10
	burstPause = 10 * time.Millisecond

	framePayload = 1472 // what an Ethernet frame of 1,500 bytes carries of a datagram
	frameCost    = 2048 + 256
)

// pacer spreads datagrams over time. The zero value is ready.
type pacer struct {
	spent int // of the burst, in bytes of the receiver's buffer
}

// wait pauses as long as a datagram of n bytes must not be sent yet.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p.spent >= burst {
		// A long datagram may have spent more than a burst: it is paid for.
		timer := time.NewTimer(burstPause * time.Duration(p.spent) / burst)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		p.spent = 0
	}
	p.spent += (n + framePayload - 1) / framePayload * frameCost
	return nil
}
