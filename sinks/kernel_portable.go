//go:build dls_portable || !(linux || darwin || freebsd || openbsd || windows)

package sinks

import "net"

// look would ask the system about a connection; this one does not tell. The tag
// dls_portable is for tests: what then holds holds on every system.
func look(net.Conn) (sight, error) { return sight{}, nil }
