package sinks

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// defaultReceiveBuffer is net.core.rmem_default of Linux.
const defaultReceiveBuffer = 212992

func TestPacerSparesTheReceiveBuffer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload int
		cost    int // in the receiver's buffer, on Ethernet
	}{
		{"short", 300, 2304},
		{"one frame", 1472, 2304},
		{"two frames", 1473, 2 * 2304},
		{"longest", maxDatagram, 45 * 2304},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p pacer
				start := time.Now()
				held, last := 0, start
				const datagrams = 1000
				for range datagrams {
					if err := p.wait(t.Context(), tt.payload); err != nil {
						t.Fatal(err)
					}
					if now := time.Now(); now != last { // the receiver read in the pause
						held, last = 0, now
					}
					held += tt.cost
					if held > defaultReceiveBuffer*3/4 {
						t.Fatalf("%d bytes of buffer filled without a pause", held)
					}
				}
				// The time is synctest's, so it is exact. The last burst is not paused for.
				pauses := time.Duration(datagrams*tt.cost) * burstPause / burst
				if took := time.Since(start); took > pauses || took < pauses*9/10 {
					t.Errorf("took %v, want %v or a little less", took, pauses)
				}
			})
		})
	}
}

func TestPacerEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer{spent: burst}
		cause := errors.New("stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		start := time.Now()
		if err := p.wait(ctx, 1); !errors.Is(err, cause) {
			t.Errorf("error %v, want %v", err, cause)
		}
		if time.Now() != start {
			t.Error("paused although the context had ended")
		}
	})
}
