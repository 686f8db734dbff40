package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dls/cef"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/record"
	"dls/job/retry"
	"dls/state"
)

// account is one account whose endpoints are read.
type account struct {
	id, host, name string
	wrong          error // why it cannot be read, or nil
}

// plan makes the streams: every mapped endpoint of every account. Those whose
// checkpoint was written last come last: after a run that was cut short, the
// ones that it did not reach go first.
func (r *run) plan(ctx context.Context) ([]*stream, error) {
	accounts := []account{{host: r.cfg.Account.Hostname}}
	if r.given != nil {
		accounts = r.given
	} else if r.cfg.Account.MSP {
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
	if r.saves() {
		r.order(streams)
	}
	return streams, nil
}

// order puts streams whose turn came longest ago first, so that neither a run that is
// cut short nor streams that hang keep the others from theirs.
func (r *run) order(streams []*stream) {
	turns, err := r.store.Turns(r.cfg.Account.IKey)
	if err != nil {
		r.log.Warn(err.Error()+"; the order of the streams is another one", "hint", "nothing that is delivered depends on it")
	}
	r.turned = turns
	slices.SortStableFunc(streams, func(a, b *stream) int {
		return turns[a.id.File()].Compare(turns[b.id.File()])
	})
}

// stream makes the stream of an endpoint of an account.
func (r *run) stream(a account, route config.Route) *stream {
	row := route.Endpoint
	return &stream{
		run: r, endpoint: row, servers: route.Servers, host: a.host, wrong: a.wrong,
		id:      state.ID{IKey: r.cfg.Account.IKey, Endpoint: row.Name, Account: a.id},
		outcome: outcome{result: Result{Endpoint: row.Name, Account: a.id, AccountName: a.name, rest: r.rest}},
	}
}

// outfit makes what the stream writes its records with, and its ways to its servers.
func (s *stream) outfit() {
	r, row := s.run, s.endpoint
	s.backoff = retry.Backoff{Limit: r.opts.RetryFor, Least: time.Second, Most: 30 * time.Second}
	l := &lines{endpoint: row, fields: slices.Concat(row.ID, row.Times), cef: r.cef, account: s.id.Account}
	if r.cef != nil {
		l.mapping = cef.For(row.CEF)
	}
	if s.id.Account != "" {
		l.extra = []record.Extra{record.NewExtra("child_account_id", s.id.Account)}
	} else {
		for _, e := range row.Extra {
			if e.Value == duo.HostValue {
				e.Value = r.cfg.Account.Hostname
			}
			l.extra = append(l.extra, record.NewExtra(e.Key, e.Value))
		}
	}
	s.lines = l
	for _, i := range s.servers {
		o := ServerOptions(r.cfg.Servers[i])
		s.lanes = append(s.lanes, &lane{to: r.servers[i], bare: r.cef != nil && o.OwnPrefix()})
	}
}

// errNoChildren is an MSP without child accounts: more likely a permission that
// was taken away than the truth.
var errNoChildren = errors.New("list the child accounts: Duo lists none")

// children lists the child accounts that the run is about.
func (r *run) children(ctx context.Context) ([]account, error) {
	list, err := r.list(ctx)
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
		accounts = append(accounts, account{c.ID, c.Host, c.Name, c.Wrong})
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

// list asks Duo for the child accounts, again and again while that may help.
func (r *run) list(ctx context.Context) ([]duo.Child, error) {
	b := retry.Backoff{Limit: r.opts.RetryFor, Least: time.Second, Most: 30 * time.Second}
	for {
		asked := time.Now()
		list, err := r.client.Children(ctx, r.cfg.Account.Hostname, r.cfg.Account.ChildDomains)
		if err == nil || ctx.Err() != nil || !duo.Temporary(err) {
			return list, err
		}
		wait, ok := b.Failed(time.Since(asked))
		if !ok {
			return nil, b.Exhausted(err)
		}
		r.log.Info("trying again to list the child accounts", "in", wait.Round(time.Millisecond), "because", err)
		if !retry.Sleep(ctx, wait) {
			return nil, err
		}
	}
}
