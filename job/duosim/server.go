// Package duosim is a simulated Duo: the log endpoints of the Admin API and the
// account list of the Accounts API, with checked signatures, permissions,
// paging, delayed records, rate limits and faults on request. The tests, the
// benchmarks and the demo of this program run against it.
//
// Start at [New] and [Server]. A Server is an [http.Handler]; [Server.Start]
// gives it real TLS listeners, [Server.StartProxy] a CONNECT proxy that makes
// real host names reach it, and [Server.DialContext] a network in memory.
//
// It follows https://duo.com/docs/adminapi, https://duo.com/docs/accountsapi and
// what clients have seen of Duo. Where Duo is not known to behave one way only,
// the zero value of [Quirks] is the likely way and each switch another one. It
// shares no code with the client, so that it can be read as a specification.
// Filters and the formatter are not simulated: a call that sends one is answered
// with an error.
package duosim

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Account is a Duo account.
type Account struct {
	// ID is the account's id: "DA" and 18 more characters.
	ID string
	// Name is shown in the account list.
	Name string
	// Host is the account's API host name, such as api-test0001.duosecurity.com,
	// or empty: then Start opens a listener of its own and Host becomes its
	// address, 127.0.0.1:PORT. Two accounts may not share a host.
	Host string
	// Ikey and Skey are the credentials of the account's application. A child
	// account needs none.
	Ikey, Skey string
	// MSP tells that the application is one of the Accounts API, so that it may
	// list the child accounts and read them.
	MSP bool
	// Parent is the id of the account of which this is a child, or empty.
	Parent string
}

// Server is a simulated Duo. Make one with [New]. Its methods are safe for
// concurrent use; its fields may be set while no call is being answered.
type Server struct {
	// Now is the simulation's clock. The default is time.Now.
	Now func() time.Time
	// Quirks are departures from the likely behaviour of Duo.
	Quirks Quirks
	// Style is how JSON is written, in envelopes and the records of a Backlog.
	Style Style
	// Latency delays every answer.
	Latency time.Duration
	// Rate limits calls. The zero value is no limit.
	Rate Rate
	// ForgetCalls turns off the record that Calls returns.
	ForgetCalls bool
	// Watch, when set, is told of each call once its answer is decided. Calls are
	// answered at the same time, and so may Watch be called.
	Watch func(Call)

	network network

	mu       sync.Mutex
	accounts map[string]*Account // by id
	order    []*Account
	hosts    map[string]*Account // by lower-case host
	ikeys    map[string]*Account
	denied   map[stream]bool
	stores   map[stream]*store
	limiters map[stream]*limiter
	rules    []*rule
	calls    []*Call
}

// stream names the calls of one endpoint of one account.
type stream struct{ account, endpoint string }

// New returns a simulation of the given accounts, without records.
func New(accounts ...Account) *Server {
	s := &Server{
		Now:      time.Now,
		accounts: make(map[string]*Account),
		hosts:    make(map[string]*Account),
		ikeys:    make(map[string]*Account),
		denied:   make(map[stream]bool),
		stores:   make(map[stream]*store),
		limiters: make(map[stream]*limiter),
	}
	s.network.done = make(chan struct{})
	for _, a := range accounts {
		s.AddAccount(a)
	}
	return s
}

// AddAccount adds an account. It panics on an id, host or ikey that is taken.
func (s *Server) AddAccount(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[a.ID] != nil || a.ID == "" {
		panic(fmt.Sprintf("duosim: account id %q is empty or taken", a.ID))
	}
	if a.Ikey != "" {
		if s.ikeys[a.Ikey] != nil {
			panic(fmt.Sprintf("duosim: ikey %q is taken", a.Ikey))
		}
		s.ikeys[a.Ikey] = &a
	}
	s.accounts[a.ID] = &a
	s.order = append(s.order, &a)
	if a.Host != "" {
		s.setHost(&a, a.Host)
	}
}

