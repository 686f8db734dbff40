package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"dls/job/config"
	"dls/job/duo"
	"dls/job/duosim"
)

// Bench measures the program as a whole process on a backlog of n authentication
// records, in turn with the bare copy of the same pages from the same server to
// the same receiver, each answer taking latency, and prints both. The simulated
// Duo and the receiver run in this process, so their time is in no figure but wall
// time.
func Bench(ctx context.Context, w io.Writer, n, rounds int, latency time.Duration) error {
	rounds = max(rounds, 1)
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	sim := duosim.New(duosim.Account{ID: account, Name: "Demo", Ikey: "DI00000000000000DEMO", Skey: "not-a-secret-not-a-secret-not-a-secret-n"})
	sim.ForgetCalls, sim.Latency = true, latency
	// Two records a second: a company of about 100,000 people.
	step := min(time.Second/2, 170*24*time.Hour/time.Duration(n))
	sim.SetBacklog(account, "auth", duosim.Backlog{N: n, From: time.Now().Add(-step*time.Duration(n) - time.Hour), Step: step})
	if err := sim.Start(); err != nil {
		return fmt.Errorf("start the simulated Duo: %w", err)
	}
	defer sim.Close()
	siem, err := count(ctx)
	if err != nil {
		return fmt.Errorf("start the receiver: %w", err)
	}
	defer siem.l.Close()

	fmt.Fprintf(w, "%d authentication records, one stream, JSON over TCP, %v for each answer; the copy moves the same pages as they are\n\n", n, latency)
	fmt.Fprintf(w, "%-10s %9s %9s %10s %12s %9s\n", "", "wall s", "CPU s", "peak MiB", "records/s", "MB/s")
	var wall, cpu []float64
	for range rounds {
		var used [2]usage
		for i, what := range []string{"dls sync", "bare copy"} {
			dir, err := os.MkdirTemp("", "dls-bench-")
			if err != nil {
				return fmt.Errorf("make a directory: %w", err)
			}
			defer os.RemoveAll(dir)
			path, err := configure(dir, sim, siem.l.Addr().(*net.TCPAddr), 180, []string{"auth"})
			if err != nil {
				return err
			}
			args := []string{"sync", "--begin", path}
			if i == 1 {
				args = []string{"demo", "--copy", path}
			}
			siem.reset()
			cmd := exec.CommandContext(ctx, self, args...)
			cmd.Stderr = w
			began := time.Now()
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			used[i] = measured(cmd.ProcessState, time.Since(began))
			lines, size := siem.reset()
			if i == 0 && lines != n {
				return fmt.Errorf("the receiver got %d records instead of %d", lines, n)
			}
			s := used[i].wall.Seconds()
			fmt.Fprintf(w, "%-10s %9.2f %9.2f %10.1f %12.0f %9.0f\n", what, s, used[i].cpu.Seconds(), float64(used[i].peak)/(1<<20), float64(n)/s, float64(size)/1e6/s)
		}
		wall = append(wall, float64(used[0].wall)/float64(used[1].wall))
		cpu = append(cpu, float64(used[0].cpu)/float64(used[1].cpu))
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	fmt.Fprintf(w, "\ndls sync over bare copy, median of %d rounds: wall %.2f (%.2f to %.2f), CPU %.2f (%.2f to %.2f)\n", rounds,
		median(wall), wall[0], wall[rounds-1], median(cpu), cpu[0], cpu[rounds-1])
	return nil
}

// median is that of sorted numbers.
func median(v []float64) float64 { return (v[(len(v)-1)/2] + v[len(v)/2]) / 2 }

// BenchMSP measures the program as a whole process on an MSP: an idle run over all
// child accounts and four endpoints, and one in which every tenth child has news,
// each answer taking latency. It prints both beside the least that they can take.
func BenchMSP(ctx context.Context, w io.Writer, children int, latency time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	endpoints := []string{"auth", "telephony", "activity", "adminaction"}
	sim := duosim.New(duosim.Account{ID: account, Name: "MSP", Host: "api-demo0000.duosecurity.com", Ikey: "DI00000000000000DEMO", Skey: "not-a-secret-not-a-secret-not-a-secret-n", MSP: true})
	defer sim.Close()
	ids := make([]string, children)
	for i := range ids {
		ids[i] = fmt.Sprintf("DACHILD%013d", i)
		sim.AddAccount(duosim.Account{ID: ids[i], Name: fmt.Sprintf("Child %d", i), Host: fmt.Sprintf("api-c%07d.duosecurity.com", i), Parent: account})
	}
	proxy, err := sim.StartProxy("", "")
	if err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	siem, err := count(ctx)
	if err != nil {
		return fmt.Errorf("start the receiver: %w", err)
	}
	defer siem.l.Close()
	dir, err := os.MkdirTemp("", "dls-bench-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	path, err := configure(dir, sim, siem.l.Addr().(*net.TCPAddr), 1, endpoints)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(proxy.Addr())
	if err != nil {
		return err
	}
	text = bytes.Replace(text, []byte("servers:"), []byte("  proxy: {proxy_server: 127.0.0.1, proxy_port: "+port+"}\nservers:"), 1)
	text = bytes.Replace(text, []byte("is_msp: false"), []byte("is_msp: true"), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	streams := children * len(endpoints)
	const parallel = 8
	least := time.Duration(streams) * latency / parallel
	fmt.Fprintf(w, "%d children × %d endpoints = %d streams, %v for each answer, %d at a time: at least %.1f s\n\n", children, len(endpoints), streams, latency, parallel, least.Seconds())
	fmt.Fprintf(w, "%-10s %9s %9s %9s %10s %9s %12s %8s\n", "", "wall s", "of least", "CPU s", "peak MiB", "records", "files new", "1st call")
	for _, round := range []struct {
		name    string
		news    bool
		latency time.Duration
	}{{"first run", false, 0}, {"idle", false, latency}, {"news", true, latency}} {
		sim.Latency = round.latency
		if round.news {
			for i := 0; i < children; i += 10 {
				for k, name := range endpoints {
					sim.Add(ids[i], name, duosim.Generator{Seed: uint64(i*8 + k)}.Generate(name, 5, time.Now().Add(-5*time.Minute), time.Second)...)
				}
			}
		}
		siem.reset()
		calls := len(sim.Calls())
		began := time.Now()
		cmd := exec.CommandContext(ctx, self, "sync", "--begin", "--parallel", strconv.Itoa(parallel), path)
		cmd.Stderr = w
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", round.name, err)
		}
		u := measured(cmd.ProcessState, time.Since(began))
		lines, _ := siem.reset()
		written := 0
		entries, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.ModTime().After(began) {
				written++
			}
		}
		first := sim.Calls()[calls].At.Sub(began)
		fmt.Fprintf(w, "%-10s %9.1f %9.2f %9.1f %10.1f %9d %12d %6dms\n", round.name, u.wall.Seconds(), u.wall.Seconds()/least.Seconds(), u.cpu.Seconds(),
			float64(u.peak)/(1<<20), lines, written, first.Milliseconds())
	}
	return nil
}

// usage is what a process took.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // bytes of memory, or 0 where the system does not tell
}

