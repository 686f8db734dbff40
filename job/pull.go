package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"dls/job/config"
	"dls/job/window"
)

// PullOptions are what a pull is told beside the configuration.
type PullOptions struct {
	// Options are as for Sync, with what is said of checkpoints left out.
	Options
	// Since and Until bound the records' times, both included. A zero Until means
	// the newest that Duo shows.
	Since, Until time.Time
	// Format is how records are written.
	Format config.Format
	// Server is the id of the server that gets the records. Empty: Out gets them.
	Server string
	Out    io.Writer
}

// Pull fetches what Duo has of a time and sends it to the standard output or to
// one server. It neither reads nor moves a checkpoint, and takes no lock. Errors
// are as for Sync.
func Pull(ctx context.Context, cfg *config.Config, opts PullOptions) (*Summary, error) {
	now := time.Now()
	newest := now.Add(-window.Lag)
	bounded := !opts.Until.IsZero() && opts.Until.Before(newest)
	if !bounded {
		opts.Until = newest
	}
	since, until := opts.Since.UTC().Format(time.RFC3339), opts.Until.UTC().Format(time.RFC3339)
	switch {
	case !opts.Since.Before(opts.Until) && bounded:
		return nil, &SetupError{fmt.Errorf("--since %s is not before --until %s", since, until)}
	case !opts.Since.Before(opts.Until):
		return nil, &SetupError{fmt.Errorf("--since %s is not before %s, up to when Duo shows records: it withholds the newest two minutes", since, until)}
	case opts.Since.UnixMilli() < window.Oldest(now)-window.Margin.Milliseconds():
		return nil, &SetupError{errors.New("--since lies further back than the 180 days for which Duo keeps records")}
	}
	// A pull is a run that remembers nothing, knows its window, and has one server.
	own := *cfg
	own.Checkpointing, own.Format = false, opts.Format
	server := slices.IndexFunc(cfg.Servers, func(s config.Server) bool { return s.ID == opts.Server })
	switch {
	case opts.Server == "":
		own.Servers, server = []config.Server{{ID: "stdout"}}, 0
		opts.out = opts.Out
	case server < 0:
		return nil, &SetupError{fmt.Errorf("--server %q: the configuration has no such server", opts.Server)}
	}
	own.Routes = nil
	for _, route := range cfg.Routes {
		chosen := len(opts.Endpoints) == 0 || slices.Contains(opts.Endpoints, route.Endpoint.Name)
		if chosen && opts.Format == config.CEF && route.Endpoint.CEF == "" {
			return nil, &SetupError{fmt.Errorf("%s speaks JSON only: name other endpoints with --endpoint", route.Endpoint.Name)}
		}
		own.Routes = append(own.Routes, config.Route{Endpoint: route.Endpoint, Servers: []int{server}})
	}
	late, cancel := grace(ctx, opts.Grace)
	defer cancel()
	r, err := prepare(late, &own, opts.Options)
	if err != nil {
		return nil, err
	}
	defer r.client.Close()
	if r.store != nil {
		defer r.store.Close()
	}
	r.rest = "what came is not all: pull again"
	own.Offset, r.end, r.bounded = r.start.Sub(opts.Since), opts.Until.UnixMilli(), bounded
	return r.work(ctx)
}
