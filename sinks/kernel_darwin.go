//go:build !dls_portable

package sinks

import (
	"net"

	"golang.org/x/sys/unix"
)

// look asks the kernel about a connection (TCP_CONNECTION_INFO of netinet/tcp.h):
// its state and what the send buffer holds, which is what the peer has not
// acknowledged, and the error that it has met since it was last asked.
func look(conn net.Conn) (seen sight, err error) {
	err = control(conn, func(fd int) error {
		info, err := unix.GetsockoptTCPConnectionInfo(fd, unix.IPPROTO_TCP, unix.TCP_CONNECTION_INFO)
		if err == nil {
			seen.state = bsdState(info.State)
		}
		if seen.state != stateUnknown {
			seen.counts, seen.pending = true, int(info.Snd_sbbytes)
			if seen.state == stateEnding {
				seen.pending++ // our end, which no buffer holds
			}
		}
		return pendingError(fd)
	})
	return seen, err
}
