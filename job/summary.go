package job

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"dls/job/duo"
	"dls/state"
)

// ErrMaxRuntime is the cause with which a run ends at its --max-runtime.
var ErrMaxRuntime = errors.New("the time given by --max-runtime is over")

// Result is what became of one stream in a run.
type Result struct {
	// Endpoint is the endpoint's name; Account and AccountName are the child
	// account's id and name, or "" for a single account.
	Endpoint, Account, AccountName string
	// Fetched counts the records received, Delivered those of them that every
	// server confirmed, Already those that earlier pages or runs had delivered.
	Fetched, Delivered, Already int
	// Changed counts those of Delivered whose ids and time were known, with other
	// bytes.
	Changed int
	// Late counts the records that the daily audit found and delivered; they are not among
	// Delivered. Audited is when its last pass ended, zero for none, and Missing how many
	// records that pass found missing and could not tell from others.
	Late    int
	Audited time.Time
	Missing int
	// Untimed counts those of Delivered that told no time which could be theirs.
	Untimed int
	// Oversize counts those of Delivered that their server does not take: they lie in a
	// file. Kept tells that some of them are for a server that confirms.
	Oversize int
	Kept     bool
	// Longest is the length in bytes of the longest of Delivered, without its newline and
	// whatever envelope it travels in.
	Longest int
	// Bytes counts what was sent, repetitions to a server not included.
	Bytes int64
	// Pages counts the answers with records or none, Retries what was tried again,
	// Limited the answers that were Duo's rate limit.
	Pages, Retries, Limited int
	// Duration is how long the stream took from its first turn on, waits included.
	Duration time.Duration
	// Until is the time up to which everything is delivered, or zero when the
	// checkpoint could not be read.
	Until time.Time
	// Err is nil when the window was read to its end and everything in it is
	// confirmed. [ErrMaxRuntime] and a signal leave the rest to the next run.
	Err error

	rest string // as the run's
}

// Name names the stream in messages.
func (r *Result) Name() string {
	if r.Account == "" {
		return r.Endpoint
	}
	return r.Endpoint + " of " + r.Account
}

// Idle tells whether there was nothing to do.
func (r *Result) Idle() bool {
	return r.Err == nil && r.Delivered == 0 && r.Late == 0 && r.Retries == 0
}

// String is the summary of the stream in one line.
func (r *Result) String() string {
	var b strings.Builder
	if r.Err != nil {
		b.WriteString("not finished: ")
	}
	fmt.Fprintf(&b, "fetched %d, delivered %d, already delivered %d, pages %d, retries %d, in %v",
		r.Fetched, r.Delivered, r.Already, r.Pages, r.Retries, r.Duration.Round(time.Millisecond))
	if r.Changed > 0 {
		fmt.Fprintf(&b, ", new versions %d", r.Changed)
	}
	if r.Late > 0 {
		fmt.Fprintf(&b, ", shown late and delivered %d", r.Late)
	}
	if r.Longest > 0 {
		fmt.Fprintf(&b, ", longest record %d bytes", r.Longest)
	}
	if r.Oversize > 0 {
		fmt.Fprintf(&b, ", kept in a file %d", r.Oversize)
	}
	if !r.Until.IsZero() {
		fmt.Fprintf(&b, ", up to %s", r.Until.Format(time.RFC3339))
	}
	return b.String()
}

// Summary is what became of a run.
type Summary struct {
	// Start and End are when the run began and ended, WindowEnd up to when it asked
	// for records.
	Start, End, WindowEnd time.Time
	// Results has one entry for each stream, by account and then in the order of
	// the table of endpoints.
	Results []*Result
	// Runs is what is known of the last run of each stream, those of other runs
	// included where checkpointing is on.
	Runs []state.StreamRun
	// Shares is what the store knows of the shares of a run with a shard, and of others
	// beside a run of all.
	Shares state.Shares
}

func (s *Summary) sort() {
	names := duo.Names()
	slices.SortFunc(s.Results, func(a, b *Result) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(slices.Index(names, a.Endpoint), slices.Index(names, b.Endpoint)))
	})
}

// Failed returns the streams that did not get to the end of their window.
func (s *Summary) Failed() []*Result {
	var failed []*Result
	for _, r := range s.Results {
		if r.Err != nil {
			failed = append(failed, r)
		}
	}
	return failed
}

// Kept tells whether records that a server which confirms does not take lie in a file.
func (s *Summary) Kept() bool {
	return slices.ContainsFunc(s.Results, func(r *Result) bool { return r.Kept })
}

// Idle tells whether no stream had anything to do.
func (s *Summary) Idle() bool {
	return !slices.ContainsFunc(s.Results, func(r *Result) bool { return !r.Idle() })
}

// Report logs what failed, streams that failed for the same reason together, each
// with a hint; or, as information, that there was nothing to do.
func (s *Summary) Report(log *slog.Logger) {
	s.ReportFailed(log, (*Result).Hint)
	if len(s.Results) > 0 && s.Idle() {
		log.Info(fmt.Sprintf("nothing to deliver: %s, read up to %s", counted(len(s.Results), "stream", "streams"), s.WindowEnd.Format(time.RFC3339)))
	}
}

// ReportFailed logs what failed as Report does, with hints of the caller's.
func (s *Summary) ReportFailed(log *slog.Logger, hint func(*Result) string) {
	type reason struct{ err, hint string }
	var reasons []reason
	names := map[reason][]string{}
	for _, r := range s.Failed() {
		why := reason{r.Err.Error(), hint(r)}
		if names[why] == nil {
			reasons = append(reasons, why)
		}
		names[why] = append(names[why], r.Name())
	}
	for _, why := range reasons {
		attrs := []any{"stream", several(names[why])}
		if why.hint != "" {
			attrs = append(attrs, "hint", why.hint)
		}
		log.Error(why.err, attrs...)
	}
}

// counted is a number with what is counted, in the singular or the plural.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// several names streams without flooding a reader who has thousands.
func several(names []string) string {
	const most = 5
	if len(names) > most+1 { // one more is as soon named as counted
		return fmt.Sprintf("%s and %d more streams", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// Through tells whether at least one stream got through, or got some records
// through.
func (s *Summary) Through() bool {
	for _, r := range s.Results {
		if r.Err == nil || r.Delivered > 0 {
			return true
		}
	}
	return len(s.Results) == 0
}
