package sinks

import "time"

// SetCloseTimeout changes the CloseTimeout of a sink that [New] made for TCP or TCPSSL.
func SetCloseTimeout(s Sink, d time.Duration) { s.(*tcpSink).opts.CloseTimeout = d }
