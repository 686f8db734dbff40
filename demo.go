package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"dls/job/config"
	"dls/job/demo"
	"dls/job/report"
)

type demoCommand struct {
	configArg
	Server string `placeholder:"ID" help:"Send the demo's records to this server of the configuration instead."`
	Keep   bool   `help:"Keep the temporary directory with the configuration and the checkpoints."`
}

func (c *demoCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	dls := func(args ...string) int {
		defer hide("DLS_SKEY")()
		if c.Server == "" {
			defer hide("CREDENTIALS_DIRECTORY")() // else it may hold that server's token
		}
		return command(ctx, args, stdout, stderr)
	}
	var err error
	switch {
	case c.Server != "":
		if c.Config == "" {
			return misused(stderr, errNoConfig)
		}
		if !sendable(c.Config, stderr) {
			return exitUsage
		}
		err = demo.Send(ctx, stdout, c.Config, c.Server, dls)
	case c.Config != "" && c.Config != os.Getenv("DLS_CONFIG"):
		return misused(stderr, errors.New("demo takes a configuration only with --server, which names where the records go"))
	default:
		err = demo.Run(ctx, stdout, c.Keep, dls)
	}
	if err != nil {
		slog.New(report.NewConsole(stderr, slog.LevelInfo)).Error(err.Error())
		return exitCode(ctx, nil, err)
	}
	return exitDone
}

// hide takes a variable of the environment away until restore is called. The secret
// key of the demo's account stands in its configuration; what the environment gives
// belongs to another account.
func hide(name string) (restore func()) {
	value, set := os.LookupEnv(name)
	if !set {
		return func() {}
	}
	os.Unsetenv(name)
	return func() { os.Setenv(name, value) }
}

// sendable tells whether records of a simulated Duo can go to the servers of the
// configuration, and says what is wrong if not.
func sendable(path string, stderr io.Writer) bool {
	_, err := config.LoadForReceivers(path, config.SystemEnv())
	if err != nil {
		slog.New(report.NewConsole(stderr, slog.LevelInfo)).Error(err.Error(), "hint", "the simulation takes servers and mappings from the file; ikey, skey and hostname of account may stay empty")
	}
	return err == nil
}

type simulateCommand struct {
	// Not from $DLS_CONFIG: its receivers are to get simulated records only when named.
	Config     string   `arg:"" optional:"" help:"A configuration whose receivers get the records."`
	Directory  string   `placeholder:"DIR" help:"Write the configuration for the simulation here; left out: to a temporary directory that is taken away at the end."`
	Accounts   int      `placeholder:"N" help:"Be an MSP with so many child accounts."`
	Backlog    int      `default:"500" help:"How many records each endpoint and account has at the start."`
	Over       period   `default:"1d" help:"The time over which these lie."`
	Records    float64  `default:"12" help:"How many new records a minute each endpoint and account gets."`
	Late       int      `default:"0" help:"How many of 100 new records Duo shows late, by up to five minutes."`
	Limit      int      `placeholder:"N" help:"How many calls a minute Duo answers, for each endpoint and account."`
	Latency    duration `default:"50ms" help:"How long each answer takes."`
	Fault      []string `enum:"429,500,502,cut,hang,not-json,reset" placeholder:"502,cut" help:"What goes wrong now and then."`
	FaultEvery int      `default:"10" help:"At which of so many calls it does."`
	Verbose    bool     `short:"v" help:"Say on stderr which calls come."`
}

func (c *simulateCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	console := io.Writer(stderr)
	follow := func(func() string) (stop func()) { return func() {} }
	if f, ok := stderr.(*os.File); ok && isTerminal(f) && os.Getenv("TERM") != "dumb" {
		line := report.NewLine(f, report.Width(f))
		console = line
		follow = func(text func() string) (stop func()) { return line.Follow(time.Second/2, text) }
	}
	log := slog.New(report.NewConsole(console, slog.LevelInfo))
	o := demo.Simulation{
		Config: c.Config, Directory: c.Directory, Accounts: c.Accounts, Backlog: c.Backlog, Over: time.Duration(c.Over),
		PerMinute: c.Records, Late: c.Late, Limit: c.Limit, Latency: time.Duration(c.Latency), Faults: c.Fault, FaultEvery: c.FaultEvery,
	}
	if c.Verbose {
		o.Calls = console
	}
	if err := o.Check(); err != nil {
		return misused(stderr, err)
	}
	if c.Config != "" && !sendable(c.Config, console) {
		return exitUsage
	}
	if err := demo.Simulate(ctx, stdout, follow, o); err != nil {
		log.Error(err.Error())
		return exitNone
	}
	return exitDone
}