// Copy moves all pages of a configuration's authentication log to its first
// server as they come, over one connection: the yardstick of [Bench]. It reads no
// record, checks nothing and remembers nothing.
func Copy(ctx context.Context, cfg *config.Config) error {
	ca, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return fmt.Errorf("dls_settings.api.ca_filepath: %w", err)
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
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// counter is a receiver that counts lines and bytes and keeps nothing.
type counter struct {
	l       net.Listener
	n       chan [2]int // the sums so far, when nobody holds them
	buffers sync.Pool   // of *[]byte: many connections must not cost it more than one
}

func count(ctx context.Context) (*counter, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &counter{l: l, n: make(chan [2]int, 1)}
	c.buffers.New = func() any { b := make([]byte, 256<<10); return &b }
	c.n <- [2]int{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.read(conn)
		}
	}()
	return c, nil
}

func (c *counter) read(conn net.Conn) {
	defer conn.Close()
	pooled := c.buffers.Get().(*[]byte)
	defer c.buffers.Put(pooled)
	buf := *pooled
	lines, size := 0, 0
	for {
		n, err := conn.Read(buf)
		lines += bytes.Count(buf[:n], []byte("\n"))
		size += n
		if err != nil {
			break
		}
	}
	sum := <-c.n
	c.n <- [2]int{sum[0] + lines, sum[1] + size}
}

// reset returns the sums and begins anew.
func (c *counter) reset() (lines, size int) {
	sum := <-c.n
	c.n <- [2]int{}
	return sum[0], sum[1]
}
