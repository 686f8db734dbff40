//go:build !dls_portable

package job_test

const portable = false
