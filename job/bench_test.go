package job_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/demo"
	"dls/job/duosim"
	"dls/sinks/sinktest"
)

// BenchmarkBacklog runs the whole job on a backlog of 120,000 authentication
// records, in turn with the bare copy of the same pages from the same server to
// the same receiver, its yardstick. The ratio of the two is reported as x-copy, for
// a Duo that takes no time for an answer and for others. All of it, Duo and
// receiver too, shares this process.
func BenchmarkBacklog(b *testing.B) {
	const n = 120_000
	dir := b.TempDir()
	sim := duosim.New(duosim.Account{ID: parent, Name: "Bench", Ikey: ikey, Skey: skey})
	sim.ForgetCalls = true
	sim.SetBacklog(parent, "auth", duosim.Backlog{N: n, From: time.Now().Add(-n*time.Second/2 - time.Hour), Step: time.Second / 2})
	if err := sim.Start(); err != nil {
		b.Fatal(err)
	}
	defer sim.Close()
	siem := sinktest.Listen(b, sinktest.Options{Behave: sinktest.Discard})
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, sim.CAPEM(), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, latency := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond} {
		b.Run(latency.String(), func(b *testing.B) {
			sim.Latency = latency
			var synced, copied time.Duration
			for b.Loop() {
				cfg, err := config.Parse("bench.yml", []byte(`{"version": "1.0.0",
					"dls_settings": {"api": {"ca_filepath": "`+ca+`"}, "checkpointing": {"directory": "`+b.TempDir()+`"}},
					"servers": [{"id": "siem", "hostname": "127.0.0.1", "port": `+strconv.Itoa(siem.Port())+`, "protocol": "TCP"}],
					"account": {"ikey": "`+ikey+`", "skey": "`+skey+`", "hostname": "`+sim.Host(parent)+`",
						"endpoint_server_mappings": [{"endpoints": ["auth"], "server": "siem"}]}}`), config.Env{})
				if err != nil {
					b.Fatal(err)
				}
				began := time.Now()
				sum, err := job.Sync(context.Background(), cfg, job.Options{Version: "bench"})
				if err != nil {
					b.Fatal(err)
				}
				if r := sum.Results[0]; r.Err != nil || r.Delivered != n {
					b.Fatalf("delivered %d records, %v", r.Delivered, r.Err)
				}
				synced += time.Since(began)
				began = time.Now()
				if err := demo.Copy(context.Background(), cfg); err != nil {
					b.Fatal(err)
				}
				copied += time.Since(began)
			}
			b.ReportMetric(float64(synced)/float64(copied), "x-copy")
			b.ReportMetric(n*float64(b.N)/synced.Seconds(), "records/s")
		})
	}
}

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
