// Package job is one run of dls: from Duo to the SIEM, confirmed.
//
// The way the data goes, to be read in this order: [Sync] (run.go) makes the
// streams, one for each endpoint of each account; the queue (queue.go) gives each
// stream its turns; a turn (stream.go) fetches a page, drops what is delivered
// already, formats the rest, delivers it, and moves the checkpoint; window.go
// says where pages begin and end, deliver.go when a page counts as delivered.
//
// What is promised: a checkpoint moves only past records whose delivery is
// confirmed by every server they are mapped to; one stream's failure neither
// stops nor delays another; and whatever was not delivered is in the [Summary].
// The Go API is not stable.
package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"dls/cef"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/record"
	"dls/sinks"
	"dls/state"
	"dls/state/safefile"
)

// Options are what a run is told beside its configuration.
type Options struct {
	// Version is the program's version, told to Duo and to the SIEM.
	Version string
	// Endpoints limits the run to these endpoints, Account to one child account.
	// Empty: all.
	Endpoints []string
	Account   string
	// Shard limits the run to a share of an MSP's child accounts. Its zero value is
	// all of them.
	Shard Shard
	// Parallel is how many streams are worked on at a time; 0 means 8.
	Parallel int
	// MaxRuntime ends the run cleanly after that time; 0 means never.
	MaxRuntime time.Duration
	// RetryFor is how long a stream may go without progress before it fails. 0
	// means that nothing is tried again.
	RetryFor time.Duration
	// Grace is how long deliveries under way may take when the run is told to stop.
	Grace time.Duration
	// Log takes the run's messages. A message for the user's eyes has level Warn or
	// Error; its attribute "stream" names the stream it is about. Nil: nowhere.
	Log *slog.Logger

	// DryRun fetches and formats what is new and delivers, notes and locks nothing:
	// the results tell what a run would have delivered.
	DryRun bool
	// Begun, when set, is called once the run holds its lock.
	Begun func()

	// Progress, when set, is kept up to date while the run goes on.
	Progress *Progress

	// For tests: Transport stands in for the network to Duo, Step for what can fail
	// in a checkpoint's write, and Sink may change what a server's sink is made of.
	Transport http.RoundTripper
	Step      func(name string) error
	Sink      func(*sinks.Options)

	out io.Writer // takes the place of every server in a pull
}

// SetupError is what must be put right before a run can begin; nothing was
// fetched.
type SetupError struct{ Err error }

// Error says what is wrong.
func (e *SetupError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *SetupError) Unwrap() error { return e.Err }

// run is what the streams of a run share.
type run struct {
	cfg     *config.Config
	opts    Options
	log     *slog.Logger
	start   time.Time
	end     int64 // of the run's window, in milliseconds since the epoch
	client  *duo.Client
	dir     *state.Dir     // nil when checkpointing is off and no server needs it
	servers []sinks.Sink   // as cfg.Servers; nil where no endpoint is mapped
	proven  sync.Map       // the servers that were reached in this run
	down    sync.Map       // the servers that a stream has given up
	cef     *cef.Formatter // nil where lines are JSON
	queue   *queue
}

// Sync runs the job once: it fetches everything new, delivers it, and moves the
// checkpoints. Failures of single streams are in the summary. The error is a
// *SetupError when nothing could begin, [state.ErrLocked] when another run holds
// the checkpoint directory, or why the child accounts could not be listed; the
// summary is nil then. When ctx ends, so does the run, within seconds; the
// streams that were not done have its cause as their error.
func Sync(ctx context.Context, cfg *config.Config, opts Options) (*Summary, error) {
	r, err := prepare(cfg, opts)
	if err != nil {
		return nil, err
	}
	defer r.client.Close()
	if r.dir != nil {
		defer r.dir.Close()
	}
	if cfg.Checkpointing && !opts.DryRun {
		unlock, err := opts.Shard.claim(ctx, r.dir)
		switch {
		case errors.Is(err, state.ErrLocked):
			return nil, err
		case err != nil:
			return nil, &SetupError{err}
		}
		defer unlock()
	}
	if opts.Begun != nil {
		opts.Begun()
	}
	return r.work(ctx)
}

// work makes the streams and works on them until all are done.
func (r *run) work(ctx context.Context) (*Summary, error) {
	if r.opts.MaxRuntime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.opts.MaxRuntime, ErrMaxRuntime)
		defer cancel()
	}
	streams, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	r.opts.Progress.begin(len(streams), r.end)
	r.queue = newQueue(streams)
	r.queue.work(ctx, r.opts.Parallel)

	sum := &Summary{Start: r.start, End: time.Now(), WindowEnd: time.UnixMilli(r.end).UTC()}
	for _, s := range streams {
		sum.Results = append(sum.Results, &s.result)
	}
	sum.sort()
	if r.opts.DryRun {
		return sum, nil
	}
	r.remember(ctx, sum)
	for _, result := range sum.Results {
		if !result.Idle() {
			r.log.Info(result.String(), "stream", result.Name())
		}
	}
	return sum, nil
}

