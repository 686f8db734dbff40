package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/report"
	"dls/job/status"
	"dls/state"
)

type statusCommand struct {
	configArg
	JSON   bool   `name:"json" help:"Print one JSON document."`
	MaxLag period `placeholder:"1h" help:"Exit with 1 when a stream is further behind, or has not succeeded for that long."`
}

func (c *statusCommand) run(stdout, stderr io.Writer) int {
	log := slog.New(report.NewConsole(stderr, slog.LevelInfo))
	cfg, err := c.load()
	if err != nil {
		log.Error(err.Error())
		return exitUsage
	}
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	found, err := c.collect(cfg)
	if err != nil {
		log.Error(err.Error(), "hint", job.Hint(err))
		return exitUsage
	}
	if c.JSON {
		err = found.JSON(stdout)
	} else {
		err = found.Table(stdout, report.ScreenOf(stdout))
	}
	code := exitDone
	if err != nil {
		log.Error(err.Error())
		code = exitNone
	}
	if unread := found.Unread(); unread != "" {
		log.Error(unread)
		code = exitNone
	}
	if behind := found.Behind(time.Duration(c.MaxLag)); c.MaxLag > 0 && len(behind) > 0 {
		log.Error(fmt.Sprintf("behind by more than %v, or without success for that long: %d of %d streams; the first is %s",
			time.Duration(c.MaxLag), len(behind), len(found.Rows), behind[0].Name()))
		code = exitNone
	}
	return code
}

// collect opens the checkpoint directory only where runs do.
func (c *statusCommand) collect(cfg *config.Config) (*status.Report, error) {
	if !cfg.Checkpointing {
		return status.Collect(cfg, nil, time.Now())
	}
	dir, err := state.Open(cfg.Directory)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return status.Collect(cfg, dir, time.Now())
}
