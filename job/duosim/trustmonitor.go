package duosim

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
)

// serveTrustMonitor answers Trust Monitor's events. mintime and maxtime are
// milliseconds, both inclusive, and meet surfaced_timestamp. metadata holds the
// next offset while more events remain, and nothing on the last page.
func (s *Server) serveTrustMonitor(r *request) (*answer, *failure) {
	p := r.params
	if fail := noFilters(p); fail != nil {
		return nil, fail
	}
	w, fail := eventWindow(p)
	if fail != nil {
		return nil, fail
	}
	if tooOld(w.min, r.now) {
		return nil, errTooOld
	}
	limit, fail := readLimit(p, 50)
	if fail != nil {
		return nil, fail
	}
	if limit > 200 {
		return nil, invalid("limit")
	}
	offset := 0
	if p.Has("offset") {
		n, err := strconv.Atoi(p.Get("offset"))
		if err != nil || n < 0 {
			return nil, invalid("offset")
		}
		offset = n
	}

	v := s.view(stream{r.account.ID, r.endpoint.name}, r.now)
	low, high := since(v, w.min, milliseconds), since(v, w.max+1, milliseconds)
	indexes := make([]int, high-low)
	for n := range indexes {
		indexes[n] = low + n
	}
	if s.Quirks.Unsorted {
		slices.SortFunc(indexes, func(a, b int) int { return cmp.Compare(mix(uint64(a)), mix(uint64(b))) })
	}
	first := min(offset, len(indexes))
	last := min(first+limit, len(indexes))
	metadata := `{}`
	if last < len(indexes) {
		next := strconv.Itoa(last)
		if !s.Quirks.OffsetAsNumber {
			next = `"` + next + `"`
		}
		metadata = `{"next_offset":` + next + `}`
	}
	return s.page(r.endpoint, v, indexes[first:last], metadata), nil
}

func eventWindow(p url.Values) (window, *failure) {
	var w window
	for i, n := range []*int64{&w.min, &w.max} {
		key := timeKeys[i]
		if !p.Has(key) {
			return w, missing(key)
		}
		if !thirteenDigits.MatchString(p.Get(key)) {
			return w, invalid(key)
		}
		*n, _ = strconv.ParseInt(p.Get(key), 10, 64)
	}
	if w.max <= w.min {
		return w, invalid("maxtime")
	}
	return w, nil
}
