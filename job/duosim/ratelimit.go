package duosim

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// Rate is a limit of calls for each endpoint of each account. A call over it is
// answered 429 and does not count.
type Rate struct {
	// Calls is how many calls are answered in any Window. Zero is no limit.
	Calls  int
	Window time.Duration
	// RetryAfter adds the header Retry-After, which Duo does not send.
	RetryAfter bool
}

// limiter holds the times of the calls that count, oldest first.
type limiter struct{ times []time.Time }

// allow counts a call, or says how long it is too early.
func (s *Server) allow(key stream, now time.Time) (wait time.Duration, ok bool) {
	if s.Rate.Calls <= 0 {
		return 0, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.limiters[key]
	if l == nil {
		l = new(limiter)
		s.limiters[key] = l
	}
	for len(l.times) > 0 && now.Sub(l.times[0]) >= s.Rate.Window {
		l.times = l.times[1:]
	}
	if len(l.times) >= s.Rate.Calls {
		return s.Rate.Window - now.Sub(l.times[0]), false
	}
	l.times = append(l.times, now)
	return 0, true
}

func (s *Server) tooMany(wait time.Duration) *answer {
	a := s.failure(errTooMany)
	if s.Rate.RetryAfter {
		a.header = http.Header{"Retry-After": {strconv.Itoa(int(math.Ceil(wait.Seconds())))}}
	}
	return a
}
