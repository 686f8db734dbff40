//go:build dls_portable

package job_test

// portable says that package sinks is built without the kernel's checks.
const portable = true
