// Package duo calls Duo's Admin API and Accounts API. It signs with Duo's own
// library and trusts the roots which that library pins, and sees to what the
// library leaves out: every call obeys its context, is bounded in time and in
// size, is signed anew each time, and is never repeated behind the caller's back.
//
// Start with [New]. A [Client] gives the bodies of answers, [ReadPage] takes
// them apart, [Temporary] tells whether to try again.
package duo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	duoapi "github.com/duosecurity/duo_api_golang"

	"dls/job/record"
)

const (
	// maxBody bounds the body of an answer. A page of 1,000 records is about 2 MB.
	maxBody = 64 << 20
	// callTime bounds a call as a whole, headerTime the wait for its answer.
	callTime   = 3 * time.Minute
	headerTime = 90 * time.Second
)

// Options are what a Client is made of.
type Options struct {
	// IKey and SKey are those of the Admin API or Accounts API application.
	IKey, SKey string
	// UserAgent names the program, as in "dls/1.0".
	UserAgent string
	// CAPEM holds certificates in PEM that are trusted beside Duo's pinned roots.
	CAPEM []byte
	// Proxy is the HTTP CONNECT proxy, or nil to follow HTTPS_PROXY and NO_PROXY.
	// One that refuses the credentials is asked once in the life of the client.
	Proxy *url.URL
	// Conns is how many calls go on at a time; it bounds the idle connections.
	Conns int
	// Transport stands in for the network in tests. Nil: the network.
	Transport http.RoundTripper
}

// Client calls the API hosts of one application. It is safe for concurrent use.
type Client struct {
	opts      Options
	transport http.RoundTripper
	proxy     func(*http.Request) (*url.URL, error) // nil: none

	mu    sync.Mutex
	hosts map[string]*duoapi.DuoApi
}

// New returns a client. It makes no call. The error tells what is wrong with
// CAPEM, or is a [*ProxyError] about the proxy of the environment.
func New(opts Options) (*Client, error) {
	c := &Client{opts: opts, transport: opts.Transport, hosts: map[string]*duoapi.DuoApi{}}
	if c.transport != nil {
		return c, nil
	}
	// The pinned roots can be had from the transport that the library builds.
	var tr *http.Transport
	duoapi.NewDuoApi("", "", "", "", duoapi.SetTransport(func(t *http.Transport) { tr = t }))
	if len(opts.CAPEM) > 0 && !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(opts.CAPEM) {
		return nil, errors.New("no certificate in PEM form")
	}
	tr.DialContext = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	tr.TLSHandshakeTimeout = 30 * time.Second
	tr.ResponseHeaderTimeout = headerTime
	tr.IdleConnTimeout = 90 * time.Second
	tr.MaxIdleConns = max(2*opts.Conns, 8)
	tr.MaxIdleConnsPerHost = max(opts.Conns, 2)
	var err error
	if c.proxy, err = proxies(opts.Proxy); err != nil {
		return nil, err
	}
	tr.Proxy, tr.OnProxyConnectResponse = c.proxy, connected
	c.transport = newGate(tr)
	return c, nil
}

// Close closes the idle connections.
func (c *Client) Close() {
	if tr, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		tr.CloseIdleConnections()
	}
}

// Get makes one signed GET call and returns the body of an answer of status 200,
// read into buf where it fits. Where room is not nil it is asked before more memory
// than n bytes in all is taken for the body. host may carry a port. Each value of
// params must stand alone under its key. Other answers are an *APIError, none at all
// is a *CallError; see [Temporary].
func (c *Client) Get(ctx context.Context, host, path string, params url.Values, buf []byte, room func(n int) error) ([]byte, error) {
	return c.do(ctx, host, http.MethodGet, path, params, buf, room)
}

