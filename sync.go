package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"dls/job"
	"dls/job/config"
	"dls/job/report"
	"dls/state"
)

// streamFlags say which streams a command is about, and how it works on them.
type streamFlags struct {
	Endpoint   []string `enum:"auth,telephony,activity,adminaction,trustmonitor" placeholder:"auth,activity" help:"Only these endpoints."`
	Account    string   `placeholder:"DA…" help:"Only this child account."`
	Parallel   int      `default:"8" help:"Streams worked on at a time."`
	RetryFor   duration `default:"5m" help:"How long a stream may go without progress before it fails."`
	MaxRuntime period   `placeholder:"50m" help:"Stop cleanly after this time, with the progress kept."`
	Verbose    bool     `short:"v" help:"Say on stderr what was done."`
}

type syncCommand struct {
	configArg
	DryRun      bool               `short:"n" help:"Fetch, and say what would be delivered: no record is sent, no checkpoint moved, no metrics written, no address called."`
	Shard       job.Shard          `placeholder:"K/N" help:"Only the K-th of N shares of the child accounts, K from 0 to N-1."`
	Begin       bool               `help:"Begin at offset though checkpoints have gone, or lie where duologsync's defaults put them."`
	LogFormat   string             `enum:"text,json" default:"text" help:"How the log file is written."`
	LogLevel    string             `enum:"debug,info,warn,error" default:"info" help:"The least level of what the log file gets."`
	MetricsFile report.MetricsPath `placeholder:"FILE" help:"Write a textfile for Prometheus's node_exporter; its name must end in .prom."`
	Ping        report.PingURL     `placeholder:"URL" help:"Tell a dead-man switch how the run goes: URL/start, then URL when all is delivered, else URL/fail. Other users see it in ps: prefer $DLS_PING_URL."`
	streamFlags
}

// check says what is wrong with the flags.
func (f *streamFlags) check() error {
	switch {
	case f.Parallel < 1:
		return fmt.Errorf("--parallel=%d: at least one stream must be worked on", f.Parallel)
	}
	return nil
}

// options are the flags as the job knows them.
func (f *streamFlags) options(log *slog.Logger) job.Options {
	return job.Options{
		Version: version, Endpoints: f.Endpoint, Account: f.Account, Parallel: f.Parallel,
		MaxRuntime: time.Duration(f.MaxRuntime), RetryFor: time.Duration(f.RetryFor), Grace: 3 * time.Second, Log: log,
	}
}

// console is the handler for stderr: what went wrong, and on a terminal or when
// asked for what was done.
func (f *streamFlags) console(stderr io.Writer) *report.Console {
	level := slog.LevelWarn
	if f.Verbose || isTerminal(stderr) {
		level = slog.LevelInfo
	}
	return report.NewConsole(stderr, level)
}

// syncMemory is what a run keeps to, where it can. 40,000 streams that are idle need
// two thirds of it.
const syncMemory = 232 << 20

