package job

import (
	"fmt"
	"slices"
	"time"

	"dls/state"
)

// watch says which shares nobody runs, that another N is at work, and which streams
// begin anew because another N has left its checkpoints elsewhere.
func (r *run) watch(sum *Summary) {
	if !r.saves() {
		return
	}
	own := r.opts.Shard.share()
	runs, err := r.store.Shares()
	if err != nil {
		r.log.Warn("the shares that are at work: "+err.Error(), "hint", Hint(err))
		return
	}
	if !slices.ContainsFunc(runs, func(o state.ShareRun) bool { return o.Share != own }) && own.N < 2 {
		return
	}
	sum.Shares = state.LookAtShares(own, r.store.Began(own.Suffix(), r.cfg.Account.IKey), runs)
	for _, note := range sum.Shares.Notes() {
		r.log.Warn(note, "hint", "let a job run each of the K/N, and one N only")
	}
	begun := int(r.roster.begun.Load())
	if own.N == 0 || begun == 0 || r.roster.names == nil || r.opts.Begin {
		return
	}
	for _, other := range runs {
		if other.N > 0 && other.N != own.N {
			r.log.Warn(fmt.Sprintf("%s of share %v begin at dls_settings.api.offset: this store does not know them, and was share %v's until %s",
				counted(begun, "stream", "streams"), own, other.Share, other.At.UTC().Format(time.RFC3339)),
				"hint", "shares of another N read other accounts: keep the checkpoints of all shares in one store (docs/clusters.md)")
			return
		}
	}
}
