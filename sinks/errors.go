package sinks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// PermanentError is a fault that repeating the delivery does not mend: somebody
// has to change the configuration, a certificate or the receiver.
type PermanentError struct {
	Err  error
	Hint string // what to do, or empty
}

// Error returns the message of Err.
func (e *PermanentError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *PermanentError) Unwrap() error { return e.Err }

var (
	// errClosedEarly: the end of the peer's stream came before ours.
	errClosedEarly = errors.New("the receiver closed the connection before we did")
	// errUnacknowledged: the connection ended, or stood still, while data was on its way.
	errUnacknowledged = errors.New("the receiver's system did not acknowledge everything")
	// errUnproved: the system does not tell what is acknowledged, and the peer's
	// end of stream, which would prove it, did not come.
	errUnproved = errors.New("the receiver did not close the connection, and this system does not tell what was acknowledged")
	// errOver: the session was used after its end.
	errOver = errors.New("the session is over")
)

// earlyError is the end of a connection in order that came while a session
// settled: everything was acknowledged before.
type earlyError struct {
	after, settle time.Duration
}

func (e *earlyError) Error() string {
	return fmt.Sprintf("the receiver closed the connection %v after it had everything, within the %v for which it must stay open",
		e.after.Round(time.Millisecond), e.settle)
}

func (e *earlyError) Unwrap() error { return errClosedEarly }

const (
	httpText = "HTTP/" // how an answer in HTTP begins
	httpHint = "this is the port of a web server: use the receiver's port for records, or protocol HEC if it is an HTTP Event Collector"
)

// foreignLen is how many bytes of an answer tell its protocol.
const foreignLen = 5

// foreign recognizes the start of an answer that only a server of another protocol
// gives.
func foreign(head []byte) error {
	switch {
	case bytes.HasPrefix(head, []byte(httpText)):
		return &PermanentError{errors.New("the receiver answers in HTTP"), httpHint}
	case len(head) >= foreignLen && head[0] == 21 && head[1] == 3: // an alert: RFC 8446, section 5.1
		return &PermanentError{errors.New("the receiver answers in TLS"), "this port expects TLS: use protocol TCPSSL, or RELPSSL for RELP"}
	}
	return nil
}

// hintedError is an error that a repetition may mend, with what to do otherwise.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }

// Hint returns what a user can do about an error of this package, or "".
func Hint(err error) string {
	if e, ok := errors.AsType[*PermanentError](err); ok {
		return e.Hint
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return ""
	}
	if e, ok := errors.AsType[*hintedError](err); ok {
		return e.hint
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return "check the hostname, and that this machine can resolve it"
	}
	if e, ok := errors.AsType[*earlyError](err); ok {
		return fmt.Sprintf("a proxy does so when what is behind it is down; "+
			"a receiver whose idle time-out is below %v does so always: then set servers[].settle below that time-out", e.settle)
	}
	switch {
	case errors.Is(err, errRefused):
		return "check that the receiver is running and listens on this port and protocol"
	case errors.Is(err, errHostUnreachable), errors.Is(err, errNetUnreachable):
		return "check the address, and this machine's routes and firewall"
	case errors.Is(err, errClosedEarly), errors.Is(err, errReset), errors.Is(err, errPipe):
		return "the receiver's log may say why it ended the connection; a proxy does so when what is behind it is down"
	case errors.Is(err, errUnproved):
		return "have the receiver, or the load balancer before it, close a connection whose sender is done"
	case errors.Is(err, errUnacknowledged), isTimeout(err):
		return "check that the receiver is not stuck, and that no firewall drops the traffic"
	}
	return ""
}

// isTimeout reports whether a deadline of any kind caused err.
func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// timeoutError replaces a time-out of the net package, which would match
// context.DeadlineExceeded and so look like the end of the caller's context.
func timeoutError(what string, after time.Duration) error {
	return &timedOut{what, after}
}

// timedOut is a time-out in words.
type timedOut struct {
	what  string
	after time.Duration
}

func (e *timedOut) Error() string {
	return fmt.Sprintf("%s within %v: %v", e.what, e.after, e.Unwrap())
}

func (e *timedOut) Unwrap() error { return os.ErrDeadlineExceeded }

