package job

import (
	"math/rand/v2"
	"testing"
	"time"
)

// limiter answers a call, or refuses it.
type limiter func(now time.Time) bool

// sliding allows n() calls in any window. Refused ones do not count.
func sliding(n func(now time.Time) int, window time.Duration) limiter {
	var times []time.Time
	return func(now time.Time) bool {
		for len(times) > 0 && now.Sub(times[0]) >= window {
			times = times[1:]
		}
		if len(times) >= n(now) {
			return false
		}
		times = append(times, now)
		return true
	}
}

// bucket holds size tokens, of which a call takes one, and gets a new one each
// period.
func bucket(size float64, period time.Duration) limiter {
	tokens, last := size, time.Time{}
	return func(now time.Time) bool {
		if !last.IsZero() {
			tokens = min(size, tokens+float64(now.Sub(last))/float64(period))
		}
		last = now
		if tokens < 1 {
			return false
		}
		tokens--
		return true
	}
}

// clock allows n calls in each window of the clock.
func clock(n int, window time.Duration) limiter {
	var current time.Time
	var used int
	return func(now time.Time) bool {
		if w := now.Truncate(window); !w.Equal(current) {
			current, used = w, 0
		}
		used++
		return used <= n
	}
}

// However Duo may limit calls, the pace finds what is allowed, and finds it
// again when it changes.
func TestPaceLimiters(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 17, 0, time.UTC)
	changing := func(now time.Time) int {
		if h := now.Sub(start); h > time.Hour && h < 2*time.Hour {
			return 2
		}
		return 10
	}
	always := func(n int) func(time.Time) int { return func(time.Time) int { return n } }
	for _, test := range []struct {
		name    string
		limiter func() limiter
		hours   int
		allowed float64 // calls
		used    float64 // of allowed, at least
		wasted  float64 // of the calls after the first minute, at most
	}{
		{"1 in a minute", func() limiter { return sliding(always(1), time.Minute) }, 12, 12 * 60, 0.85, 0.1},
		{"2 in a minute", func() limiter { return sliding(always(2), time.Minute) }, 12, 12 * 120, 0.85, 0.1},
		{"5 in 100 s", func() limiter { return sliding(always(5), 100*time.Second) }, 12, 12 * 180, 0.85, 0.1},
		{"30 in 45 s", func() limiter { return sliding(always(30), 45*time.Second) }, 12, 12 * 2400, 0.85, 0.1},
		{"10, then 2, then 10 in a minute", func() limiter { return sliding(changing, time.Minute) }, 3, 600 + 120 + 600, 0.85, 0.1},
		{"token bucket", func() limiter { return bucket(10, 6*time.Second) }, 12, 12*600 + 10, 0.85, 0.15},
		{"minutes of the clock", func() limiter { return clock(10, time.Minute) }, 12, 12 * 600, 0.85, 0.15},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(10) {
				var p pace
				dice, allow := rand.New(rand.NewPCG(seed, 0)), test.limiter()
				var answered, late, refused int
				for now := start; now.Sub(start) < time.Duration(test.hours)*time.Hour; {
					wait := p.wait(now, 2*time.Minute)
					if wait > 2*time.Minute {
						t.Fatalf("a wait of %v", wait)
					}
					now = now.Add(wait)
					p.call(now)
					half := 100*time.Millisecond + time.Duration(dice.Int64N(int64(400*time.Millisecond)))
					ok := allow(now.Add(half))
					if now.Sub(start) > time.Minute {
						late++
						if !ok {
							refused++
						}
					}
					now = now.Add(2 * half)
					if ok {
						answered++
						p.answered(now)
					} else {
						p.refused(now, 0)
					}
				}
				used, wasted := float64(answered)/test.allowed, float64(refused)/float64(late)
				if used < test.used || wasted > test.wasted {
					t.Errorf("seed %d: used %.3f, want %.2f; refused %.3f, want %.2f", seed, used, test.used, wasted, test.wasted)
				}
				if seed == 0 {
					t.Logf("used %.3f, refused %.3f", used, wasted)
				}
			}
		})
	}
}
