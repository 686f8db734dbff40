package job

import (
	"dls/sinks"
	"dls/state"
)

// flight is the pages of a stream that were handed over to sessions and do not count
// yet, in order. A page counts only when those before it do.
type flight struct {
	pages  []sent
	staged state.Staged // the checkpoint with the first page of the run alone, or nil
	tokens []func()     // tell the servers that no page is on its way any more
}

// sent is a page that was handed over: what it makes of the checkpoint once it counts.
type sent struct {
	receipts []receipt
	progress state.Progress
	marks    []state.Mark
	tally    state.Tally
	write    bool // the checkpoint is to be written
	kept     []kept
	untimed  int
	changed  int
	bytes    int
	longest  int
}

// receipt is what a session gave for a page.
type receipt struct {
	sinks.Receipt
	lane *lane
}

// drop forgets all pages that do not count: they are sent again.
func (f *flight) drop() {
	f.pages = nil
	f.unstage()
	f.land()
}

func (f *flight) unstage() {
	if f.staged != nil {
		f.staged.Discard()
		f.staged = nil
	}
}

// land tells the servers that no page is on its way.
func (f *flight) land() {
	for _, done := range f.tokens {
		done()
	}
	f.tokens = nil
}

// undecided is the session that the first page which does not count waits for, or
// nil.
func (f *flight) undecided() <-chan struct{} {
	for _, p := range f.pages {
		for _, r := range p.receipts {
			select {
			case <-r.Done():
			default:
				return r.Done()
			}
		}
	}
	return nil
}

// decided returns how many pages, from the first on, count, and why the one after them
// does not, if that is known.
func (f *flight) decided() (n int, failed *laneError) {
	for _, p := range f.pages {
		for _, r := range p.receipts {
			select {
			case <-r.Done():
			default:
				return n, nil
			}
		}
		for _, r := range p.receipts {
			if err := r.Err(); err != nil {
				return n, &laneError{r.lane, err}
			}
		}
		n++
	}
	return n, nil
}
