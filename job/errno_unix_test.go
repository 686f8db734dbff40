//go:build unix

package job_test

import "syscall"

// refused is what this system says of a port on which nobody listens.
var refused = syscall.ECONNREFUSED.Error()
