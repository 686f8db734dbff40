//go:build !dls_portable

package sinks_test

const portable = false
