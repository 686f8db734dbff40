//go:build (freebsd || openbsd) && !dls_portable

package sinks

import (
	"net"

	"golang.org/x/sys/unix"
)

// look asks the kernel about a connection: its state (TCP_INFO, tcp(4)) and the
// error that it has met since it was last asked.
func look(conn net.Conn) (seen sight, err error) {
	err = control(conn, func(fd int) error {
		// The state is the first byte of struct tcp_info on both systems, whatever
		// else it has. A connection that is gone has none, which is no error.
		if info, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && info != "" {
			seen.state = bsdState(info[0])
		}
		return pendingError(fd)
	})
	return seen, err
}
