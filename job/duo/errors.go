package duo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"dls/job/record"
)

// APIError is an answer of Duo, or of something before Duo, that is no page of
// records.
type APIError struct {
	// Status is the HTTP status.
	Status int
	// Code, Message and Detail are Duo's own: code, message and message_detail of
	// the answer. They are empty when the answer is not Duo's.
	Code            int
	Message, Detail string
	// RetryAfter is what the answer's Retry-After header asks for, or 0.
	RetryAfter time.Duration
	// Skew is how far this machine's clock is ahead of the answer's Date header
	// (negative: behind), or 0 when there is none.
	Skew time.Duration
}

// Error says status, code and message. Duo's texts are quoted and cut short.
func (e *APIError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Duo answered %d", e.Status)
	if e.Code != 0 {
		fmt.Fprintf(&b, " (code %d)", e.Code)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %q", short(e.Message))
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, ", %q", short(e.Detail))
	}
	return b.String()
}

// Limited tells whether the answer is Duo's rate limit.
func (e *APIError) Limited() bool { return e.Refusal() == 429 }

// TooOld tells whether the answer refuses the call's mintime because Duo no longer
// keeps what lies so far back.
func (e *APIError) TooOld() bool {
	return e.Refusal() == 400 && strings.Contains(e.Detail, "mintime") && strings.Contains(e.Detail, "180 days")
}

// Refusal is the status that the answer comes to: that of Duo's code where the
// HTTP status says success.
func (e *APIError) Refusal() int {
	if e.Status == 200 && e.Code > 0 {
		return e.Code / 100
	}
	return e.Status
}

// Gone tells whether the answer says that there is no such endpoint.
func (e *APIError) Gone() bool { return e.Status == 404 || e.Status == 410 }

// temporary tells whether the same call may succeed later on. What is neither
// success nor a refusal by Duo (a redirect, a gateway's page) may pass.
func (e *APIError) temporary() bool {
	switch {
	case e.Status == 408, e.Status == 429, e.Status >= 500:
		return true
	case e.Status >= 400:
		return false
	}
	return e.Code/100 == 0 || e.Code/100 == 429 || e.Code/100 >= 500
}

func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return cut(s, 200)
}

// BodyError is an answer of status 200 whose body is not what Duo sends: cut
// off, no JSON, or of another shape. It says where, never what stands there.
type BodyError struct{ Err error }

// Error says what is wrong with the body.
func (e *BodyError) Error() string { return "Duo's answer cannot be read: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *BodyError) Unwrap() error { return e.Err }

// CallError is a call that got no whole answer.
type CallError struct{ Err error }

// Error says why.
func (e *CallError) Error() string { return "call Duo: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *CallError) Unwrap() error { return e.Err }

// Temporary tells whether the same call, newly signed, may succeed later: rate
// limit, server errors, network faults and answers that came broken. A refusal
// (4xx) by Duo or by a proxy, a certificate that is not trusted, and a cancelled context are not.
func Temporary(err error) bool {
	if api, ok := errors.AsType[*APIError](err); ok {
		return api.temporary()
	}
	if errors.Is(err, context.Canceled) {
		return false
	}
	if proxy, ok := errors.AsType[*ProxyError](err); ok && !proxy.temporary() {
		return false
	}
	return !Untrusted(err)
}

// Untrusted tells whether the call ended because the certificate that the API
// host (or a proxy in its place) presented is not trusted.
func Untrusted(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok = errors.AsType[x509.HostnameError](err)
	return ok
}

// maxText bounds a text of an answer that is kept: many streams may each keep one.
const maxText = 4 << 10

// failure turns the body of an answer that is not a success into an APIError. A text that
// is longer than any of Duo's is left out.
func failure(status int, body []byte) *APIError {
	e := &APIError{Status: status}
	var code, message, detail string
	end, err := record.Object(body, 0, func(key []byte, i int) (int, error) {
		end, err := record.Skip(body, i)
		if err != nil || end-i > maxText {
			return end, err
		}
		switch text := record.Text(body[i:end]); string(key) {
		case "code":
			code = text
		case "message":
			message = text
		case "message_detail":
			detail = text
		}
		return end, nil
	})
	if err != nil || len(bytes.TrimSpace(body[end:])) > 0 {
		return e
	}
	if n, err := strconv.Atoi(code); err == nil && n > 0 && n < 1e6 {
		e.Code = n
	}
	e.Message, e.Detail = message, detail
	return e
}

// bare strips what net/http puts around an error: the method and the URL, which
// hold nothing that helps a reader.
func bare(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" && op.Addr != nil {
		return fmt.Errorf("connect to %s: %w", op.Addr, op.Err)
	}
	return err
}
