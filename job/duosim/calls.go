package duosim

import (
	"net/url"
	"time"
)

// Call is a call that the simulation got.
type Call struct {
	// At is when it came.
	At time.Time
	// Account is the id of the account whose host was called, or empty.
	Account string
	// Endpoint is the endpoint's name, or the path when it is none.
	Endpoint string
	// Params are the decoded parameters, without the signature.
	Params url.Values
	// Status is the HTTP status of the answer, even of one that a fault keeps back
	// or breaks; 0 when it is not decided yet.
	Status int
	// Records and Bytes count that answer's records and the bytes of its body.
	Records, Bytes int
}

// Calls returns the calls so far, in the order in which they came, including
// those that a fault answered. The caller owns the slice, not the Params.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]Call, len(s.calls))
	for i, c := range s.calls {
		calls[i] = *c
	}
	return calls
}

func (s *Server) begin(r *request) *Call {
	if s.ForgetCalls && s.Watch == nil {
		return nil
	}
	c := &Call{At: r.now, Endpoint: r.URL.Path, Params: r.params}
	if r.account != nil {
		c.Account = r.account.ID
	}
	if r.endpoint != nil {
		c.Endpoint = r.endpoint.name
	}
	if !s.ForgetCalls {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, c)
	}
	return c
}

// finish notes the answer before it is written, so that who has read the answer
// finds it noted.
func (s *Server) finish(c *Call, a *answer) {
	if c == nil {
		return
	}
	s.mu.Lock()
	c.Status, c.Records, c.Bytes = a.status, a.records, len(a.body)
	told := *c
	s.mu.Unlock()
	if s.Watch != nil {
		s.Watch(told)
	}
}
