package duo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpproxy"
)

// ProxyError is a way to Duo that ends at the proxy.
type ProxyError struct {
	// Proxy is the proxy's host and port, and Host those of Duo; Proxy is empty where
	// the proxy's address cannot be read.
	Proxy, Host string
	// Status and Line are those of the proxy's answer to CONNECT, such as 403 and
	// "403 Forbidden". Status is 0 where the proxy did not answer.
	Status int
	Line   string
	// Schemes are the ways to log in that an answer of 407 offers, such as "Basic".
	Schemes []string
	// Credentials tells that the proxy was shown a user and a password.
	Credentials bool
	// Err is why there is no answer.
	Err error
}

// Error says what the proxy said, or why it said nothing. It holds no password.
func (e *ProxyError) Error() string {
	switch {
	case e.Proxy == "":
		return e.Err.Error()
	case e.Status == 0:
		return fmt.Sprintf("connect to the proxy %s: %v", e.Proxy, e.Err)
	}
	return fmt.Sprintf("the proxy %s refused a connection to %s: %q", e.Proxy, e.Host, short(e.Line))
}

// Unwrap returns the cause, or nil where the proxy answered.
func (e *ProxyError) Unwrap() error { return e.Err }

// Hint says what to do about the error.
func (e *ProxyError) Hint() string {
	const where = "dls_settings.proxy.proxy_server (user:password@host) or HTTPS_PROXY (http://user:password@host:port)"
	switch {
	case e.Proxy == "":
		return "write the variable as http://host:port, or name the proxy in dls_settings.proxy"
	case e.Status == http.StatusProxyAuthRequired && len(e.Schemes) > 0 && !slices.ContainsFunc(e.Schemes, func(s string) bool { return strings.EqualFold(s, "Basic") }):
		return fmt.Sprintf("the proxy offers %s only, and dls knows Basic: have it let this machine through to %s without a login, or with Basic", enumerate(e.Schemes), e.Host)
	case e.login() && e.Credentials:
		return "check the proxy's user and password in " + where + "; characters such as @ : / may be percent-encoded, and %25 is a percent sign"
	case e.login():
		return "the proxy wants a user and a password: give them in " + where
	case e.Status >= 400 && e.Status < 500:
		return fmt.Sprintf("have the proxy let this machine through to %s (CONNECT), or correct dls_settings.proxy or HTTPS_PROXY", e.Host)
	case e.Status != 0:
		return fmt.Sprintf("the proxy does not get to %s: see its log, and check account.hostname", e.Host)
	}
	return "check dls_settings.proxy or HTTPS_PROXY, and that the proxy is up"
}

// temporary tells whether the proxy may let the same call through later.
func (e *ProxyError) temporary() bool {
	switch {
	case e.Proxy == "", e.login():
		return false
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooManyRequests:
		return true
	}
	return e.Status < 400 || e.Status >= 500
}

// login tells whether the proxy refused for want of the right credentials.
func (e *ProxyError) login() bool {
	// tinyproxy says 401 of a wrong password. A SOCKS proxy's refusal has no type of
	// its own.
	return e.Status == http.StatusProxyAuthRequired || e.Status == http.StatusUnauthorized || e.Err != nil && strings.Contains(e.Err.Error(), "authentication")
}

