package sinks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// chunkSize is how much is written under one deadline: the slowest receiver
// that is borne takes this much in a StallTimeout. Two full TLS records.
const chunkSize = 128 << 10

// tcpSink delivers over TCP or TLS.
type tcpSink struct {
	opts    Options
	trust   *trust   // nil: in the clear
	wrapper *wrapper // nil: a record a line

	// staysOpen is set once the receiver has left the connection open after our
	// half-close. From then on the close is not waited for.
	staysOpen atomic.Bool
}

var _ Sink = (*tcpSink)(nil)

func newTCP(o Options, trust *trust, w *wrapper) *tcpSink {
	return &tcpSink{opts: o, trust: trust, wrapper: w}
}

func (s *tcpSink) ID() string     { return s.opts.ID }
func (s *tcpSink) MaxRecord() int { return s.opts.MaxRecordBytes }

func (s *tcpSink) Open(ctx context.Context) (Session, error) {
	session, err := s.open(ctx, s.trust.begin(&s.opts))
	if err != nil {
		return nil, s.wrap(ctx, "connect to", err)
	}
	session.wait = !s.staysOpen.Load()
	return session, nil
}

func (s *tcpSink) Check(ctx context.Context) (Report, error) {
	report, err := s.check(ctx)
	return report, s.wrap(ctx, "check", err)
}

func (s *tcpSink) check(ctx context.Context) (Report, error) {
	report := Report{Proves: s.proves()}
	session, err := s.open(ctx, s.trust.check(&report))
	if err != nil {
		return report, err
	}
	defer session.Abort()
	session.wait = true
	report.Remote = session.conn.tcp.RemoteAddr().String()
	if client := session.conn.tls; client != nil {
		describe(&report, client.ConnectionState())
	}
	report.ClientCert = session.handshake.shown()
	err = session.end(ctx)
	report.Closed = session.closed
	return report, err
}

// proves says in words what a confirmed session proves.
func (s *tcpSink) proves() string {
	if s.opts.Settle == 0 {
		return "that the nearest peer's system took every byte; a proxy with nothing behind it looks the same as a receiver"
	}
	return fmt.Sprintf("that the nearest peer took every byte and did not end the connection within %v; "+
		"a proxy that goes on trying to reach what is behind it for longer looks the same as a receiver", s.opts.Settle)
}

// open connects, and for TLS shakes hands.
func (s *tcpSink) open(ctx context.Context, h *handshake) (*tcpSession, error) {
	conn, client, err := s.opts.dial(ctx, h)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(Link)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("a connection of type %T cannot be half-closed", conn)
	}
	return &tcpSession{sink: s, handshake: h, conn: newConn(tcp, client)}, nil
}

func (s *tcpSink) wrap(ctx context.Context, what string, err error) error {
	return s.opts.wrap(ctx, what, err)
}

// tcpSession is one connection.
type tcpSession struct {
	sink      *tcpSink
	handshake *handshake // nil: in the clear
	conn      *conn
	wait      bool // whether the peer's close is waited for
	closed    bool // whether it came, after Confirm
	told      bool // whether the system has ever told the connection's state

	over atomic.Bool
	once sync.Once // for closing conn
}

func (s *tcpSession) Failed() <-chan struct{} { return s.conn.failed }

func (s *tcpSession) Abort() { s.close(false) }

// close ends the session; only the first call does anything.
func (s *tcpSession) close(inOrder bool) {
	s.over.Store(true)
	s.once.Do(func() { s.conn.close(inOrder) })
}

func (s *tcpSession) Send(ctx context.Context, b Batch) ([]Refused, error) {
	refused, err := s.send(ctx, b)
	if err != nil {
		s.Abort()
		return nil, s.sink.wrap(ctx, "deliver to", s.classify(err))
	}
	return refused, nil
}

