//go:build linux && !dls_portable && !dls_state

package sinks

import (
	"net"

	"golang.org/x/sys/unix"
)

// countsQueue is off only in tests, built with the tag dls_state: what then holds
// on Linux holds on systems that tell the state of a connection and no more.
const countsQueue = true

// limitUnsent makes writes wait until the peer's system has room for all but a
// little of what is written (TCP_NOTSENT_LOWAT, tcp(7)): when the last write of a
// session returns, the receiver has read the better part of it, and an end of its
// stream that came before is known. What is in flight is not limited. A kernel
// that cannot do it goes without.
func limitUnsent(conn net.Conn) {
	control(conn, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
	})
}
