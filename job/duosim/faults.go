package duosim

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Match picks calls. Empty fields pick all.
type Match struct {
	// Account is the id of the account whose host is called.
	Account string
	// Endpoint is the endpoint's name.
	Endpoint string
	// Skip lets the first calls that match pass.
	Skip int
}

func (m Match) matches(r *request) bool {
	return (m.Account == "" || r.account != nil && m.Account == r.account.ID) &&
		(m.Endpoint == "" || r.endpoint != nil && m.Endpoint == r.endpoint.name)
}

// Fault is what happens to a call in place of the right answer. It happens once,
// unless [Fault.Times] or [Fault.Forever] say otherwise.
type Fault struct {
	more   int // how often it happens again; -1 is for ever
	header http.Header
	// change makes the answer. right makes the right one.
	change func(right func() *answer) *answer
}

// Times returns the fault happening to n calls, at least one.
func (f Fault) Times(n int) Fault {
	f.more = max(n, 1) - 1
	return f
}

// Forever returns the fault happening to all calls, until [Server.Heal].
func (f Fault) Forever() Fault {
	f.more = -1
	return f
}

// With returns the fault with a header added to its answer, such as Retry-After.
func (f Fault) With(name, value string) Fault {
	h := f.header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set(name, value)
	f.header = h
	return f
}

func (f Fault) apply(right func() *answer) *answer {
	a := f.change(right)
	for name, values := range f.header {
		if a.header == nil {
			a.header = make(http.Header)
		}
		a.header[name] = values
	}
	return a
}

// Inject makes faults happen to the calls that match, one fault after the other.
// Of several injections that match a call the first one that neither skips it nor
// is used up takes it; those behind do not see it.
func (s *Server) Inject(m Match, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{match: m, faults: slices.Clone(faults)})
}

// InjectEvery makes one of the faults happen to each n-th call, in turn, until
// [Server.Heal]. What the faults say of how often they happen makes no difference.
func (s *Server) InjectEvery(n int, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{faults: slices.Clone(faults), every: max(n, 1)})
}

// Heal takes back the faults that have not happened yet. Calls that hang are not
// released.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

type rule struct {
	match  Match
	faults []Fault // those left
	every  int     // 0: one fault after the other; else one of them each so many calls
	calls  int     // how many calls there were, where that counts
}

// fault returns what shall happen to a call, or nil.
func (s *Server) fault(r *request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range s.rules {
		if len(rule.faults) == 0 || !rule.match.matches(r) {
			continue
		}
		if rule.every > 0 {
			if rule.calls++; rule.calls%rule.every == 0 {
				return &rule.faults[(rule.calls/rule.every-1)%len(rule.faults)]
			}
			continue
		}
		if rule.match.Skip > 0 {
			rule.match.Skip--
			continue
		}
		f := rule.faults[0]
		if f.more == 0 {
			rule.faults = rule.faults[1:]
		} else if f.more > 0 {
			rule.faults[0].more--
		}
		return &f
	}
	return nil
}

// Answer answers with any status, content type and body.
func Answer(status int, contentType, body string) Fault {
	f := Fault{change: func(func() *answer) *answer {
		return &answer{status: status, body: []byte(body)}
	}}
	return f.With("Content-Type", contentType)
}

// Error answers with one of Duo's errors. The HTTP status is the first three
// digits of the code. detail may be empty.
func Error(code int, message, detail string) Fault {
	return FailWith(code/100, code, message, detail)
}

// FailWith is Error with an HTTP status that need not fit the code, such as 200.
func FailWith(status, code int, message, detail string) Fault {
	return Answer(status, "application/json", marshal(&failure{code, message, detail, "FAIL"}))
}

// TooMany answers 429 as Duo does.
func TooMany() Fault { return Error(errTooMany.Code, errTooMany.Message, "") }

// HTML answers as a gateway before Duo does: the status and a page of HTML.
func HTML(status int) Fault {
	title := strconv.Itoa(status) + " " + http.StatusText(status)
	return Answer(status, "text/html",
		"<html>\r\n<head><title>"+title+"</title></head>\r\n<body>\r\n<center><h1>"+title+"</h1></center>\r\n</body>\r\n</html>\r\n")
}

// NotJSON answers 200 with text that is not JSON.
func NotJSON() Fault { return Answer(http.StatusOK, "text/plain", "It works!\n") }

// Empty answers 200 without a body.
func Empty() Fault { return Answer(http.StatusOK, "application/json", "") }

// WrongShape answers 200 with good JSON that no endpoint answers with.
func WrongShape() Fault {
	return Answer(http.StatusOK, "application/json", `{"response":{"result":"pong"},"stat":"OK"}`)
}

// Redirect answers 302 with a location.
func Redirect(location string) Fault {
	return Answer(http.StatusFound, "text/html", "").With("Location", location)
}

// CutJSON answers with the first half of the right body, as if it were whole.
func CutJSON() Fault {
	return Fault{change: func(right func() *answer) *answer {
		a := right()
		a.body = a.body[:len(a.body)/2]
		return a
	}}
}

// CutBody breaks the connection after the first half of the right body.
func CutBody() Fault {
	return delivered(func(_ *Server, w http.ResponseWriter, _ *http.Request, a *answer) {
		a.writeHead(w)
		w.Write(a.body[:len(a.body)/2])
		http.NewResponseController(w).Flush() // an error shows that it is broken already
		panic(http.ErrAbortHandler)
	})
}

// Slow writes the right body in pieces, with a pause before each.
func Slow(pieces int, pause time.Duration) Fault {
	return delivered(func(s *Server, w http.ResponseWriter, r *http.Request, a *answer) {
		a.writeHead(w)
		rest := a.body
		for n := pieces; n > 0; n-- {
			http.NewResponseController(w).Flush() // what cannot flush gets it all at the end
			if !s.pause(r.Context(), pause) {
				panic(http.ErrAbortHandler)
			}
			size := len(rest) / n
			w.Write(rest[:size])
			rest = rest[size:]
		}
	})
}

// Hang does not answer: it waits until the client goes away or the server is
// closed, and breaks the connection.
func Hang() Fault { return HangUntil(nil) }

// HangUntil does not answer until release is closed, and then answers rightly.
// It breaks the connection when the client goes away or the server is closed.
func HangUntil(release <-chan struct{}) Fault {
	return delivered(func(s *Server, w http.ResponseWriter, r *http.Request, a *answer) {
		select {
		case <-release:
			deliver(s, w, r, a)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		case <-s.network.done:
			panic(http.ErrAbortHandler)
		}
	})
}

// Reset resets the connection in place of an answer. A connection that is not
// TCP is closed. Go's HTTP client repeats a GET by itself when this happens on a
// connection that it has used before, and the repeated call counts.
func Reset() Fault {
	return delivered(func(_ *Server, w http.ResponseWriter, _ *http.Request, _ *answer) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn()
		}
		if t, ok := conn.(*net.TCPConn); ok {
			t.SetLinger(0) // close sends RST
		}
		conn.Close()
	})
}

// delivered is a fault of the way in which the right answer is written.
func delivered(deliver func(*Server, http.ResponseWriter, *http.Request, *answer)) Fault {
	return Fault{change: func(right func() *answer) *answer {
		a := right()
		a.deliver = deliver
		return a
	}}
}
