package duosim

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// answer is what the simulation says to a call.
type answer struct {
	status  int
	header  http.Header // besides Content-Type and Content-Length
	body    []byte
	records int
	// deliver writes the answer; nil is the plain way.
	deliver func(*Server, http.ResponseWriter, *http.Request, *answer)
	pooled  *[]byte
}

// deliver writes an answer as a healthy server does.
func deliver(_ *Server, w http.ResponseWriter, _ *http.Request, a *answer) {
	a.writeHead(w)
	w.Write(a.body)
}

func (a *answer) writeHead(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	for name, values := range a.header {
		h[name] = values
	}
	w.WriteHeader(a.status)
}

// bodies are reused: a page of 1000 records is more than a megabyte.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

func (a *answer) release() {
	if a.pooled != nil {
		*a.pooled = a.body[:0]
		a.body = nil
		bodies.Put(a.pooled)
	}
}

// page is an answer with the records of v at indexes. metadata is the compact
// JSON beside the list, where the response is not the list itself.
func (s *Server) page(e *endpoint, v view, indexes []int, metadata string) *answer {
	pooled := bodies.Get().(*[]byte)
	dst := slices.Grow((*pooled)[:0], 1500*len(indexes)) // about what auth records take
	if e.list == "" {
		dst = s.Style.append(dst, `{"response":[`)
	} else {
		dst = s.Style.append(dst, `{"response":{"`+e.list+`":[`)
	}
	for n, i := range indexes {
		if n > 0 {
			dst = s.Style.append(dst, `,`)
		}
		dst = v.appendRaw(dst, i)
	}
	if e.list == "" {
		dst = s.Style.append(dst, `],"stat":"OK"}`)
	} else {
		dst = s.Style.append(dst, `],"metadata":`+metadata+`},"stat":"OK"}`)
	}
	return &answer{status: http.StatusOK, body: dst, records: len(indexes), pooled: pooled}
}

// success is an answer with any response.
func (s *Server) success(response any) *answer {
	return s.encode(http.StatusOK, struct {
		Response any    `json:"response"`
		Stat     string `json:"stat"`
	}{response, "OK"})
}

// encode is an answer with any body.
func (s *Server) encode(status int, body any) *answer {
	return &answer{status: status, body: s.Style.append(nil, marshal(body))}
}

// failure is one of Duo's errors. The first three digits of the code are the
// HTTP status.
type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Detail  string `json:"message_detail,omitempty"`
	Stat    string `json:"stat"`
}

var (
	errNoCredentials = &failure{Code: 40101, Message: "Missing request credentials", Stat: "FAIL"}
	errIkey          = &failure{Code: 40102, Message: "Invalid integration key in request credentials", Stat: "FAIL"}
	errSignature     = &failure{Code: 40103, Message: "Invalid signature in request credentials", Stat: "FAIL"}
	errDate          = &failure{Code: 40105, Message: "Bad request timestamp", Stat: "FAIL"}
	errForbidden     = &failure{Code: 40301, Message: "Access forbidden", Stat: "FAIL"}
	errNotFound      = &failure{Code: 40401, Message: "Resource not found", Stat: "FAIL"}
	errTooMany       = &failure{Code: 42901, Message: "Too Many Requests", Stat: "FAIL"}
)

// missing is the failure of a call without a parameter that is required.
func missing(detail string) *failure {
	return &failure{Code: 40001, Message: "Missing required request parameters", Detail: detail, Stat: "FAIL"}
}

// invalid is the failure of a call with a wrong parameter.
func invalid(detail string) *failure {
	return &failure{Code: 40002, Message: "Invalid request parameters", Detail: detail, Stat: "FAIL"}
}

func (s *Server) failure(f *failure) *answer { return s.encode(f.Code/100, f) }
