//go:build unix

package sinks_test

import (
	"flag"
	"testing"
)

var whole = flag.Bool("whole", false, "run real proxies and receivers, too")

// needsWhole skips a test of real proxies or receivers, which takes its time, unless
// -whole is given: .ci/steps/balancers and .ci/steps/receivers do.
func needsWhole(t *testing.T) {
	t.Helper()
	if !*whole {
		t.Skip("real proxies and receivers: -whole is not given")
	}
}
