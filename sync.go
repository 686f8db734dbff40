package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"dls/job"
	"dls/job/config"
	"dls/job/journal"
)

// streamFlags say which streams a command is about, and how it works on them.
type streamFlags struct {
	Endpoint   []string      `enum:"auth,telephony,activity,adminaction,trustmonitor" placeholder:"auth,activity" help:"Only these endpoints."`
	Account    string        `placeholder:"DA…" help:"Only this child account."`
	Parallel   int           `default:"8" help:"Streams worked on at a time."`
	RetryFor   time.Duration `default:"5m" help:"How long a stream may go without progress before it fails."`
	MaxRuntime time.Duration `placeholder:"50m" help:"Stop cleanly after this time, with the progress kept."`
	Verbose    bool          `short:"v" help:"Say on stderr what was done."`
}

type syncCommand struct {
	Config string    `arg:"" help:"The configuration file."`
	Shard  job.Shard `placeholder:"K/N" help:"Only the K-th of N shares of the child accounts, K from 0 to N-1."`
	streamFlags
}

type pullCommand struct {
	Config string `arg:"" help:"The configuration file."`
	Since  string `required:"" placeholder:"24h" help:"From when on: a duration before now (24h, 7d), a day, or a time of RFC 3339."`
	Until  string `placeholder:"1h" help:"Up to when, written like --since. Left out: the newest that Duo shows."`
	Format string `enum:"json,cef" default:"json" help:"How records are written: json or cef."`
	Server string `placeholder:"ID" help:"Send to this server of the configuration instead of the standard output."`
	streamFlags
}

// check says what is wrong with the flags.
func (f *streamFlags) check() error {
	switch {
	case f.Parallel < 1:
		return fmt.Errorf("--parallel=%d: at least one stream must be worked on", f.Parallel)
	case f.RetryFor < 0 || f.MaxRuntime < 0:
		return errors.New("--retry-for and --max-runtime cannot be negative")
	}
	return nil
}

// options are the flags as the job knows them.
func (f *streamFlags) options(log *slog.Logger) job.Options {
	return job.Options{
		Version: version, Endpoints: f.Endpoint, Account: f.Account, Parallel: f.Parallel,
		MaxRuntime: f.MaxRuntime, RetryFor: f.RetryFor, Grace: 3 * time.Second, Log: log,
	}
}

// console is the handler for stderr: what went wrong, and on a terminal or when
// asked for what was done.
func (f *streamFlags) console(stderr io.Writer) *journal.Console {
	level := slog.LevelWarn
	if f.Verbose || isTerminal(stderr) {
		level = slog.LevelInfo
	}
	return journal.NewConsole(stderr, level)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (c *syncCommand) run(ctx context.Context, stderr io.Writer) int {
	if err := c.check(); err != nil {
		return misused(stderr, err)
	}
	cfg, err := config.Load(c.Config, config.SystemEnv())
	if err != nil {
		fmt.Fprintln(stderr, prefixed(err))
		return exitUsage
	}
	console := c.console(stderr)
	log := slog.New(console)
	file, err := journal.OpenFile(cfg.LogFile)
	if err != nil {
		log.Warn(err.Error()+"; the run goes on without it", "hint", "correct dls_settings.log_filepath")
	} else {
		defer file.Close()
		log = slog.New(slog.NewMultiHandler(console, slog.NewTextHandler(file, nil)))
	}
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	opts := c.options(log)
	opts.Shard = c.Shard
	sum, err := job.Sync(ctx, cfg, opts)
	return concluded(ctx, log, sum, err)
}

func (c *pullCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	if err := c.check(); err != nil {
		return misused(stderr, err)
	}
	now := time.Now()
	opts := job.PullOptions{Options: c.options(slog.New(c.console(stderr))), Server: c.Server, Out: stdout}
	var err error
	if opts.Since, err = job.ParseTime(c.Since, now); err != nil {
		return misused(stderr, fmt.Errorf("--since: %w", err))
	}
	if c.Until != "" {
		if opts.Until, err = job.ParseTime(c.Until, now); err != nil {
			return misused(stderr, fmt.Errorf("--until: %w", err))
		}
	}
	if c.Format == "cef" {
		opts.Format = config.CEF
	}
	cfg, err := config.Load(c.Config, config.SystemEnv())
	if err != nil {
		fmt.Fprintln(stderr, prefixed(err))
		return exitUsage
	}
	sum, err := job.Pull(ctx, cfg, opts)
	return concluded(ctx, opts.Log, sum, err)
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
