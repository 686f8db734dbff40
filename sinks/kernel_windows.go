//go:build !dls_portable

package sinks

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// look asks the system about a connection: its state (SIO_TCP_INFO; before
// Windows 10 1703 the table of all connections), and the error that it has met
// since it was last asked.
func look(conn net.Conn) (seen sight, err error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return sight{}, nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return sight{}, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		socket := windows.Handle(fd)
		if seen, failed = tcpInfo(socket); failed != nil {
			seen.state = tableState(conn.LocalAddr(), conn.RemoteAddr())
		}
		var n int
		n, failed = windows.GetsockoptInt(socket, windows.SOL_SOCKET, soError)
		if failed == nil && n != 0 {
			failed = windows.Errno(n)
		}
	})
	if err == nil {
		err = failed
	}
	return seen, err
}

const (
	soError    = 0x1007
	sioTCPInfo = windows.IOC_INOUT | windows.IOC_VENDOR | 39
)

// tcpInfoV0 is TCP_INFO_v0 of mstcpip.h.
type tcpInfoV0 struct {
	state             int32
	mss               uint32
	connectionTimeMs  uint64
	timestampsEnabled uint8
	rttUs             uint32
	minRttUs          uint32
	bytesInFlight     uint32
	cwnd              uint32
	sndWnd            uint32
	rcvWnd            uint32
	rcvBuf            uint32
	bytesOut          uint64
	bytesIn           uint64
	bytesReordered    uint32
	bytesRetrans      uint32
	fastRetrans       uint32
	dupAcksIn         uint32
	timeoutEpisodes   uint32
	synRetrans        uint8
}

func tcpInfo(socket windows.Handle) (sight, error) {
	var (
		version, returned uint32
		info              tcpInfoV0
	)
	err := windows.WSAIoctl(socket, sioTCPInfo, (*byte)(unsafe.Pointer(&version)), uint32(unsafe.Sizeof(version)),
		(*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)), &returned, nil, 0)
	if err != nil {
		return sight{}, err
	}
	return sight{state: windowsState(info.state)}, nil
}

// windowsState translates a TCPSTATE of mstcpip.h. 0, CLOSED, proves nothing.
func windowsState(n int32) tcpState {
	switch n {
	case 4: // ESTABLISHED
		return stateOpen
	case 7, 9: // CLOSE_WAIT, LAST_ACK
		return statePeerEnded
	case 5, 8: // FIN_WAIT_1, CLOSING
		return stateEnding
	case 6: // FIN_WAIT_2
		return stateAcknowledged
	case 10: // TIME_WAIT
		return stateClosed
	}
	return stateUnknown
}

// tcpTable is one of the system's two tables of connections: the call that gets it, and
// the layout of its rows (MIB_TCPROW, MIB_TCP6ROW): the offsets of their fields in bytes.
// The calls that also tell whose each connection is take far longer.
type tcpTable struct {
	get                                                        *windows.LazyProc
	size, state, local, localPort, remote, remotePort, addrLen int
}

var (
	helper = windows.NewLazySystemDLL("iphlpapi.dll")
	tcp4   = tcpTable{get: helper.NewProc("GetTcpTable"), size: 20, state: 0, local: 4, localPort: 8, remote: 12, remotePort: 16, addrLen: 4}
	tcp6   = tcpTable{get: helper.NewProc("GetTcp6Table"), size: 52, state: 0, local: 4, localPort: 24, remote: 28, remotePort: 48, addrLen: 16}
)

// tableState looks a connection up in the table of the system's connections.
func tableState(local, remote net.Addr) tcpState {
	from, to, table := addrPort(local), addrPort(remote), tcp4
	if from.Addr().Is6() {
		table = tcp6
	}
	if !from.IsValid() || !to.IsValid() || table.get.Find() != nil {
		return stateUnknown
	}
	for size, tries := uint32(16<<10), 0; tries < 5; tries++ {
		buf := make([]byte, size)
		status, _, _ := table.get.Call(uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch windows.Errno(status) {
		case windows.ERROR_INSUFFICIENT_BUFFER:
			size += 4 << 10 // the table may grow meanwhile
			continue
		case 0:
			return table.find(buf, from, to)
		}
		break
	}
	return stateUnknown
}

// find returns the state of a connection in a table, which begins with the number
// of its rows.
func (r tcpTable) find(table []byte, local, remote netip.AddrPort) tcpState {
	n := int(binary.LittleEndian.Uint32(table))
	for table = table[4:]; n > 0 && len(table) >= r.size; n, table = n-1, table[r.size:] {
		if r.at(table, r.local, r.localPort) == local && r.at(table, r.remote, r.remotePort) == remote {
			// MIB_TCP_STATE is TCPSTATE and one more.
			return windowsState(int32(binary.LittleEndian.Uint32(table[r.state:])) - 1)
		}
	}
	return stateUnknown
}

func (r tcpTable) at(row []byte, addr, port int) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(row[addr : addr+r.addrLen])
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(row[port:]))
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := tcp.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
