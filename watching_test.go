package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dls/job/report"
	"dls/state"
)

const (
	alertRules = "packaging/prometheus/dls.rules.yml"
	alertTests = "packaging/prometheus/dls.rules.test.yml"
	board      = "packaging/grafana/dls.json"
)

// written are the names of all metrics that the program writes.
func written(t *testing.T) map[string]bool {
	t.Helper()
	dir, now := t.TempDir(), time.Now()
	run := report.Metrics{Start: now, End: now, Streams: []state.StreamRun{{Endpoint: "auth", Ended: now, Outcome: state.Done}}}
	check := report.CheckMetrics{At: now, Certificates: map[string]time.Time{"siem": now}}
	if err := report.WriteMetrics(report.MetricsPath(filepath.Join(dir, "run.prom")), run); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteCheckMetrics(report.MetricsPath(filepath.Join(dir, "check.prom")), check); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range []string{"run.prom", "check.prom"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(data), -1) {
			names[m[1]] = true
		}
	}
	return names
}

// Alerts and pictures are about metrics that there are.
func TestWatchedMetrics(t *testing.T) {
	names := written(t)
	for _, file := range []string{alertRules, alertTests, board} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bdls_[a-z_]+\b`).FindAllString(string(data), -1) {
			if !names[name] {
				t.Errorf("%s: the program writes no %s", file, name)
			}
		}
	}
}

// Each panel of the board has a place of its own and asks for something, and the
// questions are ones that Prometheus understands.
func TestBoard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(board)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: board\n  rules:\n")
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %q has the id %d of another, or no title", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q, or beyond the edge", p.Title, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for i, target := range p.Targets {
			fmt.Fprintf(&rules, "  - record: board_%d_%d\n    expr: %q\n", p.ID, i, target.Expr)
		}
	}
	promtool(t, nil, func(dir string) []string {
		path := filepath.Join(dir, "board.yml")
		if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"check", "rules", path}
	})
}

// The alerts fire when they must, and only then.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, []string{alertRules, alertTests}, func(string) []string { return []string{"check", "rules", alertRules} })
	promtool(t, []string{alertRules, alertTests}, func(string) []string { return []string{"test", "rules", alertTests} })
}

// promtool runs Prometheus's own tool, where it is.
func promtool(t *testing.T, files []string, args func(dir string) []string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here")
	}
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), path, args(t.TempDir())...).CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
