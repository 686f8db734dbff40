//go:build !linux || dls_portable

package sinks

import "net"

// limitUnsent would keep a write from running far ahead of the receiver.
func limitUnsent(net.Conn) {}
