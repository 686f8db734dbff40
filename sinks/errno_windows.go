package sinks

import "golang.org/x/sys/windows"

// The system's own numbers for the faults that are told apart.
const (
	errRefused         = windows.WSAECONNREFUSED
	errReset           = windows.WSAECONNRESET
	errPipe            = windows.WSAECONNABORTED
	errHostUnreachable = windows.WSAEHOSTUNREACH
	errNetUnreachable  = windows.WSAENETUNREACH
	errTooLong         = windows.WSAEMSGSIZE
)
