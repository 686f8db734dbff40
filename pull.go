package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"syscall"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/flat"
	"dls/state/safefile"
)

type pullCommand struct {
	configArg
	Since     string `required:"" placeholder:"24h" help:"From when on: a duration before now (24h, 7d), a day, a time (UTC unless it names a zone), or seconds or milliseconds since the epoch."`
	Until     string `placeholder:"1h" help:"Up to when, written like --since. Left out: the newest that Duo shows."`
	Format    string `enum:"json,cef,csv,auto" default:"auto" help:"How records are written; auto is as configured for a server, json for anything else."`
	Output    string `short:"o" placeholder:"FILE" help:"Write to this file instead of the standard output; it is replaced once all is there."`
	Server    string `placeholder:"ID" help:"Send to this server of the configuration instead of the standard output."`
	FailEmpty bool   `help:"Exit with 1 when Duo has no record of that time."`
	streamFlags
}

// options reads the flags.
func (c *pullCommand) options(cfg *config.Config, log *slog.Logger, now time.Time) (opts job.PullOptions, err error) {
	opts = job.PullOptions{Options: c.streamFlags.options(log), Server: c.Server}
	if opts.Since, opts.Until, err = parseSpan(c.Since, c.Until, now); err != nil {
		return opts, err
	}
	switch {
	case c.Server != "" && c.Output != "":
		return opts, errors.New("--server and --output: records go to one or the other")
	case c.Server != "" && c.Format == "csv":
		return opts, errors.New("--format csv is for a file or the standard output, not for a server")
	case c.Format == "cef", c.Format == "auto" && c.Server != "" && cfg != nil && cfg.Format == config.CEF:
		opts.Format = config.CEF
	}
	return opts, nil
}

func (c *pullCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	now := time.Now()
	if err := c.check(); err != nil {
		return misused(stderr, err)
	}
	if _, err := c.options(nil, nil, now); err != nil {
		return misused(stderr, err)
	}
	cfg, err := config.LoadForPull(c.Config, config.SystemEnv())
	if err != nil {
		slog.New(c.console(stderr)).Error(err.Error())
		return exitUsage
	}
	console, progress, stop := c.console(stderr), (*job.Progress)(nil), func() {}
	if c.Output != "" || c.Server != "" || !isTerminal(stdout) { // else it would stand between the records
		console, progress, stop = c.follow(stderr)
	}
	defer stop()
	log := slog.New(console)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	opts, err := c.options(cfg, log, now)
	if err != nil {
		return misused(stderr, err)
	}
	opts.Progress = progress
	out, err := c.open(stdout)
	if err != nil {
		log.Error(err.Error(), "hint", replacingHint(err))
		return exitUsage
	}
	opts.Out = out
	sum, err := job.Pull(ctx, cfg, opts)
	stop()
	if err != nil {
		out.discard()
		log.Error(err.Error(), "hint", job.Hint(err))
		return exitCode(ctx, sum, err)
	}
	code := exitCode(ctx, sum, nil)
	where, err := out.finish(code == exitDone)
	c.report(log, opts, sum, where)
	switch {
	case err != nil:
		hint := ""
		if errors.Is(err, syscall.ENOSPC) {
			hint = "make room on the disk, and pull again"
		}
		log.Error(err.Error(), "hint", hint)
		code = max(code, exitNone)
	case code != exitDone && where != "":
		log.Warn("what came is in " + where)
	case code == exitDone && c.FailEmpty && delivered(sum) == 0:
		log.Error("Duo has no record of that time", "hint", "--fail-empty makes this an error")
		code = exitNone
	}
	return code
}

// report says what became of a pull.
func (c *pullCommand) report(log *slog.Logger, opts job.PullOptions, sum *job.Summary, where string) {
	rest := opts.Since
	for i, r := range sum.Failed() {
		if i == 0 || r.Until.Before(rest) {
			rest = r.Until
		}
	}
	if rest.Before(opts.Since) {
		rest = opts.Since
	}
	sum.ReportFailed(log, func(r *job.Result) string {
		if errors.Is(r.Err, job.ErrMaxRuntime) || errors.Is(r.Err, context.Canceled) {
			return "what came is not all; the rest is had by --since " + rest.UTC().Format(time.RFC3339)
		}
		return r.Hint()
	})
	text := fmt.Sprintf("%d records from %s to %s", delivered(sum), opts.Since.UTC().Format(time.RFC3339), sum.WindowEnd.Format(time.RFC3339))
	switch {
	case c.Server != "":
		text += fmt.Sprintf(", at server %q", c.Server)
	case where != "" && len(sum.Failed()) == 0:
		text += ", in " + where
	}
	log.Info(text)
}

func delivered(sum *job.Summary) (n int) {
	for _, r := range sum.Results {
		n += r.Delivered
	}
	return n
}

// destination is where a pull's records go, other than a server.
type destination struct {
	io.Writer
	table *flat.CSV         // nil unless a table is asked for
	file  *safefile.Pending // nil for the standard output
	path  string
	flag  string // that names the path
}

// open opens what the flags name. A file is written beside the one that it
// replaces in the end.
func (c *pullCommand) open(stdout io.Writer) (*destination, error) {
	d := &destination{Writer: stdout}
	if c.Output != "" && c.Output != "-" {
		var err error
		if d, err = replacing("--output", c.Output); err != nil {
			return nil, err
		}
	}
	if c.Format == "csv" {
		dir := ""
		if d.file != nil {
			dir = filepath.Dir(d.path)
		}
		table, err := flat.NewCSV(dir)
		if err != nil {
			d.discard()
			return nil, fmt.Errorf("make a temporary file: %w", err)
		}
		d.table = table
	}
	return d, nil
}

// replacing opens a file that takes the place of path once it is whole.
func replacing(flag, path string) (*destination, error) {
	f, err := safefile.Begin(path)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", flag, path, err)
	}
	return &destination{Writer: f, file: f, path: path, flag: flag}, nil
}

// replacingHint is what to do about an error of replacing: who named the file does not
// take away what is there.
func replacingHint(err error) string {
	for _, there := range []error{safefile.ErrSymlink, safefile.ErrNotRegular, safefile.ErrOwner} {
		if errors.Is(err, there) {
			return "name another file"
		}
	}
	return job.Hint(err)
}

// Write takes records.
func (d *destination) Write(p []byte) (int, error) {
	if d.table != nil {
		return d.table.Write(p)
	}
	return d.Writer.Write(p)
}

// finish puts the file into its place, and says where it is. What is not whole goes
// beside it: the file is whole, or the old one.
func (d *destination) finish(whole bool) (where string, err error) {
	defer d.discard()
	if d.table != nil {
		if _, err := d.table.WriteTo(d.Writer); err != nil {
			return "", fmt.Errorf("write records: %w", safefile.Cause(err))
		}
	}
	if d.file == nil {
		return "", nil
	}
	suffix := ""
	if !whole {
		if info, err := d.file.Stat(); err == nil && info.Size() == 0 {
			return "", nil
		}
		suffix = ".partial"
	}
	if err := d.file.Commit(suffix); err != nil {
		return "", fmt.Errorf("%s %q: %w", d.flag, d.path+suffix, err)
	}
	return fmt.Sprintf("%q", d.path+suffix), nil
}

// discard takes away what finish has not put into its place.
func (d *destination) discard() {
	if d.table != nil {
		_ = d.table.Close()
		d.table = nil
	}
	if d.file != nil {
		d.file.Discard()
		d.file = nil
	}
}
