package sinks

import (
	"net"

	"golang.org/x/sys/unix"
)

// unacknowledged returns how many bytes of our stream, its end included, the
// peer's system has not acknowledged (ioctl SIOCOUTQ, tcp(7)), and the error
// that the connection has met since it was last asked. Kernels that imitate
// Linux may not know the queue.
func unacknowledged(conn *net.TCPConn) (n int, known bool, err error) {
	known = true
	err = control(conn, func(fd int) error {
		// The queue first: an error that comes in between is still seen.
		var err error
		n, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
		switch err {
		case nil:
		case unix.ENOTTY, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS:
			n, known = 0, false
		default:
			return err
		}
		pending, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && pending != 0 {
			err = unix.Errno(pending)
		}
		return err
	})
	return n, known, err
}

// tcpEstablished is the state of a connection that neither side has closed
// (TCP_ESTABLISHED of netinet/tcp.h).
const tcpEstablished = 1

// peerOpen reports whether the peer's stream has not ended, as far as packets
// have told the kernel. It is ahead of a goroutine that reads. Where the kernel
// does not say, it is taken to be open.
func peerOpen(conn *net.TCPConn) bool {
	open := true
	control(conn, func(fd int) error {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			open = info.State == tcpEstablished
		}
		return err
	})
	return open
}

// unsentLimit is how much a write leaves to the kernel that it has not yet sent.
const unsentLimit = 64 << 10

// limitUnsent makes writes wait until the peer's system has room for all but a
// little of what is written (TCP_NOTSENT_LOWAT, tcp(7)): when the last write of a
// page returns, the receiver has read the better part of it, and an end of its
// stream that came before is known. What is in flight is not limited. A kernel
// that cannot do it goes without.
func limitUnsent(conn *net.TCPConn) {
	control(conn, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	})
}

func control(conn *net.TCPConn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