func enumerate(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// proxies tells the proxy for a request: the one given, or that of HTTPS_PROXY
// unless NO_PROXY excepts the host. The error is a [*ProxyError]: a variable that
// holds what cannot be read is never taken for an empty one.
func proxies(given *url.URL) (func(*http.Request) (*url.URL, error), error) {
	if given != nil {
		return http.ProxyURL(given), nil
	}
	// As net/http reads them, which ignores what it cannot parse.
	name, text := variable("HTTPS_PROXY", "https_proxy")
	if text == "" {
		return nil, nil
	}
	u, err := proxyAddress(text)
	if err != nil {
		return nil, &ProxyError{Err: fmt.Errorf("$%s is no address of a proxy: %w", name, err)}
	}
	_, except := variable("NO_PROXY", "no_proxy")
	env := httpproxy.Config{HTTPSProxy: u.String(), NoProxy: except}
	choose := env.ProxyFunc()
	return func(req *http.Request) (*url.URL, error) {
		proxy, err := choose(req.URL)
		if proxy == nil || err != nil {
			return nil, err
		}
		return u, nil
	}, nil
}

// variable returns the first of the variables that is not empty.
func variable(names ...string) (name, text string) {
	for _, name := range names {
		if text := os.Getenv(name); text != "" {
			return name, text
		}
	}
	return "", ""
}

// proxyAddress reads [scheme://][user:password@]host[:port]. User and password
// are percent-encoded or plain. The error does not repeat the text, which may
// hold a password.
func proxyAddress(text string) (*url.URL, error) {
	for _, r := range text {
		switch {
		case r == '\r' || r == '\n':
			return nil, errors.New("it holds a line break")
		case r <= ' ' || r == 0x7f:
			return nil, errors.New("it holds a blank or a control character")
		}
	}
	u := &url.URL{Scheme: "http"}
	rest := text
	if scheme, after, ok := strings.Cut(text, "://"); ok {
		u.Scheme, rest = strings.ToLower(scheme), after
	}
	if !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, errors.New("its scheme is none of http, https, socks5, socks5h")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, both := strings.Cut(rest[:at], ":")
		u.User = url.User(Unescape(user))
		if both {
			u.User = url.UserPassword(Unescape(user), Unescape(password))
		}
		rest = rest[at+1:]
	}
	host, path, _ := strings.Cut(rest, "/")
	if path != "" || strings.ContainsAny(host, "?#") {
		return nil, errors.New("it has a path")
	}
	u.Host = host
	name, port := u.Hostname(), u.Port()
	if port == "" && strings.HasSuffix(host, ":") {
		return nil, errors.New("its port is missing")
	}
	if name == "" {
		return nil, errors.New("its host is missing")
	}
	bracketed := strings.HasPrefix(host, "[")
	ip := net.ParseIP(name)
	switch {
	case bracketed && ip == nil:
		return nil, errors.New("what it has in brackets is no address")
	case !bracketed && (ip == nil || strings.Contains(name, ":")) && !proxyHost(name):
		return nil, errors.New("its host is neither a name nor an address (IPv6 in brackets)")
	}
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return nil, errors.New("its port is not between 1 and 65535")
	}
	return u, nil
}

// proxyHost tells whether a text can be the name of a host.
func proxyHost(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x80 && r != '-' && r != '.' && r != '_' && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z')
	})
}

// Unescape returns a user or a password, plain or percent-encoded: as written if
// a percent sign in it begins no code.
func Unescape(text string) string {
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// connected judges a proxy's answer to CONNECT.
func connected(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	e := &ProxyError{
		Proxy: proxy.Host, Host: req.URL.Opaque, Status: resp.StatusCode, Line: resp.Status,
		Credentials: proxy.User != nil,
	}
	if e.Host == "" {
		e.Host = req.Host
	}
	for _, challenge := range resp.Header.Values("Proxy-Authenticate") {
		scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " ")
		if scheme = short(scheme); scheme != "" && !slices.Contains(e.Schemes, scheme) && len(e.Schemes) < 8 {
			e.Schemes = append(e.Schemes, scheme)
		}
	}
	return e
}

// gate keeps calls from a proxy that has refused the credentials: a user whose
// password is wrong is soon locked out. The first call goes alone, until it is
// known what the proxy says to it.
type gate struct {
	next *http.Transport

	first   chan struct{} // holds a token until the first call has ended
	mu      sync.Mutex
	known   bool
	refused *ProxyError
}

func newGate(tr *http.Transport) *gate {
	g := &gate{next: tr, first: make(chan struct{}, 1)}
	g.first <- struct{}{}
	return g
}

// RoundTrip implements [http.RoundTripper].
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	if g.next.Proxy == nil {
		return g.next.RoundTrip(req)
	}
	known, refused := g.state()
	if refused == nil && !known {
		select {
		case <-g.first:
		case <-req.Context().Done():
			return nil, context.Cause(req.Context())
		}
		release := sync.OnceFunc(func() { g.first <- struct{}{} })
		defer release()
		if known, refused = g.state(); known {
			release()
		}
	}
	if refused != nil {
		return nil, refused
	}
	return g.pass(req)
}

func (g *gate) state() (known bool, refused *ProxyError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known, g.refused
}

// pass makes the call, and notes what the proxy said.
func (g *gate) pass(req *http.Request) (*http.Response, error) {
	resp, err := g.next.RoundTrip(req)
	err = g.named(req, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known = true
	if e, ok := errors.AsType[*ProxyError](err); ok && e.login() {
		g.refused = e
	}
	return resp, err
}

// named names the proxy in an error of reaching the proxy or of SOCKS.
func (g *gate) named(req *http.Request, err error) error {
	if err == nil {
		return nil
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "proxyconnect" && !strings.HasPrefix(op.Op, "socks") {
		return err
	}
	proxy, chosen := g.next.Proxy(req)
	if proxy == nil || chosen != nil {
		return err
	}
	inner := op.Err
	if dial, ok := errors.AsType[*net.OpError](inner); ok && dial.Op == "dial" {
		inner = dial.Err
	}
	return &ProxyError{Proxy: proxy.Host, Host: req.URL.Host, Credentials: proxy.User != nil, Err: inner}
}

// CloseIdleConnections closes those of the transport.
func (g *gate) CloseIdleConnections() { g.next.CloseIdleConnections() }
