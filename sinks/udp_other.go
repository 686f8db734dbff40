//go:build !windows

package sinks

import "net"

// reportRefusals would have the system report refused datagrams; this one does.
func reportRefusals(net.Conn) {}

// refused returns the error of a refused datagram as the other protocols have it.
func refused(err error) error { return err }