// prepare makes what a run needs, without a call to Duo or a server.
func prepare(cfg *config.Config, opts Options) (*run, error) {
	r := &run{cfg: cfg, opts: opts, log: opts.Log, start: time.Now(), servers: make([]sinks.Sink, len(cfg.Servers))}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.opts.Parallel <= 0 {
		r.opts.Parallel = 8
	}
	if opts.DryRun {
		r.opts.out = io.Discard
	}
	r.end = r.start.Add(-lag).UnixMilli()
	if err := r.choose(); err != nil {
		return nil, &SetupError{err}
	}
	var wrong []error
	if err := r.connect(); err != nil {
		wrong = append(wrong, err)
	}
	if err := r.open(); err != nil {
		wrong = append(wrong, err)
	}
	if len(wrong) > 0 {
		return nil, &SetupError{errors.Join(wrong...)}
	}
	if cfg.Format == config.CEF {
		r.cef = cef.New(opts.Version)
	}
	return r, nil
}

// choose checks what the options name against the configuration.
func (r *run) choose() error {
	if r.opts.Account != "" && !r.cfg.Account.MSP {
		return errors.New("--account is for an MSP, and account.is_msp is not set")
	}
	if r.opts.Shard.N > 0 && !r.cfg.Account.MSP {
		return errors.New("--shard is for an MSP, and account.is_msp is not set")
	}
	for _, name := range r.opts.Endpoints {
		if !slices.ContainsFunc(r.cfg.Routes, func(route config.Route) bool { return route.Endpoint.Name == name }) {
			return fmt.Errorf("--endpoint %q is mapped to no server in account.endpoint_server_mappings", name)
		}
	}
	return nil
}

// connect makes the client and the servers' sinks.
func (r *run) connect() error {
	var ca []byte
	if path := r.cfg.CAFile; path != "" {
		var err error
		if ca, _, err = safefile.Read(path, safefile.MaxPEM); err != nil {
			return fmt.Errorf("dls_settings.api.ca_filepath: %w", err)
		}
	}
	var err error
	r.client, err = duo.New(duo.Options{
		IKey: r.cfg.Account.IKey, SKey: r.cfg.Account.SKey.Reveal(),
		UserAgent: "dls/" + r.opts.Version, CAPEM: ca, Proxy: r.cfg.Proxy.URL(),
		Conns: r.opts.Parallel, Transport: r.opts.Transport,
	})
	if err != nil {
		return fmt.Errorf("dls_settings.api.ca_filepath %q: %w", r.cfg.CAFile, err)
	}
	var wrong []error
	for _, route := range r.cfg.Routes {
		for _, i := range route.Servers {
			if r.servers[i] != nil {
				continue
			}
			sink, err := r.sink(r.cfg.Servers[i])
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			r.servers[i] = sink
		}
	}
	return errors.Join(wrong...)
}

// sink makes the sink of a server.
func (r *run) sink(server config.Server) (sinks.Sink, error) {
	if r.opts.out != nil {
		return sinks.NewWriter(r.opts.out), nil
	}
	o := sinks.Options{
		ID: server.ID, Protocol: sinks.Protocol(server.Protocol), Hostname: server.Hostname, Port: server.Port,
		CertFile: server.CertFile, KeyFile: server.KeyFile, ServerName: server.ServerName,
		Warn: func(msg string) { r.log.Warn(msg) },
	}
	if r.opts.Sink != nil {
		r.opts.Sink(&o)
	}
	return sinks.New(o)
}

// open opens the checkpoint directory.
func (r *run) open() error {
	if !r.cfg.Checkpointing && !slices.ContainsFunc(r.cfg.Servers, func(s config.Server) bool { return s.Protocol == config.UDP }) {
		return nil
	}
	dir, err := state.Open(r.cfg.Directory)
	if err != nil {
		return err
	}
	if why := dir.Exposed(); why != "" {
		r.log.Warn(fmt.Sprintf("checkpoint directory %q: %s", r.cfg.Directory, why), "hint", state.Private)
	}
	dir.Step = r.opts.Step
	r.dir = dir
	return nil
}

// account is one account whose endpoints are read.
type account struct{ id, host, name string }

