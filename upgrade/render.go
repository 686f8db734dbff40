package upgrade

import (
	"bytes"
	"fmt"
	"slices"

	"dls/job/config/pyyaml"

	"gopkg.in/yaml.v3"
)

// order is how the keys of a configuration are written, on every level: the
// order of duologsync's template. Other keys follow as they stand.
var order = []string{
	"version", "dls_settings", "servers", "account",
	"log_filepath", "log_format", "api", "checkpointing",
	"offset", "timeout",
	"enabled", "directory",
	"id", "ikey", "skey", "hostname", "port", "protocol", "cert_filepath",
	"endpoint_server_mappings", "endpoints", "server",
}

// render writes the document under a comment line.
func (d *document) render(comment string) ([]byte, error) {
	sortKeys(d.root)
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n", comment)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(d.root); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), nil
}

// sortKeys puts the keys of a mapping into their order, and those of the
// mappings and lists in it whose own keys have a place there.
func sortKeys(n *yaml.Node) {
	switch pyyaml.KindOf(n) {
	case pyyaml.Sequence:
		for _, c := range n.Content {
			sortKeys(c)
		}
	case pyyaml.Mapping:
		pairs := slices.Collect(slices.Chunk(n.Content, 2))
		slices.SortStableFunc(pairs, func(a, b []*yaml.Node) int { return rank(a[0]) - rank(b[0]) })
		n.Content = slices.Concat(pairs...)
		for _, p := range pairs {
			if rank(p[0]) < len(order) {
				sortKeys(p[1])
			}
		}
	}
}

// rank is the place of a key in the order.
func rank(key *yaml.Node) int {
	i := slices.IndexFunc(order, func(s string) bool { return isText(key, s) })
	if i < 0 {
		return len(order)
	}
	return i
}
