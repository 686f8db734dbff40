package sinks

import (
	"context"
	"net"
	"time"
)

// SetCloseTimeout changes the CloseTimeout of a sink that [New] made for TCP or TCPSSL.
func SetCloseTimeout(s Sink, d time.Duration) { s.(*tcpSink).opts.CloseTimeout = d }

// Tells reports whether the system tells what of a connection is acknowledged,
// and whether all is, if our stream has ended.
func Tells(conn net.Conn) (known, acknowledged bool, err error) {
	seen, err := look(conn)
	return seen.known(), seen.acknowledged(), err
}

// Deliver sends one batch in a session of its own and confirms it. Of no lines
// nothing is opened. When err is nil, all records but the refused ones count.
func Deliver(ctx context.Context, sink Sink, b Batch) (refused []Refused, err error) {
	if len(b.Lines) == 0 {
		return nil, nil
	}
	session, err := sink.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Abort()
	if refused, err = session.Send(ctx, b); err != nil {
		return nil, err
	}
	if err := session.Confirm(ctx); err != nil {
		return nil, err
	}
	return refused, nil
}
