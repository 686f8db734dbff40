package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"dls/state"
	"dls/state/filetest"
)

var noon = time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)

func sample() Metrics {
	return Metrics{
		Start: noon.Add(-1500 * time.Millisecond), End: noon, ExitCode: 3, Audit: true,
		Streams: []state.StreamRun{
			{
				Endpoint: "auth", Account: "DA1", AccountName: "never a label", Ended: noon, Outcome: state.Done,
				Fetched: 7, Delivered: 5, Already: 2, Oversize: 1, Longest: 2048, Bytes: 1 << 40, Pages: 4, Retries: 3, Limited: 1, Duration: 250 * time.Millisecond,
				Until: noon.Add(-time.Hour), CompleteUntil: noon.Add(-2 * time.Minute), Succeeded: noon,
				Late: 2, Audited: noon.Add(-time.Minute), AuditMissing: 3,
			},
			{Endpoint: "activity", Account: "DA1", Ended: noon, Outcome: state.Failed, Error: "never a label"},
			{Endpoint: "auth", Account: "DA0", Ended: noon, Outcome: state.Done, Gone: true},
		},
	}
}

// parse reads a file as Prometheus does: a line for each value, without help.
func parse(t testing.TB, data []byte) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	values := map[string]float64{}
	for name, family := range families {
		if family.GetType().String() != "GAUGE" || family.GetHelp() == "" {
			t.Errorf("%s: type %v, help %q", name, family.GetType(), family.GetHelp())
		}
		for _, m := range family.GetMetric() {
			key := name
			for _, l := range m.GetLabel() {
				key += fmt.Sprintf(" %s=%q", l.GetName(), l.GetValue())
			}
			if _, ok := values[key]; ok {
				t.Errorf("%s is there twice", key)
			}
			values[key] = m.GetGauge().GetValue()
		}
	}
	return values
}

