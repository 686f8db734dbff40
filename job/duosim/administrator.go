package duosim

import "strconv"

// serveAdministrator answers the administrator log (v1): the earliest 1000
// records from mintime on, in seconds and inclusive, as a bare list without a
// cursor. Other parameters have no effect.
func (s *Server) serveAdministrator(r *request) (*answer, *failure) {
	var from int64
	if text := r.params.Get("mintime"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return nil, invalid("mintime")
		}
		from = n
	}
	limit := 1000
	if s.Quirks.MoreThan1000 {
		limit = 1100
	}
	v := s.view(stream{r.account.ID, r.endpoint.name}, r.now)
	first := since(v, from, seconds)
	indexes := make([]int, min(limit, v.len()-first))
	for n := range indexes {
		indexes[n] = first + n
	}
	return s.page(r.endpoint, v, indexes, ""), nil
}
