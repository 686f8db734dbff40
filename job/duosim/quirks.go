package duosim

// Quirks are the ways in which Duo may differ from its likely behaviour, or has
// differed. The zero value is the likely one: every page of a v2 log that has
// records carries a cursor, and only an empty page has null.
type Quirks struct {
	// NullOnShortPage: next_offset is null on a page shorter than the limit.
	NullOnShortPage bool
	// NullOnLastPage: next_offset is null on the last page of the window, even
	// on a full one.
	NullOnLastPage bool
	// NullIsAbsent: where next_offset would be null the key is missing.
	NullIsAbsent bool
	// CursorAsText: next_offset of auth is one text "ms,id" instead of a pair.
	CursorAsText bool
	// CursorStuck: a call with a cursor gets the same cursor back.
	CursorStuck bool
	// CursorIgnoresMintime: a call with a cursor is not held to its mintime.
	CursorIgnoresMintime bool
	// RepeatAtPageHead: the record that the cursor names comes again, as the
	// first one of the next page.
	RepeatAtPageHead bool
	// MicrosecondOrder: records within one millisecond are ordered by their
	// microseconds, not by their ids.
	MicrosecondOrder bool
	// TotalAsObject: total_objects is {"relation":"eq","value":n}.
	TotalAsObject bool
	// LimitCut: a v2 limit over 1000 means 1000 instead of an error.
	LimitCut bool
	// RejectOld: a v2 mintime more than 180 days ago is an error, as it is on
	// Trust Monitor.
	RejectOld bool
	// MoreThan1000: the administrator log answers with up to 1100 records.
	MoreThan1000 bool
	// OffsetAsNumber: next_offset of Trust Monitor is a number.
	OffsetAsNumber bool
	// Unsorted: Trust Monitor's events come in no order of time.
	Unsorted bool
}
