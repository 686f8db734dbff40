//go:build !unix

package journal

import "io/fs"

func numbers(fs.FileInfo) []any { return []any{0, 0} }