// setHost makes an account answer on host. The caller holds the lock.
func (s *Server) setHost(a *Account, host string) {
	key := strings.ToLower(host)
	if s.hosts[key] != nil {
		panic(fmt.Sprintf("duosim: host %q is taken", host))
	}
	a.Host = host
	s.hosts[key] = a
}

// Host returns the API host name of an account, with the port where it has one.
// It is empty when the account is unknown or not started.
func (s *Server) Host(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.accounts[account]; a != nil {
		return a.Host
	}
	return ""
}

// Deny takes the permission for an endpoint from an account's application, or,
// for a child account, that of the parent's application for this child. Such
// calls are answered 403.
func (s *Server) Deny(account, endpoint string) { s.setDenied(account, endpoint, true) }

// Permit gives a permission back that Deny has taken.
func (s *Server) Permit(account, endpoint string) { s.setDenied(account, endpoint, false) }

func (s *Server) setDenied(account, endpoint string, denied bool) {
	key := s.mustStream(account, endpoint)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.denied[key] = denied
}

// mustStream checks the names that a caller of the package gave.
func (s *Server) mustStream(account, endpoint string) stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[account] == nil {
		panic(fmt.Sprintf("duosim: no account %q", account))
	}
	if endpointNamed(endpoint) == nil {
		panic(fmt.Sprintf("duosim: no endpoint %q", endpoint))
	}
	return stream{account, endpoint}
}

// ServeHTTP answers a call. The Host header tells the account. An injected
// fault that breaks the connection panics with [http.ErrAbortHandler] when the
// response writer has no connection to break.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := s.Now()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	in := &request{Request: r, body: body, now: now, account: s.accountAt(r.Host)}
	in.endpoint = endpointAt(r.URL.Path)
	in.params, in.badParams = parameters(r, body)

	call := s.begin(in)
	fault := s.fault(in)
	if !s.pause(r.Context(), s.Latency) {
		panic(http.ErrAbortHandler)
	}
	a := new(answer)
	if fault != nil {
		a = fault.apply(func() *answer { return s.answer(in) })
	} else {
		a = s.answer(in)
	}
	defer a.release()
	s.finish(call, a)
	if a.deliver == nil {
		a.deliver = deliver
	}
	w.Header().Set("Date", s.Now().UTC().Format(http.TimeFormat))
	a.deliver(s, w, r, a)
}

// request is a call with what the steps of answering it need to know.
type request struct {
	*http.Request
	body      []byte
	now       time.Time
	account   *Account  // whose host was called, or nil
	endpoint  *endpoint // nil when the path is none
	params    url.Values
	badParams error
}

// parameters returns the call's parameters, decoded: those of the query, or of a
// form in the body.
func parameters(r *http.Request, body []byte) (url.Values, error) {
	text := r.URL.RawQuery
	if r.Method == http.MethodPost && !isJSON(r) {
		text = string(body)
	}
	return url.ParseQuery(text)
}

func isJSON(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
}

func (s *Server) accountAt(host string) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	host = strings.ToLower(host)
	if a := s.hosts[host]; a != nil {
		return a
	}
	return s.hosts[strings.TrimSuffix(host, ":443")]
}

// answer is the order in which a call is checked: host and path, credentials,
// rate, permission, parameters.
func (s *Server) answer(r *request) *answer {
	if r.account == nil || r.endpoint == nil || r.Method != r.endpoint.method {
		return s.failure(errNotFound)
	}
	if r.badParams != nil {
		return s.failure(invalid("query"))
	}
	if fail := s.authenticate(r); fail != nil {
		return s.failure(fail)
	}
	key := stream{r.account.ID, r.endpoint.name}
	if wait, ok := s.allow(key, r.now); !ok {
		return s.tooMany(wait)
	}
	if s.isDenied(key) {
		return s.failure(errForbidden)
	}
	a, fail := r.endpoint.serve(s, r)
	if fail != nil {
		return s.failure(fail)
	}
	return a
}

func (s *Server) isDenied(key stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denied[key]
}

// pause waits for d, and reports false when the client or the server is gone.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.network.done:
	}
	return false
}
