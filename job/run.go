// Package job is one run of dls: from Duo to the SIEM, confirmed.
//
// The way the data goes, to be read in this order: [Sync] (run.go) prepares, plan.go
// makes the streams, one for each endpoint of each account, and work.go gives them
// their turns. A stream (stream.go) fetches a page (package feed), drops what is
// delivered already (page.go), hands the rest over to a session of each of its
// servers (deliver.go), and makes it count when the sessions are confirmed (flight.go,
// commit.go). Which spans are read, and how far a page lets the checkpoint go, is
// decided by package window.
//
// What is promised: a checkpoint moves only past records whose delivery is
// confirmed by every server they are mapped to; one stream's failure neither
// stops nor delays another; and whatever was not delivered is in the [Summary].
package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"dls/cef"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/feed"
	"dls/job/limiter"
	"dls/job/window"
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
	// Begin lets streams without a checkpoint begin at offset though the store has known
	// them, or checkpoints lie where the defaults of duologsync and dls put them.
	Begin bool
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

	// Places are where checkpoints may lie outside of the directory; nil: those of
	// [legacy.Places].
	Places []string

	out   io.Writer // takes the place of every server in a pull
	hooks hooks
}

// hooks are what tests put in the place of a run's parts; nil is the part itself.
type hooks struct {
	transport http.RoundTripper                         // of calls to Duo
	piece     *time.Duration                            // how long a piece of the daily audit takes
	list      int                                       // how many records are listed that are sent again
	sink      func(*sinks.Options)                      // changes what a server's sink is made of
	receiver  func(config.Server) (sinks.Sink, error)   // makes a server's sink
	store     func(*config.Config) (state.Store, error) // opens the store
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
	end     int64         // of the run's window, in milliseconds since the epoch
	bounded bool          // what lies behind it is not wanted: a pull's
	before  time.Duration // how much further than the offset streams begin that have no checkpoint
	rest    string        // what to do about what is left, where the next run does not go on from there
	client  *duo.Client
	store   state.Store // nil when checkpointing is off and no server needs it
	commits *commits
	servers []*server      // as cfg.Servers; nil where no endpoint is mapped
	cef     *cef.Formatter // nil where lines are JSON

	late   context.Context // for deliveries and the store: it outlives the run's by the grace
	memory *feed.Memory
	limits map[*duo.Endpoint]*limiter.Group
	line   line
	turned map[string]time.Time // when each stream's last turn began
	roster roster

	// Of an audit: what takes the place of every server, and when a stream begins, if it
	// is read at all.
	collect func(*stream, *page) error
	since   func(*stream) (ms int64, read bool)
	given   []account // nil: those that Duo lists
}

// Sync runs the job once: it fetches everything new, delivers it, and moves the
// checkpoints. Failures of single streams are in the summary. The error is a
// *SetupError when nothing could begin, [state.ErrLocked] when another run holds
// the checkpoint directory, or why the child accounts could not be listed; the
// summary is nil then. When ctx ends, so does the run, within seconds; the
// streams that were not done have its cause as their error.
func Sync(ctx context.Context, cfg *config.Config, opts Options) (*Summary, error) {
	late, cancel := grace(ctx, opts.Grace)
	defer cancel()
	r, err := prepare(late, cfg, opts)
	if err != nil {
		return nil, err
	}
	defer r.client.Close()
	if r.store != nil {
		defer r.store.Close()
	}
	if !cfg.Checkpointing { // runs as far apart as the offset leave nothing between them, also where one comes late
		r.before = window.Lag + cfg.Overlap
		r.rest = "without checkpoints the next run sends everything again: give it more time, or set dls_settings.checkpointing.enabled to true"
	}
	if opts.DryRun {
		r.rest = "what would be delivered is more than this: give it more time"
	}
	if r.saves() {
		unlock, err := claim(ctx, r.store, opts.Shard)
		if err != nil {
			return nil, err
		}
		defer unlock()
		if err := errors.Join(r.mustExist(), r.first()); err != nil {
			return nil, &SetupError{err}
		}
	}
	if opts.Begun != nil {
		opts.Begun()
	}
	return r.work(ctx)
}

