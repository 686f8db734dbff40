//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dls/job/config"
	"dls/job/duo"
	"dls/job/duosim"
)

// The benchmarks of this file measure the program as a whole process: they build it,
// and run it against a simulated Duo and a receiver in the test's own process, whose
// time is in no figure but wall time. Each figure is the median over the runs, so
// -benchtime=7x gives that of seven:
//
//	go test -run xxx -bench Backlog/records=120000 -benchtime 7x .

func init() {
	programs["measured"], programs["barecopy"] = measured, bareCopy
}

// BenchmarkBacklog runs the program on a backlog of authentication records, one stream
// over TCP, in turn with the bare copy of the same pages, see [bareCopy]. The figures
// are the ratios to it of wall time (x-copy) and of CPU time (x-copy-cpu), and the wall
// time above it (s-more), which is at least what the receivers' settle asks.
func BenchmarkBacklog(b *testing.B) {
	program := build(b)
	for _, c := range []struct {
		records int
		latency time.Duration
		settle  string // as it is configured
	}{
		{10_000, 0, "0"},
		{120_000, 0, "0"},
		{120_000, 5 * time.Millisecond, "0"},
		{120_000, 50 * time.Millisecond, "0"},
		{120_000, 0, "default"},
		{120_000, 5 * time.Millisecond, "default"},
		{120_000, 50 * time.Millisecond, "default"},
		{1_000_000, 0, "0"},
	} {
		b.Run(fmt.Sprintf("records=%d/latency=%v/settle=%s", c.records, c.latency, c.settle), func(b *testing.B) {
			sim := duosim.New(duosim.Account{ID: benchAccount, Name: "Bench", Ikey: benchKey, Skey: scriptSecret})
			sim.ForgetCalls, sim.Latency = true, c.latency
			// Two records a second: a company of about 100,000 people.
			step := min(time.Second/2, 170*24*time.Hour/time.Duration(c.records))
			sim.SetBacklog(benchAccount, "auth", duosim.Backlog{N: c.records, From: time.Now().Add(-step*time.Duration(c.records) - time.Hour), Step: step})
			if err := sim.Start(); err != nil {
				b.Fatal(err)
			}
			defer sim.Close()
			siem := listen(b)
			var synced []spent
			var wall, cpu, more []float64
			for b.Loop() {
				path := benchConfig(b, sim, siem, c.settle, 180, "auth")
				siem.reset()
				s := measure(b, program, "sync", "--begin", path)
				if n := siem.reset(); n != c.records {
					b.Fatalf("the receiver got %d records, want %d", n, c.records)
				}
				c := measure(b, "barecopy", path)
				synced = append(synced, s)
				wall = append(wall, float64(s.Wall)/float64(c.Wall))
				cpu = append(cpu, float64(s.CPU)/float64(c.CPU))
				more = append(more, (s.Wall - c.Wall).Seconds())
			}
			b.ReportMetric(median(wall), "x-copy")
			b.ReportMetric(median(cpu), "x-copy-cpu")
			b.ReportMetric(median(more), "s-more")
			b.ReportMetric(median(each(synced, func(u spent) float64 { return u.CPU.Seconds() })), "cpu-s")
			b.ReportMetric(median(each(synced, func(u spent) float64 { return float64(u.Peak) / (1 << 20) })), "peak-MiB")
			b.ReportMetric(float64(c.records)/median(each(synced, func(u spent) float64 { return u.Wall.Seconds() })), "records/s")
			b.ReportMetric(0, "ns/op") // it would count both
		})
	}
}

// BenchmarkMSP runs the program over the child accounts of an MSP, four endpoints each,
// 50 ms for an answer: where nothing is new, and where every tenth child has news. The
// figures are the ratio of the wall time to the least possible, calls one after the
// other on each of eight lanes (x-least), calls of Duo, files written and the time to
// the first call.
func BenchmarkMSP(b *testing.B) {
	program := build(b)
	for _, children := range []int{100, 2000} {
		b.Run(fmt.Sprintf("children=%d", children), func(b *testing.B) { benchMSP(b, program, children) })
	}
}

