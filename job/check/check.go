// Package check finds out, before a run does, whether a run can work: the files,
// the way to Duo, the clock, the keys, the permission for each endpoint, and each
// receiver.
//
// Start with [Run]; [Print] writes what it reports for people. The order of the
// checks is that of files.go, duo.go and receivers.go.
//
// What is promised: a check sends no record, moves no checkpoint, takes no lock
// and leaves no file behind. It asks Duo sparingly, because calls are what Duo
// rations. No finding holds a secret. The Go API is not stable.
package check

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"dls/job/config"
	"dls/job/duo"
	"dls/sinks"
)

// Outcome is how a check ended.
type Outcome int

// The outcomes of a check.
const (
	OK      Outcome = iota
	Warning         // a run works, but the user should know
	Failed          // a run, or a part of it, would fail
	Skipped         // not checked: the detail says why
)

// String returns the outcome in small letters.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Warning:
		return "warning"
	case Failed:
		return "failed"
	case Skipped:
		return "skipped"
	}
	return fmt.Sprintf("outcome %d", int(o))
}

// Finding is the result of one check.
type Finding struct {
	// Name says what was checked, such as "permission for auth".
	Name string
	// Outcome is how it ended.
	Outcome Outcome
	// Detail says what was found, and Hint what to do about it. Either may be empty.
	// They may quote what others sent: see [Print].
	Detail, Hint string
}

// Options are what a check is told beside the configuration.
type Options struct {
	// Offline leaves out all that needs the network.
	Offline bool
	// Version is the program's version, told to Duo.
	Version string
	// Parallel is how many calls and connections go on at a time; 0 means 8.
	Parallel int
	// Certificate, when set, is told when the certificate of each receiver that was
	// reached expires.
	Certificate func(server string, expires time.Time)
	// Transport stands in for the network to Duo in tests. Places are where
	// checkpoints may lie outside of the directory; nil: those of [legacy.Places].
	Transport http.RoundTripper
	Places    []string
}

// bound is how long one check may take, but for what a connection is to settle.
const bound = 20 * time.Second

func always(int) time.Duration { return bound }

// bounded returns a context for one check. Its cause, where the check takes longer, says
// so.
func bounded(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, bound, fmt.Errorf("no answer within %v", bound))
}

// checker carries out the checks of one configuration. It is used by the
// goroutine that called Run.
type checker struct {
	cfg    *config.Config
	opts   Options
	report func(Finding)
	failed bool

	roster  map[string]bool // the streams of which the store has had a checkpoint
	client  *duo.Client     // nil when its files are not in order
	servers []sinks.Sink    // as cfg.Servers; nil where no endpoint is mapped or the files are not in order
}

// Run carries out all checks and reports each finding as soon as it and those
// before it are there. The order is the same each time. report is called by the
// goroutine that called Run. failed tells whether a finding was Failed.
//
// The error is the cause of ctx's end: then the rest was not checked, and within
// moments Run returns.
func Run(ctx context.Context, cfg *config.Config, opts Options, report func(Finding)) (failed bool, err error) {
	if opts.Parallel <= 0 {
		opts.Parallel = 8
	}
	c := &checker{cfg: cfg, opts: opts, report: report, servers: make([]sinks.Sink, len(cfg.Servers))}
	c.files(ctx)
	if c.client != nil {
		defer c.client.Close()
	}
	if !opts.Offline {
		c.duo(ctx)
		c.receivers(ctx)
	}
	return c.failed, context.Cause(ctx)
}

func (c *checker) tell(f Finding) {
	c.failed = c.failed || f.Outcome == Failed
	c.report(f)
}

// skip tells of checks that cannot be made.
func (c *checker) skip(why string, names ...string) {
	for _, name := range names {
		c.tell(Finding{Name: name, Outcome: Skipped, Detail: why})
	}
}

// each does n things, so many at a time, each with a context that is bounded by what
// bound returns. It hands their results to use in their order, each as soon as it can, until ctx ends.
// All that it began has ended when it returns.
func each[T any](ctx context.Context, n, parallel int, bound func(i int) time.Duration, do func(ctx context.Context, i int) T, use func(i int, result T)) {
	results := make([]chan T, n)
	for i := range results {
		results[i] = make(chan T, 1)
	}
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		var g errgroup.Group
		g.SetLimit(parallel)
		for i := range n {
			g.Go(func() error {
				ctx, cancel := bounded(ctx, bound(i))
				defer cancel()
				results[i] <- do(ctx, i)
				return nil
			})
		}
		g.Wait() // no function returns an error
	}()
	for i := range results {
		if result := <-results[i]; ctx.Err() == nil {
			use(i, result)
		}
	}
}