// send writes the lines. It fails when the peer has ended its stream.
func (s *tcpSession) send(ctx context.Context, b Batch) ([]Refused, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	defer s.conn.until(ctx)()
	var refused []Refused
	for chunk := range s.sink.wrapper.chunks(b, s.sink.MaxRecord(), &refused) {
		if err := s.conn.write(chunk, s.sink.opts.StallTimeout); err != nil {
			return nil, s.because(err)
		}
		if s.conn.hasEnded() {
			return nil, s.because(errClosedEarly)
		}
	}
	return refused, nil
}

func (s *tcpSession) Confirm(ctx context.Context) error {
	err := s.end(ctx)
	if err == nil && s.wait && !s.closed && s.sink.staysOpen.CompareAndSwap(false, true) {
		s.sink.opts.warn("it does not close the connection when ours ends: " +
			"from now on what was sent counts as delivered when the receiver's system has acknowledged it, " +
			"which does not prove that the receiver has read it")
	}
	return s.sink.wrap(ctx, "deliver to", err)
}

// end confirms the session and closes the connection.
func (s *tcpSession) end(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		s.Abort()
		return err
	}
	release := s.conn.until(ctx)
	err := s.confirm(ctx)
	release()
	s.close(err == nil)
	return s.classify(err)
}

// classify gives an error the hints that hang on the protocol, and marks the
// faults of TLS that a repetition does not mend.
func (s *tcpSession) classify(err error) error {
	err = s.handshake.classify(err)
	_, hinted := errors.AsType[*hintedError](err)
	if err == nil || hinted || isPermanent(err) {
		return err
	}
	ended := errors.Is(err, errClosedEarly) || errors.Is(err, errReset) || errors.Is(err, errPipe)
	if early, ok := errors.AsType[*earlyError](err); !ended || ok && early.after >= time.Second {
		return err
	}
	hint := Hint(err)
	if s.handshake == nil {
		hint += "; a port that expects TLS needs protocol TCPSSL"
	}
	switch w := s.sink.wrapper; {
	case w == nil:
		hint += "; one that expects the length before each record needs framing: octet-counted, and an envelope"
	case !w.counted:
		hint += "; one that expects the length before each record needs framing: octet-counted"
	}
	return &hintedError{bare(err), hint}
}

// confirm proves what is sent, in four steps: everything is acknowledged where
// the system tells; the connection stays in order while it settles; our stream is
// ended before the peer's; the peer ends its own, everything acknowledged.
func (s *tcpSession) confirm(ctx context.Context) error {
	if s.sink.opts.Settle > 0 {
		if err := s.acknowledged(ctx); err != nil {
			return err
		}
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	if err := s.halfClose(); err != nil {
		return err
	}
	return s.finish(ctx)
}

// acknowledged waits until the peer's system has acknowledged what is sent.
func (s *tcpSession) acknowledged(ctx context.Context) error {
	c, stall := s.conn, s.sink.opts.StallTimeout
	var w watch
	for {
		seen, err := s.look()
		switch {
		case err != nil:
			return s.because(err)
		case !seen.counts || seen.pending == 0:
			return nil
		}
		rest := stall - w.still(seen)
		if rest <= 0 {
			return fmt.Errorf("%w within %v", errUnacknowledged, stall)
		}
		select {
		case <-c.failed:
			return s.because(errClosedEarly)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(rest, w.interval())):
		}
	}
}

// look is what the system knows of the connection.
func (s *tcpSession) look() (sight, error) {
	seen, err := look(s.conn.tcp)
	s.told = s.told || seen.known()
	return seen, err
}

