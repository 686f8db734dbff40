package limiter

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// distance is a limit that asks for a distance between answered calls. A call takes one
// of the ways to arrive, each as likely as the others, and as long back. All is in ticks.
type distance struct {
	ways   []int // in order
	period int
}

func newDistance(n int, lat latency, parts int, tick time.Duration) distance {
	d := distance{period: int(time.Minute / time.Duration(n) / tick)}
	for i := range parts {
		d.ways = append(d.ways, int((lat.low+(lat.top-lat.low)*time.Duration(2*i+1)/time.Duration(2*parts))/2/tick))
	}
	return d
}

// last is the longest time since the last answered call arrived that makes a difference.
func (d distance) last() int { return d.period + d.ways[len(d.ways)-1] }

// next is the least cost that a caller expects who knows all but the way of the next call,
// from the time when the answer is there to a call that took each way: the time from the
// arrival of that call to that of the next answered one, refused for each refused one,
// and then anew.
func (d distance) next(refused float64, anew []float64) []float64 {
	best := math.Inf(1)                 // of all times to send the next call from s on
	cost := make([]float64, d.last()+1) // by the time s since the last answered call arrived
	for s := d.last(); s >= 0; s-- {
		sum := 0.0
		for i, x := range d.ways {
			if s+x >= d.period {
				sum += float64(s+x) + anew[i]
			} else {
				sum += refused + cost[s+2*x]
			}
		}
		best = min(best, sum/float64(len(d.ways)))
		cost[s] = best
	}
	var all []float64
	for _, x := range d.ways {
		all = append(all, cost[x])
	}
	return all
}

// average is what an answered call costs at least in the long run, whatever the caller does.
func (d distance) average(refused float64) float64 {
	best, anew := 0.0, make([]float64, len(d.ways))
	for range 12 {
		then, least := d.next(refused, anew), math.Inf(1)
		for i := range then {
			least = min(least, then[i]-anew[i])
		}
		best, anew = max(best, least), then
	}
	return best
}

// used is the largest share of the allowed calls that a caller uses of whose calls no more
// than a tenth is refused. Whatever the price of a refusal beyond that tenth (a Lagrange
// multiplier), no such caller takes less time than the cheapest does at that price.
func (d distance) used() float64 {
	slowest := 0.0
	for i := range 9 {
		price := float64(d.period*i) / 32
		slowest = max(slowest, d.average(price*9/10)-price/10)
	}
	ideal := 0.0
	for _, x := range d.ways {
		for _, y := range d.ways {
			ideal += float64(max(d.period, x+y)) / float64(len(d.ways)*len(d.ways))
		}
	}
	return ideal / slowest
}

// chance is the largest chance to have so many pages within so many ticks.
func (d distance) chance(pages, ticks int) float64 {
	var then [][]float64 // by the ticks left, and the time since the last answered call arrived
	for page := range pages {
		now := make([][]float64, ticks+1)
		for t := range now {
			now[t] = make([]float64, d.last()+1)
			for s := d.last(); s >= 0; s-- {
				sum := 0.0
				for _, x := range d.ways {
					switch {
					case 2*x > t:
					case s+x >= d.period && page == 0: // the last of them
						sum++
					case s+x >= d.period:
						sum += then[t-2*x][x]
					default:
						sum += now[t-2*x][s+2*x]
					}
				}
				now[t][s] = sum / float64(len(d.ways))
				if t > 0 && s < d.last() { // or wait
					now[t][s] = max(now[t][s], now[t-1][s+1])
				}
			}
		}
		then = now
	}
	return then[ticks][d.last()]
}

// dilemma is how near a caller comes at most to the ideals of a minute's limits of ten calls
// that answer ten and refuse the next alike, all of which are made one after another: windows
// that are fixed and begin at some moment, and any sixty seconds, in which attempts count. The
// caller knows beforehand how long each call takes.
//
// Say attempts count. If a call is refused that arrives after a minute, there is no place for
// the last of 20 pages before two minutes. Else there is none before a minute after the first
// refusal. No other call arrives between the last refusal and the end of the minute, so a
// fixed window that begins there answers the same calls, and takes as long.
func dilemma(seed uint64) float64 {
	const n, pages = 10, 20
	windows := newWorld(kinds[1], n, time.Minute, latencies[3], seed)
	windows.limit = kinds[1].make(n, time.Minute, begin)
	attempts := newWorld(kinds[4], n, time.Minute, latencies[3], seed)
	w, now, refused := newWorld(kinds[4], n, time.Minute, latencies[3], seed), begin, begin
	for range n + 1 {
		there, back := w.ways()
		refused = now.Add(there)
		now = refused.Add(back)
	}
	return min(
		float64(2*time.Minute)/float64(ideal(attempts, pages, time.Hour).took),
		float64(refused.Add(time.Minute).Sub(begin))/float64(ideal(windows, pages, time.Hour).took),
	)
}

// TestTableBounds holds the bounds of docs/limits.md: what callers cannot have who know more
// than a Limiter does, and what those can have whom that does not rule out.
func TestTableBounds(t *testing.T) {
	var rows strings.Builder
	fmt.Fprint(&rows, "\n| for one who knows more than dls | bound |\n|---|---|\n")
	for _, c := range []struct {
		n    int
		lat  latency
		tick time.Duration
	}{{5, latencies[3], 15}, {10, latencies[3], 15}, {30, latencies[3], 5}} {
		used := newDistance(c.n, c.lat, 100, c.tick*time.Millisecond).used()
		fmt.Fprintf(&rows, "| leaky, %d a minute, %v: share of the allowed calls that is used | at most %.1f %% |\n", c.n, c.lat, 100*used)
		if known := reachable(kinds[3], c.n, time.Minute, c.lat); known > used+0.01 {
			t.Errorf("leaky, %d a minute, latency %v: one who knows the limit uses %.3f, more than the bound of %.3f", c.n, c.lat, known, used)
		}
	}
	for _, c := range []struct{ pages, parts, tick int }{{20, 30, 50}, {60, 15, 100}} {
		ideal := (c.pages-1)*6000 + 3000
		p := newDistance(10, latencies[3], c.parts, time.Duration(c.tick)*time.Millisecond).chance(c.pages, ideal*6/5/c.tick)
		fmt.Fprintf(&rows, "| leaky, 10 a minute, 0–6 s: chance to have %d pages within 1.2 times the ideal | at most %.0f %%; in 20 runs of 20, %.2g %% |\n", c.pages, 100*p, 100*math.Pow(p, 20))
	}
	worst := 0.0
	for seed := range uint64(seeds) {
		worst = max(worst, dilemma(seed))
	}
	fmt.Fprintf(&rows, "| fixed windows or attempts counted, 10 a minute, 0–6 s, 20 pages, the worst of 20 seeds | no less than %.2f times the ideal of one of both |\n", worst)
	documented(t, rows.String())
}
