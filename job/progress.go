package job

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Progress counts what a run has done so far. It is safe for concurrent use; a
// nil *Progress counts nothing.
type Progress struct {
	streams, done atomic.Int64
	records       atomic.Int64
	oldest        atomic.Int64 // milliseconds since the epoch
	began         atomic.Int64
}

func (p *Progress) begin(streams int) {
	if p != nil {
		p.streams.Store(int64(streams))
		p.began.Store(time.Now().UnixMilli())
	}
}

func (p *Progress) delivered(records int, until int64) {
	if p != nil {
		p.records.Add(int64(records))
		p.oldest.Store(until)
	}
}

func (p *Progress) finished() {
	if p != nil {
		p.done.Add(1)
	}
}

// String says how far the run is, in one line.
func (p *Progress) String() string {
	began := p.began.Load()
	if began == 0 {
		return "asking Duo for the child accounts"
	}
	for_ := time.Since(time.UnixMilli(began))
	s := fmt.Sprintf("%d of %d streams done, %d records", p.done.Load(), p.streams.Load(), p.records.Load())
	if sec := for_.Seconds(); sec >= 1 {
		s += fmt.Sprintf(", %.0f/s", float64(p.records.Load())/sec)
	}
	return s
}
