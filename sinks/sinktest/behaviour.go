package sinktest

import (
	"io"
	"sync"
	"time"
)

// Behaviour is what a receiver does with a connection. When it returns, the
// connection is closed if it is not yet, without a close_notify.
type Behaviour func(*Conn)

// drain collects what this process already holds of a TLS stream, so that the
// lines which are not collected are those that it has not been given.
func (c *Conn) drain() {
	if c.tls == nil || !c.tls.ConnectionState().HandshakeComplete {
		return
	}
	c.TCP.SetReadDeadline(time.Unix(1, 0)) // past: nothing more is taken from the system
	for c.read() == nil {
	}
	c.TCP.SetReadDeadline(time.Time{})
}

// close closes in order: with a close_notify where there is TLS.
func (c *Conn) close() {
	c.drain()
	c.stream.Close()
}

// reset closes with a TCP reset.
func (c *Conn) reset() {
	c.drain()
	c.TCP.SetLinger(0)
	c.TCP.Close()
}

// Discard reads to the end of the sender's stream without collecting, then
// closes in order.
func (c *Conn) Discard() {
	if _, err := io.Copy(io.Discard, c.stream); err == nil {
		c.stream.Close()
	}
}

// hold keeps the connection open until the receiver is closed.
func (c *Conn) hold() { <-c.receiver.quit }

// buffers are what is discarded into: a benchmark must not count one a connection.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// Discard reads to the end of the sender's stream like [ReadAll], and keeps
// nothing: for benchmarks.
func Discard(c *Conn) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		if _, err := c.stream.Read(*buf); err != nil {
			c.stream.Close()
			return
		}
	}
}

// ReadAll reads to the end of the sender's stream, then ends its own and closes.
func ReadAll(c *Conn) {
	if c.ReadLines(-1) {
		c.close()
	}
}

// CloseAtOnce closes without reading, and without a TLS handshake.
func CloseAtOnce(c *Conn) { c.TCP.Close() }

// CloseAfter reads n lines at least, then closes in order, whatever is unread.
func CloseAfter(n int) Behaviour {
	return func(c *Conn) {
		c.ReadLines(n)
		c.close()
	}
}

// CutAfter reads n lines at least, then closes without a close_notify.
func CutAfter(n int) Behaviour {
	return func(c *Conn) {
		c.ReadLines(n)
		c.drain()
	}
}

// ResetAfter reads n lines at least, then resets the connection.
func ResetAfter(n int) Behaviour {
	return func(c *Conn) {
		c.ReadLines(n)
		c.reset()
	}
}

// EndAfter reads n lines at least, then ends its own stream, but goes on to take
// everything and throw it away, like a proxy that has lost what is behind it.
func EndAfter(n int) Behaviour {
	return func(c *Conn) {
		c.ReadLines(n)
		c.drain()
		if c.tls != nil {
			c.tls.CloseWrite()
		}
		c.TCP.CloseWrite()
		io.Copy(io.Discard, c.TCP)
	}
}

// ResetAtEnd reads to the end of the sender's stream, then resets the connection.
func ResetAtEnd(c *Conn) {
	c.ReadLines(-1)
	c.reset()
}

// CloseIdle reads n lines at least, and closes in order once nothing more came
// for d, like a receiver with an idle time-out.
func CloseIdle(n int, d time.Duration) Behaviour {
	return func(c *Conn) {
		if !c.ReadLines(n) {
			return
		}
		for {
			c.TCP.SetReadDeadline(time.Now().Add(d))
			if c.read() != nil {
				c.TCP.SetReadDeadline(time.Time{})
				c.close()
				return
			}
		}
	}
}

// Says writes an answer as soon as the connection stands, then behaves.
func Says(answer string, then Behaviour) Behaviour {
	return func(c *Conn) {
		if _, err := io.WriteString(c.stream, answer); err == nil {
			then(c)
		}
	}
}

// CutAtEnd reads to the end of the sender's stream, then closes without a
// close_notify of its own.
func CutAtEnd(c *Conn) { c.ReadLines(-1) }

// BlackHole accepts, and with TLS shakes hands, but never reads a record.
func BlackHole(c *Conn) {
	if c.tls != nil && c.tls.Handshake() != nil {
		return
	}
	c.hold()
}

// Mute accepts and then does nothing at all.
func Mute(c *Conn) { c.hold() }

// NeverClose reads everything and leaves the connection open.
func NeverClose(c *Conn) {
	c.ReadLines(-1)
	c.hold()
}

// Slow reads n bytes at a time at most and pauses before each, then closes in order.
func Slow(n int, pause time.Duration) Behaviour {
	return func(c *Conn) {
		// Small, so that the sender feels it, but not so small that on loopback,
		// with its segments of 64 KiB, every one waits for a timer of TCP.
		c.TCP.SetReadBuffer(64 << 10)
		c.reader.most = n
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-c.receiver.quit:
				return
			}
			if err := c.read(); err != nil {
				if err == io.EOF {
					c.close()
				}
				return
			}
		}
	}
}

// InTurn gives the receiver's first connection the first behaviour and so on;
// the last one is for all that follow. Connections that overlap may be accepted
// in any order.
func InTurn(behaviours ...Behaviour) Behaviour {
	return func(c *Conn) {
		behaviours[min(c.Number, len(behaviours)-1)](c)
	}
}
