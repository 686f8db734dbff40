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

var getExtendedTCPTable = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetExtendedTcpTable")

// tableState looks a connection up in the table of the system's connections.
func tableState(local, remote net.Addr) tcpState {
	from, to := addrPort(local), addrPort(remote)
	if !from.IsValid() || !to.IsValid() || getExtendedTCPTable.Find() != nil {
		return stateUnknown
	}
	const all = 5 // TCP_TABLE_OWNER_PID_ALL
	family, row := uintptr(windows.AF_INET), tcpRow
	if from.Addr().Is6() {
		family, row = windows.AF_INET6, tcp6Row
	}
	for size, tries := uint32(16<<10), 0; tries < 5; tries++ {
		buf := make([]byte, size)
		status, _, _ := getExtendedTCPTable.Call(uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0, family, all, 0)
		switch windows.Errno(status) {
		case windows.ERROR_INSUFFICIENT_BUFFER:
			size += 4 << 10 // the table may grow meanwhile
			continue
		case 0:
			return row.find(buf, from, to)
		}
		break
	}
	return stateUnknown
}

// tableRow is the layout of MIB_TCPROW_OWNER_PID and MIB_TCP6ROW_OWNER_PID: the
// offsets of their fields in bytes.
type tableRow struct{ size, state, local, localPort, remote, remotePort, addr int }

var (
	tcpRow  = tableRow{size: 24, state: 0, local: 4, localPort: 8, remote: 12, remotePort: 16, addr: 4}
	tcp6Row = tableRow{size: 56, local: 0, localPort: 20, remote: 24, remotePort: 44, state: 48, addr: 16}
)

// find returns the state of a connection in a table, which begins with the number
// of its rows.
func (r tableRow) find(table []byte, local, remote netip.AddrPort) tcpState {
	n := int(binary.LittleEndian.Uint32(table))
	for table = table[4:]; n > 0 && len(table) >= r.size; n, table = n-1, table[r.size:] {
		if r.at(table, r.local, r.localPort) == local && r.at(table, r.remote, r.remotePort) == remote {
			// MIB_TCP_STATE is TCPSTATE and one more.
			return windowsState(int32(binary.LittleEndian.Uint32(table[r.state:])) - 1)
		}
	}
	return stateUnknown
}

func (r tableRow) at(row []byte, addr, port int) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(row[addr : addr+r.addr])
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
