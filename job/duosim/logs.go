package duosim

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// serveLog answers the v2 logs: authentication, telephony, activity.
//
// The window is mintime..maxtime, both inclusive, in milliseconds. Records are in
// the order of (millisecond, id), or its reverse, which is the default. The
// cursor is the mark of the page's last record, and the next page is what comes
// strictly after it, whatever the window is by then.
func (s *Server) serveLog(r *request) (*answer, *failure) {
	p := r.params
	if fail := noFilters(p); fail != nil {
		return nil, fail
	}
	w, fail := logWindow(p)
	if fail != nil {
		return nil, fail
	}
	if s.Quirks.RejectOld && tooOld(w.min, r.now) {
		return nil, errTooOld
	}
	limit, fail := s.logLimit(p)
	if fail != nil {
		return nil, fail
	}
	descending := true
	switch p.Get("sort") {
	case "ts:asc":
		descending = false
	case "", "ts:desc":
	default:
		return nil, invalid("sort")
	}
	after, fail := readCursor(r.endpoint, p["next_offset"])
	if fail != nil {
		return nil, fail
	}

	v := s.view(stream{r.account.ID, r.endpoint.name}, r.now)
	low, high := since(v, w.min, milliseconds), since(v, w.max+1, milliseconds)
	total := high - low
	if after != nil {
		low, high = s.cut(v, *after, low, high, descending)
	}
	count := min(limit, max(high-low, 0))
	indexes := make([]int, count)
	for n := range indexes {
		if descending {
			indexes[n] = high - 1 - n
		} else {
			indexes[n] = low + n
		}
	}

	var next *cursor
	if count > 0 {
		at, id := v.mark(indexes[count-1])
		next = &cursor{at.UnixMilli(), id}
		last := count == high-low
		if s.Quirks.NullOnShortPage && count < limit || s.Quirks.NullOnLastPage && last {
			next = nil
		} else if s.Quirks.CursorStuck && after != nil {
			next = after
		}
	}
	return s.page(r.endpoint, v, indexes, s.logMetadata(r.endpoint, next, total)), nil
}

// cut moves the window's edge to a cursor.
func (s *Server) cut(v view, c cursor, low, high int, descending bool) (int, int) {
	at, after := s.locate(v, c)
	if descending {
		if s.Quirks.RepeatAtPageHead {
			at = after
		}
		return low, min(high, at)
	}
	if s.Quirks.RepeatAtPageHead {
		after = at
	}
	if s.Quirks.CursorIgnoresMintime {
		low = 0
	}
	return max(low, after), high
}

// locate returns the index of the first record at or after a cursor, and of the
// first one after it.
func (s *Server) locate(v view, c cursor) (at, after int) {
	if !s.Quirks.MicrosecondOrder {
		at = sort.Search(v.len(), func(i int) bool { return c.compare(v.mark(i)) <= 0 })
		after = sort.Search(v.len(), func(i int) bool { return c.compare(v.mark(i)) < 0 })
		return at, after
	}
	first := since(v, c.ms, milliseconds)
	for i := first; i < v.len(); i++ {
		switch t, id := v.mark(i); {
		case t.UnixMilli() != c.ms:
			return first, first
		case id == c.id:
			return i, i + 1
		}
	}
	return first, first
}

// logMetadata is the compact JSON beside the records. total_objects counts the
// window, not what is left of it after a cursor.
func (s *Server) logMetadata(e *endpoint, next *cursor, total int) string {
	count := strconv.Itoa(total)
	if s.Quirks.TotalAsObject {
		count = `{"relation":"eq","value":` + count + `}`
	}
	if next == nil && s.Quirks.NullIsAbsent {
		return `{"total_objects":` + count + `}`
	}
	offset := "null"
	if next != nil && e.pair && !s.Quirks.CursorAsText {
		offset = marshal([]string{strconv.FormatInt(next.ms, 10), next.id})
	} else if next != nil {
		offset = marshal(fmt.Sprintf("%d,%s", next.ms, next.id))
	}
	return `{"next_offset":` + offset + `,"total_objects":` + count + `}`
}

// cursor is the mark of a record.
type cursor struct {
	ms int64
	id string
}

func (c cursor) compare(at time.Time, id string) int {
	if ms := at.UnixMilli(); c.ms != ms {
		if c.ms < ms {
			return -1
		}
		return 1
	}
	return strings.Compare(c.id, id)
}

// readCursor reads next_offset: "ms,id" in one parameter, or, on the
// authentication log, ms and id in two.
func readCursor(e *endpoint, values []string) (*cursor, *failure) {
	var ms, id string
	switch {
	case len(values) == 0:
		return nil, nil
	case len(values) == 1:
		ms, id, _ = strings.Cut(values[0], ",")
	case len(values) == 2 && e.pair:
		ms, id = values[0], values[1]
	}
	if !thirteenDigits.MatchString(ms) || id == "" {
		return nil, invalid("next_offset")
	}
	n, _ := strconv.ParseInt(ms, 10, 64)
	return &cursor{n, id}, nil
}

// window is a time window in milliseconds, both ends inclusive.
type window struct{ min, max int64 }

var timeKeys = [...]string{"mintime", "maxtime"}

var thirteenDigits = regexp.MustCompile(`^[0-9]{13}$`)

func logWindow(p url.Values) (window, *failure) {
	var w window
	for _, key := range timeKeys {
		if !p.Has(key) {
			return w, missing(key)
		}
	}
	for i, n := range []*int64{&w.min, &w.max} {
		if !thirteenDigits.MatchString(p.Get(timeKeys[i])) {
			return w, invalid("'" + timeKeys[i] + "' must be a timestamp in milliseconds")
		}
		*n, _ = strconv.ParseInt(p.Get(timeKeys[i]), 10, 64)
	}
	if w.max <= w.min {
		return w, invalid("'maxtime' must be strictly greater than 'mintime'")
	}
	return w, nil
}

func (s *Server) logLimit(p url.Values) (int, *failure) {
	n, fail := readLimit(p, 100)
	if fail == nil && n > 1000 {
		if !s.Quirks.LimitCut {
			return 0, invalid("limit")
		}
		n = 1000
	}
	return n, fail
}

// readLimit reads the parameter limit, a number from 1 on.
func readLimit(p url.Values, standard int) (int, *failure) {
	if !p.Has("limit") {
		return standard, nil
	}
	n, err := strconv.Atoi(p.Get("limit"))
	if err != nil || n < 1 {
		return 0, invalid("limit")
	}
	return n, nil
}

// retention is how long Duo keeps logs.
const retention = 180 * 24 * time.Hour

var errTooOld = invalid("mintime must be within the past 180 days")

func tooOld(ms int64, now time.Time) bool { return time.UnixMilli(ms).Before(now.Add(-retention)) }

// filters are the parameters that choose records or change them.
var filters = []string{
	"applications", "assessment", "detections", "event_types", "factors", "filters", "formatter", "groups",
	"phone_numbers", "reasons", "registration_id", "results", "token_id", "tokens", "type", "users", "webauthnkey",
}

func noFilters(p url.Values) *failure {
	for key := range p {
		if slices.Contains(filters, key) {
			return invalid("'" + key + "' is not simulated")
		}
	}
	return nil
}