func (c *Client) do(ctx context.Context, host, method, path string, params url.Values, buf []byte, room func(n int) error) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, callTime, errSlow)
	defer cancel()
	call := call{ctx: ctx, transport: c.transport, buf: buf[:0], room: room}
	api := *c.host(host)
	api.SetCustomHTTPClient(&http.Client{
		Transport:     &call,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	// The library reads an empty body: the real one is in call.
	if _, _, err := api.SignedCall(method, path, params); err != nil && call.err == nil && call.status == 0 {
		call.err = err
	}
	if call.err != nil {
		if err := context.Cause(ctx); err != nil {
			return nil, &CallError{err}
		}
		return nil, &CallError{bare(call.err)}
	}
	if call.status != http.StatusOK {
		e := failure(call.status, call.buf)
		e.RetryAfter, e.Skew = call.retryAfter, call.skew
		return nil, e
	}
	return call.buf, nil
}

var errSlow = fmt.Errorf("no whole answer within %v", callTime)

// maxHosts bounds how many of the library's clients are kept. Each has a copy of
// the pinned roots, some 40 kB.
const maxHosts = 64

// host returns the library's client for a host. It is kept for the calls that
// follow, because each one parses the pinned roots anew.
func (c *Client) host(host string) *duoapi.DuoApi {
	c.mu.Lock()
	defer c.mu.Unlock()
	api := c.hosts[host]
	if api == nil {
		if len(c.hosts) >= maxHosts {
			// The hosts of an MSP's children come one after the other: one that is
			// needed again soon is made again soon.
			clear(c.hosts)
		}
		api = duoapi.NewDuoApi(c.opts.IKey, c.opts.SKey, host, c.opts.UserAgent)
		c.hosts[host] = api
	}
	return api
}

// call carries one signed request of the library over the transport, and takes
// the answer out of the library's hands: the library would read it without a
// bound, and repeat a 429 with a stale signature and without a context.
type call struct {
	ctx       context.Context
	transport http.RoundTripper

	buf        []byte
	room       func(n int) error // or nil
	status     int
	retryAfter time.Duration
	skew       time.Duration
	err        error
}

// errTaken ends the library's loop on 429. It goes nowhere.
var errTaken = errors.New("answer taken")

// RoundTrip implements [http.RoundTripper].
func (c *call) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.WithContext(c.ctx)
	if req.Body != nil {
		// The library sends every body chunked, an empty one too.
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if len(body) == 0 {
			req.Body = http.NoBody
		}
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		c.err = err
		return nil, err
	}
	defer resp.Body.Close()
	if c.buf, c.err = c.read(resp); c.err != nil {
		return nil, c.err
	}
	c.status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 && s < 1e6 {
		c.retryAfter = time.Duration(s) * time.Second
	}
	if date, ok := dated(resp); ok {
		c.skew = time.Since(date)
	}
	resp.Body = http.NoBody
	if c.status == http.StatusTooManyRequests {
		return nil, errTaken
	}
	return resp, nil
}

// maxRefusal bounds the body of an answer that is no page: what is behind it tells
// nobody anything.
const maxRefusal = 64 << 10

// read reads the answer's body into buf, which grows where it must.
func (c *call) read(resp *http.Response) ([]byte, error) {
	most := int64(maxBody)
	if resp.StatusCode != http.StatusOK {
		most = maxRefusal
	} else if resp.ContentLength > maxBody {
		return c.buf, errBig
	}
	buf := c.buf
	// What the header says is not believed beyond the size of a large page.
	if n := int(min(max(resp.ContentLength, 0), 4<<20, most)) + bytes.MinRead; cap(buf) < n {
		n += n / 8 // pages differ a little in size
		if err := c.grow(n); err != nil {
			return buf, err
		}
		buf = make([]byte, 0, n)
	}
	for {
		if cap(buf)-len(buf) < bytes.MinRead {
			if err := c.grow(2*cap(buf) + bytes.MinRead); err != nil {
				return buf, err
			}
			buf = slices.Grow(buf, bytes.MinRead)
		}
		n, err := resp.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return buf, err
		case int64(len(buf)) > most && most == maxRefusal:
			return buf, nil
		case len(buf) > maxBody:
			return buf, errBig
		}
	}
}

func (c *call) grow(n int) error {
	if c.room == nil {
		return nil
	}
	return c.room(n)
}

// dated returns the time that an answer tells. One beyond all clocks is none: it is
// nothing to set this machine's by.
func dated(resp *http.Response) (time.Time, bool) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	return date, err == nil && date.Year() >= 2000 && date.Year() < 2200
}

var errBig = &BodyError{fmt.Errorf("it is larger than %d MiB", maxBody>>20)}

