// Package sinks delivers records to receivers over TCP, TLS and UDP, or to a
// writer such as the standard output.
//
// Start at [New], which makes a [Sink] of one entry of the configuration's
// servers; [NewWriter] makes one of a writer.
//
// What is promised: Deliver returns nil only when the delivery is confirmed as
// far as the protocol can confirm it. TCP and TLS have no acknowledgement by the
// receiving program, and a write that succeeds proves nothing. So one connection
// carries one page: it is written and half-closed, the receiver must answer with
// the end of its own stream, and the kernel must hold nothing unsent,
// unacknowledged or in error. UDP confirms nothing: only a refusal is noticed.
//
// The Go API is not stable.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Protocol is how records travel, in the words of the configuration.
type Protocol string

// The protocols of the configuration.
const (
	TCP    Protocol = "TCP"    // a record a line, in the clear
	TCPSSL Protocol = "TCPSSL" // the same over TLS
	UDP    Protocol = "UDP"    // a record a datagram, in the clear
)

// Options describe one receiver. The zero value of each duration means its default.
type Options struct {
	ID       string   // servers[].id, for messages
	Protocol Protocol // required
	Hostname string   // required: name, IPv4 or IPv6 address, the latter with or without brackets
	Port     int      // required

	// CertFile is a PEM file with the only certificates that TCPSSL trusts:
	// certificate authorities, or the receiver's own certificate. If it also
	// holds a private key, that key's certificate is presented to the receiver.
	CertFile string
	// KeyFile is a PEM file with that private key instead, and perhaps its certificate.
	KeyFile string
	// ServerName is the name that the receiver's certificate must have, instead of Hostname.
	ServerName string

	DialTimeout  time.Duration // name look-up, connection and TLS handshake together; 30 s
	StallTimeout time.Duration // the longest time in which a receiver takes nothing; 30 s
	CloseTimeout time.Duration // the longest wait for the receiver's end of stream; 10 s

	// Warn is told, at most once per kind of warning, what the user should
	// know about a delivery that counts all the same. It may be nil, and is
	// called from whichever goroutine called Deliver.
	Warn func(msg string)
}

// Sink is a place where records go. All methods are safe for concurrent use.
type Sink interface {
	// ID names the sink in messages: the configuration's servers[].id.
	ID() string

	// Deliver sends lines: whole records, each ending in '\n'. It returns nil
	// only when the delivery is confirmed; of no lines, at once. After an error
	// the receiver may have none, some or all of the lines, and the same lines
	// may be delivered again. Deliver neither changes nor keeps lines.
	//
	// An error is a [*PermanentError] where a repetition would not mend it, and
	// an [*OversizeError] where all but some records were sent. If ctx ended, it
	// wraps [context.Cause] of ctx; a time-out of the sink's own never matches
	// a context error. [Hint] may say what to do about it.
	Deliver(ctx context.Context, lines []byte) error

	// Check connects as Deliver would and closes without sending a record. Its
	// errors are those of Deliver. With an error the report holds what was
	// found out before.
	Check(ctx context.Context) (Report, error)
}

// Report is what [Sink.Check] found. Fields that do not apply are zero.
type Report struct {
	Remote     string    // address and port of the receiver, after name look-up
	TLSVersion string    // such as "TLS 1.3"
	Subject    string    // of the receiver's certificate
	Issuer     string    // of the receiver's certificate
	Names      []string  // DNS names and addresses in the receiver's certificate
	NotAfter   time.Time // when the receiver's certificate expires
	ClientCert bool      // the receiver asked for our certificate and was shown one
	Closed     bool      // TCP, TCPSSL: the receiver answered the half-close
}

const (
	defaultDialTimeout  = 30 * time.Second
	defaultStallTimeout = 30 * time.Second
	defaultCloseTimeout = 10 * time.Second
)

// New returns the sink that o describes. It reads the PEM files and does not
// touch the network. Its errors name the key of the configuration.
func New(o Options) (Sink, error) {
	s, err := newSink(o)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", o.ID, err)
	}
	return s, nil
}

func newSink(o Options) (Sink, error) {
	o.Hostname = unbracket(o.Hostname)
	if o.Hostname == "" {
		return nil, errors.New("hostname is empty")
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("port %d is not in 1–65535", o.Port)
	}
	setDefault(&o.DialTimeout, defaultDialTimeout)
	setDefault(&o.StallTimeout, defaultStallTimeout)
	setDefault(&o.CloseTimeout, defaultCloseTimeout)
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	switch o.Protocol {
	case TCP:
		return newTCP(o, nil), nil
	case TCPSSL:
		config, err := tlsConfig(o)
		if err != nil {
			return nil, err
		}
		return newTCP(o, config), nil
	case UDP:
		return newUDP(o), nil
	}
	return nil, fmt.Errorf("protocol %q is not one of TCP, TCPSSL, UDP", string(o.Protocol))
}

// address is the host and port as a dialer wants them.
func (o *Options) address() string {
	return net.JoinHostPort(o.Hostname, strconv.Itoa(o.Port))
}

func unbracket(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok := strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return host
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// errUnterminated is the error of lines that break the contract of Deliver: the
// next delivery would be joined to their last record.
var errUnterminated = errors.New("the last record does not end in a newline")

func checkLines(lines []byte) error {
	if lines[len(lines)-1] != '\n' {
		return errUnterminated
	}
	return nil
}
