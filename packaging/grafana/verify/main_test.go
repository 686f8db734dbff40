package main

import (
	"os"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
)

func TestVerify(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	good, err := os.ReadFile("../dls.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"as it is":             {},
		"a key of its own":     {`"refresh": "1m"`, `"refreshed": "1m"`, "refreshed"},
		"a key of a panel":     {`"gridPos":`, `"gridPosition":`, "gridPosition"},
		"an option of a panel": {`"legend":`, `"legends":`, "legends"},
		"a type":               {`"schemaVersion": 37`, `"schemaVersion": "new"`, "schemaVersion"},
		"a month":              {`"fiscalYearStartMonth": 0`, `"fiscalYearStartMonth": 12`, "fiscalYearStartMonth"},
	} {
		t.Run(name, func(t *testing.T) {
			text := string(good)
			if tt.old != "" && !strings.Contains(text, tt.old) {
				t.Fatalf("the board has no %s", tt.old)
			}
			err := verify([]byte(strings.Replace(text, tt.old, tt.new, 1)))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
