//go:build linux && dls_state

package sinks

const countsQueue = false
