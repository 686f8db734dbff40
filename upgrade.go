package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"dls/job/config"
	"dls/job/report"
	"dls/upgrade"
)

type upgradeCommand struct {
	Old   string `arg:"" help:"The old configuration file. It is not changed."`
	New   string `arg:"" help:"The file to write, or - for the standard output."`
	Force bool   `help:"Replace the new file if it is there."`
}

func (c *upgradeCommand) run(stdout, stderr io.Writer) int {
	log := slog.New(report.NewConsole(stderr, slog.LevelInfo))
	result, err := upgrade.File(c.Old, c.New, c.Force, stdout)
	if err != nil {
		hint := ""
		if errors.Is(err, upgrade.ErrExists) {
			hint = "--force replaces it"
		}
		log.Error(err.Error(), "hint", hint)
		return exitUsage
	}
	if result.Unchanged {
		log.Info(fmt.Sprintf("%q is of version %s already; it was written unchanged", c.Old, result.From))
	}
	for _, note := range result.Notes {
		log.Warn(note)
	}
	// The file is written all the same: what is still wrong needs the user's hand.
	_, err = config.Parse(c.New, result.Data, config.SystemEnv())
	if wrong, ok := errors.AsType[*config.Errors](err); ok {
		for _, line := range strings.Split(wrong.Error(), "\n") {
			log.Warn("the new file needs your hand: " + line)
		}
	}
	return exitDone
}