// settle holds the connection open. The peer must not end it meanwhile.
func (s *tcpSession) settle(ctx context.Context) error {
	c, settle := s.conn, s.sink.opts.Settle
	since := time.Now()
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-c.failed:
		if c.endErr != nil {
			return s.because(c.endErr)
		}
		return &earlyError{time.Since(since), settle}
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// halfClose ends our stream, unless the peer has ended its own.
func (s *tcpSession) halfClose() error {
	c := s.conn
	// The kernel is ahead of a goroutine that reads.
	seen, err := s.look()
	switch {
	case err != nil:
		return s.because(err)
	case seen.state != stateOpen && seen.state != stateUnknown:
		return s.because(errClosedEarly)
	}
	if err := c.begin(); err != nil {
		return s.because(err)
	}
	if err := c.closeWrite(s.sink.opts.StallTimeout); err != nil {
		return s.because(err)
	}
	// Over TLS the peer may end at our close_notify, which is before our end.
	if seen, err := s.look(); err != nil {
		return s.because(err)
	} else if seen.state == statePeerEnded && c.tls == nil {
		return errClosedEarly
	}
	return nil
}

// finish waits until everything, our end of stream included, is acknowledged and,
// if s.wait is set, the peer has ended its stream. Not ending it in time is no
// error where the system tells what is acknowledged.
func (s *tcpSession) finish(ctx context.Context) error {
	const rarely = time.Hour
	c, o := s.conn, &s.sink.opts
	done := c.done
	var w watch
	for {
		if s.closed && c.err != nil {
			return s.because(c.err)
		}
		if s.closed && c.early {
			return errClosedEarly
		}
		// After the end of the peer's stream, so that the reset by which a system
		// answers data that nobody will read is in the answer.
		seen, err := s.look()
		if err != nil {
			return s.because(err)
		}
		// A connection that the system knew, and knows no more, was reset. Over TLS the
		// peer may have ended first, at our close_notify: then nothing of it is left, either.
		proved := seen.acknowledged() || s.closed && !seen.known() && (!s.told || c.tls != nil)
		if proved && (s.closed || !s.wait) {
			return nil
		}
		limit := o.StallTimeout
		if proved || s.closed {
			limit = o.CloseTimeout
		}
		rest := limit - w.still(seen)
		switch {
		case rest <= 0 && proved:
			return nil
		case rest <= 0 && seen.known():
			return fmt.Errorf("%w within %v", errUnacknowledged, limit)
		case rest <= 0:
			return fmt.Errorf("%w within %v", errUnproved, limit)
		}
		next := rarely
		if seen.known() && !proved {
			next = w.interval()
		}
		select {
		case <-done:
			s.closed, done = true, nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(rest, next)):
		}
	}
}

// usable fails when the session, or the context, is over.
func (s *tcpSession) usable(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.over.Load() {
		return errOver
	}
	return nil
}

// because returns the cause of an error that our side of the connection has
// met. The end of the peer's stream is worth more than the broken pipe that
// follows it: it may be the TLS alert that refuses our certificate.
func (s *tcpSession) because(err error) error {
	if isTimeout(err) {
		return timeoutError("the receiver took no data", s.sink.opts.StallTimeout)
	}
	timer := time.NewTimer(s.sink.opts.CloseTimeout)
	defer timer.Stop()
	select {
	case <-s.conn.ended: // at once, as a rule: our side fails only when all is over
		switch {
		case errors.Is(s.conn.endErr, net.ErrClosed):
			return errOver
		case s.conn.endErr != nil:
			return s.conn.endErr
		case errors.Is(err, errClosedEarly):
			return err
		}
		return errClosedEarly
	case <-timer.C:
		return err
	}
}

// watch tells for how long what is seen of a connection has not moved, and how
// soon to look again. The zero value is ready.
type watch struct {
	last  sight
	since time.Time
	poll  time.Duration
}

// still returns since when seen has been the same.
func (w *watch) still(seen sight) time.Duration {
	if w.since.IsZero() || seen != w.last {
		w.last, w.since = seen, time.Now()
	}
	return time.Since(w.since)
}

// interval grows from 1 to 50 ms.
func (w *watch) interval() time.Duration {
	w.poll = min(max(2*w.poll, time.Millisecond), 50*time.Millisecond)
	return w.poll
}