func TestWriteMetrics(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dls.prom")
	for range 2 {
		if err := WriteMetrics(MetricsPath(path), sample()); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := float64(noon.Unix())
	want := map[string]float64{
		"dls_run_start_timestamp_seconds": at - 1.5, "dls_run_end_timestamp_seconds": at, "dls_run_duration_seconds": 1.5, "dls_run_exit_code": 3,
		"dls_longest_record_bytes": 2048, "dls_audit_daily": 1,
		`dls_streams outcome="done"`: 1, `dls_streams outcome="failed"`: 1, `dls_streams outcome="unfinished"`: 0,
	}
	for name, values := range map[string][2]float64{ // auth, activity
		"last_success_timestamp_seconds":     {at, 0},
		"delivered_until_timestamp_seconds":  {at - 120, 0},
		"last_run_timestamp_seconds":         {at, at},
		"last_run_success":                   {1, 0},
		"last_run_duration_seconds":          {0.25, 0},
		"last_run_fetched_records":           {7, 0},
		"last_run_delivered_records":         {5, 0},
		"last_run_already_delivered_records": {2, 0},
		"last_run_oversize_records":          {1, 0},
		"last_run_delivered_bytes":           {1 << 40, 0},
		"last_run_pages":                     {4, 0},
		"last_run_retries":                   {3, 0},
		"last_run_rate_limited":              {1, 0},
		"last_run_late_records":              {2, 0},
		"dls_audit_missing":                  {3, 0},
		"dls_audit_last":                     {at - 60, 0},
	} {
		if !strings.HasPrefix(name, "dls_") {
			name = "dls_stream_" + name
		}
		want[name+` endpoint="auth" account="DA1"`] = values[0]
		want[name+` endpoint="activity" account="DA1"`] = values[1]
	}
	if diff := cmp.Diff(want, parse(t, data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("files %v, %v", entries, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, want 0644", info.Mode())
	}
}

// A run that learned of no stream has its own lines all the same.
func TestMetricsWithoutStreams(t *testing.T) {
	values := parse(t, Metrics{Start: noon, End: noon, ExitCode: 2}.append(nil))
	if len(values) != 9 || values["dls_run_exit_code"] != 2 || values["dls_audit_daily"] != 0 {
		t.Errorf("got %v", values)
	}
}

func TestWriteMetricsFails(t *testing.T) {
	dir := t.TempDir()
	if err := WriteMetrics(MetricsPath(filepath.Join(dir, "none", "dls.prom")), sample()); err == nil || strings.Contains(err.Error(), "dls-tmp") {
		t.Errorf("no directory: %v", err)
	}
	taken := filepath.Join(dir, "taken.prom")
	if err := os.MkdirAll(filepath.Join(taken, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteMetrics(MetricsPath(taken), sample()); err == nil || strings.Contains(err.Error(), "dls-tmp") {
		t.Errorf("a directory in its place: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("files %v, %v", entries, err)
	}
}

// A link in its place could have been put there by anybody, and is left alone.
func TestWriteMetricsOverLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "dls.prom")
	if err := os.WriteFile(target, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	filetest.Symlink(t, target, link)
	if err := WriteMetrics(MetricsPath(link), sample()); err == nil || !strings.Contains(err.Error(), "it is a symbolic link") {
		t.Errorf("error %v", err)
	}
	if data, err := os.ReadFile(target); string(data) != "keep" || err != nil {
		t.Errorf("the target holds %q, %v", data, err)
	}
}

func TestMetricsPath(t *testing.T) {
	for text, ok := range map[string]bool{
		"/var/lib/node_exporter/dls.prom": true, "dls.prom": true,
		"": false, "dls.txt": false, "dls.prom.txt": false, "dls.PROM": false, "/dir.prom/dls": false,
	} {
		var p MetricsPath
		if err := p.UnmarshalText([]byte(text)); (err == nil) != ok || ok && string(p) != text {
			t.Errorf("%q: %q, %v", text, p, err)
		}
	}
}

// FuzzLabels holds that a label's value is read back as it is, whatever it holds.
func FuzzLabels(f *testing.F) {
	for _, seed := range []string{"DA1", `a"b\c`, "line\nend\\", "\xff", "é\u2028"} {
		f.Add(seed, "auth")
	}
	f.Fuzz(func(t *testing.T, account, name string) {
		run := Metrics{Start: noon, End: noon, Streams: []state.StreamRun{{Endpoint: name, Account: account, Ended: noon, Outcome: state.Done}}}
		values := parse(t, run.append(nil))
		clean := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		key := fmt.Sprintf("dls_stream_last_run_success endpoint=%q account=%q", clean(name), clean(account))
		if values[key] != 1 || len(values) != 9+len(streamMetrics) {
			t.Errorf("no %s in %v", key, values)
		}
	})
}

// BenchmarkAppend is an MSP of 8,000 streams.
func BenchmarkAppend(b *testing.B) {
	var run Metrics
	for i := range 8000 {
		run.Streams = append(run.Streams, state.StreamRun{Endpoint: "auth", Account: fmt.Sprintf("DA%018d", i), Ended: noon, Succeeded: noon, Outcome: state.Done})
	}
	var data []byte
	for b.Loop() {
		data = run.append(data[:0])
	}
	b.ReportMetric(float64(len(data)), "bytes")
}

func TestWriteCheckMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "check.prom")
	c := CheckMetrics{At: noon, Failed: 1, Warnings: 2, Certificates: map[string]time.Time{"siem": noon.Add(time.Hour), `a"b`: noon}}
	if err := WriteCheckMetrics(MetricsPath(path), c); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := float64(noon.Unix())
	want := map[string]float64{
		"dls_check_timestamp_seconds": at, "dls_check_failed": 1, "dls_check_warnings": 2,
		`dls_server_certificate_expiry_timestamp_seconds server="siem"`: at + 3600,
		`dls_server_certificate_expiry_timestamp_seconds server="a\"b"`: at,
	}
	if diff := cmp.Diff(want, parse(t, data)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