// claim takes a share of the store. The error is [state.ErrLocked] while another run
// has it, else a *SetupError.
func claim(ctx context.Context, store state.Store, shard Shard) (unlock func(), err error) {
	unlock, err = store.Claim(ctx, shard.share())
	if err != nil && !errors.Is(err, state.ErrLocked) {
		err = &SetupError{err}
	}
	return unlock, err
}

// prepare makes what a run needs, without a call to Duo or a server. late is when
// deliveries end, and with them what the store does.
func prepare(late context.Context, cfg *config.Config, opts Options) (*run, error) {
	r := &run{cfg: cfg, opts: opts, late: late, log: opts.Log, start: time.Now(), servers: make([]*server, len(cfg.Servers))}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.opts.Parallel <= 0 {
		r.opts.Parallel = 8
	}
	if opts.DryRun {
		r.opts.out = io.Discard
	}
	r.end = r.start.Add(-window.Lag).UnixMilli()
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
		Conns: r.opts.Parallel, Transport: r.opts.hooks.transport,
	})
	if _, ok := errors.AsType[*duo.ProxyError](err); ok {
		return err
	} else if err != nil {
		return fmt.Errorf("dls_settings.api.ca_filepath %q: %w", r.cfg.CAFile, err)
	}
	var wrong []error
	made := 0
	for _, route := range r.cfg.Routes {
		for _, i := range route.Servers {
			if r.servers[i] != nil {
				continue
			}
			sink, err := r.sink(r.cfg.Servers[i])
			if err != nil {
				wrong = append(wrong, err)
				sink = &unmade{r.cfg.Servers[i].ID, err}
			} else {
				made++
			}
			r.servers[i] = &server{sink: sink, datagrams: r.cfg.Servers[i].Protocol == config.UDP}
		}
	}
	if made > 0 {
		return nil // what is wrong with a server stops its own streams
	}
	return errors.Join(wrong...)
}

// sink makes the sink of a server.
func (r *run) sink(server config.Server) (sinks.Sink, error) {
	if r.opts.out != nil {
		return sinks.NewWriter(r.opts.out), nil
	}
	if r.opts.hooks.receiver != nil {
		return r.opts.hooks.receiver(server)
	}
	o := ServerOptions(server)
	o.Warn = func(msg string) { r.log.Warn(msg) }
	if r.opts.hooks.sink != nil {
		r.opts.hooks.sink(&o)
	}
	return sinks.New(o)
}

// open opens the store.
func (r *run) open() error {
	needed := r.cfg.Checkpointing
	for _, route := range r.cfg.Routes {
		for _, i := range route.Servers {
			needed = needed || r.cfg.Servers[i].Protocol == config.UDP
		}
	}
	if !needed {
		return nil // a record that a server does not take fails its stream
	}
	if r.opts.hooks.store != nil {
		store, err := r.opts.hooks.store(r.cfg)
		r.store, r.commits = store, &commits{store: store}
		return err
	}
	store, err := OpenStore(r.late, r.cfg, r.opts.Version, func(msg string) { r.log.Warn(msg) })
	if err != nil {
		return err
	}
	if dir, ok := store.(*state.Dir); ok {
		if why := dir.Exposed(); why != "" {
			r.log.Warn(fmt.Sprintf("checkpoint directory %q: %s", r.cfg.Directory, why), "hint", state.Private)
		}
	}
	r.store, r.commits = store, &commits{store: store}
	return nil
}

// load reads a stream's checkpoint, or nil when there is none.
func (r *run) load(id state.ID) (*state.Checkpoint, error) {
	if !r.cfg.Checkpointing {
		return nil, nil
	}
	return r.store.Load(id)
}

// saves tells whether the run moves checkpoints.
func (r *run) saves() bool { return r.cfg.Checkpointing && !r.opts.DryRun }

// legacy is the directory in which duologsync's checkpoints may lie, or nil.
func (r *run) legacy() *state.Dir {
	dir, _ := r.store.(*state.Dir)
	return dir
}
