package sinks

import (
	"bytes"
	"context"
	"errors"
	"net"
	"time"
)

// maxDatagram is the longest record that fits: 65,535 bytes of an IPv4 packet
// without the headers of IP and UDP. IPv6 could carry 20 more; one limit for
// both keeps a record's fate from hanging on the name look-up.
const maxDatagram = 65507

// settleTime is how long a refusal of the last datagrams is waited for. The
// ICMP message takes one round trip.
const settleTime = 100 * time.Millisecond

// udpSink delivers a record a datagram.
type udpSink struct {
	opts  Options
	turn  chan struct{} // holds a token while a Deliver is under way
	pacer pacer         // used by who holds the turn
}

var _ Sink = (*udpSink)(nil)

func newUDP(o Options) *udpSink {
	return &udpSink{opts: o, turn: make(chan struct{}, 1)}
}

func (s *udpSink) ID() string { return s.opts.ID }

func (s *udpSink) Deliver(ctx context.Context, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	oversize, err := s.deliver(ctx, lines)
	if err == nil && len(oversize) > 0 {
		err = &OversizeError{oversize}
	}
	return s.opts.wrap(ctx, "deliver to", err)
}

func (s *udpSink) deliver(ctx context.Context, lines []byte) (oversize [][]byte, err error) {
	if err := checkLines(lines); err != nil {
		return nil, err
	}
	// One page at a time: two at once would overrun what one is paced for.
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	conn, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	release := context.AfterFunc(ctx, func() { conn.Close() })
	defer release()

	for record := range bytes.Lines(lines) {
		if len(record) > maxDatagram {
			oversize = append(oversize, bytes.Clone(record))
			continue
		}
		if err := s.pacer.wait(ctx, len(record)); err != nil {
			return nil, err
		}
		_, err := conn.Write(record)
		if errors.Is(err, errTooLong) { // this system's own limit is lower
			oversize = append(oversize, bytes.Clone(record))
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return oversize, settle(conn)
}

func (s *udpSink) open(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: s.opts.DialTimeout}
	conn, err := d.DialContext(ctx, "udp", s.opts.address())
	if err != nil && isTimeout(err) {
		err = timeoutError("the hostname was not resolved", s.opts.DialTimeout)
	}
	return conn, err
}

// settle waits a moment for an ICMP refusal of what was sent. An answer by the
// receiver, of whatever length, is no refusal.
func settle(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(settleTime)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	if err == nil || isTimeout(err) || errors.Is(err, errTooLong) {
		return nil
	}
	return err
}

func (s *udpSink) Check(ctx context.Context) (Report, error) {
	conn, err := s.open(ctx)
	if err != nil {
		return Report{}, s.opts.wrap(ctx, "check", err)
	}
	defer conn.Close()
	return Report{Remote: conn.RemoteAddr().String()}, nil
}
