package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dls/job/config"
	"dls/job/legacy"
	"dls/job/report"
	"dls/job/schedule"
)

type scheduleCommand struct {
	configArg
	Kind   string `arg:"" optional:"" default:"" enum:"systemd,cron,windows,launchd,kubernetes,slurm," help:"The scheduler."`
	Every  period `default:"5m" help:"The time from one run to the next, in whole minutes."`
	User   string `placeholder:"NAME" help:"Run as this account instead of the scheduler's own choice."`
	Audit  bool   `help:"The weekly audit of what the job has delivered, instead of the job itself."`
	Name   string `default:"dls" help:"What the job is called, where one machine has several."`
	Shards int    `placeholder:"N" help:"Read an MSP's child accounts in N shares (kubernetes, slurm)."`

	Program string `placeholder:"PATH" help:"Where dls is on the machine that is to run the job, instead of where it is here."`
	For     string `placeholder:"PATH" help:"Where the configuration is on the machine that is to run the job, if that is another one: the files that it names are not looked at here."`
}

// schedulers are what Kind may be.
var schedulers = []string{string(schedule.Systemd), string(schedule.Cron), string(schedule.Windows), string(schedule.Launchd), string(schedule.Kubernetes), string(schedule.Slurm)}

// shift makes a lone argument the kind of scheduler: the configuration is in
// $DLS_CONFIG, or missing.
func (c *scheduleCommand) shift() {
	if c.Kind == "" && slices.Contains(schedulers, c.Config) {
		c.Config, c.Kind = os.Getenv("DLS_CONFIG"), c.Config
	}
}

func (c *scheduleCommand) run(stdout, stderr io.Writer) int {
	if c.Kind == "" {
		return misused(stderr, fmt.Errorf("no scheduler is named: one of %s", listed(schedulers, "or")))
	}
	d, err := c.definition()
	if err != nil {
		slog.New(report.NewConsole(stderr, slog.LevelInfo)).Error(err.Error())
		return exitUsage
	}
	log := slog.New(report.NewConsole(stderr, slog.LevelInfo))
	for _, w := range d.Warnings {
		log.Warn(w)
	}
	if _, err := stdout.Write(d.Text); err != nil {
		log.Error(err.Error())
		return exitNone
	}
	return exitDone
}

// definition is the job definition for the configuration as the job will see it:
// without this process's environment, and perhaps on another machine.
func (c *scheduleCommand) definition() (*schedule.Definition, error) {
	exe, target := c.Program, c.For
	var err error
	if exe == "" {
		if exe, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	if target == "" {
		if target, err = filepath.Abs(c.Config); err != nil {
			return nil, err
		}
	}
	kind := schedule.Kind(c.Kind)
	variables := map[string]string{}
	if kind == schedule.Systemd {
		variables["STATE_DIRECTORY"] = schedule.StateDirectory(c.Name)
	}
	env := config.Env{Getenv: func(name string) string { return variables[name] }, TempDir: schedule.TempDir(kind, c.User), Elsewhere: c.For != ""}
	cfg, err := config.Load(c.Config, env)
	secretFile := ""
	if err != nil {
		// Perhaps all that is missing is the secret, which systemd can pass on.
		variables["DLS_SKEY"] = "stand-in"
		other, otherErr := config.Load(c.Config, env)
		if otherErr != nil {
			return nil, err
		}
		if kind != schedule.Systemd && kind != schedule.Kubernetes {
			return nil, errors.New("the job has no $DLS_SKEY and no credentials: put the secret key into a file and name it in account.skey_filepath")
		}
		cfg, secretFile = other, target[:strings.LastIndexByte(target, '/')+1]+"skey"
	}
	// What lies in the temporary folder was joined to it with this system's separator.
	separator := "/"
	if kind == schedule.Windows {
		separator = `\`
	}
	joined := func(p string) string {
		if name := filepath.Base(p); p == filepath.Join(env.TempDir, name) {
			return env.TempDir + separator + name
		}
		return p
	}
	j := schedule.Job{
		Name: c.Name, Exe: exe, Config: target, Every: time.Duration(c.Every), User: c.User, Audit: c.Audit,
		LogFile: joined(cfg.LogFile), Files: files(cfg), SecretFile: secretFile, Shards: c.Shards, MustExist: cfg.MustExist,
	}
	if c.Shards > 0 && !cfg.Account.MSP {
		return nil, errors.New("--shards is for an MSP, and account.is_msp is not set")
	}
	switch {
	case cfg.Checkpointing && cfg.Bucket != nil:
		j.Bucket = cfg.Directory
	case cfg.Checkpointing:
		j.StateDir = joined(cfg.Directory)
	}
	d, err := schedule.Render(kind, j)
	if err == nil {
		d.Warnings = append(cfg.Warnings, d.Warnings...)
	}
	if !cfg.Checkpointing || cfg.Bucket != nil {
		return d, err
	}
	search := legacy.SearchFor(cfg)
	search.Dir = j.StateDir
	if _, ok := errors.AsType[*schedule.DirectoryError](err); ok {
		// What is there must come along.
		search.Dir, search.Places = schedule.StateDirectory(c.Name), []string{j.StateDir}
	}
	begin, _ := errors.AsType[*legacy.BeginError](legacy.Begins(search.Dir, legacy.Elsewhere(search)))
	switch {
	case begin == nil:
	case search.Places != nil:
		err = fmt.Errorf("%w; if that is used, what %q holds must come along, or everything is sent again: %s", err, j.StateDir, begin.Move())
	case err == nil:
		d.Warnings = append(d.Warnings, begin.Error()+"; before the job's first run: "+begin.Move())
	}
	return d, err
}

// files are what a run reads beside its configuration.
func files(cfg *config.Config) []schedule.File {
	list := []schedule.File{
		{Key: "dls_settings.api.ca_filepath", Path: cfg.CAFile},
		{Key: "account.skey_filepath", Path: cfg.Account.SKeyFile},
	}
	if cfg.Bucket != nil {
		list = append(list, schedule.File{Key: "dls_settings.checkpointing.ca_filepath", Path: cfg.Bucket.CAFile})
	}
	for i, s := range cfg.Servers {
		mapped := slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return slices.Contains(r.Servers, i) })
		if !mapped {
			continue
		}
		if s.Protocol == config.EventCollector {
			list = append(list, schedule.File{Key: fmt.Sprintf("servers[%d].token_filepath", i), Path: s.HEC.TokenFile})
		}
		if s.TLS() {
			list = append(list,
				schedule.File{Key: fmt.Sprintf("servers[%d].cert_filepath", i), Path: s.CertFile},
				schedule.File{Key: fmt.Sprintf("servers[%d].key_filepath", i), Path: s.KeyFile})
		}
	}
	return list
}
