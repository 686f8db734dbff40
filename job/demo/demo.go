// Package demo shows the whole job on a machine that has nothing but the program,
// and lets anybody try it against receivers of one's own: it starts a simulated Duo
// on loopback, and calls the real command line on a configuration for it.
//
// Start with [Run], which tells a story, or with [Simulate], which goes on until it
// is told to stop.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"dls/job/duo"
	"dls/job/duosim"
	"dls/job/report"
)

// Records is how many records of each endpoint the first run finds, News how many
// more come while the receiver dies.
const (
	Records = 40
	News    = 6
)

// story is a demo as it goes on.
type story struct {
	w      io.Writer
	dls    func(args ...string) int
	width  int // what is shown of a line
	dir    string
	config string
	sim    *duosim.Server
	siem   *receiver
	sent   int             // records that Duo has
	got    map[string]bool // lines that the receiver has
}

// Run carries the demo out and tells of it on w. dls calls the program's command
// line and returns its exit code. With keep, the temporary directory is left for the
// user to look at. The error is what did not come out as it must.
func Run(ctx context.Context, w io.Writer, keep bool, dls func(args ...string) int) error {
	s := &story{w: w, dls: dls, width: 150, got: map[string]bool{}}
	if width := report.ScreenOf(w).Width; width > 0 {
		s.width = width - 3
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "dls-demo-"); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if !keep {
		defer os.RemoveAll(s.dir)
	}
	s.sim = duosim.New(duosim.Account{ID: account, Name: "Demo", Ikey: ikey, Skey: skey})
	if err := s.sim.Start(); err != nil {
		return fmt.Errorf("start the simulated Duo: %w", err)
	}
	defer s.sim.Close()
	if s.siem, err = listen(ctx, true); err != nil {
		return fmt.Errorf("start the receiver: %w", err)
	}
	defer s.siem.close()
	if s.config, err = configure(s.dir, s.sim, s.siem.addr, 1, duo.Names()); err != nil {
		return err
	}
	fmt.Fprintf(w, "A simulated Duo answers at\n  https://%s,\na receiver takes lines at\n  tcp://%s.\nThe configuration is\n  %s.\n", s.sim.Host(account), s.siem.addr, s.config)
	began := time.Now().Add(-time.Hour)
	for _, chapter := range []func(context.Context, time.Time) error{s.check, s.first, s.death, s.rest, s.again, s.formats} {
		if err := chapter(ctx, began); err != nil {
			return err
		}
	}
	s.title("How far each stream is")
	if _, err := s.run(0, "status"); err != nil {
		return err
	}
	s.say(fmt.Sprintf("In the end: %d records at Duo, %d of them at the receiver, 0 missing.", s.sent, len(s.got)))
	if keep {
		s.say(fmt.Sprintf("%s is kept; the simulated Duo ends here. dls simulate starts one that stays.", s.dir))
	}
	return nil
}

func (s *story) title(text string) { fmt.Fprintf(s.w, "\n== %s\n", text) }

// say explains something, on lines that fit a screen.
func (s *story) say(text string) { fmt.Fprintf(s.w, "\n%s\n", screen(s.w).Wrap(text, 0, 0)) }

// screen is what w is, with lines that can be read.
func screen(w io.Writer) report.Screen {
	s := report.ScreenOf(w)
	if s.Width == 0 || s.Width > 96 {
		s.Width = 96
	}
	return s
}

// run shows a command, carries it out, and holds its exit code to the one wanted; or
// to a failure of any kind when that is negative.
func (s *story) run(want int, args ...string) (code int, err error) {
	fmt.Fprintf(s.w, "\n$ dls %s config.yml\n", strings.Join(args, " "))
	if args[0] == "sync" {
		args = append(args, "--begin") // whatever lies in the temporary folder
	}
	code = s.dls(append(args, s.config)...)
	if want >= 0 && code != want || want < 0 && code == 0 {
		return code, fmt.Errorf("dls %s ended with exit code %d", args[0], code)
	}
	return code, nil
}

// add gives each endpoint of Duo n records from a time on.
func (s *story) add(n int, from time.Time) {
	for _, endpoint := range duo.All() {
		jitter := len(endpoint.ID) > 0 // records without an id could be equal, and the story counts different ones
		s.sim.Add(account, endpoint.Name, duosim.Generator{Seed: uint64(s.sent), Jitter: jitter}.Generate(endpoint.Name, n, from, time.Minute)...)
	}
	s.sent += n * len(duo.All())
}

// received notes what the receiver got since the last time.
func (s *story) received() (fresh, repeated int, lines []string) {
	lines = s.siem.received()
	for _, line := range lines {
		if s.got[line] {
			repeated++
		} else {
			fresh++
		}
		s.got[line] = true
	}
	slices.Sort(lines)
	return fresh, repeated, lines
}

func (s *story) check(context.Context, time.Time) error {
	s.title("Before the first run: does everything work?")
	_, err := s.run(0, "check")
	return err
}

func (s *story) first(_ context.Context, began time.Time) error {
	s.title("The first run: everything of the last hour")
	s.add(Records, began)
	if _, err := s.run(0, "sync", "-v"); err != nil {
		return err
	}
	fresh, _, lines := s.received()
	if fresh != s.sent {
		return fmt.Errorf("the receiver got %d records instead of %d", fresh, s.sent)
	}
	s.say(fmt.Sprintf("exit code 0; the receiver got %d records:", fresh))
	for i := 0; i < len(lines); i += Records {
		fmt.Fprintf(s.w, "  %s\n", report.Cut(lines[i], s.width))
	}
	return nil
}

