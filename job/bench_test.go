package job_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duosim"
)

// replay answers calls from memory: those that it has not seen go to the network
// once.
type replay struct {
	network http.RoundTripper
	bodies  map[string][]byte // by cursor
}

func (r *replay) RoundTrip(req *http.Request) (*http.Response, error) {
	cursor := req.URL.Query().Get("next_offset")
	body, known := r.bodies[cursor]
	if !known {
		resp, err := r.network.RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		defer resp.Body.Close()
		if body, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		r.bodies[cursor] = body
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}, nil
}

// BenchmarkPages measures what the job itself does for a page of 1,000
// authentication records, and no system or network: the answers come from memory,
// and the lines go nowhere.
func BenchmarkPages(b *testing.B) {
	const pages = 40
	sim := duosim.New(duosim.Account{ID: parent, Name: "Bench", Ikey: ikey, Skey: skey})
	sim.SetBacklog(parent, "auth", duosim.Backlog{N: pages * 1000, From: time.Now().Add(-20 * time.Hour), Step: time.Second / 2})
	if err := sim.Start(); err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	cfg, err := config.Parse("bench.yml", []byte(`{"version": "1.0.0", "servers": [{"id": "siem", "hostname": "127.0.0.1", "port": 9999, "protocol": "TCP"}],
		"account": {"ikey": "`+ikey+`", "skey": "`+skey+`", "hostname": "`+sim.Host(parent)+`",
			"endpoint_server_mappings": [{"endpoints": ["auth"], "server": "siem"}]}}`), config.Env{})
	if err != nil {
		b.Fatal(err)
	}
	transport := &replay{&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, map[string][]byte{}}
	pull := func() {
		opts := job.PullOptions{Options: job.Options{Version: "bench"}, Since: time.Now().Add(-24 * time.Hour), Format: config.JSON, Out: io.Discard}
		opts.SetTransport(transport)
		sum, err := job.Pull(context.Background(), cfg, opts)
		if err != nil {
			b.Fatal(err)
		}
		if r := sum.Results[0]; r.Err != nil || r.Delivered != pages*1000 {
			b.Fatalf("delivered %d records, %v", r.Delivered, r.Err)
		}
	}
	pull()
	for b.Loop() {
		pull()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*pages), "µs/page")
}
