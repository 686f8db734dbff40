package sinktest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Break is what happens to a connection between a sender and its receiver,
// whatever their protocol.
type Break int

// The breaks.
const (
	Reset   Break = iota // both sides are reset
	Close                // both sides are closed, whatever is on its way
	Stall                // nothing more is taken from the sender
	Silence              // what the sender writes is passed on; its receiver's answers and end are not
)

// Between listens before a receiver, passes each connection on to it, and breaks
// it after some bytes: of the sender or, for [Silence], of the answers. It returns
// the port that it listens at, of the receiver's address, and ends with the test.
func Between(t testing.TB, r *Receiver, how Break, after int) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(r.Host(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	var (
		running sync.WaitGroup
		quit    = make(chan struct{})
	)
	t.Cleanup(func() {
		close(quit)
		l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			sender, err := l.Accept()
			if err != nil {
				return
			}
			receiver, err := net.Dial("tcp", r.Addr())
			if err != nil {
				sender.Close()
				continue
			}
			b := between{sender.(*net.TCPConn), receiver.(*net.TCPConn)}
			running.Go(func() {
				defer b.end(how == Reset)
				var passing sync.WaitGroup
				defer passing.Wait()
				passing.Go(func() { b.pass(how, after) })
				passing.Go(func() { b.answer(how, after) })
				<-quit
				b.end(false)
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// between is the two connections of a sender that is passed on.
type between struct{ sender, receiver *net.TCPConn }

// pass passes on what the sender writes.
func (b between) pass(how Break, after int) {
	if how == Silence {
		io.Copy(b.receiver, b.sender)
		b.receiver.CloseWrite()
		return
	}
	if n, _ := io.CopyN(b.receiver, b.sender, int64(after)); n < int64(after) {
		b.receiver.CloseWrite()
		return
	}
	if how != Stall {
		b.end(how == Reset)
	}
}

// answer passes on what the receiver answers.
func (b between) answer(how Break, after int) {
	if how != Silence {
		io.Copy(b.sender, b.receiver)
		b.sender.CloseWrite()
		return
	}
	io.CopyN(b.sender, b.receiver, int64(after))
	io.Copy(io.Discard, b.receiver)
}

func (b between) end(reset bool) {
	for _, c := range []*net.TCPConn{b.sender, b.receiver} {
		if reset {
			c.SetLinger(0)
		}
		c.Close()
	}
}