func (s *story) death(_ context.Context, began time.Time) error {
	s.title("The receiver dies in mid-run")
	s.add(News, began.Add(45*time.Minute))
	s.say(fmt.Sprintf("There are %d new records. The receiver crashes when it has read %d of them.", News*len(duo.All()), News*2+1))
	s.siem.dieAt(News*2 + 1)
	code, err := s.run(-1, "sync", "--retry-for", "0s", "-v")
	if err != nil {
		return err
	}
	fresh, _, _ := s.received()
	s.say(fmt.Sprintf("exit code %d: not all is delivered, and dls says so. The receiver has kept %d of the new records; the checkpoints moved past those that it confirmed, and past no other.", code, fresh))
	return nil
}

func (s *story) rest(ctx context.Context, _ time.Time) error {
	s.title("The receiver is back: it gets the rest")
	if err := s.siem.revive(ctx); err != nil {
		return fmt.Errorf("start the receiver again: %w", err)
	}
	if _, err := s.run(0, "sync", "-v"); err != nil {
		return err
	}
	fresh, repeated, _ := s.received()
	if len(s.got) != s.sent {
		return fmt.Errorf("the receiver has %d records instead of %d", len(s.got), s.sent)
	}
	s.say(fmt.Sprintf("exit code 0; the receiver got %d records that it did not have, and %d that it had: what was not confirmed when it died may come again, and is never left out.", fresh, repeated))
	return nil
}

func (s *story) again(context.Context, time.Time) error {
	s.title("Another run: nothing is new")
	if _, err := s.run(0, "sync", "-v"); err != nil {
		return err
	}
	if fresh, repeated, _ := s.received(); fresh+repeated > 0 {
		return fmt.Errorf("the receiver got %d records again", fresh+repeated)
	}
	s.say(`Above, "already delivered" counts what a run asked Duo for although it was delivered: each run begins ten minutes before its checkpoint, since Duo shows some records late, and leaves out what it knows. Pages of adminaction overlap as well: Duo can only be asked for whole seconds.`)
	return nil
}

func (s *story) formats(_ context.Context, began time.Time) error {
	s.title("The same record as JSON and as CEF")
	since := began.Add(45 * time.Minute).UTC().Format(time.RFC3339)
	var first []string
	for _, format := range []string{"json", "cef"} {
		if _, err := s.run(0, "pull", "--endpoint", "auth", "--since", since, "--server", "siem", "--format", format); err != nil {
			return err
		}
		lines := s.siem.received()
		if len(lines) != News {
			return fmt.Errorf("the receiver got %d records instead of %d", len(lines), News)
		}
		if first == nil {
			slices.Sort(lines)
			first = append(first, lines[0])
			continue
		}
		var record struct {
			ID string `json:"txid"`
		}
		if err := json.Unmarshal([]byte(first[0]), &record); err != nil {
			return fmt.Errorf("read a record: %w", err)
		}
		i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, record.ID) })
		if i < 0 {
			return errors.New("no line of CEF has the record's id")
		}
		first = append(first, lines[i])
	}
	fmt.Fprintf(s.w, "\n  %s\n  %s\n", report.Cut(first[0], s.width), report.Cut(first[1], s.width))
	s.say("A pull neither reads nor moves a checkpoint. dls_settings.log_format chooses for the runs.")
	return nil
}

// Send sends the demo's records to a server of a configuration: one run of a
// checkpoint directory that is thrown away. dls and the error are as for [Run].
func Send(ctx context.Context, w io.Writer, path, server string, dls func(args ...string) int) error {
	own, err := borrow(path)
	if err != nil {
		return err
	}
	servers := own.Servers
	servers.Content = slices.DeleteFunc(slices.Clone(servers.Content), func(n *yaml.Node) bool { return scalar(n, "id") != server })
	if len(servers.Content) == 0 {
		return fmt.Errorf("--server %q: the configuration has no such server", server)
	}
	dir, err := os.MkdirTemp("", "dls-demo-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	sim := duosim.New(duosim.Account{ID: account, Name: "Demo", Ikey: ikey, Skey: skey})
	if err := sim.Start(); err != nil {
		return fmt.Errorf("start the simulated Duo: %w", err)
	}
	defer sim.Close()
	var endpoints []string
	for _, endpoint := range duo.All() {
		if own.Settings.Format == "CEF" && endpoint.CEF == "" {
			continue
		}
		endpoints = append(endpoints, endpoint.Name)
		sim.Add(account, endpoint.Name, duosim.Generator{Jitter: true}.Generate(endpoint.Name, Records, time.Now().Add(-time.Hour), time.Minute)...)
	}
	s := settings{
		host: sim.Host(account), ca: sim.CAPEM(), format: own.Settings.Format, offset: 1,
		servers: &servers, mappings: mapped(endpoints, server), directory: "checkpoints",
	}
	config, err := s.write(dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Sending %d records of a simulated Duo, as %s, to the server %q of %s.\n\n", Records*len(endpoints), s.format, server, filepath.Base(path))
	if code := dls("sync", "-v", "--begin", "--retry-for", "0s", config); code != 0 {
		return fmt.Errorf("the run ended with exit code %d: not all was confirmed", code)
	}
	fmt.Fprintf(w, "\nAll %d are confirmed: look for them at the receiver.\n", Records*len(endpoints))
	return ctx.Err()
}
