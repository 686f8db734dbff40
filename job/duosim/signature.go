package duosim

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxSkew is how far a call's Date may be from the server's clock.
const maxSkew = 300 * time.Second

// authenticate checks who calls, in Duo's order of errors, and that this
// application may call this host.
func (s *Server) authenticate(r *request) *failure {
	ikey, signature, ok := credentials(r.Header)
	if !ok {
		return errNoCredentials
	}
	owner := s.owner(ikey, r)
	if owner == nil {
		return errIkey
	}
	date := r.Header.Get("X-Duo-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	at, err := mail.ParseDate(date)
	if err != nil || at.Sub(r.now).Abs() > maxSkew {
		return errDate
	}
	c := canonical{
		date: date, method: r.Method, host: r.Host, path: r.URL.Path,
		params: r.params, body: r.body, header: r.Header,
	}
	for _, want := range c.signatures(owner.Skey) {
		if hmac.Equal([]byte(signature), []byte(want)) {
			return nil
		}
	}
	return errSignature
}

// credentials returns the two parts of the Authorization header.
func credentials(h http.Header) (ikey, signature string, ok bool) {
	text, ok := strings.CutPrefix(h.Get("Authorization"), "Basic ")
	if !ok {
		return "", "", false
	}
	pair, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(pair), ":")
}

// owner returns the account that the application ikey belongs to, or nil when
// the call is not one that it may make: without account_id its own host must be
// called, with it the host of that child.
func (s *Server) owner(ikey string, r *request) *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner := s.ikeys[ikey]
	if owner == nil {
		return nil
	}
	called := owner
	if r.params.Has("account_id") {
		called = s.accounts[r.params.Get("account_id")]
		if called == nil || !owner.MSP || called.Parent != owner.ID {
			return nil
		}
	}
	if called != r.account {
		return nil
	}
	return owner
}

// canonical is what is signed of a call.
type canonical struct {
	date, method, host, path string
	params                   url.Values // decoded
	body                     []byte
	header                   http.Header
}

// signatures returns the signatures that are right for the call: version 2 with
// HMAC-SHA1 and HMAC-SHA512, and version 5. In version 5 a body of JSON is
// signed in place of the parameters.
func (c canonical) signatures(skey string) []string {
	head := []string{c.date, strings.ToUpper(c.method), strings.ToLower(c.host), c.path}
	params := canonicalParams(c.params)
	v2 := strings.Join(append(slices.Clip(head), params), "\n")
	if c.method == http.MethodPost {
		params = ""
	}
	v5 := strings.Join(append(slices.Clip(head), params, digest(c.body), digest(canonicalHeaders(c.header))), "\n")
	return []string{
		sign(sha1.New, skey, v2),
		sign(sha512.New, skey, v2),
		sign(sha512.New, skey, v5),
	}
}

// canonicalParams encodes parameters by RFC 3986, sorted by key, and by encoded
// value within a key.
func canonicalParams(params url.Values) string {
	var pairs []string
	for key, values := range params {
		for _, value := range values {
			pairs = append(pairs, escape(key)+"="+escape(value))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape leaves A-Z a-z 0-9 - _ . ~ as they are, as url.QueryEscape does, but
// writes a space as %20.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// canonicalHeaders joins the names and values of the X-Duo-* headers with NUL.
func canonicalHeaders(h http.Header) []byte {
	var names []string
	for name := range h {
		if strings.HasPrefix(name, "X-Duo-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var parts []string
	for _, name := range names {
		parts = append(parts, strings.ToLower(name), h.Get(name))
	}
	return []byte(strings.Join(parts, "\x00"))
}

func digest(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

func sign(h func() hash.Hash, skey, text string) string {
	mac := hmac.New(h, []byte(skey))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}
