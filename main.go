// Command dls pulls security logs out of Duo's Admin API and delivers them,
// confirmed, to a SIEM. It runs once and exits; a scheduler gives the interval.
//
// This file is the command line and nothing else: what a run does is in package
// job.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"dls/job"
	"dls/job/report"
	"dls/job/usage"
	"dls/state"
)

// version is the program's version. The linker may set it.
var version = "1.0.0"

// The exit codes. docs/operations.md explains them.
const (
	exitDone    = 0
	exitNone    = 1  // no stream got through
	exitUsage   = 2  // usage or configuration error, nothing was fetched
	exitPartial = 3  // some streams failed or were not finished, or records lie in a file that a server does not take; something got through
	exitLocked  = 75 // another run holds the lock
	exitSignal  = 128
)

type commandLine struct {
	Sync       syncCommand       `cmd:"" default:"withargs" help:"Run the job once: fetch what is new, deliver it, move the checkpoints. dls CONFIG does it, too."`
	Pull       pullCommand       `cmd:"" help:"Fetch what Duo has of a time, to the standard output or one server; checkpoints stay as they are."`
	Audit      auditCommand      `cmd:"" help:"Find out which of Duo's records are not in what the SIEM has, and deliver those."`
	Check      checkCommand      `cmd:"" help:"Try the configuration: every error of the file, then Duo, the permissions and the receivers, live."`
	Status     statusCommand     `cmd:"" help:"Show for each stream up to when it is delivered, how far behind that is, and how its last run went."`
	Upgrade    upgradeCommand    `cmd:"" name:"upgrade-config" help:"Turn a configuration of duologsync's first version (0.0.0) into one of version 1.0.0."`
	Schedule   scheduleCommand   `cmd:"" help:"Print a ready, hardened job definition for a scheduler."`
	Simulate   simulateCommand   `cmd:"" help:"Be a simulated Duo on loopback until Ctrl-C, to try receivers, schedulers and dashboards with."`
	Demo       demoCommand       `cmd:"" help:"Run the whole job against a simulated Duo and a local receiver. Needs nothing."`
	Completion completionCommand `cmd:"" help:"Print the completion script for a shell."`
	Man        struct{}          `cmd:"" help:"Print the manual page."`
	Version    struct{}          `cmd:"" help:"Print the version."`
	Help       helpCommand       `cmd:"" help:"Show the help of dls, or of a command."`

	VersionFlag kong.VersionFlag `name:"version" help:"Print the version."`
}

type helpCommand struct {
	Command string `arg:"" optional:"" help:"The command."`
}

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"The shell."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program: it returns the exit code when all it began has ended.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := interruptible()
	defer stop()
	return await(ctx, stderr, func() int { return command(ctx, args, stdout, stderr) })
}

// command carries out one command line.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var cli commandLine
	parser := kong.Must(&cli,
		kong.Name("dls"),
		kong.Description("Pulls security logs out of Duo's Admin API and delivers them, confirmed, to a SIEM."),
		kong.Vars{"version": versionText()},
		kong.Writers(stdout, stderr),
		kong.ValueFormatter(choices),
	)
	if err := cmp.Or(empty(parser.Model, args), misspelt(parser.Model, args)); err != nil {
		return misused(stderr, err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return misused(stderr, err)
	}
	cli.Schedule.shift()
	if !configured(parsed.Selected()) {
		return misused(stderr, errNoConfig)
	}
	switch parsed.Selected().Name {
	case "version":
		fmt.Fprintln(stdout, versionText())
		return exitDone
	case "help":
		return cli.Help.run(ctx, parser.Model, stdout, stderr)
	case "pull":
		return cli.Pull.run(ctx, stdout, stderr)
	case "audit":
		return cli.Audit.run(ctx, stdout, stderr)
	case "check":
		return cli.Check.run(ctx, stdout, stderr)
	case "status":
		return cli.Status.run(ctx, stdout, stderr)
	case "schedule":
		return cli.Schedule.run(stdout, stderr)
	case "completion":
		script, err := usage.Completion(program(parser.Model), cli.Completion.Shell)
		if err != nil {
			return misused(stderr, err)
		}
		fmt.Fprint(stdout, script)
		return exitDone
	case "man":
		fmt.Fprint(stdout, usage.Man(program(parser.Model)))
		return exitDone
	case "upgrade-config":
		return cli.Upgrade.run(stdout, stderr)
	case "simulate":
		return cli.Simulate.run(ctx, stdout, stderr)
	case "demo":
		return cli.Demo.run(ctx, stdout, stderr)
	default:
		return cli.Sync.run(ctx, stdout, stderr)
	}
}

// misused says what is wrong with the command line.
func misused(stderr io.Writer, err error) int {
	log := slog.New(report.NewConsole(stderr, slog.LevelInfo))
	log.Error(plain(err.Error()), "hint", "dls help shows the commands, dls help COMMAND the flags of one")
	return exitUsage
}

// run shows the help as --help does, which ends the process.
func (c *helpCommand) run(ctx context.Context, app *kong.Application, stdout, stderr io.Writer) int {
	if c.Command == "" {
		return command(ctx, []string{"--help"}, stdout, stderr)
	}
	if err := noCommand(app, c.Command, false); err != nil {
		return misused(stderr, err)
	}
	return command(ctx, []string{c.Command, "--help"}, stdout, stderr)
}

// exitCode is what the run's outcome comes to.
func exitCode(ctx context.Context, sum *job.Summary, err error) int {
	if s, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok && (err != nil || len(sum.Failed()) > 0) {
		return exitSignal + int(s.signal.(syscall.Signal))
	}
	_, setup := errors.AsType[*job.SetupError](err)
	switch {
	case setup:
		return exitUsage
	case errors.Is(err, state.ErrLocked):
		return exitLocked
	case err != nil || !sum.Through():
		return exitNone
	case len(sum.Failed()) > 0 || sum.Kept():
		return exitPartial
	}
	return exitDone
}

// interrupted is the cause with which a signal ends the run.
type interrupted struct{ signal os.Signal }

func (i *interrupted) Error() string {
	name := i.signal.String()
	switch i.signal {
	case os.Interrupt:
		name = "SIGINT"
	case syscall.SIGTERM:
		name = "SIGTERM"
	}
	return "interrupted by " + name
}

// Unwrap makes an interruption a cancellation, which the next run makes good.
func (i *interrupted) Unwrap() error { return context.Canceled }

// interruptible returns a context that the first SIGINT or SIGTERM ends. A second one
// ends the process at once.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go heed(signals, cancel, os.Exit)
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}

// echo is for how long a signal counts as the first one once more: timeout(1), and
// whoever signals a process and then its group, sends it twice.
const echo = 500 * time.Millisecond

// heed has the first signal end the run, and another one, unless it is an echo, the
// process.
func heed(signals <-chan os.Signal, end context.CancelCauseFunc, exit func(code int)) {
	first, ok := <-signals
	if !ok {
		return
	}
	end(&interrupted{first})
	since := time.Now()
	for s := range signals {
		if time.Since(since) >= echo {
			exit(exitSignal + int(s.(syscall.Signal)))
		}
	}
}

// versionText names the version, the commit it was built from and the compiler.
func versionText() string {
	text := "dls " + version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return text
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text += ", commit " + s.Value
		}
	}
	return text + ", " + info.GoVersion
}
