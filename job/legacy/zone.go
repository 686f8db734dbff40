package legacy

import (
	"slices"
	"time"
)

// west are the zones west of UTC: how far the clocks there are behind, in summer
// too.
var west = []time.Duration{
	1 * time.Hour, 2 * time.Hour, 2*time.Hour + 30*time.Minute, 3 * time.Hour, 3*time.Hour + 30*time.Minute,
	4 * time.Hour, 5 * time.Hour, 6 * time.Hour, 7 * time.Hour, 8 * time.Hour, 9 * time.Hour,
	9*time.Hour + 30*time.Minute, 10 * time.Hour, 11 * time.Hour, 12 * time.Hour,
}

// zones are the times that a record can have of which duologsync wrote at, the
// latest first: at itself, for a host in UTC, and those for hosts west of UTC and
// in the location. The others east of UTC are left out: there at is too early,
// which skips nothing.
func zones(at time.Time, host *time.Location) []time.Time {
	times := []time.Time{at, hostTime(at, host)}
	for _, behind := range west {
		times = append(times, at.Add(-behind))
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	return slices.CompactFunc(times, time.Time.Equal)
}

// hostTime is the time of a record of which duologsync wrote at on a host in the
// location. duologsync takes the UTC time of the record for one in the host's zone,
// so the host's wall clock at the time in the file shows the record's UTC time.
func hostTime(at time.Time, host *time.Location) time.Time {
	_, offset := at.In(host).Zone()
	return at.Add(time.Duration(offset) * time.Second)
}
