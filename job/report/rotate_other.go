//go:build !unix || aix || solaris

package report

import "os"

// renamesOpen tells whether a file can be renamed while it is open.
const renamesOpen = false

// claim is always granted: a file that another run has open cannot be renamed.
func claim(*os.File) bool { return true }
