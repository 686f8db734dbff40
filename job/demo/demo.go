// Package demo shows the whole job on a machine that has nothing but the
// program: it starts a simulated Duo and a receiver on loopback, writes a
// configuration, and calls the real command line on it.
//
// Start with [Run]. The Go API is not stable.
package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dls/job/duo"
	"dls/job/duosim"
)

// Records is how many records of each endpoint the first run finds, News how
// many more the second.
const (
	Records = 40
	News    = 3
)

const account = "DA00000000000000DEMO"

// Run carries the demo out and tells of it on w. dls calls the program's command
// line and returns its exit code. With keep, the temporary directory is left for
// the user to look at. The error is what did not come out as it must.
func Run(ctx context.Context, w io.Writer, keep bool, dls func(args ...string) int) error {
	dir, err := os.MkdirTemp("", "dls-demo-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if !keep {
		defer os.RemoveAll(dir)
	}
	sim := duosim.New(duosim.Account{ID: account, Name: "Demo", Ikey: "DI00000000000000DEMO", Skey: "not-a-secret-not-a-secret-not-a-secret-n"})
	if err := sim.Start(); err != nil {
		return fmt.Errorf("start the simulated Duo: %w", err)
	}
	defer sim.Close()
	siem, err := listen(ctx)
	if err != nil {
		return fmt.Errorf("start the receiver: %w", err)
	}
	defer siem.close()
	path, err := configure(dir, sim, siem.addr(), 1, duo.Names())
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "A simulated Duo answers at https://%s, a receiver takes lines at tcp://%s.\n", sim.Host(account), siem.addr())
	fmt.Fprintf(w, "The configuration is %s.\n", path)

	began := time.Now().Add(-time.Hour)
	for i, round := range []struct {
		title   string
		records int
		from    time.Time
	}{
		{"The first run: everything of the last hour", Records, began},
		{"The second run: only what is new", News, began.Add(50 * time.Minute)},
		{"The third run: nothing is new", 0, time.Time{}},
	} {
		for _, row := range duo.All() {
			sim.Add(account, row.Name, duosim.Generator{Seed: uint64(i), Jitter: true}.Generate(row.Name, round.records, round.from, time.Minute)...)
		}
		fmt.Fprintf(w, "\n== %s\n\n$ dls sync -v config.yml\n", round.title)
		if code := dls("sync", "-v", "--begin", path); code != 0 {
			return fmt.Errorf("the run ended with exit code %d", code)
		}
		lines := siem.take()
		if want := round.records * len(duo.All()); len(lines) != want {
			return fmt.Errorf("the receiver got %d records instead of %d", len(lines), want)
		}
		fmt.Fprintf(w, "\nexit code 0; the receiver got %d records", len(lines))
		for j, line := range lines {
			if j%max(round.records, 13) == 0 {
				fmt.Fprintf(w, "\n  %s", shorten(line))
			}
		}
		fmt.Fprintln(w)
	}
	return checkpoints(w, filepath.Join(dir, "checkpoints"))
}

// configure writes the configuration and what belongs to it into dir.
func configure(dir string, sim *duosim.Server, siem *net.TCPAddr, offset int, endpoints []string) (path string, err error) {
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, sim.CAPEM(), 0o600); err != nil {
		return "", err
	}
	state := filepath.Join(dir, "checkpoints")
	if err := os.Mkdir(state, 0o700); err != nil {
		return "", err
	}
	text := fmt.Sprintf(`version: '1.0.0'
dls_settings:
  log_filepath: %q
  log_format: JSON
  api:
    offset: %d
    ca_filepath: %q
  checkpointing:
    enabled: true
    directory: %q
servers:
  - id: siem
    hostname: 127.0.0.1
    port: %d
    protocol: TCP
account:
  ikey: DI00000000000000DEMO
  skey: not-a-secret-not-a-secret-not-a-secret-n
  hostname: %q
  endpoint_server_mappings:
    - endpoints: [%s]
      server: siem
`, filepath.Join(dir, "dls.log"), offset, ca, state, siem.Port, sim.Host(account), strings.Join(endpoints, ", "))
	path = filepath.Join(dir, "config.yml")
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// checkpoints shows the checkpoint files.
func checkpoints(w io.Writer, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the checkpoints: %w", err)
	}
	fmt.Fprintf(w, "\n== The checkpoints\n\n")
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), "_checkpoint.json") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return fmt.Errorf("read the checkpoints: %w", err)
		}
		var cp struct {
			Until     time.Time `json:"delivered_until"`
			Delivered []string  `json:"delivered"`
		}
		if err := json.Unmarshal(data, &cp); err != nil {
			return fmt.Errorf("read checkpoint %q: %w", e.Name(), err)
		}
		fmt.Fprintf(w, "%-29s delivered until %s, remembers the last %d records\n", e.Name(), cp.Until.Format(time.RFC3339), len(cp.Delivered))
	}
	return nil
}

// shorten cuts a line to what a terminal shows.
func shorten(line string) string {
	const most = 150
	if len(line) > most {
		return line[:most] + "…"
	}
	return line
}

// receiver is a SIEM that reads lines over TCP and closes when the sender does.
type receiver struct {
	l net.Listener

	mu    sync.Mutex
	lines []string
}

func listen(ctx context.Context) (*receiver, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &receiver{l: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.read(conn)
		}
	}()
	return r, nil
}

// read takes the lines of one connection. They count once the sender has
// closed, and before this end closes in turn.
func (r *receiver) read(conn net.Conn) {
	defer conn.Close()
	var lines []string
	sc := bufio.NewScanner(conn)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, lines...)
}

// take returns the lines since the last call, in an order that does not depend
// on which stream was first.
func (r *receiver) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(a[:min(8, len(a))], b[:min(8, len(b))]) })
	return lines
}

func (r *receiver) addr() *net.TCPAddr { return r.l.Addr().(*net.TCPAddr) }

func (r *receiver) close() { r.l.Close() }
