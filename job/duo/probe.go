package duo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// Contact is what [Client.Probe] found out about the way to an API host, as far
// as it got. Fields that were not reached are zero.
type Contact struct {
	// Proxy is the host and port of the HTTP proxy that the way leads through.
	Proxy string
	// Remote is the address that was connected to: the host's, or the proxy's.
	Remote string
	// Connected tells that the way to the host is open, so that TLS could begin.
	Connected bool

	// TLSVersion is such as "TLS 1.3". It is set once the host's certificate is
	// found to be trusted.
	TLSVersion string
	// Issuer is who issued the certificate that was presented, trusted or not, and
	// NotAfter when it expires.
	Issuer   string
	NotAfter time.Time
	// Added tells that the certificate is trusted by Options.CAPEM alone, not by
	// the roots that Duo pins.
	Added bool

	// Dated tells that the answer had a Date header, and Skew how far this machine's
	// clock is at least ahead of it (negative: behind).
	Dated bool
	Skew  time.Duration
}

// Probe makes one call that needs no signature and tells what it met on the way.
// Any answer will do. With an error the contact holds what was found out before.
// The call uses the transport's idle connection where there is one, and then
// knows nothing of the way.
//
// See https://duo.com/docs/authapi#/ping.
func (c *Client) Probe(ctx context.Context, host string) (Contact, error) {
	contact, err := c.probe(ctx, host)
	if err == nil {
		return contact, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return contact, &CallError{bare(err)}
}

func (c *Client) probe(ctx context.Context, host string) (Contact, error) {
	// The transport may call the hooks even after it has returned.
	var mu sync.Mutex
	var contact Contact
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectDone: func(_, address string, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				contact.Remote = address
			}
		},
		TLSHandshakeStart: func() {
			mu.Lock()
			defer mu.Unlock()
			contact.Connected = true
		},
		GotConn: func(info httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			contact.Connected = true
			if conn, ok := info.Conn.(*tls.Conn); ok {
				c.describe(&contact, conn.ConnectionState())
			}
		},
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/auth/v2/ping", nil)
	if err != nil {
		return contact, err
	}
	req.Header.Set("User-Agent", c.opts.UserAgent)
	if c.proxy != nil {
		proxy, err := c.proxy(req)
		if err != nil {
			return contact, err
		}
		if proxy != nil {
			contact.Proxy = proxy.Host
		}
	}

	sent := time.Now()
	resp, err := c.transport.RoundTrip(req)
	received := time.Now()
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(untrusted.UnverifiedCertificates) > 0 {
			contact.Issuer = untrusted.UnverifiedCertificates[0].Issuer.String()
			contact.NotAfter = untrusted.UnverifiedCertificates[0].NotAfter
		}
		return contact, err
	}
	defer resp.Body.Close()
	// Read, the connection can be used again; an error of reading says nothing new.
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if date, ok := dated(resp); ok {
		contact.Dated = true
		contact.Skew = skew(sent, received, date)
	}
	return contact, nil
}

// skew is by how much the clock that showed sent and received is at least ahead
// of the one that showed date, whole seconds, in between.
func skew(sent, received, date time.Time) time.Duration {
	if end := date.Add(time.Second); sent.After(end) {
		return sent.Sub(end)
	}
	return min(received.Sub(date), 0)
}

// describe notes what a TLS connection tells of the host.
func (c *Client) describe(contact *Contact, state tls.ConnectionState) {
	contact.TLSVersion = tls.VersionName(state.Version)
	if len(state.PeerCertificates) > 0 {
		contact.Issuer = state.PeerCertificates[0].Issuer.String()
		contact.NotAfter = state.PeerCertificates[0].NotAfter
	}
	contact.Added = len(state.VerifiedChains) > 0
	for _, chain := range state.VerifiedChains {
		if !inPEM(c.opts.CAPEM, chain[len(chain)-1]) {
			contact.Added = false
		}
	}
}

// inPEM tells whether a certificate is among those of a text.
func inPEM(text []byte, cert *x509.Certificate) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if bytes.Equal(block.Bytes, cert.Raw) {
			return true
		}
	}
	return false
}