// keepTo has the collector of garbage come when half of what is in use came on top, in
// place of as much, and work harder near so many bytes, until undo is called. $GOGC and
// a $GOMEMLIMIT of less go before.
func keepTo(most int64) (undo func()) {
	before, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(50)
	debug.SetMemoryLimit(min(before, most))
	if os.Getenv("GOGC") != "" {
		debug.SetGCPercent(percent)
	}
	return func() {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (c *syncCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	if err := c.check(); err != nil {
		return misused(stderr, err)
	}
	if err := c.pingFromEnvironment(); err != nil {
		return misused(stderr, err)
	}
	defer keepTo(syncMemory)()
	run := report.Metrics{Start: time.Now(), ExitCode: exitUsage}
	log := slog.New(c.console(stderr))
	cfg, err := c.load()
	if err != nil {
		log.Error(err.Error())
	} else if c.DryRun {
		return c.dryRun(ctx, cfg, stdout, stderr)
	} else {
		console, progress, stop := c.follow(stderr)
		log = c.openLog(cfg, console)
		var sum *job.Summary
		run.ExitCode, sum = c.sync(ctx, cfg, log, progress)
		run.Streams, run.Shares, run.Audit = sum.Runs, sum.Shares, cfg.Audit
		stop()
	}
	run.End = time.Now()
	c.tell(ctx, log, run)
	return run.ExitCode
}

// pingFromEnvironment takes the address from $DLS_PING_URL where no flag gives it.
// kong would show the value in its message about a wrong one.
func (c *syncCommand) pingFromEnvironment() error {
	address := os.Getenv("DLS_PING_URL")
	if !c.Ping.IsZero() || address == "" {
		return nil
	}
	if err := c.Ping.UnmarshalText([]byte(address)); err != nil {
		return fmt.Errorf("$DLS_PING_URL: %w", err)
	}
	return nil
}

// follow returns the handler for stderr. On a terminal it has a line below the
// messages that shows the progress until stop is called; elsewhere progress is
// nil.
func (f *streamFlags) follow(stderr io.Writer) (console *report.Console, progress *job.Progress, stop func()) {
	file, ok := stderr.(*os.File)
	if !ok || !isTerminal(file) || os.Getenv("TERM") == "dumb" {
		return f.console(stderr), nil, func() {}
	}
	line := report.NewLine(file, report.Width(file))
	progress = new(job.Progress)
	return report.NewConsole(line, slog.LevelInfo), progress, line.Follow(time.Second/4, progress.String)
}

// openLog returns a logger for the console and, where there is one and it can be
// opened, the log file, which closes with the process.
func (c *syncCommand) openLog(cfg *config.Config, console slog.Handler) *slog.Logger {
	log := slog.New(console)
	if cfg.LogFile == "" {
		return log
	}
	if err := report.RotateFile(cfg.LogFile, int64(cfg.LogMaxMegabytes)*1e6, 3); err != nil {
		log.Warn(err.Error() + "; the run goes on writing to it")
	}
	file, err := report.OpenFile(cfg.LogFile)
	if err != nil {
		log.Warn(err.Error()+"; the run goes on without it", "hint", "correct dls_settings.log_filepath")
		return log
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.LogLevel)) // one of the flag's words
	w := report.Watch(file, func(err error) {
		log.Warn(fmt.Sprintf("write log file %q: %v; what the run says is missing in it", cfg.LogFile, err))
	})
	return slog.New(slog.NewMultiHandler(console, report.NewFile(w, report.LogFormat(c.LogFormat), level)))
}

// sync runs the job, and returns the exit code and what is known of each stream.
func (c *syncCommand) sync(ctx context.Context, cfg *config.Config, log *slog.Logger, progress *job.Progress) (code int, sum *job.Summary) {
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	opts := c.options(log)
	opts.Shard, opts.Begin, opts.Progress = c.Shard, c.Begin, progress
	started := func() {}
	opts.Begun = func() { started = c.pingStart(ctx, log) }
	sum, err := job.Sync(ctx, cfg, opts)
	started()
	code = concluded(ctx, log, sum, err)
	if sum != nil {
		c.note(ctx, cfg, log, sum)
		return code, sum
	}
	return code, &job.Summary{Runs: c.lastRuns(ctx, cfg, code)}
}

// note adds the run to the history that dls status --html draws. It fails nothing: it
// is only shown.
func (c *syncCommand) note(ctx context.Context, cfg *config.Config, log *slog.Logger, sum *job.Summary) {
	if !cfg.Checkpointing {
		return
	}
	runs := slices.DeleteFunc(slices.Clone(sum.Runs), func(r state.StreamRun) bool { return r.Gone || r.Ended.Before(sum.Start) })
	suffix := ""
	if c.Shard.N > 0 {
		suffix = fmt.Sprintf("-%d-of-%d", c.Shard.K, c.Shard.N)
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	store, err := job.OpenStore(ctx, cfg, version, nil)
	if err == nil {
		defer store.Close()
		err = store.AppendHistory(suffix, cfg.Account.IKey, sum.End, runs)
	}
	if err != nil {
		log.Info("the run is missing in the history of dls status --html: " + err.Error())
	}
}

var pingOptions = report.PingOptions{UserAgent: "dls/" + version}

// pingStart tells the dead-man switch that the run has begun, while the run goes
// on. That a service has no address for it, or is slow, is no trouble: what matters
// is how the run ends. stop waits a second at most for the call, gives it up, and
// returns when it has ended, so that it never comes after the next one.
func (c *syncCommand) pingStart(ctx context.Context, log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := c.Ping.Send(ctx, report.PingStart, pingOptions); err != nil && ctx.Err() == nil {
			log.Debug("start: " + err.Error())
		}
	}()
	return func() {
		select {
		case <-done:
		case <-time.After(time.Second):
		}
		cancel()
		<-done
	}
}

// dryRun says on the standard output what a run would deliver.
func (c *syncCommand) dryRun(ctx context.Context, cfg *config.Config, stdout, stderr io.Writer) int {
	console, progress, stop := c.follow(stderr)
	defer stop()
	log := slog.New(console)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	opts := c.options(log)
	opts.Shard, opts.Progress, opts.DryRun = c.Shard, progress, true
	sum, err := job.Sync(ctx, cfg, opts)
	stop()
	if err != nil {
		return concluded(ctx, log, sum, err)
	}
	sum.ReportFailed(log, (*job.Result).Hint)
	records := 0
	for _, r := range sum.Results {
		records += r.Delivered
		if r.Delivered == 0 {
			continue
		}
		line := fmt.Sprintf("%s: %d records, %d bytes, up to %s, for %s\n", r.Name(), r.Delivered, r.Bytes, r.Until.Format(time.RFC3339), receivers(cfg, r.Endpoint))
		if _, err := io.WriteString(stdout, line); err != nil {
			log.Error(err.Error())
			return exitNone
		}
	}
	streams := fmt.Sprint(len(sum.Results))
	if failed := len(sum.Failed()); failed > 0 {
		streams = fmt.Sprintf("%d of %d", len(sum.Results)-failed, len(sum.Results))
	}
	total := fmt.Sprintf("would deliver %d records of %s streams; nothing was sent, and the receivers were not asked\n", records, streams)
	if _, err := io.WriteString(stdout, total); err != nil {
		log.Error(err.Error())
		return exitNone
	}
	return exitCode(ctx, sum, nil)
}

// receivers names the servers that an endpoint's records go to.
func receivers(cfg *config.Config, endpoint string) string {
	var ids []string
	for _, route := range cfg.Routes {
		if route.Endpoint.Name != endpoint {
			continue
		}
		for _, i := range route.Servers {
			ids = append(ids, cfg.Servers[i].ID)
		}
	}
	return strings.Join(ids, ", ")
}

// lastRuns is what is known of each stream when a run came to nothing, for the metrics.
func (c *syncCommand) lastRuns(ctx context.Context, cfg *config.Config, code int) []state.StreamRun {
	if !cfg.Checkpointing || c.MetricsFile == "" || code == exitLocked {
		return nil
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	store, err := job.OpenStore(ctx, cfg, version, nil)
	if err != nil {
		return nil // the run has said so
	}
	defer store.Close()
	runs, _ := store.LoadRuns(cfg.Account.IKey) // the next run that saves its own says what is wrong
	return runs
}

// afterwards returns a context for what a run leaves to be done when it has ended: if
// it was interrupted, the system is waiting.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	most := 30 * time.Second
	if ctx.Err() != nil {
		most = 2 * time.Second
	}
	return context.WithTimeoutCause(context.WithoutCancel(ctx), most, fmt.Errorf("no answer within %v", most))
}

// tell writes the metrics and calls the dead-man switch. While another run holds
// the lock, that one does both: were this one to call, too, a run that hangs would
// never be missed, or one over a long backlog raise the alarm at each interval.
func (c *syncCommand) tell(ctx context.Context, log *slog.Logger, run report.Metrics) {
	if run.ExitCode == exitLocked {
		return
	}
	if c.MetricsFile != "" {
		if err := report.WriteMetrics(c.MetricsFile, run); err != nil {
			log.Warn(err.Error())
		}
	}
	interrupted := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	if interrupted { // the system is waiting
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
	}
	event := report.PingFail
	if run.ExitCode == exitDone {
		event = report.PingSuccess
	}
	if err := c.Ping.Send(ctx, event, pingOptions); err != nil {
		log.Warn(err.Error())
	}
}

// concluded reports what became of a run and returns the exit code.
func concluded(ctx context.Context, log *slog.Logger, sum *job.Summary, err error) int {
	if err != nil {
		log.Error(err.Error(), "hint", job.Hint(err))
	} else {
		sum.Report(log)
	}
	return exitCode(ctx, sum, err)
}
