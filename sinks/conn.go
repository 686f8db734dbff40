package sinks

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// conn is the connection of one page. One goroutine writes; another, which
// newConn starts and close waits for, reads until the receiver's end of stream.
// What a receiver sends is thrown away: only that it ends, and how, is of use.
type conn struct {
	tcp *net.TCPConn
	tls *tls.Conn // over tcp, or nil

	ended  chan struct{} // closed when the receiver's stream has ended
	endErr error         // how, once ended is closed; nil: in order
	done   chan struct{} // closed when the TCP stream below it has ended as well
	err    error         // how, once done is closed; nil: in order
	early  bool          // whether some of ours was on its way then

	release func() bool // lets go of the context
}

// newConn takes over a connection. The end of ctx closes it, so that every call
// that is under way returns.
func newConn(ctx context.Context, tcp *net.TCPConn, client *tls.Conn) *conn {
	limitUnsent(tcp)
	c := &conn{tcp: tcp, tls: client, ended: make(chan struct{}), done: make(chan struct{})}
	c.release = context.AfterFunc(ctx, c.abort)
	go c.read()
	return c
}

// stream is what records are written to.
func (c *conn) stream() net.Conn {
	if c.tls != nil {
		return c.tls
	}
	return c.tcp
}

func (c *conn) read() {
	defer close(c.done)
	_, c.endErr = io.Copy(io.Discard, c.stream())
	close(c.ended)
	c.err = c.endErr
	if c.tls != nil && c.err == nil {
		// After a close_notify the TCP stream still has to end, and not by a
		// reset: a receiver that ends TLS with data unread resets.
		_, c.err = io.Copy(io.Discard, c.tcp)
	}
	// A receiver that closes because our stream has ended acknowledges that end
	// before or with its own. Over TLS it may close at our close_notify, which is
	// one before.
	slack := 0
	if c.tls != nil {
		slack = 1
	}
	left, _, err := unacknowledged(c.tcp)
	if c.err == nil {
		c.err = err // it is told once only
	}
	c.early = left > slack
}

// hasEnded reports whether the receiver's stream was seen to end.
func (c *conn) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// write writes a chunk. It fails when the receiver does not take it in time.
func (c *conn) write(chunk []byte, timeout time.Duration) error {
	if err := c.tcp.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := c.stream().Write(chunk)
	return err
}

// closeWrite ends our stream and leaves the receiver's open: close_notify where
// there is TLS, then the TCP half-close.
func (c *conn) closeWrite(timeout time.Duration) error {
	if c.tls != nil {
		if err := c.tcp.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if err := c.tls.CloseWrite(); err != nil {
			return err
		}
	}
	return c.tcp.CloseWrite()
}

// abort closes the connection with a reset. A delivery that failed must not end
// like one that is complete: after a plain close the system would go on sending
// what it holds, then end the stream in order, and the receiver would take a
// record that was cut for a whole one. The page is sent again in any case, so
// nothing is lost by what the reset discards. For the same reason TLS gets no
// close_notify.
func (c *conn) abort() {
	c.tcp.SetLinger(0) // its only fault is a connection closed already
	c.tcp.Close()
}

// close ends the connection, in order or by a reset, and waits for the reader.
func (c *conn) close(inOrder bool) {
	c.release()
	if inOrder {
		c.tcp.Close() // everything is confirmed: nothing hangs on its error
	} else {
		c.abort()
	}
	<-c.done
}
