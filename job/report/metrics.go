package report

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dls/state"
	"dls/state/safefile"
)

// MetricsPath is the path of a metrics file. Its name ends in .prom: node_exporter reads
// no other. Empty: none.
type MetricsPath string

// UnmarshalText refuses a name that node_exporter would pass over.
func (p *MetricsPath) UnmarshalText(b []byte) error {
	if filepath.Ext(string(b)) != ".prom" {
		return errors.New("the file's name must end in .prom, or node_exporter does not read it")
	}
	*p = MetricsPath(b)
	return nil
}

// Metrics is what became of a run, as a file for the textfile collector of
// Prometheus's node_exporter tells it, in the text exposition format 0.0.4. Each
// stream that is known has its lines in each file, also when a run did not get as
// far as to it, so that an alert on the age of its last success has something to
// go by. The only labels are an endpoint's name, a child account's id and an
// outcome, so that nothing that others write makes new series.
type Metrics struct {
	// Start and End are when it began and ended.
	Start, End time.Time
	// ExitCode is the program's.
	ExitCode int
	// Streams is what is known of every stream, touched by this run or not. Those
	// that are gone are left out.
	Streams []state.StreamRun
	// Audit tells that a daily audit is due.
	Audit bool
	// Shares is what the store knows of the shares that work on it.
	Shares state.Shares
}

// WriteMetrics puts a file with the run's metrics in the place of path, of mode 0644
// since node_exporter is another user. The directory must be there; what is there
// in its place must be a file of this user's, of root's, or nothing. Two runs may
// write at once: the last one counts.
func WriteMetrics(path MetricsPath, run Metrics) error { return writeMetrics(path, run.append(nil)) }

func writeMetrics(path MetricsPath, data []byte) error {
	if err := safefile.Replace(string(path), data, 0o644); err != nil {
		return fmt.Errorf("write metrics %q: %w", string(path), err)
	}
	return nil
}

// CheckMetrics is what became of a check, as a file of its own beside that of runs.
type CheckMetrics struct {
	// At is when it ended.
	At time.Time
	// Failed and Warnings count the findings of these kinds.
	Failed, Warnings int
	// Certificates tells when the certificate of each receiver that was reached expires,
	// by the receivers' ids.
	Certificates map[string]time.Time
}

// WriteCheckMetrics puts a file with the check's metrics in the place of path, as
// [WriteMetrics] does.
func WriteCheckMetrics(path MetricsPath, c CheckMetrics) error {
	return writeMetrics(path, c.append(nil))
}

func (c CheckMetrics) append(b []byte) []byte {
	single := func(name, help string, value float64) {
		b = appendHead(b, name, help)
		b = appendValue(append(b, name...), value)
	}
	single("dls_check_timestamp_seconds", "When the last check ended.", seconds(c.At))
	single("dls_check_failed", "What failed in the last check.", float64(c.Failed))
	single("dls_check_warnings", "What the last check warned of.", float64(c.Warnings))
	const expiry = "dls_server_certificate_expiry_timestamp_seconds"
	if len(c.Certificates) > 0 {
		b = appendHead(b, expiry, "When the certificate of the receiver expires.")
	}
	for _, id := range slices.Sorted(maps.Keys(c.Certificates)) {
		b = appendValue(appendLabels(append(b, expiry...), "server", id), seconds(c.Certificates[id]))
	}
	return b
}

// streamMetric is a metric of which each stream has a value.
type streamMetric struct {
	name, help string
	value      func(r *state.StreamRun) float64
}

