//go:build dls_portable

package sinks_test

// portable says that the kernel's checks are left out.
const portable = true
