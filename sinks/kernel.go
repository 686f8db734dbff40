package sinks

// tcpState is the state of a connection (RFC 9293, section 3.3.2), as far as it
// tells what the peer has acknowledged.
type tcpState uint8

const (
	stateUnknown      tcpState = iota
	stateOpen                  // ESTABLISHED: neither side has ended its stream
	statePeerEnded             // CLOSE_WAIT, LAST_ACK: the peer has ended its stream before ours
	stateEnding                // FIN_WAIT_1, CLOSING: our end is not acknowledged
	stateAcknowledged          // FIN_WAIT_2: everything is acknowledged, our end included
	stateClosed                // TIME_WAIT: that, and the peer has ended its stream
)

// sight is what the system knows of a connection. The zero value is nothing.
type sight struct {
	state   tcpState
	counts  bool // whether pending is known
	pending int  // bytes of ours, our end included, that the peer's system has not acknowledged
}

// acknowledged reports whether it is known that nothing of ours is on its way,
// once we have ended our stream.
func (s sight) acknowledged() bool {
	if s.counts {
		return s.pending == 0
	}
	return s.state == stateAcknowledged || s.state == stateClosed
}

// known reports whether the system tells what is acknowledged.
func (s sight) known() bool { return s.counts || s.state != stateUnknown }

// unsentLimit is how much a write leaves to the system that it has not yet sent.
const unsentLimit = 64 << 10
