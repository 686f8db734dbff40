package demo

import (
	"bufio"
	"context"
	"net"
	"sync"
)

// receiver is a SIEM that reads lines over TCP and closes when the sender does. It
// can be made to die in mid-run, and to come back at the same address.
type receiver struct {
	addr *net.TCPAddr
	keep bool // the lines are kept until received is called

	mu     sync.Mutex
	l      net.Listener
	conns  map[net.Conn]bool
	lines  []string // those of connections that ended in order
	whole  int      // how many these were, in all
	caught int      // how many were read, in order or not
	dies   int      // at so many caught; 0: never
}

func listen(ctx context.Context, keep bool) (*receiver, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{addr: l.Addr().(*net.TCPAddr), keep: keep, l: l, conns: map[net.Conn]bool{}}
	go r.accept(l)
	return r, nil
}

func (r *receiver) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.conns[conn] = true
		r.mu.Unlock()
		go r.read(conn)
	}
}

// read takes the lines of one connection. They count once the sender has closed,
// and before this end closes in turn.
func (r *receiver) read(conn net.Conn) {
	var lines []string
	n := 0
	sc := bufio.NewScanner(conn)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		n++
		if r.keep {
			lines = append(lines, sc.Text())
		}
		r.mu.Lock()
		r.caught++
		dead := r.dies > 0 && r.caught >= r.dies
		if dead {
			r.die()
		}
		r.mu.Unlock()
		if dead {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if sc.Err() == nil && r.conns[conn] {
		r.lines = append(r.lines, lines...)
		r.whole += n
	}
	delete(r.conns, conn)
	conn.Close()
}

// die resets all connections and refuses new ones, as a program that crashes does.
// The caller holds the lock.
func (r *receiver) die() {
	r.l.Close()
	for conn := range r.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		conn.Close()
	}
	clear(r.conns)
}

// dieAt makes the receiver die when it has read n more lines.
func (r *receiver) dieAt(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dies = r.caught + n
}

// revive brings a dead receiver back.
func (r *receiver) revive(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", r.addr.String())
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.l, r.dies = l, 0
	go r.accept(l)
	return nil
}

// received returns the lines since the last call, in no order.
func (r *receiver) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	return lines
}

// count tells how many lines came in order.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole
}

func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.die()
}