// streamMetrics are gauges all: they tell of the last run, not of all runs.
var streamMetrics = []streamMetric{
	{"last_success_timestamp_seconds", "When the last run that read the stream to the end of its window and delivered all of it ended; 0: none did.",
		func(r *state.StreamRun) float64 { return seconds(r.Succeeded) }},
	{"delivered_until_timestamp_seconds", "The time up to which everything that Duo showed is delivered; 0: nothing is known.",
		func(r *state.StreamRun) float64 { return seconds(r.DeliveredUntil()) }},
	{"last_run_timestamp_seconds", "When the stream's last run ended.",
		func(r *state.StreamRun) float64 { return seconds(r.Ended) }},
	{"last_run_success", "1 when the stream's last run delivered everything, else 0.",
		func(r *state.StreamRun) float64 { return truth(r.Outcome == state.Done) }},
	{"last_run_duration_seconds", "How long the stream's last run took for it, waits included.",
		func(r *state.StreamRun) float64 { return r.Duration.Seconds() }},
	{"last_run_fetched_records", "Records that the stream's last run received from Duo.",
		func(r *state.StreamRun) float64 { return float64(r.Fetched) }},
	{"last_run_delivered_records", "Records that the stream's last run delivered, confirmed.",
		func(r *state.StreamRun) float64 { return float64(r.Delivered) }},
	{"last_run_already_delivered_records", "Records that the stream's last run received and that had been delivered before.",
		func(r *state.StreamRun) float64 { return float64(r.Already) }},
	{"last_run_oversize_records", "Records of the stream's last run that the receiver cannot take and that lie in a file.",
		func(r *state.StreamRun) float64 { return float64(r.Oversize) }},
	{"last_run_delivered_bytes", "Bytes that the stream's last run sent.",
		func(r *state.StreamRun) float64 { return float64(r.Bytes) }},
	{"last_run_pages", "Answers that the stream's last run had from Duo.",
		func(r *state.StreamRun) float64 { return float64(r.Pages) }},
	{"last_run_retries", "What the stream's last run tried again.",
		func(r *state.StreamRun) float64 { return float64(r.Retries) }},
	{"last_run_rate_limited", "Calls of the stream's last run that Duo refused because there were too many (429).",
		func(r *state.StreamRun) float64 { return float64(r.Limited) }},
	{"last_run_late_records", "Records that Duo had shown late and that the daily audit of the stream's last run delivered.",
		func(r *state.StreamRun) float64 { return float64(r.Late) }},
	{"dls_audit_missing", "Records that the last pass of the stream's daily audit found missing and could not tell from others, so that they are not delivered.",
		func(r *state.StreamRun) float64 { return float64(r.AuditMissing) }},
	{"dls_audit_last", "When the last pass of the stream's daily audit ended; 0: there was none.",
		func(r *state.StreamRun) float64 { return seconds(r.Audited) }},
}

// append appends the file's content.
func (m Metrics) append(b []byte) []byte {
	var live []*state.StreamRun
	outcomes := map[state.Outcome]int{}
	for i := range m.Streams {
		if r := &m.Streams[i]; !r.Gone {
			live = append(live, r)
			outcomes[r.Outcome]++
		}
	}
	single := func(name, help string, value float64) {
		b = appendHead(b, "dls_run_"+name, help)
		b = appendValue(append(b, "dls_run_"+name...), value)
	}
	single("start_timestamp_seconds", "When the last run began.", seconds(m.Start))
	single("end_timestamp_seconds", "When the last run ended.", seconds(m.End))
	single("duration_seconds", "How long the last run took.", m.End.Sub(m.Start).Seconds())
	single("exit_code", "The last run's exit code: 0 everything delivered, 1 nothing got through, 2 usage or configuration error, 3 some streams failed, 75 another run was going on, from 128 on a signal.", float64(m.ExitCode))

	b = appendHead(b, "dls_audit_daily", "1 when dls_settings.audit is daily, else 0.")
	b = appendValue(append(b, "dls_audit_daily"...), truth(m.Audit))
	b = appendHead(b, "dls_streams", "The streams by the outcome of their last run.")
	for _, o := range []state.Outcome{state.Done, state.Failed, state.Unfinished} {
		b = appendValue(appendLabels(append(b, "dls_streams"...), "outcome", string(o)), float64(outcomes[o]))
	}
	if m.Shares.Of.N > 0 {
		b = appendHead(b, "dls_shares_idle", "Shares of the run's N that have not run for three intervals: nobody reads the logs of their accounts.")
		b = appendValue(append(b, "dls_shares_idle"...), float64(len(m.Shares.Idle)))
		b = appendHead(b, "dls_shares_other", "Shares of another N, or runs of all accounts, that were at work within three intervals.")
		b = appendValue(append(b, "dls_shares_other"...), float64(len(m.Shares.Others)))
	}
	longest := 0
	for _, r := range live {
		longest = max(longest, r.Longest)
	}
	b = appendHead(b, "dls_longest_record_bytes", "The longest record that the last run of any stream delivered, to be held against what the receiver takes.")
	b = appendValue(append(b, "dls_longest_record_bytes"...), float64(longest))
	for _, m := range streamMetrics {
		if len(live) == 0 {
			break
		}
		name := "dls_stream_" + m.name
		if strings.HasPrefix(m.name, "dls_") {
			name = m.name
		}
		b = appendHead(b, name, m.help)
		for _, r := range live {
			b = appendValue(appendLabels(append(b, name...), "endpoint", r.Endpoint, "account", r.Account), m.value(r))
		}
	}
	return b
}

func appendHead(b []byte, name, help string) []byte {
	help = strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help)
	return fmt.Appendf(b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
}

var label = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// appendLabels appends pairs of a name and a value.
func appendLabels(b []byte, pairs ...string) []byte {
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, "{,"[min(i, 1)])
		b = append(append(b, pairs[i]...), `="`...)
		b = append(append(b, label.Replace(strings.ToValidUTF8(pairs[i+1], "\uFFFD"))...), '"')
	}
	return append(b, '}')
}

func appendValue(b []byte, v float64) []byte {
	b = strconv.AppendFloat(append(b, ' '), v, 'f', -1, 64)
	return append(b, '\n')
}

// truth is 1 for what is true, else 0.
func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// seconds is a time in seconds since the epoch, to the millisecond; 0 for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
