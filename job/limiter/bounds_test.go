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

const even = 3 * time.Second // how long each call takes where only the limit is unknown

// guess is a limit that may be the one.
type guess struct {
	kind
	n          int
	window, at time.Duration // at is how long before the first call a fixed window began
}

// play makes calls until one is refused, then sends one at each of the tries until one is
// answered, and then goes on as one who knows the limit. It tells how many were answered
// before the first refusal, how many times longer than the ideal all takes, and whether a
// try was answered.
func (g guess) play(pages int, tries ...time.Duration) (before int, times float64, ok bool) {
	l := g.make(g.n, g.window, begin.Add(-g.at))
	now, left := begin, pages
	call := func(at time.Time) bool {
		arrives := at.Add(even / 2)
		ok := !l.free(arrives).After(arrives)
		if l.count(arrives, ok); ok {
			left--
		}
		now = at.Add(even)
		return ok
	}
	for left > 0 && call(now) {
	}
	before, ok = pages-left, left == 0
	for i := 0; i < len(tries) && !ok; i++ {
		ok = call(begin.Add(tries[i]))
	}
	for ok && left > 0 {
		call(l.free(now.Add(even / 2)).Add(-even / 2))
	}
	best := newWorld(g.kind, g.n, g.window, latency{even, even}, 0)
	best.limit = g.make(g.n, g.window, begin)
	return before, float64(now.Sub(begin)) / float64(ideal(best, pages, 24*time.Hour).took), ok
}

// schedule looks for tries that suit all limits: each is as late as the one that can wait
// least allows. It returns none if it finds none, which proves nothing.
func schedule(all []guess, pages int, within float64, tries ...time.Duration) []time.Duration {
	for {
		next := time.Duration(math.MaxInt64)
		for _, g := range all {
			if _, times, ok := g.play(pages, tries...); ok {
				if times > within {
					return nil
				}
				continue
			}
			latest := time.Duration(0)
			for t := tries[len(tries)-1] + even; t < 4*time.Minute; t += time.Second / 2 {
				if _, times, ok := g.play(pages, append(tries[:len(tries):len(tries)], t)...); ok && times <= within {
					latest = t
				}
			}
			if next = min(next, latest); next == 0 {
				return nil
			}
		}
		if next == math.MaxInt64 {
			return tries
		}
		tries = append(tries, next)
	}
}

// alike returns the limits of one-minute windows that answer so many calls, and then refuse one.
func alike(before, pages int) (all []guess) {
	for _, k := range kinds {
		for n := 1; n < pages; n++ {
			for at := time.Duration(0); at < time.Minute && (at == 0 || k.name == "fixed windows"); at += even {
				g := guess{k, n, time.Minute, at}
				if c, _, _ := g.play(pages); c == before {
					all = append(all, g)
				}
			}
		}
	}
	return all
}

// minutes is how near a caller comes to the ideal of both of two limits, of ten calls in one
// minute and in two, who has had ten answers and a refusal. The second counts attempts.
func minutes() float64 {
	one, two := guess{kinds[1], 10, time.Minute, 0}, guess{kinds[4], 10, 2 * time.Minute, 0}
	best := math.Inf(1)
	for t := 11 * even; t < 3*time.Minute; t += time.Second / 2 {
		if _, a, ok := one.play(20, t); ok { // whatever was tried before, this is the try that one answers
			_, b, answered := two.play(20, t)
			for u := t + even; !answered; u += time.Second / 2 {
				_, b, answered = two.play(20, t, u)
			}
			best = min(best, max(a, b))
		}
	}
	return best
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
	fmt.Fprintf(&rows, "| 20 pages, 10 answered before a refusal: windows of one minute, or of two that count attempts | no less than %.2f times the ideal in both |\n", minutes())
	all, within, tries := alike(10, 20), 1.0, []time.Duration(nil)
	for ; tries == nil && within < 2; within += 0.02 {
		for first := 11 * even; tries == nil && first < 90*time.Second; first += even {
			tries = schedule(all, 20, within, first)
		}
	}
	fmt.Fprintf(&rows, "| 20 pages, 10 answered before a refusal: %d limits of one minute that look the same | no proof: %.2f times the ideal is had in all |\n", len(all), within-0.02)
	t.Log(tries)
	documented(t, rows.String())
}
