//go:build !unix

package report

// noFollow is not there; the file is compared before and after opening.
const noFollow = 0
