package limiter

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

func TestTrace(t *testing.T) {
	k := os.Getenv("TK")
	if k == "" {
		t.Skip()
	}
	n, _ := strconv.Atoi(os.Getenv("TN"))
	ws, _ := strconv.Atoi(os.Getenv("TW"))
	lat, _ := strconv.Atoi(os.Getenv("TL"))
	sd, _ := strconv.Atoi(os.Getenv("TS"))
	mins, _ := strconv.Atoi(os.Getenv("TM"))
	w := time.Duration(ws) * time.Second
	for _, kind := range kinds {
		if kind.name != k {
			continue
		}
		phase := rand.New(rand.NewPCG(uint64(sd), 3))
		at := start.Add(-time.Duration(phase.Int64N(int64(w))))
		l := New(2 * time.Minute).Account()
		run(l, kind.make(n, w, at), draw(uint64(sd), latencies[lat]), 2000, time.Duration(mins)*time.Minute, func(now time.Time, ok bool) {
			o := &l.own
			fmt.Printf("%8.1f %v n=%d w=%.1f proven=%.1f low=%.1f calm=%d step=%d\n", now.Sub(start).Seconds(), map[bool]string{true: "ok", false: "REFUSED"}[ok], o.n, o.window.Seconds(), o.trial.proven.Seconds(), o.trial.low.Seconds(), o.trial.calm, o.trial.down)
		})
	}
}

func TestTraceShared(t *testing.T) {
	k := os.Getenv("TK")
	if k == "" {
		t.Skip()
	}
	n, _ := strconv.Atoi(os.Getenv("TN"))
	acc, _ := strconv.Atoi(os.Getenv("TA"))
	pg, _ := strconv.Atoi(os.Getenv("TP"))
	lat, _ := strconv.Atoi(os.Getenv("TL"))
	sd, _ := strconv.Atoi(os.Getenv("TS"))
	w := time.Minute
	for _, kind := range kinds {
		if kind.name != k {
			continue
		}
		phase := rand.New(rand.NewPCG(uint64(sd), 3))
		at := start.Add(-time.Duration(phase.Int64N(int64(w))))
		g := New(2 * time.Minute)
		lim := kind.make(n, w, at)
		var ss []*stream
		for range acc {
			ss = append(ss, &stream{l: g.Account(), lim: lim, pages: pg})
		}
		runMany(ss, 8, draw(uint64(sd), latencies[lat]), 8*time.Hour, func(i int, now time.Time, ok bool) {
			o := &g.pool
			if !g.shared {
				o = &ss[i].l.own
			}
			fmt.Printf("%8.1f #%d %v shared=%v test=%v every=%d n=%d w=%.1f proven=%.1f low=%.1f calm=%d step=%d out=%d ref=%d\n", now.Sub(start).Seconds(), i, map[bool]string{true: "ok", false: "REFUSED"}[ok], g.shared, ss[i].l.test, g.every, o.n, o.window.Seconds(), o.trial.proven.Seconds(), o.trial.low.Seconds(), o.trial.calm, o.trial.down, o.pending, o.refusals)
		})
	}
}
