package duo

import (
	"slices"
	"time"
)

// Unit is how an endpoint writes the time of a record, and asks for mintime.
type Unit int

const (
	// Milliseconds since the Unix epoch.
	Milliseconds Unit = iota
	// Seconds since the Unix epoch.
	Seconds
)

// Duration returns the unit as a duration.
func (u Unit) Duration() time.Duration {
	if u == Seconds {
		return time.Second
	}
	return time.Millisecond
}

// Cursor is how an endpoint is paged.
type Cursor int

const (
	// NextOffset pages by metadata.next_offset, a (millisecond, id) mark sent
	// back as next_offset in its comma form.
	NextOffset Cursor = iota
	// Offset pages by metadata.next_offset, an opaque number sent back as offset.
	Offset
	// Mintime has no cursor: the answer is the earliest records from mintime on.
	Mintime
)

// Param is the name of the parameter that takes the cursor, or "".
func (c Cursor) Param() string {
	switch c {
	case NextOffset:
		return "next_offset"
	case Offset:
		return "offset"
	}
	return ""
}

// HostValue stands in an [Extra] for the configured API host name.
const HostValue = "\x00host"

// Extra is a key that is added at the end of each JSON record.
type Extra struct {
	Key   string
	Value string // or HostValue
}

// Endpoint is one row of the table of Duo's log endpoints. All that differs between
// endpoints is said here: the code that fetches, formats and checkpoints reads the
// row and knows no names. The facts are those of Duo's Admin API documentation
// (https://duo.com/docs/adminapi#logs). Rows are never changed.
type Endpoint struct {
	// Name is the endpoint's name in the configuration and in file names.
	Name string
	// Path is the path of the call, always a GET.
	Path string
	// Records is the key of the list of records in the response, or empty when
	// the response is the list.
	Records string
	// ID names the fields that together with the time identify a record. Empty:
	// records have no id, and equal ones are told apart by counting them.
	ID []string
	// Times names the fields that may hold the record's time, the most exact
	// first: RFC 3339 text, or a number in TimeUnit.
	Times []string
	// TimeUnit is the unit of a time that is a number.
	TimeUnit Unit
	// AskUnit is the unit of the parameters mintime and maxtime.
	AskUnit Unit
	// Limit is the most records that a page holds.
	Limit int
	// SendLimit tells whether the call takes the parameter limit.
	SendLimit bool
	// Sort is the value of the parameter sort, or empty when there is none.
	Sort string
	// Cursor is how the endpoint is paged.
	Cursor Cursor
	// Unordered tells that records may come in any order of time, so that only a
	// window read to its end moves the checkpoint.
	Unordered bool
	// Extra are the keys added to each JSON record of a single account. In MSP
	// mode every record gets child_account_id instead.
	Extra []Extra
	// CEF is the name of the mapping in package cef, or empty when the endpoint
	// has none.
	CEF string
	// MSP tells whether the endpoint can be read for a child account.
	MSP bool
	// Permission is what the Admin API application must be granted.
	Permission string
	// Gone is what to tell the user when Duo answers that the endpoint is not
	// there (404).
	Gone string
}

var table = []*Endpoint{
	{
		Name:    "auth",
		Path:    "/admin/v2/logs/authentication",
		Records: "authlogs",
		ID:      []string{"txid"},
		Times:   []string{"isotimestamp", "timestamp"}, TimeUnit: Seconds,
		AskUnit: Milliseconds, Limit: 1000, SendLimit: true, Sort: "ts:asc",
		Cursor: NextOffset,
		Extra:  []Extra{{"eventtype", "authentication"}, {"host", HostValue}},
		CEF:    "auth", MSP: true, Permission: "Grant read log",
	},
	{
		Name:    "telephony",
		Path:    "/admin/v2/logs/telephony",
		Records: "items",
		ID:      []string{"telephony_id", "txid"},
		Times:   []string{"ts"}, TimeUnit: Milliseconds,
		AskUnit: Milliseconds, Limit: 1000, SendLimit: true, Sort: "ts:asc",
		Cursor: NextOffset,
		CEF:    "telephony", MSP: true, Permission: "Grant read log",
	},
	{
		Name:    "activity",
		Path:    "/admin/v2/logs/activity",
		Records: "items",
		ID:      []string{"activity_id"},
		Times:   []string{"ts"}, TimeUnit: Milliseconds,
		AskUnit: Milliseconds, Limit: 1000, SendLimit: true, Sort: "ts:asc",
		Cursor: NextOffset,
		CEF:    "activity", MSP: true, Permission: "Grant read log",
	},
	{
		Name:  "adminaction",
		Path:  "/admin/v1/logs/administrator",
		Times: []string{"timestamp", "isotimestamp"}, TimeUnit: Seconds,
		AskUnit: Seconds, Limit: 1000,
		Cursor: Mintime,
		Extra:  []Extra{{"eventtype", "administrator"}, {"host", HostValue}},
		CEF:    "adminaction", MSP: true, Permission: "Grant read log",
		Gone: "Duo is retiring the administrator log in favour of activity; map activity and drop adminaction",
	},
	{
		Name:    "trustmonitor",
		Path:    "/admin/v1/trust_monitor/events",
		Records: "events",
		ID:      []string{"sekey"},
		Times:   []string{"surfaced_timestamp"}, TimeUnit: Milliseconds,
		AskUnit: Milliseconds, Limit: 200, SendLimit: true,
		Cursor: Offset, Unordered: true,
		Permission: "Grant read log",
		Gone:       "Duo ends Trust Monitor's events on 2027-01-31 and keeps them from accounts without the feature; drop trustmonitor",
	},
}

// All returns the rows in the order in which duologsync documents them. The
// caller must not change the slice.
func All() []*Endpoint { return table }

// Named returns the row of a name, or nil.
func Named(name string) *Endpoint {
	i := slices.IndexFunc(table, func(e *Endpoint) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return table[i]
}

// Names returns the names of all endpoints, in the table's order.
func Names() []string {
	names := make([]string, len(table))
	for i, e := range table {
		names[i] = e.Name
	}
	return names
}
