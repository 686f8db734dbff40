package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dls/job/audit"
	"dls/job/config"
	"dls/state"
)

// The pieces of a daily audit.
const (
	leastPiece = 10 * time.Second
	mostPiece  = 10 * time.Minute
	firstPiece = time.Minute // where it is not known how often runs are
)

// errPiece ends the reading of a stream whose piece of this run is over.
var errPiece = errors.New("the rest is the next run's")

// daily is the audit that a run does by itself, once a day and in pieces: it holds the
// hours since the last pass, and a day before them, against the streams' ledgers, and
// delivers what came late. A nil *daily is none.
type daily struct {
	passes   map[state.ID]state.Pass
	deadline time.Time
}

// since is as that of a run.
func (d *daily) since(s *stream) (ms int64, read bool) {
	p, ok := d.passes[s.id]
	return p.Next, ok
}

// over ends a stream's piece: not before there is progress, so that every pass ends.
func (d *daily) over(s *stream) error {
	if d == nil || time.Now().Before(d.deadline) || state.HourOf(s.cp.DeliveredUntil) <= state.HourOf(d.passes[s.id].Next) {
		return nil
	}
	return errPiece
}

// audit does the piece of the daily audit that is this run's, if any: after the day's own
// records. What fails is in the results; the next run goes on from there.
func (r *run) audit(ctx context.Context, streams []*stream) {
	if !r.cfg.Audit || !r.saves() || ctx.Err() != nil {
		return
	}
	d := &daily{passes: map[state.ID]state.Pass{}}
	due := state.HourOf(r.end) * time.Hour.Milliseconds()
	var accounts []account
	seen := map[string]bool{}
	first := r.end
	for _, s := range streams {
		if s.result.Err != nil || s.ledger.Since == 0 {
			continue
		}
		p, open := s.ledger.Pass.Begin(s.ledger.Since, due, r.start)
		if !open {
			continue
		}
		d.passes[s.id] = p
		first = min(first, p.Next)
		if !seen[s.id.Account] {
			seen[s.id.Account] = true
			accounts = append(accounts, account{id: s.id.Account, host: s.host, name: s.result.AccountName})
		}
	}
	if len(d.passes) == 0 {
		return
	}
	d.deadline = r.piece()
	if err := r.pass(ctx, d, first, accounts, streams); err != nil {
		r.log.Warn("the daily audit: "+err.Error()+"; the next run tries again", "hint", Hint(err))
	}
}

// piece is when this run's piece of the audit is over: half of the time between runs
// is the day's own records'.
func (r *run) piece() time.Time {
	if d := r.opts.hooks.piece; d != nil {
		return time.Now().Add(*d)
	}
	began := r.store.Began(r.opts.Shard.suffix(), r.cfg.Account.IKey)
	if len(began) == 0 {
		return time.Now().Add(firstPiece)
	}
	left := r.start.Sub(began[len(began)-1])/2 - time.Since(r.start)
	return time.Now().Add(max(min(left, mostPiece), leastPiece))
}

// pass reads the piece, delivers what came late, and notes how far the pass is.
func (r *run) pass(ctx context.Context, d *daily, first int64, accounts []account, streams []*stream) error {
	opts := AuditOptions{Options: r.opts, Since: time.UnixMilli(first), Until: time.UnixMilli(r.end)}
	opts.Progress, opts.MaxRuntime = nil, 0
	opts.hooks.store = func(*config.Config) (state.Store, error) { return r.store, nil }
	e, err := newExamination(ctx, r.cfg, opts)
	if err != nil {
		return err
	}
	e.daily = d
	defer e.close()
	e.spool = audit.NewSpool(e.temp)
	e.run.since, e.run.given, e.run.limits = d.since, accounts, r.limits
	sum, err := e.run.work(ctx)
	if err != nil {
		return err
	}
	e.read = sum.Results
	if e.failed != nil {
		return e.failed
	}
	rows, err := e.compare(nil)
	if err != nil {
		return err
	}
	resent, missing := new(Summary), 0
	for _, row := range rows {
		missing += row.Missing + row.Unproved
	}
	if missing > 0 {
		resent, err = e.resend(ctx, func(one func(again) error) error { return e.unknown(false, one) })
	}
	if err != nil {
		return err
	}
	for _, s := range streams {
		p, ok := d.passes[s.id]
		if !ok {
			continue
		}
		late, lost := 0, 0
		for _, row := range rows {
			if row.Endpoint == s.id.Endpoint && row.Account == s.id.Account {
				lost += row.Missing + row.Unproved + row.uncounted // where Duo shows fewer than before, one may be missing beside
			}
		}
		var failed error
		for _, result := range resent.Results {
			if result.Endpoint == s.id.Endpoint && result.Account == s.id.Account {
				late, failed = result.Delivered, result.Err
				s.result.Oversize += result.Oversize
				s.result.Kept = s.result.Kept || result.Kept
			}
		}
		s.result.Late += late
		if late > 0 {
			r.log.Warn(counted(late, "record that Duo showed late was", "records that Duo showed late were")+" found by the daily audit and delivered", "stream", s.result.Name())
		}
		if failed != nil {
			s.result.Err = fmt.Errorf("deliver what the daily audit found: %w", failed)
			continue
		}
		if err := e.note(r, s, p, lost-late); err != nil {
			s.result.Err = err
		}
	}
	return nil
}

// note notes in the stream's checkpoint how far its pass is.
func (e *examination) note(r *run, s *stream, p state.Pass, lost int) error {
	var read *stream
	for _, o := range e.streams {
		if o.id == s.id {
			read = o
		}
	}
	var cp *state.Checkpoint
	if read != nil && e.ledgers[read] != nil {
		cp = e.ledgers[read].cp
	} else {
		var err error
		if cp, err = r.store.Load(s.id); err != nil || cp == nil {
			return err
		}
	}
	reached, found := p.End, false
	for _, result := range e.read {
		if result.Endpoint != s.id.Endpoint || result.Account != s.id.Account {
			continue
		}
		if found = true; result.Err == nil {
			continue
		}
		reached = min(state.HourOf(result.Until.UnixMilli())*time.Hour.Milliseconds(), p.End)
		switch {
		case errors.Is(result.Err, state.ErrLedger):
			r.log.Warn("the daily audit: "+result.Err.Error(), "stream", s.result.Name(), "hint", Hint(result.Err))
		case !errors.Is(result.Err, errPiece):
			r.log.Info("the daily audit goes on with the next run", "stream", s.result.Name(), "because", result.Err)
		}
	}
	if !found {
		return nil // what was not read is not audited
	}
	cp.Ledger.Pass = p.Reach(max(reached, p.Next), lost, r.start)
	if cp.Ledger.Pass.Next == 0 {
		done := cp.Ledger.Pass
		s.result.Audited, s.result.Missing = time.UnixMilli(done.At).UTC(), done.Missing
		if done.Missing > 0 {
			from := time.UnixMilli(done.From).UTC().Format(time.RFC3339)
			r.log.Warn(counted(done.Missing, "record is", "records are")+" missing, and the ledger does not tell which", "stream", s.result.Name(),
				"hint", "dls audit CONFIG --since "+from+" --resend SERVER sends the hours that differ; with --against what the SIEM has, exactly what is missing")
		}
	}
	s.ledger.Pass = cp.Ledger.Pass
	staged, err := r.store.Stage(s.id, cp)
	if err != nil {
		return err
	}
	return r.commits.commit(staged)
}
