package sinktest

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Network is TCP in memory. What waits in it is durably blocked in the sense of
// [testing/synctest], so that a bubble's clock goes on; sockets of the system make
// it stand still. Nothing is lost on the way and nothing takes time. The zero value
// is ready.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener // by address
}

// The system's own numbers of what the network imitates.
var errRefused, errReset = syscall.ECONNREFUSED, syscall.ECONNRESET

func init() {
	if runtime.GOOS == "windows" { // whose package syscall has others of that name
		errRefused, errReset = 10061, 10054
	}
}

// Dial connects to a receiver of the network. Its form is that of a dialer's
// DialContext.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", errRefused)}
	}
	ours, theirs := link(l.addr)
	select {
	case l.accepted <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", errRefused)}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// listen begins to listen at a port, or at a new one if it is 0.
func (n *Network) listen(host string, port int) *listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = make(map[string]*listener)
	}
	if port == 0 {
		port = 1024 + len(n.listeners)
	}
	l := &listener{
		network: n, addr: &net.TCPAddr{IP: net.ParseIP(host), Port: port},
		accepted: make(chan *end), closed: make(chan struct{}),
	}
	n.listeners[l.addr.String()] = l
	return l
}

type listener struct {
	network  *Network
	addr     *net.TCPAddr
	accepted chan *end
	closed   chan struct{}
	once     sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.addr.String())
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

// room is how much one direction of a connection holds.
const room = 256 << 10

// wire is what the two ends of a connection share.
type wire struct {
	mu      sync.Mutex
	changed sync.Cond
	reset   bool
}

// end is one end of a connection.
type end struct {
	*wire
	peer   *end
	addr   [2]net.Addr // local, remote
	buf    []byte      // received, not yet read
	limit  int         // of buf
	over   bool        // nothing more is sent
	closed bool
	linger bool // Close resets
	until  [2]deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

const (
	reading = iota
	writing
)

func (d *deadline) past() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func link(addr net.Addr) (client, server *end) {
	w := new(wire)
	w.changed.L = &w.mu
	other := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	client = &end{wire: w, limit: room, addr: [2]net.Addr{other, addr}}
	server = &end{wire: w, limit: room, addr: [2]net.Addr{addr, other}, peer: client}
	client.peer = server
	return client, server
}

func (e *end) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: e.addr[0], Addr: e.addr[1], Err: err}
}

func (e *end) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		switch {
		case e.closed:
			return 0, e.fail("read", net.ErrClosed)
		case e.until[reading].past():
			return 0, e.fail("read", os.ErrDeadlineExceeded)
		case e.reset:
			return 0, e.fail("read", os.NewSyscallError("read", errReset))
		case len(e.buf) > 0:
			n := copy(p, e.buf)
			e.buf = e.buf[n:]
			e.changed.Broadcast()
			return n, nil
		case e.peer.over:
			return 0, io.EOF
		}
		e.changed.Wait()
	}
}

func (e *end) Write(p []byte) (n int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		switch {
		case e.closed:
			return n, e.fail("write", net.ErrClosed)
		case e.until[writing].past():
			return n, e.fail("write", os.ErrDeadlineExceeded)
		case e.reset:
			return n, e.fail("write", os.NewSyscallError("write", errReset))
		case e.over:
			return n, e.fail("write", os.NewSyscallError("write", syscall.EPIPE))
		case e.peer.closed:
			e.reset = true
			e.changed.Broadcast()
			continue
		case len(p) == 0:
			return n, nil
		}
		if free := e.peer.limit - len(e.peer.buf); free > 0 {
			some := min(free, len(p))
			e.peer.buf = append(e.peer.buf, p[:some]...)
			p, n = p[some:], n+some
			e.changed.Broadcast()
			continue
		}
		e.changed.Wait()
	}
}

func (e *end) CloseWrite() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.reset {
		return e.fail("close", net.ErrClosed)
	}
	e.over = true
	e.changed.Broadcast()
	return nil
}

// Close resets, as systems do, when something is unread.
func (e *end) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.reset = e.reset || e.linger || len(e.buf) > 0
	e.closed, e.over = true, true
	for i := range e.until {
		if t := e.until[i].timer; t != nil {
			t.Stop()
		}
	}
	e.changed.Broadcast()
	return nil
}

func (e *end) SetLinger(seconds int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.linger = seconds == 0
	return nil
}

func (e *end) SetReadBuffer(n int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.limit = n
	return nil
}

func (e *end) SetReadDeadline(t time.Time) error  { return e.setDeadline(t, reading) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.setDeadline(t, writing) }

func (e *end) SetDeadline(t time.Time) error { return e.setDeadline(t, reading, writing) }

func (e *end) setDeadline(t time.Time, of ...int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range of {
		d := &e.until[i]
		d.at = t
		if d.timer != nil {
			d.timer.Stop()
		}
		if !t.IsZero() && !e.closed {
			d.timer = time.AfterFunc(time.Until(t), e.changed.Broadcast)
		}
	}
	e.changed.Broadcast()
	return nil
}

func (e *end) LocalAddr() net.Addr  { return e.addr[0] }
func (e *end) RemoteAddr() net.Addr { return e.addr[1] }
