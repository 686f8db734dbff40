package sinks

import (
	"errors"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// reportRefusals has the system report refused datagrams (SIO_UDP_CONNRESET),
// which package net turns off.
func reportRefusals(conn net.Conn) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		on, returned := uint32(1), uint32(0)
		windows.WSAIoctl(windows.Handle(fd), windows.SIO_UDP_CONNRESET,
			(*byte)(unsafe.Pointer(&on)), uint32(unsafe.Sizeof(on)), nil, 0, &returned, nil, 0)
	})
}

// refused returns the error of a refused datagram as the other protocols have it.
// A call that waited learns of it by another number than one that did not.
func refused(err error) error {
	if errors.Is(err, windows.WSAECONNRESET) || errors.Is(err, windows.ERROR_PORT_UNREACHABLE) {
		return errRefused
	}
	return err
}
