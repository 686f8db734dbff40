package job_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"dls/job"
	"dls/state"
	"dls/state/storetest"
)

func TestShardText(t *testing.T) {
	for text, want := range map[string]job.Shard{"0/1": {K: 0, N: 1}, "3/4": {K: 3, N: 4}} {
		var s job.Shard
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q is %v, %v, want %v", text, s, err, want)
		}
	}
	for _, text := range []string{"", "1", "4/4", "-1/4", "1/0", "a/b", "1/2/3", "0/100000"} {
		var s job.Shard
		if s.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is taken for %v", text, s)
		}
	}
}

// N processes that share a directory, at once, deliver everything exactly once
// between them; a whole run and a share keep each other out.
func TestShards(t *testing.T) {
	t.Parallel()
	names := []string{"auth", "telephony", "activity", "adminaction"}
	w, siem := newWorld(t)
	var want []string
	for i := range 24 {
		id := fmt.Sprintf("DACHILD%013d", i)
		w.child(id, "Child")
		w.fill(id, 3, time.Now().Add(-time.Hour), uint64(i))
		want = append(want, w.lines(id, names...)...)
	}
	for k, sum := range w.shares(4) {
		if sum != nil && len(sum.Results) == 0 {
			t.Errorf("share %d has no account", k)
		}
	}
	exactly(t, want, siem.Take())
	w.clean(w.sync())
	exactly(t, nil, siem.Take())

	defer storetest.Lock(t, w.path("state"))()
	if _, err := w.try(func(o *job.Options) { o.Shard = job.Shard{K: 1, N: 2} }); !errors.Is(err, state.ErrLocked) {
		t.Errorf("error %v, want %v", err, state.ErrLocked)
	}
}