// plan makes the streams: every mapped endpoint of every account. Those whose
// checkpoint was written last come last: after a run that was cut short, the
// ones that it did not reach go first.
func (r *run) plan(ctx context.Context) ([]*stream, error) {
	accounts := []account{{host: r.cfg.Account.Hostname}}
	if r.cfg.Account.MSP {
		var err error
		if accounts, err = r.children(ctx); err != nil {
			return nil, err
		}
	}
	var streams []*stream
	for _, a := range accounts {
		for _, route := range r.cfg.Routes {
			if len(r.opts.Endpoints) == 0 || slices.Contains(r.opts.Endpoints, route.Endpoint.Name) {
				streams = append(streams, r.stream(a, route))
			}
		}
	}
	if r.cfg.Checkpointing {
		if !r.opts.DryRun {
			if err := r.opts.Shard.sweep(r.dir); err != nil {
				return nil, &SetupError{err}
			}
		}
		times, err := r.dir.Times()
		if err != nil {
			return nil, &SetupError{err}
		}
		slices.SortStableFunc(streams, func(a, b *stream) int {
			return times[a.id.File()].Compare(times[b.id.File()])
		})
	}
	return streams, nil
}

func (r *run) stream(a account, route config.Route) *stream {
	s := &stream{
		run: r, row: route.Endpoint, host: a.host,
		id:     state.ID{IKey: r.cfg.Account.IKey, Endpoint: route.Endpoint.Name, Account: a.id},
		fields: slices.Concat(route.Endpoint.ID, route.Endpoint.Times),
		result: Result{Endpoint: route.Endpoint.Name, Account: a.id, AccountName: a.name},
	}
	if r.cef != nil {
		s.mapping = cef.For(route.Endpoint.CEF)
	}
	for _, i := range route.Servers {
		s.sinks = append(s.sinks, r.servers[i])
	}
	if a.id != "" {
		s.extra = []record.Extra{record.NewExtra("child_account_id", a.id)}
		return s
	}
	for _, e := range route.Endpoint.Extra {
		if e.Value == duo.HostValue {
			e.Value = r.cfg.Account.Hostname
		}
		s.extra = append(s.extra, record.NewExtra(e.Key, e.Value))
	}
	return s
}

// errNoChildren is an MSP without child accounts: more likely a permission that
// was taken away than the truth.
var errNoChildren = errors.New("list the child accounts: Duo lists none")

// children lists the child accounts that the run is about.
func (r *run) children(ctx context.Context) ([]account, error) {
	var list []duo.Child
	err := persist(ctx, r.opts.RetryFor, func() (err error) {
		list, err = r.client.Children(ctx, r.cfg.Account.Hostname)
		return err
	}, duo.Temporary, func(wait time.Duration, err error) {
		r.log.Info("trying again to list the child accounts", "in", wait.Round(time.Millisecond), "because", err)
	})
	if err != nil {
		return nil, fmt.Errorf("list the child accounts: %w", err)
	}
	var accounts []account
	known := 0
	for _, c := range list {
		if slices.Contains(r.cfg.Account.BlockList, c.ID) || r.opts.Account != "" && r.opts.Account != c.ID {
			continue
		}
		known++
		if !r.opts.Shard.has(c.ID) {
			continue
		}
		accounts = append(accounts, account{c.ID, c.Host, c.Name})
	}
	switch {
	case known > 0:
	case r.opts.Account != "":
		return nil, fmt.Errorf("--account %q: Duo lists no such child account, or block_list leaves it out", r.opts.Account)
	case len(list) == 0:
		return nil, errNoChildren
	default:
		r.log.Warn(fmt.Sprintf("nothing to read: of the child accounts that Duo lists (%d), block_list leaves none", len(list)))
	}
	return accounts, nil
}

// load reads a stream's checkpoint, or nil when there is none.
func (r *run) load(id state.ID) (*state.Checkpoint, error) {
	if !r.cfg.Checkpointing {
		return nil, nil
	}
	return r.dir.Load(id)
}

// save writes a stream's checkpoint.
func (r *run) save(id state.ID, cp *state.Checkpoint) error {
	if !r.cfg.Checkpointing || r.opts.DryRun {
		return nil
	}
	return r.dir.Save(id, cp)
}

// draft writes a stream's checkpoint beside the one that counts, while the page
// that it tells of is being delivered; or before, if wait is set, so that nothing
// is delivered that cannot be noted. conclude waits for it and is told how the
// delivery ended: only a page that is confirmed makes the draft count.
func (r *run) draft(id state.ID, cp *state.Checkpoint, wait bool) (conclude func(delivered error) error, err error) {
	if !r.cfg.Checkpointing || r.opts.DryRun {
		return func(delivered error) error { return delivered }, nil
	}
	var pending state.Staged
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		pending, failed = r.dir.Stage(id, cp)
	}()
	if wait {
		if <-done; failed != nil {
			return nil, failed
		}
	}
	return func(delivered error) error {
		<-done
		switch {
		case failed == nil && delivered == nil:
			return r.dir.Commit(pending)
		case failed == nil:
			pending.Discard()
		}
		return cmp.Or(delivered, failed)
	}, nil
}

// oldest is the time from which on this run's windows may begin.
func (r *run) oldest() int64 { return oldest(r.start) }
