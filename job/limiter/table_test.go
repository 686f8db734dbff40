package limiter

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

type latency struct{ low, top time.Duration }

var latencies = []latency{{0, 0}, {200 * time.Millisecond, time.Second}, {6 * time.Second, 6 * time.Second}, {0, 6 * time.Second}}

func draw(seed uint64, lat latency) delays {
	return delays{rand.New(rand.NewPCG(seed, 7)), lat.low, lat.top}
}

func TestTable(t *testing.T) {
	only := os.Getenv("KIND")
	for _, k := range kinds {
		if only != "" && only != k.name {
			continue
		}
		for _, w := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute} {
			for _, n := range []int{1, 2, 5, 10, 30, 200} {
				line := fmt.Sprintf("%-9s %3d/%3.0fs", k.name, n, w.Seconds())
				for _, lat := range latencies {
					used, refused := 2.0, 0.0
					for seed := range uint64(20) {
						phase := rand.New(rand.NewPCG(seed, 3))
						at := start.Add(-time.Duration(phase.Int64N(int64(w))))
						hours := max(2*time.Hour, min(400*w/time.Duration(n), 8*time.Hour))
						if lat.top == 0 && k.name != "fixed" && seed > 0 {
							break
						}
						o := run(New(2*time.Minute).Account(), k.make(n, w, at), draw(seed, lat), 1e9, hours, nil)
						best := ideal(k.make(n, w, at), draw(seed, lat), 1e9, o.took)
						used = min(used, float64(o.answered)/float64(best.answered))
						refused = max(refused, float64(o.refused)/float64(max(o.late, 1)))
					}
					mark := ' '
					if used < .9 || refused > .1 {
						mark = '*'
					}
					r := 0.0
					if mark == '*' || os.Getenv("REACH") != "" {
						r = reachable(k.make, n, w, lat)
					}
					if mark == '*' && r > 0 && used/r >= .9 {
						mark = '+'
					}
					if mark == '*' && os.Getenv("BAD") != "" {
						t.Logf("%s %d/%v %v: %.0f%% %.1f%% of %.0f%%", k.name, n, w, lat, 100*used, 100*refused, 100*r)
					}
					line += fmt.Sprintf("  | %3.0f%% %4.1f%%%c %3.0f", 100*used, 100*refused, mark, 100*r)
				}
				if os.Getenv("BAD") == "" {
					t.Log(line)
				}
			}
		}
	}
}

func TestBacklog(t *testing.T) {
	for _, k := range kinds {
		for _, b := range []struct {
			n, pages int
			w        time.Duration
		}{{10, 20, 60}, {2, 20, 60}, {10, 60, 60}, {1, 20, 60}, {5, 20, 60}, {5, 20, 30}, {10, 20, 30}, {20, 60, 120}, {1, 10, 30}} {
			w := b.w * time.Second
			line := fmt.Sprintf("%-9s %2d pages %3d/%3.0fs", k.name, b.pages, b.n, w.Seconds())
			for _, lat := range latencies {
				worst := 0.0
				for seed := range uint64(20) {
					phase := rand.New(rand.NewPCG(seed, 3))
					at := start.Add(-time.Duration(phase.Int64N(int64(w))))
					o := run(New(2*time.Minute).Account(), k.make(b.n, w, at), draw(seed, lat), b.pages, 4*time.Hour, nil)
					best := ideal(k.make(b.n, w, at), draw(seed, lat), b.pages, 4*time.Hour)
					if k.name == "fixed" {
						best.took = max(best.took, w*time.Duration((b.pages-1)/b.n))
					}
					worst = max(worst, float64(o.took)/float64(max(1, best.took)))
				}
				mark := ' '
				if worst > 1.2 {
					mark = '*'
				}
				line += fmt.Sprintf("  | %5.2f%c", worst, mark)
			}
			t.Log(line)
		}
	}
}

// reachable is the share that the best caller gets who knows the limit, but not how
// long a call takes to arrive.
func reachable(mk func(int, time.Duration, time.Time) limit, n int, w time.Duration, lat latency) float64 {
	best := 0.0
	for _, m := range []int{1, n} {
		for d := -20; d <= 60; d += 4 {
			o, all := result{}, 0
			for seed := range uint64(3) {
				phase := rand.New(rand.NewPCG(seed, 3))
				at := start.Add(-time.Duration(phase.Int64N(int64(w))))
				l := &knower{}
				l.schedule = learner{n: m, window: w*time.Duration(m)/time.Duration(n) + time.Duration(d)*max(lat.top-lat.low, time.Second/10)/100}
				p := run(l, mk(n, w, at), draw(seed, lat), 1e9, min(300*w/time.Duration(n), 4*time.Hour), nil)
				all += ideal(mk(n, w, at), draw(seed, lat), 1e9, p.took).answered
				o.answered += p.answered
				o.late += p.late
				o.refused += p.refused
			}
			if float64(o.refused) <= .1*float64(o.late) {
				best = max(best, float64(o.answered)/float64(all))
			}
		}
	}
	return best
}

func TestShared(t *testing.T) {
	for _, k := range kinds {
		for _, c := range []struct {
			accounts, pages, n int
			own                bool
		}{{60, 1, 2, false}, {60, 2, 2, false}, {60, 3, 10, false}, {2, 60, 10, false}, {3, 60, 2, false}, {60, 20, 10, false}, {60, 20, 2, true}, {20, 10, 10, true}, {10, 100, 100, false}} {
			for _, workers := range []int{8, 60} {
				line := fmt.Sprintf("%-9s %2d workers %2d accounts, %3d pages, %3d/min own=%v", k.name, workers, c.accounts, c.pages, c.n, c.own)
				for _, lat := range latencies {
					factor, refused, spread, ref := 0.0, 0.0, 0.0, 0
					for seed := range uint64(5) {
						phase := rand.New(rand.NewPCG(seed, 3))
						at := start.Add(-time.Duration(phase.Int64N(int64(time.Minute))))
						g, lim := New(2*time.Minute), k.make(c.n, time.Minute, at)
						var ss []*stream
						for range c.accounts {
							if c.own {
								lim = k.make(c.n, time.Minute, at)
							}
							ss = append(ss, &stream{l: g.Account(), lim: lim, pages: c.pages})
						}
						o := runMany(ss, workers, draw(seed, lat), 48*time.Hour, nil)
						all := c.accounts * c.pages
						if c.own {
							all = c.pages
						}
						best := ideal(k.make(c.n, time.Minute, at), draw(seed, lat), all, 100*time.Hour).took
						best = max(best, time.Duration((all-1)/c.n)*time.Minute, time.Second)
						factor = max(factor, float64(o.took)/float64(best))
						refused = max(refused, float64(o.refused)/float64(max(1, o.late)))
						ref = max(ref, o.total)
						lo, hi := 1e18, 0.0
						for _, s := range ss {
							x := s.done.Sub(start).Seconds()
							lo, hi = min(lo, x), max(hi, x)
						}
						spread = max(spread, (hi-lo)/hi)
					}
					line += fmt.Sprintf(" | %5.2f %4.1f%% %3d", factor, 100*refused, ref)
				}
				t.Log(line)
			}
		}
	}
}
