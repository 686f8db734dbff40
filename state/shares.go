package state

import (
	"fmt"
	"slices"
	"time"
)

// Shares is what a store knows of the shares that work on it.
type Shares struct {
	// Of is the share from which it is looked: the run's own, or the one that was at work
	// last. Its N is that at work.
	Of Share
	// Idle are the shares of this N that have not run for three intervals; their At is
	// zero where they never have. Nobody reads the logs of their accounts.
	Idle []ShareRun
	// Others are shares of another N, or runs of all, that were at work meanwhile: both
	// read the same accounts.
	Others []ShareRun
}

// intervals is for how many intervals a share may not run until it is said.
const intervals = 3

// LookAtShares tells what the store knows of the shares. of is the share that looks and
// when its last runs began, oldest first: where these are fewer than three, the
// interval is not known yet, and nothing is told.
func LookAtShares(of Share, began []time.Time, runs []ShareRun) Shares {
	s := Shares{Of: of}
	if len(began) < intervals {
		return s
	}
	since := began[len(began)-intervals]
	at := map[Share]time.Time{}
	for _, r := range runs {
		at[r.Share] = r.At
		if r.N != of.N && r.At.After(since) {
			s.Others = append(s.Others, r)
		}
	}
	for k := range of.N {
		if share := (Share{K: k, N: of.N}); share != of && at[share].Before(since) {
			s.Idle = append(s.Idle, ShareRun{Share: share, At: at[share]})
		}
	}
	slices.SortFunc(s.Others, func(a, b ShareRun) int { return b.At.Compare(a.At) })
	return s
}

// Notes says it in lines for people; none where all is in order.
func (s Shares) Notes() []string {
	var notes []string
	if len(s.Idle) > 0 {
		r := s.Idle[0]
		last := "has never run"
		if !r.At.IsZero() {
			last = "has not run since " + r.At.UTC().Format(time.RFC3339)
		}
		note := fmt.Sprintf("share %v %s", r.Share, last)
		switch more := len(s.Idle) - 1; {
		case more == 1:
			note += fmt.Sprintf(", and another of %d has not run for three intervals", s.Of.N)
		case more > 1:
			note += fmt.Sprintf(", and %d others of %d have not run for three intervals", more, s.Of.N)
		}
		notes = append(notes, note+": nobody reads the logs of their accounts")
	}
	if len(s.Others) > 0 {
		other, of := "runs of all accounts are", "all accounts"
		if n := s.Others[0].N; n > 0 {
			other = fmt.Sprintf("shares of %d are", n)
		}
		if s.Of.N > 0 {
			of = fmt.Sprintf("shares of %d", s.Of.N)
		}
		notes = append(notes, fmt.Sprintf("%s at work beside those of %s, the last at %s: one N only should be", other, of, s.Others[0].At.UTC().Format(time.RFC3339)))
	}
	return notes
}
