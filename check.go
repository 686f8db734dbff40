package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"dls/job/check"
	"dls/job/report"
)

type checkCommand struct {
	configArg
	Offline  bool `help:"Read files only: no call to Duo, no connection to a receiver."`
	Parallel int  `default:"8" help:"Child accounts asked at a time."`

	MetricsFile report.MetricsPath `placeholder:"FILE" help:"Write a textfile for Prometheus's node_exporter, with the expiry of the receivers' certificates; its name must end in .prom."`
}

func (c *checkCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	if c.Parallel < 1 {
		return misused(stderr, fmt.Errorf("--parallel=%d: at least one account must be asked", c.Parallel))
	}
	cfg, err := c.load()
	if err != nil {
		slog.New(report.NewConsole(stderr, slog.LevelInfo)).Error(err.Error())
		c.write(stderr, report.CheckMetrics{Failed: 1})
		return exitUsage
	}
	log := slog.New(report.NewConsole(stderr, slog.LevelInfo))
	screen := report.ScreenOf(stdout)
	var unwritten error
	found := report.CheckMetrics{Certificates: map[string]time.Time{}}
	failed, err := check.Run(ctx, cfg, check.Options{
		Offline: c.Offline, Version: version, Parallel: c.Parallel,
		Certificate: func(server string, expires time.Time) { found.Certificates[server] = expires },
	}, func(f check.Finding) {
		switch f.Outcome {
		case check.Failed:
			found.Failed++
		case check.Warning:
			found.Warnings++
		}
		if err := check.Print(stdout, screen, f); err != nil {
			unwritten = err
		}
	})
	if err == nil {
		c.write(stderr, found)
	}
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

// write writes the metrics.
func (c *checkCommand) write(stderr io.Writer, found report.CheckMetrics) {
	if c.MetricsFile == "" {
		return
	}
	found.At = time.Now()
	if err := report.WriteCheckMetrics(c.MetricsFile, found); err != nil {
		slog.New(report.NewConsole(stderr, slog.LevelInfo)).Warn(err.Error())
	}
}
