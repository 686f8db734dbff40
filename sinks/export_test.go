package sinks

import (
	"net"
	"time"
)

// SetCloseTimeout changes the CloseTimeout of a sink that [New] made for TCP or TCPSSL.
func SetCloseTimeout(s Sink, d time.Duration) { s.(*tcpSink).opts.CloseTimeout = d }

// Tells reports whether the system tells what of a connection is acknowledged,
// and whether all is, if our stream has ended.
func Tells(conn net.Conn) (known, acknowledged bool, err error) {
	seen, err := look(conn)
	return seen.known(), seen.acknowledged(), err
}
