//go:build !linux

package sinks

import "net"

// unacknowledged would say what the peer's system has not acknowledged; on this
// system that is not known.
func unacknowledged(*net.TCPConn) (n int, known bool, err error) { return 0, false, nil }

// peerOpen would say whether the peer's stream has ended; on this system only
// reading tells.
func peerOpen(*net.TCPConn) bool { return true }

// limitUnsent would keep a write from running far ahead of the receiver.
func limitUnsent(*net.TCPConn) {}
