// Command verify reads boards as Grafana's own schema has them, strictly: every key
// is one that Grafana knows, and of its type.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	failed := len(os.Args) < 2
	for _, path := range os.Args[1:] {
		data, err := os.ReadFile(path)
		if err == nil {
			err = verify(data)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "verify: %s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// verify reads one board.
func verify(data []byte) error {
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict(data); err != nil && err.Error() != "" { // it returns an empty list for none
		return err
	}
	return board.Validate()
}
