//go:build !unix

package report

import "io/fs"

func numbers(fs.FileInfo) []any { return []any{0, 0} }
