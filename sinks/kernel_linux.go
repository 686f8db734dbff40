//go:build !dls_portable

package sinks

import (
	"net"

	"golang.org/x/sys/unix"
)

// look asks the kernel about a connection: how much of our stream, its end
// included, the peer has not acknowledged (ioctl SIOCOUTQ), the state (TCP_INFO),
// and the error that the connection has met since it was last asked; see tcp(7).
// Kernels that imitate Linux may know less.
func look(conn net.Conn) (seen sight, err error) {
	err = control(conn, func(fd int) error {
		// The queue first: an error that comes in between is still seen.
		if countsQueue {
			n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
			switch err {
			case nil:
				seen.counts, seen.pending = true, n
			case unix.ENOTTY, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS:
			default:
				return err
			}
		}
		if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			seen.state = linuxState(info.State)
		}
		return pendingError(fd)
	})
	return seen, err
}

// linuxState translates a number of include/net/tcp_states.h.
func linuxState(n uint8) tcpState {
	switch n {
	case unix.BPF_TCP_ESTABLISHED:
		return stateOpen
	case unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK:
		return statePeerEnded
	case unix.BPF_TCP_FIN_WAIT1, unix.BPF_TCP_CLOSING:
		return stateEnding
	case unix.BPF_TCP_FIN_WAIT2:
		return stateAcknowledged
	case unix.BPF_TCP_TIME_WAIT, unix.BPF_TCP_CLOSE:
		// A socket whose connection is in TIME_WAIT says CLOSE. So does one that
		// was reset, which has met an error.
		return stateClosed
	}
	return stateUnknown
}
