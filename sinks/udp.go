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

// maxDatagram is the longest record that fits, its newline included: 65,535 bytes
// of an IPv4 packet without the headers of IP and UDP. IPv6 could carry 20 more;
// one limit for both keeps a record's fate from hanging on the name look-up.
const maxDatagram = 65507

// leastSettle is how long a refusal of the last datagrams is waited for in any
// case. The ICMP message takes one round trip.
const leastSettle = 100 * time.Millisecond

// udpSink delivers a record a datagram.
type udpSink struct {
	opts    Options
	wrapper *wrapper      // nil: the datagram is the line
	turn    chan struct{} // holds a token while a Send is under way
	pacer   pacer         // used by who holds the turn
}

var _ Sink = (*udpSink)(nil)

func newUDP(o Options, w *wrapper) *udpSink {
	return &udpSink{opts: o, wrapper: w, turn: make(chan struct{}, 1)}
}

func (s *udpSink) ID() string { return s.opts.ID }

func (s *udpSink) MaxRecord() int {
	most := maxDatagram - 1
	if s.wrapper != nil { // its messages have no newline
		most = maxDatagram - s.wrapper.overhead()
	}
	if own := s.opts.MaxRecordBytes; own > 0 {
		return min(own, most)
	}
	return most
}

func (s *udpSink) Open(ctx context.Context) (Session, error) {
	session, err := s.open(ctx)
	if err != nil {
		return nil, s.opts.wrap(ctx, "deliver to", err)
	}
	return session, nil
}

func (s *udpSink) open(ctx context.Context) (*udpSession, error) {
	resolving, cancel := context.WithTimeout(ctx, s.opts.DialTimeout)
	defer cancel()
	conn, err := s.opts.Dial(resolving, "udp", s.opts.address())
	if err != nil {
		if isTimeout(err) {
			err = timeoutError("the hostname was not resolved", s.opts.DialTimeout)
		}
		return nil, err
	}
	reportRefusals(conn)
	session := &udpSession{sink: s, conn: conn, failed: make(chan struct{}), done: make(chan struct{})}
	go session.read()
	return session, nil
}

// Check cannot know whether anybody listens.
func (s *udpSink) Check(ctx context.Context) (Report, error) {
	report := Report{Proves: "nothing: a datagram that nobody takes is lost without a word; only a port that refuses may be noticed"}
	session, err := s.open(ctx)
	if err != nil {
		return report, s.opts.wrap(ctx, "check", err)
	}
	defer session.Abort()
	report.Remote = session.conn.RemoteAddr().String()
	return report, nil
}

// udpSession is one socket. A goroutine reads from it until it is closed: a
// refusal (ICMP, RFC 1122, section 4.1.3.3) is an error of the next read or write.
type udpSession struct {
	sink *udpSink
	conn net.Conn

	failed  chan struct{} // closed when a datagram was refused
	refusal error         // once failed is closed
	done    chan struct{} // closed when the reader has ended
	over    atomic.Bool
	once    sync.Once // for closing conn
}

func (s *udpSession) read() {
	defer close(s.done)
	buf := make([]byte, 512)
	for {
		_, err := s.conn.Read(buf)
		switch {
		case err == nil, errors.Is(err, errTooLong): // an answer, of whatever length, is no refusal
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.refusal = refused(err)
			close(s.failed)
			return
		}
	}
}

func (s *udpSession) Failed() <-chan struct{} { return s.failed }

func (s *udpSession) Abort() {
	s.over.Store(true)
	s.once.Do(func() { s.conn.Close() })
	<-s.done
}

func (s *udpSession) Send(ctx context.Context, b Batch) ([]Refused, error) {
	refused, err := s.send(ctx, b)
	if err != nil {
		s.Abort()
		return nil, s.sink.opts.wrap(ctx, "deliver to", err)
	}
	return refused, nil
}

func (s *udpSession) send(ctx context.Context, b Batch) (notSent []Refused, err error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	// One batch at a time: two at once would overrun what one is paced for.
	select {
	case s.sink.turn <- struct{}{}:
		defer func() { <-s.sink.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for i, datagram := range s.sink.wrapper.messages(b, s.sink.MaxRecord(), &notSent) {
		if err := s.usable(ctx); err != nil {
			return nil, err
		}
		if err := s.sink.pacer.wait(ctx, len(datagram)); err != nil {
			return nil, err
		}
		_, err := s.conn.Write(datagram)
		switch {
		case errors.Is(err, errTooLong):
			notSent = append(notSent, Refused{i, fmt.Sprintf("its %d bytes are more than this system sends in a datagram", len(datagram))})
		case errors.Is(err, net.ErrClosed):
			return nil, errOver
		case err != nil:
			return nil, refused(err)
		}
	}
	return notSent, nil
}

func (s *udpSession) Confirm(ctx context.Context) error {
	err := s.settle(ctx)
	s.Abort()
	return s.sink.opts.wrap(ctx, "deliver to", err)
}

// settle waits for a refusal of what was sent.
func (s *udpSession) settle(ctx context.Context) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(max(s.sink.opts.Settle, leastSettle))
	defer timer.Stop()
	select {
	case <-s.done: // refused, or aborted
		return s.usable(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// usable fails when a datagram was refused, or the session, or the context, is over.
func (s *udpSession) usable(ctx context.Context) error {
	select {
	case <-s.failed:
		return s.refusal
	default:
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s.over.Load() {
		return errOver
	}
	return nil
}