// wrap says what was tried with which receiver. What fails after the end of the
// context fails because of it.
func (o *Options) wrap(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if cause := ended(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s server %q (%s): %w", what, o.ID, o.address(), bare(err))
}

// ended returns why the context has ended, or nil if it has not.
func ended(ctx context.Context) error {
	if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		<-ctx.Done() // its timer may lag a little behind those of the net package
	}
	return context.Cause(ctx)
}

// bare strips the operation and address that the net package puts before an
// error, since our own message says them already.
func bare(err error) error {
	for {
		switch e := err.(type) {
		case *net.OpError:
			if e.Op == "remote error" { // a TLS alert, which needs the words
				return err
			}
			err = e.Err
		case *os.SyscallError:
			err = e.Err
		case *PermanentError, *hintedError:
			return err
		default:
			inner := errors.Unwrap(err)
			if inner == nil || inner.Error() != err.Error() {
				return err
			}
			err = inner // it adds nothing, as crypto/tls marks what ends a connection
		}
	}
}

// inClear says how the records of a protocol go without TLS.
var inClear = map[Protocol]string{TCPSSL: "protocol TCP", RELPSSL: "protocol RELP", HEC: "plaintext: true"}

// classify marks the faults of TLS that a repetition does not mend. missing says
// that the receiver has asked for a client certificate and got none.
func classify(err error, protocol Protocol, missing bool) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &PermanentError{err, certificateHint(err)}
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if string(e.RecordHeader[:]) == httpText {
			return &PermanentError{err, httpHint}
		}
		return &PermanentError{err, "the receiver does not speak TLS on this port: use its TLS port, or " + inClear[protocol]}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		hint, ok := alertHint(e.Err)
		if ok && missing {
			hint = missingHint
		}
		if ok {
			return &PermanentError{err, hint}
		}
	}
	if missing && (errors.Is(err, errReset) || errors.Is(err, errPipe) || errors.Is(err, errClosedEarly)) {
		return &hintedError{bare(err), missingHint} // it may ask and not insist
	}
	return err
}

// missingHint is the hint about a client certificate that was asked for.
const missingHint = "the receiver asked for a client certificate, and there is none: put it and its key into cert_filepath or key_filepath"

func certificateHint(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "set server_name to a name in the receiver's certificate, or have the certificate made for this hostname"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "renew the certificate; if its dates are right, set this machine's clock"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "cert_filepath must hold the authority that issued the receiver's certificate, or that certificate itself"
	}
	return "have a certificate made that is fit for a TLS server"
}

// The alerts of RFC 8446, section 6, that speak of our certificate or of what
// both sides can do.
const (
	alertHandshakeFailure       tls.AlertError = 40
	alertBadCertificate         tls.AlertError = 42
	alertUnsupportedCertificate tls.AlertError = 43
	alertCertificateRevoked     tls.AlertError = 44
	alertCertificateExpired     tls.AlertError = 45
	alertCertificateUnknown     tls.AlertError = 46
	alertUnknownCA              tls.AlertError = 48
	alertAccessDenied           tls.AlertError = 49
	alertProtocolVersion        tls.AlertError = 70
	alertInsufficientSecurity   tls.AlertError = 71
	alertUnrecognizedName       tls.AlertError = 112
	alertCertificateRequired    tls.AlertError = 116
)

// alertHint tells a permanent alert. The type that crypto/tls uses for one from
// the peer is not exported; the exported one has the same text for each.
func alertHint(alert error) (hint string, permanent bool) {
	is := func(alerts ...tls.AlertError) bool {
		for _, a := range alerts {
			if alert.Error() == a.Error() {
				return true
			}
		}
		return false
	}
	switch {
	case is(alertCertificateRequired):
		return missingHint, true
	case is(alertBadCertificate, alertUnsupportedCertificate, alertCertificateRevoked, alertCertificateExpired,
		alertCertificateUnknown, alertUnknownCA, alertAccessDenied):
		return "the receiver refused our client certificate: its log says why", true
	case is(alertUnrecognizedName):
		return "the receiver does not know this name: set server_name", true
	case is(alertHandshakeFailure, alertProtocolVersion, alertInsufficientSecurity):
		return "the receiver does not offer TLS 1.2 or later, or no cipher of ours", true
	}
	return "", false
}