func benchMSP(b *testing.B, program string, children int) {
	const parallel, latency = 8, 50 * time.Millisecond
	endpoints := []string{"auth", "telephony", "activity", "adminaction"}
	sim := duosim.New(duosim.Account{ID: benchAccount, Name: "MSP", Host: "api-demo0000.duosecurity.com", Ikey: benchKey, Skey: scriptSecret, MSP: true})
	b.Cleanup(sim.Close)
	sim.ForgetCalls = true
	var calls, first atomic.Int64
	sim.Watch = func(c duosim.Call) {
		if calls.Add(1) == 1 {
			first.Store(c.At.UnixNano())
		}
	}
	ids := make([]string, children)
	for i := range ids {
		ids[i] = fmt.Sprintf("DACHILD%013d", i)
		sim.AddAccount(duosim.Account{ID: ids[i], Name: fmt.Sprintf("Child %d", i), Host: fmt.Sprintf("api-c%07d.duosecurity.com", i), Parent: benchAccount})
	}
	proxy, err := sim.StartProxy("", "")
	if err != nil {
		b.Fatal(err)
	}
	siem := listen(b)
	path := benchConfig(b, sim, siem, "0", 1, endpoints...)
	text, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	_, port, err := net.SplitHostPort(proxy.Addr())
	if err != nil {
		b.Fatal(err)
	}
	text = bytes.Replace(text, []byte("servers:"), []byte("  proxy: {proxy_server: 127.0.0.1, proxy_port: "+port+"}\nservers:"), 1)
	if err := os.WriteFile(path, append(text, "  is_msp: true\n"...), 0o600); err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B) spent {
		return measure(b, program, "sync", "--begin", "--parallel", strconv.Itoa(parallel), path)
	}
	run(b) // the first one begins all streams
	sim.Latency = latency

	for _, kind := range []string{"idle", "news"} {
		b.Run(kind, func(b *testing.B) {
			var wall, cpu, peak, asked, written, waited []float64
			for round := uint64(0); b.Loop(); round++ {
				records := 0
				for i := 0; kind == "news" && i < children; i += 10 {
					for k, name := range endpoints {
						news := duosim.Generator{Seed: round<<32 + uint64(i*8+k)}.Generate(name, 5, time.Now().Add(-5*time.Minute), time.Second)
						sim.Add(ids[i], name, news...)
						records += len(news)
					}
				}
				siem.reset()
				calls.Store(0)
				u := run(b)
				if n := siem.reset(); n != records {
					b.Fatalf("the receiver got %d records, want %d", n, records)
				}
				n := calls.Load()
				least := time.Duration(n) * latency / parallel
				wall = append(wall, float64(u.Wall)/float64(least))
				cpu = append(cpu, u.CPU.Seconds())
				peak = append(peak, float64(u.Peak)/(1<<20))
				asked = append(asked, float64(n))
				written = append(written, float64(writtenSince(b, filepath.Join(filepath.Dir(path), "checkpoints"), u.Began)))
				waited = append(waited, float64(time.Unix(0, first.Load()).Sub(u.Began).Milliseconds()))
			}
			b.ReportMetric(median(wall), "x-least")
			b.ReportMetric(median(cpu), "cpu-s")
			b.ReportMetric(median(peak), "peak-MiB")
			b.ReportMetric(median(asked), "calls")
			b.ReportMetric(median(written), "files")
			b.ReportMetric(median(waited), "ms-to-call")
		})
	}
}

// writtenSince counts the files of a directory that were written since a time.
func writtenSince(b *testing.B, dir string, since time.Time) (n int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(since) {
			n++
		}
	}
	return n
}

const (
	benchAccount = "DABENCH0000000000000"
	benchKey     = "DIBENCH0000000000000"
)

// benchConfig writes a configuration into a directory of its own.
func benchConfig(b *testing.B, sim *duosim.Server, siem *counter, settle string, offset int, endpoints ...string) (path string) {
	dir := b.TempDir()
	if settle != "default" {
		settle = "    settle: " + settle + "\n"
	} else {
		settle = ""
	}
	text := fmt.Sprintf(`version: '1.0.0'
dls_settings:
  log_filepath: %q
  api: {offset: %d, ca_filepath: %q}
  checkpointing: {directory: %q}
servers:
  - id: siem
    hostname: 127.0.0.1
    port: %d
    protocol: TCP
%saccount:
  ikey: %s
  skey: %s
  hostname: %s
  endpoint_server_mappings: [{endpoints: [%s], server: siem}]
`, filepath.Join(dir, "dls.log"), offset, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "checkpoints"),
		siem.l.Addr().(*net.TCPAddr).Port, settle, benchKey, scriptSecret, sim.Host(benchAccount), strings.Join(endpoints, ", "))
	path = filepath.Join(dir, "config.yml")
	for name, data := range map[string][]byte{path: []byte(text), filepath.Join(dir, "ca.pem"): sim.CAPEM()} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "checkpoints"), 0o700); err != nil {
		b.Fatal(err)
	}
	return path
}

