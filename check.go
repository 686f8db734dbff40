package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"dls/job/check"
	"dls/job/report"
)

type checkCommand struct {
	configArg
	Offline  bool `help:"Read files only: no call to Duo, no connection to a receiver."`
	Parallel int  `default:"8" help:"Child accounts asked at a time."`
}

func (c *checkCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	if c.Parallel < 1 {
		return misused(stderr, fmt.Errorf("--parallel=%d: at least one account must be asked", c.Parallel))
	}
	cfg, err := c.load()
	if err != nil {
		slog.New(report.NewConsole(stderr, slog.LevelInfo)).Error(err.Error())
		return exitUsage
	}
	log := slog.New(report.NewConsole(stderr, slog.LevelInfo))
	screen := report.ScreenOf(stdout)
	var unwritten error
	failed, err := check.Run(ctx, cfg, check.Options{Offline: c.Offline, Version: version, Parallel: c.Parallel}, func(f check.Finding) {
		if err := check.Print(stdout, screen, f); err != nil {
			unwritten = err
		}
	})
	switch {
	case err != nil:
		log.Error(err.Error())
		return exitCode(ctx, nil, err)
	case unwritten != nil:
		log.Error(unwritten.Error())
		return exitNone
	case failed:
		return exitNone
	}
	return exitDone
}
