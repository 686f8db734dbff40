package job

import (
	"net/http"
	"time"

	"dls/job/config"
	"dls/sinks"
	"dls/state"
	"dls/state/statetest"
)

// SetTransport puts t in the place of the network to Duo.
func (o *Options) SetTransport(t http.RoundTripper) { o.hooks.transport = t }

// SetStep has f called before each step of a checkpoint's write; its error fails it.
func (o *Options) SetStep(f func(name string) error) {
	o.hooks.store = func(cfg *config.Config) (state.Store, error) {
		dir, err := state.Open(cfg.Directory)
		if err != nil {
			return nil, err
		}
		statetest.Break(cfg.Directory, f)
		return &broken{dir, cfg.Directory}, nil
	}
}

// broken is a checkpoint directory that is broken until it is closed.
type broken struct {
	*state.Dir
	path string
}

func (b *broken) Close() error {
	statetest.Break(b.path, nil)
	return b.Dir.Close()
}

// SetPiece sets how long a run's piece of the daily audit may take.
func (o *Options) SetPiece(d time.Duration) { o.hooks.piece = &d }

// SetSink lets f change what a server's sink is made of.
func (o *Options) SetSink(f func(*sinks.Options)) { o.hooks.sink = f }

// SetReceiver has f make the servers' sinks.
func (o *Options) SetReceiver(f func(config.Server) (sinks.Sink, error)) { o.hooks.receiver = f }

// SetStore has f open the store. It is the only place that has checkpoints.
func (o *Options) SetStore(f func(*config.Config) (state.Store, error)) {
	o.hooks.store, o.Places = f, []string{}
}

// SetList sets how many records of a stream are listed that are sent again.
func (o *Options) SetList(n int) { o.hooks.list = n }

// Has tells whether the account is in the share.
func (s Shard) Has(account string) bool { return s.has(account) }
