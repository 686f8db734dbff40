package job_test

import "golang.org/x/sys/windows"

// refused is what this system says of a port on which nobody listens.
var refused = windows.WSAECONNREFUSED.Error()
