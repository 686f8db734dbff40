// Package sinktest has receivers for tests of what delivers records: over TCP,
// TLS and UDP, well behaved or not, and the certificates for them.
//
// Start at [Listen]; a [Behaviour] says what a receiver does with a connection.
// A receiver keeps every line that it reads before it does anything else, so
// that a test can compare what was delivered with what was confirmed. All of it
// runs on the loopback interface and ends with the test.
package sinktest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// longest is how long a test waits for what must come. It is never reached
// unless something is broken.
const longest = 30 * time.Second

// Options describe a receiver. The zero value listens on TCP at 127.0.0.1 and
// behaves well.
type Options struct {
	Host   string      // address to listen on; 127.0.0.1 when empty
	Port   int         // port to listen on; any free one when 0
	TLS    *tls.Config // nil: in the clear
	Behave Behaviour   // nil: [ReadAll]; it may be called by several goroutines at once

	// Network is where a stream's receiver listens. nil: the loopback interface.
	Network *Network
}

// Transport is a connection of TCP, in the system or in a [Network].
type Transport interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
	SetReadBuffer(bytes int) error
}

// Receiver collects lines. Its methods are safe for concurrent use.
type Receiver struct {
	addr net.Addr

	mu          sync.Mutex
	changed     sync.Cond // of mu: there are new lines
	lines       [][]byte
	connections int
	open        map[io.Closer]bool // what may block, until the receiver is closed; then nil

	quit    chan struct{} // closed when the receiver is to end
	running sync.WaitGroup
}

// HasIPv6 reports whether this machine has the loopback address ::1.
func HasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Listen starts a receiver of TCP, or of TLS if o says so. It waits for a port of o's
// that is taken: another process may try for a moment whether it is free.
func Listen(t testing.TB, o Options) *Receiver {
	t.Helper()
	l, err := o.listen()
	tick, deadline := time.NewTicker(10*time.Millisecond), time.Now().Add(longest)
	defer tick.Stop()
	for err != nil && o.Port != 0 && time.Now().Before(deadline) {
		<-tick.C
		l, err = o.listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	if o.Behave == nil {
		o.Behave = ReadAll
	}
	r := newReceiver(l)
	r.addr = l.Addr()
	r.running.Go(func() {
		for {
			accepted, err := l.Accept()
			if err != nil {
				return
			}
			if c := r.accept(accepted.(Transport), o); c != nil {
				r.running.Go(func() {
					defer r.release(c)
					o.Behave(c)
				})
			}
		}
	})
	t.Cleanup(r.Close)
	return r
}

// ListenUDP starts a receiver of datagrams. It takes each for a line.
func ListenUDP(t testing.TB, o Options) *Receiver {
	t.Helper()
	conn, err := net.ListenPacket("udp", o.address())
	if err != nil {
		t.Fatal(err)
	}
	r := newReceiver(conn)
	r.addr = conn.LocalAddr()
	r.running.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			r.add([][]byte{bytes.Clone(buf[:n])})
		}
	})
	t.Cleanup(r.Close)
	return r
}

// listensUDP tells whether the system listens to UDP at all: wine 8 does not.
var listensUDP = sync.OnceValue(func() bool {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err == nil {
		c.Close()
	}
	return err == nil
})

// FreePort returns a port of 127.0.0.1 at which nothing listens, TCP or UDP, and which
// no other caller of this process was given. Systems give no such port to an outgoing
// connection, which would take it before its user does. It is safe for concurrent use.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 20_000 + rand.IntN(12_000) // Linux takes those from 32,768 on, others higher ones
		if _, given := givenPorts.LoadOrStore(port, true); given {
			continue
		}
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		if !listensUDP() {
			return port
		}
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		c.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}

// givenPorts are the ports that FreePort has returned.
var givenPorts sync.Map

func (o *Options) address() string {
	host := o.Host
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(o.Port))
}

func (o *Options) listen() (net.Listener, error) {
	if o.Network == nil {
		return net.Listen("tcp", o.address())
	}
	host, _, _ := net.SplitHostPort(o.address())
	return o.Network.listen(host, o.Port), nil
}

func newReceiver(socket io.Closer) *Receiver {
	r := &Receiver{open: map[io.Closer]bool{socket: true}, quit: make(chan struct{})}
	r.changed.L = &r.mu
	return r
}

// Addr returns the address and port that the receiver listens on, as a dialer wants them.
func (r *Receiver) Addr() string { return r.addr.String() }