// build builds the program and returns its path.
func build(b *testing.B) string {
	path := filepath.Join(b.TempDir(), "dls")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return path
}

// spent is what a process took.
type spent struct {
	Began     time.Time
	Wall, CPU time.Duration
	Peak      int64 // bytes of memory
}

// measure runs a program. Another process does it: what the system counts as the peak
// of a process includes the memory of the one that started it, and this one holds the
// simulated Duo.
func measure(b *testing.B, program string, args ...string) (u spent) {
	cmd := exec.CommandContext(b.Context(), "measured", append([]string{program}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &u)
	}
	if err != nil {
		b.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &stderr)
	}
	return u
}

// measured is a program of the tests: it runs another and prints what it took, as JSON.
func measured() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	u := spent{Began: time.Now()}
	err := cmd.Run()
	u.Wall = time.Since(u.Began)
	if err == nil {
		u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		u.Peak = int64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) // kilobytes, but bytes on macOS
		if runtime.GOOS != "darwin" {
			u.Peak <<= 10
		}
		err = json.NewEncoder(os.Stdout).Encode(u)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bareCopy is a program of the tests, the yardstick: it moves all pages of a
// configuration's authentication log to its first server as they come, over one
// connection. It reads no record, confirms nothing and remembers nothing.
func bareCopy() {
	cfg, err := config.Load(os.Args[1], config.SystemEnv())
	if err == nil {
		err = copyPages(context.Background(), cfg)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func copyPages(ctx context.Context, cfg *config.Config) error {
	ca, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return err
	}
	client, err := duo.New(duo.Options{IKey: cfg.Account.IKey, SKey: cfg.Account.SKey.Reveal(), UserAgent: "dls", CAPEM: ca})
	if err != nil {
		return err
	}
	defer client.Close()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", cfg.Servers[0].Addr())
	if err != nil {
		return err
	}
	defer conn.Close()
	now := time.Now()
	params := url.Values{
		"mintime": {strconv.FormatInt(now.Add(-179*24*time.Hour).UnixMilli(), 10)},
		"maxtime": {strconv.FormatInt(now.Add(-2*time.Minute).UnixMilli(), 10)},
		"limit":   {"1000"}, "sort": {"ts:asc"},
	}
	var body []byte
	for {
		if body, err = client.Get(ctx, cfg.Account.Hostname, "/admin/v2/logs/authentication", params, body, nil); err != nil {
			return err
		}
		if _, err := conn.Write(body); err != nil {
			return err
		}
		// The cursor is ["ms","txid"] near the answer's end.
		_, rest, found := bytes.Cut(body[max(0, len(body)-500):], []byte(`"next_offset":["`))
		cursor, _, closed := bytes.Cut(rest, []byte(`"]`))
		if !found || !closed {
			break
		}
		params.Set("next_offset", string(bytes.Replace(cursor, []byte(`","`), []byte(","), 1)))
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// each is what f makes of each.
func each(all []spent, f func(spent) float64) []float64 {
	var v []float64
	for _, u := range all {
		v = append(v, f(u))
	}
	return v
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// counter is a receiver that counts lines and keeps nothing.
type counter struct {
	l       net.Listener
	lines   atomic.Int64 // of connections that ended
	buffers sync.Pool    // of *[]byte: many connections do not cost it more than one
}

func listen(b *testing.B) *counter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	c := &counter{l: l}
	c.buffers.New = func() any { p := make([]byte, 256<<10); return &p }
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.read(conn)
		}
	}()
	return c
}

// read counts what a connection brings, before it is closed.
func (c *counter) read(conn net.Conn) {
	defer conn.Close()
	pooled := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(pooled)
	lines := 0
	for {
		n, err := conn.Read(*pooled)
		lines += bytes.Count((*pooled)[:n], []byte("\n"))
		if err != nil {
			break
		}
	}
	c.lines.Add(int64(lines))
}

// reset returns the count and begins anew.
func (c *counter) reset() (lines int) { return int(c.lines.Swap(0)) }
