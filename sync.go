package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
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
	Shard       job.Shard          `placeholder:"K/N" help:"Only the K-th of N shares of the child accounts, K from 0 to N-1."`
	Begin       bool               `help:"Begin at offset though checkpoints lie where duologsync's defaults put them."`
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

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (c *syncCommand) run(ctx context.Context, stderr io.Writer) int {
	if err := c.check(); err != nil {
		return misused(stderr, err)
	}
	if err := c.pingFromEnvironment(); err != nil {
		return misused(stderr, err)
	}
	run := report.Metrics{Start: time.Now(), ExitCode: exitUsage}
	log := slog.New(c.console(stderr))
	cfg, err := c.load()
	if err != nil {
		log.Error(err.Error())
	} else {
		console, progress, stop := c.follow(stderr)
		log = c.openLog(cfg, console)
		run.ExitCode, run.Streams = c.sync(ctx, cfg, log, progress)
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

// openLog returns a logger for the console and, where it can be opened, the log
// file, which closes with the process.
func (c *syncCommand) openLog(cfg *config.Config, console slog.Handler) *slog.Logger {
	log := slog.New(console)
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
	return slog.New(slog.NewMultiHandler(console, report.NewFile(file, report.LogFormat(c.LogFormat), level)))
}

// sync runs the job, and returns the exit code and what is known of each stream.
func (c *syncCommand) sync(ctx context.Context, cfg *config.Config, log *slog.Logger, progress *job.Progress) (code int, streams []state.StreamRun) {
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	opts := c.options(log)
	opts.Shard, opts.Begin, opts.Progress = c.Shard, c.Begin, progress
	sum, err := job.Sync(ctx, cfg, opts)
	code = concluded(ctx, log, sum, err)
	if sum != nil {
		return code, sum.Runs
	}
	return code, lastRuns(cfg)
}

// lastRuns is what is known of each stream when a run came to nothing.
func lastRuns(cfg *config.Config) []state.StreamRun {
	if !cfg.Checkpointing {
		return nil
	}
	dir, err := state.Open(cfg.Directory)
	if err != nil {
		return nil // the run has said so
	}
	defer dir.Close()
	runs, _ := dir.LoadRuns(cfg.Account.IKey) // the next run that saves its own says what is wrong
	return runs
}

// tell writes the metrics and calls the dead-man switch. While another run holds
// the lock, that one does both.
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
	if err := c.Ping.Send(ctx, run.ExitCode == exitDone, report.PingOptions{UserAgent: "dls/" + version}); err != nil {
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
