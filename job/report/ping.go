package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"dls/job/retry"
)

// PingURL is the address of a dead-man switch: a service that raises the alarm
// when it hears nothing for a while, which no run can do that did not take place.
// The address often is a secret: it gets into no message, only its host does. The
// zero value is none.
type PingURL struct{ u *url.URL }

// UnmarshalText reads an http or https address. The error does not repeat it.
func (p *PingURL) UnmarshalText(b []byte) error {
	u, err := url.Parse(string(b))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("it must be an address that begins with https:// or http://")
	}
	u.Fragment, u.RawFragment = "", ""
	*p = PingURL{u}
	return nil
}

// IsZero tells whether there is no address.
func (p PingURL) IsZero() bool { return p.u == nil }

// String is the scheme and the host: the rest may be a secret.
func (p PingURL) String() string {
	if p.u == nil {
		return ""
	}
	return p.u.Scheme + "://" + p.u.Host
}

// GoString is String, for %#v.
func (p PingURL) GoString() string { return p.String() }

// pingBound is how long all of it may take, pingTry how long one call, and pingPause what
// lies between the two.
const pingBound, pingTry, pingPause = 10 * time.Second, 4500 * time.Millisecond, time.Second

// PingOptions are what a call is told beside the address.
type PingOptions struct {
	// UserAgent names the program.
	UserAgent string
	// Transport carries the calls. Nil: a plain one that goes by HTTPS_PROXY,
	// HTTP_PROXY and NO_PROXY.
	Transport http.RoundTripper
}

// PingEvent is what a dead-man switch is told: what is added to the address's path,
// as healthchecks.io and those like it have it.
type PingEvent string

// The events of a run.
const (
	PingStart   PingEvent = "start" // it has begun
	PingSuccess PingEvent = ""      // it has ended, and all is well
	PingFail    PingEvent = "fail"  // it has ended otherwise
)

// Send takes ten seconds at most. It calls the address for the event and takes any
// 2xx for an answer. A call about a run's end that fails in a way that may pass is
// made once more. Redirects are not followed: they could take the secret elsewhere.
//
// A signal that ended the run has ended its context too: give Send one that goes
// on.
func (p PingURL) Send(ctx context.Context, event PingEvent, o PingOptions) error {
	if p.u == nil {
		return nil
	}
	target := p.u
	if event != PingSuccess {
		target = target.JoinPath(string(event))
	}
	if o.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		defer t.CloseIdleConnections()
		o.Transport = t
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pingBound, errSlow)
	defer cancel()
	err := call(ctx, target, o)
	if event != PingStart && passing(err) && retry.Sleep(ctx, pingPause) {
		err = call(ctx, target, o)
	}
	if err != nil {
		return fmt.Errorf("ping %s: %w", p, err)
	}
	return nil
}

var errSlow = errors.New("no answer in time")

// statusError is an answer other than 2xx.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("it answers %d", int(s)) }

// passing tells whether another call may go better.
func passing(err error) bool {
	status, answered := errors.AsType[statusError](err)
	return err != nil && (!answered || status >= 500 || status == http.StatusTooManyRequests)
}

func call(ctx context.Context, target *url.URL, o PingOptions) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pingTry, errSlow)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return errors.New("the address cannot be called")
	}
	req.Header.Set("User-Agent", o.UserAgent)
	client := http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			return u.Err // url.Error tells the address
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return statusError(resp.StatusCode)
	}
	return nil
}
