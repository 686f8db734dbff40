//go:build !windows

package sinks

import "syscall"

// The system's own numbers for the faults that are told apart.
const (
	errRefused         = syscall.ECONNREFUSED
	errReset           = syscall.ECONNRESET
	errPipe            = syscall.EPIPE
	errHostUnreachable = syscall.EHOSTUNREACH
	errNetUnreachable  = syscall.ENETUNREACH
	errTooLong         = syscall.EMSGSIZE
)
