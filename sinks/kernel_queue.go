//go:build linux && !dls_state

package sinks

// countsQueue is off only in tests, built with the tag dls_state: what then holds
// on Linux holds on systems that tell the state of a connection and no more.
const countsQueue = true
