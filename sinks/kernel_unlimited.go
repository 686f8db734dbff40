//go:build !linux || dls_portable || dls_state

package sinks

import "net"

// limitUnsent keeps a write from running far ahead of the receiver: when the last
// one of a session returns, the receiver's system has all but a little, and an end
// of its stream that came before is known. The send buffer bounds what is in
// flight as well: at a round trip of 50 ms some 1.3 MB a second are left.
func limitUnsent(conn net.Conn) {
	if c, ok := conn.(interface{ SetWriteBuffer(bytes int) error }); ok {
		c.SetWriteBuffer(unsentLimit) // a system that cannot do it goes without
	}
}