// Host returns the address that the receiver listens on, without brackets.
func (r *Receiver) Host() string {
	host, _, _ := net.SplitHostPort(r.addr.String())
	return host
}

// Port returns the port that the receiver listens on.
func (r *Receiver) Port() int {
	_, port, _ := net.SplitHostPort(r.addr.String())
	n, _ := strconv.Atoi(port)
	return n
}

// Connections returns how many connections were accepted; of TLS, also those
// whose handshake failed.
func (r *Receiver) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections
}

// Lines returns the lines received so far, each with its '\n'. Those of one
// connection are in order. What a connection sent after its last '\n' is no line.
func (r *Receiver) Lines() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// Take is Lines, and forgets them.
func (r *Receiver) Take() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// Wait returns the lines as soon as there are n, and fails the test if that
// takes too long.
func (r *Receiver) Wait(t testing.TB, n int) [][]byte {
	t.Helper()
	late := false
	timer := time.AfterFunc(longest, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		late = true
		r.changed.Broadcast()
	})
	defer timer.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.lines) < n && !late {
		r.changed.Wait()
	}
	if len(r.lines) < n {
		t.Fatalf("received %d lines, want %d", len(r.lines), n)
	}
	return slices.Clone(r.lines)
}

// Close ends the receiver and its connections, and waits for their goroutines.
// It may be called more than once; the end of the test calls it.
func (r *Receiver) Close() {
	r.mu.Lock()
	if r.open != nil {
		close(r.quit)
		for c := range r.open {
			c.Close()
		}
		r.open = nil
	}
	r.mu.Unlock()
	r.running.Wait()
}

func (r *Receiver) add(lines [][]byte) {
	if len(lines) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, lines...)
	r.changed.Broadcast()
}

// accept takes a connection into the receiver's care; it returns nil when the
// receiver is closed.
func (r *Receiver) accept(tcp Transport, o Options) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		tcp.Close()
		return nil
	}
	r.open[tcp] = true
	c := &Conn{Number: r.connections, TCP: tcp, stream: tcp, receiver: r}
	r.connections++
	if o.TLS != nil {
		c.tls = tls.Server(tcp, o.TLS)
		c.stream = c.tls
	}
	c.reader = &lineReader{stream: c.stream}
	return c
}

func (r *Receiver) release(c *Conn) {
	c.TCP.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c.TCP)
}

// Conn is a connection that a [Behaviour] handles.
type Conn struct {
	Number int       // 0 for the receiver's first
	TCP    Transport // below TLS, if there is TLS

	receiver *Receiver
	stream   net.Conn
	tls      *tls.Conn // or nil
	reader   *lineReader
	lines    int
}

// ReadLines reads and collects until at least n lines of this connection have
// come, after the TLS handshake, and reports whether they have; of n < 0, until
// the end of the stream, and it reports whether that came in order.
func (c *Conn) ReadLines(n int) bool {
	if c.tls != nil && c.tls.Handshake() != nil {
		return false
	}
	for n < 0 || c.lines < n {
		if err := c.read(); err != nil {
			return n < 0 && err == io.EOF
		}
	}
	return true
}

// Stream is what records come from: the TLS stream where there is TLS.
func (c *Conn) Stream() net.Conn { return c.stream }

// read reads once and collects what came.
func (c *Conn) read() error {
	lines, err := c.reader.read()
	c.lines += len(lines)
	c.receiver.add(lines)
	return err
}

// lineReader takes a line for a record.
type lineReader struct {
	stream  io.Reader
	most    int    // how much is read at once; 64 KiB when 0
	buf     []byte // of that length
	partial []byte // the start of a line
}

// read reads once and returns the lines that are now complete.
func (r *lineReader) read() ([][]byte, error) {
	if r.buf == nil {
		r.buf = make([]byte, cmp.Or(r.most, 64<<10))
	}
	n, err := r.stream.Read(r.buf)
	r.partial = append(r.partial, r.buf[:n]...)
	end := bytes.LastIndexByte(r.partial, '\n') + 1
	lines := slices.Collect(bytes.Lines(bytes.Clone(r.partial[:end])))
	r.partial = append(r.partial[:0], r.partial[end:]...)
	return lines, err
}

// Fill connects to a port of 127.0.0.1 at which nobody accepts until the system
// drops what would connect. The connections are closed at the end of the test.
func Fill(t testing.TB, port int) {
	t.Helper()
	for {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 200*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
}
