package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/legacy"
	"dls/job/report"
	"dls/job/status"
	"dls/state/safefile"
)

type statusCommand struct {
	configArg
	HTML   string `name:"html" placeholder:"FILE" help:"Write one page for a browser, with charts of the last runs; it needs nothing from elsewhere. - is the standard output."`
	JSON   bool   `name:"json" help:"Print one JSON document."`
	MaxLag period `placeholder:"1h" help:"Exit with 1 when a stream is further behind, or has not succeeded for that long."`

	Places []string `kong:"-"` // as [job.Options.Places]
}

func (c *statusCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	log := slog.New(report.NewConsole(stderr, slog.LevelInfo))
	if c.HTML != "" && c.JSON {
		return misused(stderr, errors.New("--html and --json: one or the other"))
	}
	cfg, err := c.load()
	if err != nil {
		log.Error(err.Error())
		return exitUsage
	}
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	found, err := c.collect(ctx, cfg)
	if err != nil {
		log.Error(err.Error(), "hint", job.Hint(err))
		return exitUsage
	}
	switch {
	case c.HTML == "-":
		err = found.HTML(stdout)
	case c.HTML != "":
		err = writePage(c.HTML, found)
	case c.JSON:
		err = found.JSON(stdout)
	default:
		err = found.Table(stdout, report.ScreenOf(stdout))
	}
	code := exitDone
	if err != nil {
		log.Error(err.Error())
		code = exitNone
	}
	if unread := found.Unread(); unread != "" {
		log.Error(unread, "hint", job.Hint(found.Broken()))
		code = exitNone
	}
	if cfg.Checkpointing && cfg.Bucket == nil {
		search := legacy.SearchFor(cfg)
		search.Places = c.Places
		if begin := legacy.Begins(cfg.Directory, legacy.Elsewhere(search)); begin != nil {
			log.Error(begin.Error(), "hint", job.Hint(begin))
			code = exitNone
		}
	}
	if behind := found.Behind(time.Duration(c.MaxLag)); c.MaxLag > 0 && len(behind) > 0 {
		log.Error(fmt.Sprintf("behind by more than %v, or without success for that long: %d of %d streams; the first is %s",
			time.Duration(c.MaxLag), len(behind), len(found.Rows), behind[0].Name()))
		code = exitNone
	}
	return code
}

// collect opens the store only where runs do.
func (c *statusCommand) collect(ctx context.Context, cfg *config.Config) (*status.Report, error) {
	if !cfg.Checkpointing {
		return status.Collect(cfg, nil, time.Now())
	}
	dir, err := job.OpenStore(ctx, cfg, version, nil)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	found, err := status.Collect(cfg, dir, time.Now())
	if err != nil || c.HTML == "" {
		return found, err
	}
	points, err := dir.History(cfg.Account.IKey)
	if err != nil {
		found.Notes = append(found.Notes, "no charts: "+err.Error())
	}
	found.History(points)
	return found, nil
}

// writePage puts the page into the place of a file. Whoever serves it to browsers is
// another user.
func writePage(path string, found *status.Report) error {
	var b bytes.Buffer
	err := found.HTML(&b)
	if err == nil {
		err = safefile.ReplaceOwn(path, b.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("--html %q: %w", path, err)
	}
	return nil
}
