package sinks

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// chunkSize is how much is written under one deadline: the slowest receiver
// that is borne takes this much in a StallTimeout. Two full TLS records.
const chunkSize = 128 << 10

// tcpSink delivers a page a connection, over TCP or TLS.
type tcpSink struct {
	opts Options
	tls  *tls.Config // nil: in the clear

	// staysOpen is set once the receiver has left the connection open after our
	// half-close. From then on the close is not waited for.
	staysOpen atomic.Bool
}

var _ Sink = (*tcpSink)(nil)

func newTCP(o Options, config *tls.Config) *tcpSink {
	return &tcpSink{opts: o, tls: config}
}

func (s *tcpSink) ID() string { return s.opts.ID }

func (s *tcpSink) Deliver(ctx context.Context, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	err := checkLines(lines)
	if err == nil {
		err = s.deliver(ctx, lines)
	}
	return s.wrap(ctx, "deliver to", err)
}

func (s *tcpSink) deliver(ctx context.Context, lines []byte) (err error) {
	c, err := s.open(ctx, s.tls)
	if err != nil {
		return err
	}
	defer func() { c.close(err == nil) }()
	if err := s.send(c, lines); err != nil {
		return err
	}
	wait := !s.staysOpen.Load()
	closed, err := s.confirm(ctx, c, wait)
	if err != nil {
		return err
	}
	if wait && !closed && s.staysOpen.CompareAndSwap(false, true) {
		s.opts.Warn(fmt.Sprintf("server %q (%s) does not close the connection when a page ends: "+
			"from now on a page counts as delivered when the receiver's system has acknowledged it, "+
			"which does not prove that the receiver has read it", s.opts.ID, s.opts.address()))
	}
	return nil
}

func (s *tcpSink) Check(ctx context.Context) (Report, error) {
	report, err := s.check(ctx)
	return report, s.wrap(ctx, "check", err)
}

func (s *tcpSink) check(ctx context.Context) (report Report, err error) {
	config := s.tls
	if config != nil && config.GetClientCertificate != nil {
		config = config.Clone()
		config.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			report.ClientCert = true
			return s.tls.GetClientCertificate(r)
		}
	}
	c, err := s.open(ctx, config)
	if err != nil {
		return report, err
	}
	defer func() { c.close(err == nil) }()
	report.Remote = c.tcp.RemoteAddr().String()
	if c.tls != nil {
		describe(&report, c.tls.ConnectionState())
	}
	if err := s.send(c, nil); err != nil {
		return report, err
	}
	report.Closed, err = s.confirm(ctx, c, true)
	return report, err
}

// open connects, and for TLS shakes hands.
func (s *tcpSink) open(ctx context.Context, config *tls.Config) (*conn, error) {
	dialing, cancel := context.WithTimeout(ctx, s.opts.DialTimeout)
	defer cancel()
	var d net.Dialer
	opened, err := d.DialContext(dialing, "tcp", s.opts.address())
	if err != nil {
		if isTimeout(err) {
			err = timeoutError("no connection", s.opts.DialTimeout)
		}
		return nil, err
	}
	tcp := opened.(*net.TCPConn)
	if config == nil {
		return newConn(ctx, tcp, nil), nil
	}
	client := tls.Client(tcp, config)
	if err := client.HandshakeContext(dialing); err != nil {
		tcp.Close()
		if isTimeout(err) {
			err = timeoutError("no TLS handshake", s.opts.DialTimeout)
		}
		return nil, err
	}
	return newConn(ctx, tcp, client), nil
}

// send writes all lines and ends our stream. It fails when the receiver's stream
// has ended before.
func (s *tcpSink) send(c *conn, lines []byte) error {
	for chunk := range slices.Chunk(lines, chunkSize) {
		if err := c.write(chunk, s.opts.StallTimeout); err != nil {
			return s.because(c, err)
		}
		if c.hasEnded() {
			return s.because(c, errClosedEarly)
		}
	}
	if c.hasEnded() || !peerOpen(c.tcp) {
		return s.because(c, errClosedEarly)
	}
	if err := c.closeWrite(s.opts.StallTimeout); err != nil {
		return s.because(c, err)
	}
	return nil
}

// because returns the cause of an error that our side of the connection has
// met. The end of the receiver's stream is worth more than the broken pipe that
// follows it: it may be the TLS alert that refuses our certificate.
func (s *tcpSink) because(c *conn, err error) error {
	if isTimeout(err) {
		return timeoutError("the receiver took no data", s.opts.StallTimeout)
	}
	timer := time.NewTimer(s.opts.CloseTimeout)
	defer timer.Stop()
	select {
	case <-c.ended: // at once, as a rule: our side fails only when all is over
		if c.endErr != nil {
			return c.endErr
		}
		return errClosedEarly
	case <-timer.C:
		return err
	}
}

// confirm waits until the receiver has proved that it has our whole stream:
// its system has acknowledged every byte and our end of stream, and, if wait is
// set, the receiver has closed. It returns whether the receiver has closed; not
// closing in time is no error. On a system that cannot tell what is
// acknowledged, the write counts.
func (s *tcpSink) confirm(ctx context.Context, c *conn, wait bool) (closed bool, err error) {
	const longest = 50 * time.Millisecond
	var (
		poll  = time.Millisecond
		since = time.Now() // when the queue last moved
		last  = -1
		done  = c.done
	)
	for {
		if closed && c.err != nil {
			return true, c.err
		}
		if closed && c.early {
			return true, errClosedEarly
		}
		// After the end of the receiver's stream, so that the reset by which a
		// system answers data that nobody will read is in the answer.
		left, known, err := unacknowledged(c.tcp)
		if err != nil {
			return closed, s.because(c, err)
		}
		if left == 0 && (closed || !wait) {
			return closed, nil
		}
		if left != last {
			last, since = left, time.Now()
		}
		limit := s.opts.CloseTimeout
		if left > 0 && !closed {
			limit = s.opts.StallTimeout
		}
		rest := limit - time.Since(since)
		if rest <= 0 {
			if left > 0 {
				return closed, fmt.Errorf("%w within %v", errUnacknowledged, limit)
			}
			return closed, nil
		}
		next := rest
		if known && left > 0 {
			next = min(rest, poll)
			poll = min(2*poll, longest)
		}
		timer := time.NewTimer(next)
		select {
		case <-done:
			closed, done = true, nil
		case <-ctx.Done():
			timer.Stop()
			return closed, context.Cause(ctx)
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (s *tcpSink) wrap(ctx context.Context, what string, err error) error {
	return s.opts.wrap(ctx, what, classify(err))
}
