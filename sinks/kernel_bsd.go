//go:build darwin || freebsd || openbsd

package sinks

// bsdState translates a number of netinet/tcp_fsm.h. 0 is CLOSED there, and also
// what a system says that knows nothing: it proves nothing.
func bsdState(n uint8) tcpState {
	switch n {
	case 4: // ESTABLISHED
		return stateOpen
	case 5, 8: // CLOSE_WAIT, LAST_ACK
		return statePeerEnded
	case 6, 7: // FIN_WAIT_1, CLOSING
		return stateEnding
	case 9: // FIN_WAIT_2
		return stateAcknowledged
	case 10: // TIME_WAIT
		return stateClosed
	}
	return stateUnknown
}
