package job

import (
	"context"
	"errors"

	"dls/state"
)

// remember notes in the checkpoint directory what the run came to for each
// stream, for dls status and the metrics. It fails nothing: it is only shown.
func (r *run) remember(ctx context.Context, sum *Summary) {
	runs := make([]state.StreamRun, 0, len(sum.Results))
	for _, result := range sum.Results {
		runs = append(runs, result.run(sum, context.Cause(ctx)))
	}
	sum.Runs = runs
	if !r.cfg.Checkpointing {
		return
	}
	all := len(r.opts.Endpoints) == 0 && r.opts.Account == ""
	known, err := r.store.SaveRuns(r.opts.Shard.suffix(), r.cfg.Account.IKey, runs, all)
	if _, damaged := errors.AsType[*state.RunsError](err); damaged {
		r.log.Warn(err.Error()+"; what it knew of last runs is lost", "hint", "nothing that is delivered depends on it")
	} else if err != nil {
		r.log.Warn(err.Error(), "hint", Hint(err))
	}
	sum.Runs = known
}

// run is the result as it is remembered; cause is why the run ended early, or
// nil.
func (r *Result) run(sum *Summary, cause error) state.StreamRun {
	s := state.StreamRun{
		Endpoint: r.Endpoint, Account: r.Account, AccountName: r.AccountName,
		Ended: sum.End.UTC(), Outcome: state.Failed,
		Fetched: r.Fetched, Delivered: r.Delivered, Already: r.Already, Oversize: r.Oversize, Longest: r.Longest, Bytes: r.Bytes,
		Audited: r.Audited, AuditMissing: r.Missing, Late: r.Late,
		Pages: r.Pages, Retries: r.Retries, Limited: r.Limited, Duration: r.Duration, Until: r.Until,
	}
	switch {
	case r.Err == nil:
		s.Outcome, s.CompleteUntil, s.Succeeded = state.Done, sum.WindowEnd, s.Ended
		return s
	case cause != nil && errors.Is(r.Err, cause):
		s.Outcome = state.Unfinished
	}
	s.Error = r.Err.Error()
	return s
}

// suffix tells the shard's file of last runs from the others'.
func (s Shard) suffix() string { return s.share().Suffix() }
