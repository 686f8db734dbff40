package job_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dls/job"
	"dls/state/bucket/buckettest"
)

var idleChildren = flag.Int("idle-children", 100, "of how many child accounts the idle round in a bucket is")

// quietDuo is a Duo whose accounts have no records.
type quietDuo struct{ children []byte }

func newQuietDuo(children int) *quietDuo {
	list := make([]map[string]string, children)
	for i := range list {
		list[i] = map[string]string{"account_id": fmt.Sprintf("DACHILD%013d", i), "name": "Child", "api_hostname": "api-1.duosecurity.com"}
	}
	data, err := json.Marshal(map[string]any{"stat": "OK", "response": list})
	if err != nil {
		panic(err)
	}
	return &quietDuo{data}
}

func (d *quietDuo) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	var body []byte
	switch path := r.URL.Path; {
	case strings.Contains(path, "/accounts/"):
		body = d.children
	case strings.Contains(path, "authentication"):
		body = []byte(`{"stat": "OK", "response": {"authlogs": [], "metadata": {"next_offset": null, "total_objects": 0}}}`)
	case strings.Contains(path, "/v1/"):
		body = []byte(`{"stat": "OK", "response": []}`)
	default:
		body = []byte(`{"stat": "OK", "response": {"items": [], "metadata": {"next_offset": null, "total_objects": 0}}}`)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

// An idle round of many child accounts makes few requests of the bucket.
func TestBucketIdleRound(t *testing.T) {
	w, _ := newWorld(t)
	w.text.msp, w.text.hostname = true, "api-0.duosecurity.com"
	model := w.modelBucket()
	idleRounds(t, w, func() (all int) {
		for _, n := range model.Counts() {
			all += n
		}
		return all
	})
}

// The same in a directory, to compare.
func TestDirectoryIdleRound(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t)
	w.text.msp, w.text.hostname = true, "api-0.duosecurity.com"
	idleRounds(t, w, nil)
}

// The same on a real server.
func TestGatewayIdleRound(t *testing.T) {
	g := buckettest.Programs[0].Start(t)
	w, _ := newWorld(t)
	w.text.msp, w.text.hostname = true, "api-0.duosecurity.com"
	t.Setenv("AWS_ACCESS_KEY_ID", buckettest.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", buckettest.SecretKey)
	w.inBucket(g.Bucket, g.Endpoint, g.CAPEM)
	idleRounds(t, w, nil)
}

// idleRounds runs the job on streams without records: once to begin, and then in one
// share and in four.
func idleRounds(t *testing.T, w *world, requests func() int) {
	t.Helper()
	duo := newQuietDuo(*idleChildren)
	var calls atomic.Int64
	round := func(what string, shards ...job.Shard) int {
		t.Helper()
		began := time.Now()
		for _, shard := range shards {
			sum, err := w.try(func(o *job.Options) {
				o.SetTransport(duo)
				o.Shard, o.Parallel, o.Log = shard, 256, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			w.clean(sum)
			calls.Add(int64(len(sum.Results)))
		}
		made := -1
		if requests != nil {
			made = requests()
		}
		t.Logf("%s, %d streams: %d requests, %v; the most memory of the process so far: %s", what, *idleChildren*len(bucketNames), made, time.Since(began).Round(time.Millisecond), peak())
		return made
	}
	round("the first round", job.Shard{})
	most := 30 + *idleChildren/1000*len(bucketNames)
	if made := round("an idle round", job.Shard{}); made > most {
		t.Errorf("%d requests, want at most %d", made, most)
	}
	four := []job.Shard{{K: 0, N: 4}, {K: 1, N: 4}, {K: 2, N: 4}, {K: 3, N: 4}}
	round("the first round of four shares", four...)
	if made := round("an idle round of four shares", four...); made > 4*most+50 {
		t.Errorf("%d requests, want at most %d", made, 4*most+50)
	}
}

// peak is the most memory that this process has had, as Linux tells it.
func peak() string {
	data, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(rest)
		}
	}
	return "unknown"
}