// Child is one child account of an MSP.
type Child struct {
	// ID is the account id, of letters and digits only: it goes into file names.
	ID string
	// Host is the API host on which the account lives; it may carry a port.
	Host string
	// Name is the account's name, a foreign string.
	Name string
	// Wrong says why the account must not be read, though Duo lists it: Host is then
	// not to be called, and ID is what the list says, made printable, which may be
	// nothing. Nil where all is well.
	Wrong error
}

var (
	idText   = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)
	hostText = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(:[0-9]{1,5})?$`)
)

// EntryError is an entry of Duo's list of child accounts that names none.
type EntryError struct {
	// Number is the place of the entry in the list, from 1 on.
	Number int
	// ID is what stands where an id is due, or "".
	ID string
}

// Error says what is wrong with the entry.
func (e *EntryError) Error() string {
	if e.ID == "" {
		return fmt.Sprintf("entry %d of Duo's list of child accounts has no account_id", e.Number)
	}
	return fmt.Sprintf("account_id %q has not the form of Duo's", e.ID)
}

// maxChildren bounds the list of child accounts, which is kept whole.
const maxChildren = 100_000

// ErrNoHost is a child account of which Duo tells no API host.
var ErrNoHost = errors.New("no API host: Duo's list of child accounts names none for it")

// DomainError is a child account whose API host lies elsewhere than its parent's.
type DomainError struct {
	// Host is what the list says.
	Host string
}

// Error says so.
func (e *DomainError) Error() string {
	return fmt.Sprintf("its API host %q lies outside the domain of account.hostname, and is not called", e.Host)
}

// Children lists the child accounts of the MSP whose Accounts API lives on host. An
// entry that is none of Duo's, and one whose API host lies neither in the domain of
// host nor in one of domains (see [SameDomain]), has its Wrong set, and stops nobody
// else.
//
// See https://duo.com/docs/accountsapi#retrieve-accounts.
func (c *Client) Children(ctx context.Context, host string, domains []string) ([]Child, error) {
	body, err := c.do(ctx, host, http.MethodPost, "/accounts/v1/account/list", url.Values{}, nil, nil)
	if err != nil {
		return nil, err
	}
	var children []Child
	seen := map[string]bool{}
	n := 0
	stat, err := answer(body, func(i int) (int, error) {
		return record.Array(body, i, func(i int) (int, error) {
			if n++; n > maxChildren {
				return 0, fmt.Errorf("it lists more than %d child accounts", maxChildren)
			}
			child, end, err := readChild(body, i)
			if err != nil {
				return 0, err
			}
			switch {
			case child.ID == "":
				child.Wrong = &EntryError{Number: n}
			case !idText.MatchString(child.ID):
				child.ID = plain(child.ID)
				child.Wrong = &EntryError{Number: n, ID: child.ID}
			case child.Host == "":
				child.Wrong = ErrNoHost
			case !SameDomain(host, child.Host, domains):
				child.Wrong = &DomainError{child.Host}
			}
			if child.Wrong != nil || !seen[child.ID] {
				seen[child.ID] = true
				children = append(children, child)
			}
			return end, nil
		})
	})
	switch {
	case stat == "FAIL":
		return nil, failure(http.StatusOK, body)
	case err != nil:
		return nil, &BodyError{err}
	}
	return children, nil
}

// readChild reads the entry at i and returns the index after it.
func readChild(body []byte, i int) (child Child, end int, err error) {
	if body[i] != '{' {
		end, err = record.Skip(body, i)
		return child, end, err
	}
	end, err = record.Object(body, i, func(key []byte, i int) (int, error) {
		end, err := record.Skip(body, i)
		if err != nil {
			return 0, err
		}
		switch string(key) {
		case "account_id":
			child.ID = record.Text(body[i:end])
		case "api_hostname":
			child.Host = strings.ToLower(record.Text(body[i:end]))
		case "name":
			child.Name = cut(record.Text(body[i:end]), 200)
		}
		return end, nil
	})
	if !hostText.MatchString(child.Host) {
		child.Host = ""
	}
	return child, end, err
}

// plain is an id that is none, in a form that can be shown.
func plain(id string) string {
	id = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, id)
	return cut(id, 64)
}

// cut is a text of n characters at most, and holds on to no longer one.
func cut(text string, n int) string {
	count := 0
	for i := range text {
		if count == n {
			return strings.Clone(text[:i]) + "…"
		}
		count++
	}
	return text
}
