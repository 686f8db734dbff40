package sinks

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// Link is what a session of TCP needs of a connection. A [*net.TCPConn] is one.
type Link interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error // of 0: Close discards what is not sent and resets
}

// conn is the connection of one session. One goroutine writes; another, which
// newConn starts and close waits for, reads until the peer's end of stream.
// What a peer sends is thrown away: only that it ends, and how, is of use, and
// whether it is an answer in a protocol that is not ours.
type conn struct {
	tcp Link
	tls *tls.Conn // over tcp, or nil

	mu     sync.Mutex
	ending bool // we have begun to end our stream, or given the connection up

	failed chan struct{} // closed when the peer ends the connection before we began to
	ended  chan struct{} // closed when the peer's stream has ended
	endErr error         // how, once ended is closed; nil: in order
	done   chan struct{} // closed when the TCP stream below it has ended as well
	err    error         // how, once done is closed; nil: in order
	early  bool          // whether some of ours was on its way then
}

// newConn takes over a connection.
func newConn(tcp Link, client *tls.Conn) *conn {
	limitUnsent(tcp)
	c := &conn{
		tcp: tcp, tls: client,
		failed: make(chan struct{}), ended: make(chan struct{}), done: make(chan struct{}),
	}
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
	c.endErr = ignore(c.stream())
	c.mu.Lock()
	close(c.ended)
	if !c.ending {
		close(c.failed)
	}
	c.mu.Unlock()
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
	seen, err := look(c.tcp)
	if c.err == nil {
		c.err = err // it is told once only
	}
	if seen.counts {
		c.early = seen.pending > slack
	} else {
		c.early = c.tls == nil && seen.state == stateEnding
	}
}

// ignore reads to the end of a stream and throws away what it reads, unless it
// begins like an answer in a protocol that is not ours.
func ignore(stream net.Conn) error {
	var head []byte
	buf := make([]byte, 512)
	for {
		n, err := stream.Read(buf)
		if len(head) < foreignLen {
			head = append(head, buf[:n]...)
			if err := foreign(head); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// begin notes that we are about to end our stream. It fails when the peer has
// ended its own before.
func (c *conn) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hasEnded() {
		return errClosedEarly
	}
	c.ending = true
	return nil
}

// hasEnded reports whether the peer's stream was seen to end.
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

// closeWrite ends our stream and leaves the peer's open: close_notify where
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

// abort closes the connection with a reset, and does not wait for the reader. A
// session that failed must not end like one that is complete: after a plain close
// the system would go on sending what it holds, then end the stream in order, and
// the receiver would take a record that was cut for a whole one. The records are
// sent again in any case, so nothing is lost by what the reset discards. For the
// same reason TLS gets no close_notify.
func (c *conn) abort() {
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.tcp.SetLinger(0) // its only fault is a connection closed already
	c.tcp.Close()
}

// close ends the connection, in order or by a reset, and waits for the reader.
func (c *conn) close(inOrder bool) {
	if inOrder {
		c.tcp.Close() // everything is confirmed: nothing hangs on its error
	} else {
		c.abort()
	}
	<-c.done
}

// until calls abort when ctx ends, until the function that it returns is called.
func (c *conn) until(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, c.abort)
}
