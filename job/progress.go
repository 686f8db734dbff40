package job

import (
	"fmt"
	"sync"
	"time"
)

// Progress follows a run while it goes on. It is safe for concurrent use; its
// zero value is ready, and a nil *Progress follows nothing.
type Progress struct {
	mu            sync.Mutex
	began         time.Time
	end           int64 // of the window, in milliseconds since the epoch
	streams, done int
	records       int
	under         map[*stream]advance // the streams under way
}

// advance is how far a stream has come since its first page of the run.
type advance struct {
	since      time.Time
	from, till int64
}

func (p *Progress) begin(streams int, end int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began, p.streams, p.end, p.under = time.Now(), streams, end, map[*stream]advance{}
}

// delivered notes that a page of records is delivered up to the time till.
func (p *Progress) delivered(s *stream, records int, till int64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records += records
	a, ok := p.under[s]
	if !ok {
		a.since, a.from = time.Now(), till
	}
	a.till = till
	p.under[s] = a
}

func (p *Progress) finished(s *stream) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	delete(p.under, s)
}

// String says in one line how many streams are done, how many records were
// delivered and how fast, how far the stream that is furthest behind has still to
// go, and how long that takes at the pace at which it came so far, which is the
// pace that Duo's limit allows.
func (p *Progress) String() string {
	if p == nil {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		return "asking Duo for the child accounts"
	}
	s := fmt.Sprintf("%d of %d streams done, %d records", p.done, p.streams, p.records)
	if sec := time.Since(p.began).Seconds(); sec >= 1 {
		s += fmt.Sprintf(", %.0f/s", float64(p.records)/sec)
	}
	var behind, left time.Duration
	for _, a := range p.under {
		gap := time.Duration(p.end-a.till) * time.Millisecond
		behind = max(behind, gap)
		if a.till > a.from {
			share := float64(p.end-a.till) / float64(a.till-a.from)
			left = max(left, time.Duration(share*float64(time.Since(a.since))))
		}
	}
	if behind > time.Minute {
		s += ", " + about(behind) + " behind"
	}
	if left > time.Second {
		s += ", about " + about(left) + " left"
	}
	return s
}

// about writes a duration as roughly as a person wants it.
func about(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
