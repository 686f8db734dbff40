//go:build !windows

package report

import "os"

// showsColours is true: terminals do.
func showsColours(*os.File) bool { return true }
