package check_test

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job/check"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/job/report"
	"dls/sinks/sinktest"
	"dls/state"
)

const (
	parent = "DAPARENT000000000000"
	first  = "DACHILD1000000000000"
	second = "DACHILD2000000000000"
	ikey   = "DIAAAAAAAAAAAAAAAAAA"
	skey   = "not-a-real-secret-not-a-real-secret-not-"
	wrong  = "wrong-secret-wrong-secret-wrong-secret-w"
)

// world is all that a check meets: a simulated Duo, a receiver, and a directory
// with a checkpoint.
type world struct {
	t       *testing.T
	sim     *duosim.Server
	siem    *sinktest.Receiver
	dir     string
	cfg     *config.Config
	options check.Options
}

// newWorld returns a world in which nothing is wrong: a single account with all
// endpoints, records to be fetched, and one TCP receiver.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), siem: sinktest.Listen(t, sinktest.Options{})}
	w.sim = duosim.New(duosim.Account{ID: parent, Name: "Parent", Ikey: ikey, Skey: skey, MSP: true})
	w.start()
	t.Cleanup(w.sim.Close)
	w.write("ca.pem", w.sim.CAPEM())
	if err := os.Mkdir(w.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.cfg = &config.Config{
		LogFile: w.path("dls.log"), CAFile: w.path("ca.pem"),
		Checkpointing: true, Directory: w.path("state"),
		Servers: []config.Server{{ID: "siem", Hostname: w.siem.Host(), Port: w.siem.Port(), Protocol: config.TCP}},
		Account: config.Account{IKey: ikey, SKey: config.NewSecret(skey), Hostname: w.sim.Host(parent)},
	}
	w.route(duo.Names()...)
	w.save(state.ID{IKey: ikey, Endpoint: "auth"}, time.Now().Add(-time.Hour))
	w.fill(parent)
	w.options = check.Options{Version: "test"}
	return w
}

// newMSP returns a world in which nothing is wrong, of an MSP with two children.
func newMSP(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.cfg.Account.MSP = true
	w.route("auth", "telephony", "activity", "adminaction")
	for _, id := range []string{first, second} {
		w.sim.AddAccount(duosim.Account{ID: id, Name: "Child " + id[7:8], Parent: parent})
		w.start()
		w.fill(id)
	}
	return w
}

func (w *world) start() {
	w.t.Helper()
	if err := w.sim.Start(); err != nil {
		w.t.Fatal(err)
	}
}

// fill gives an account records that a careless check could send.
func (w *world) fill(account string) {
	from := time.Now().Add(-10 * time.Minute)
	for _, name := range duo.Names() {
		w.sim.Add(account, name, duosim.Generator{Seed: 1}.Generate(name, 20, from, 20*time.Second)...)
	}
}

// route maps these endpoints to the first server.
func (w *world) route(names ...string) {
	w.cfg.Routes = nil
	for _, name := range names {
		w.cfg.Routes = append(w.cfg.Routes, config.Route{Endpoint: duo.Named(name), Servers: []int{0}})
	}
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

func (w *world) write(name string, data []byte) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// save writes a checkpoint.
func (w *world) save(id state.ID, until time.Time) {
	w.t.Helper()
	dir, err := state.Open(w.path("state"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer dir.Close()
	if err := dir.Save(id, &state.Checkpoint{Progress: state.Progress{Began: until.UnixMilli(), DeliveredUntil: until.UnixMilli()}}); err != nil {
		w.t.Fatal(err)
	}
}

// tls replaces the receiver by one of TLS, trusted by the authority.
func (w *world) tls(authority *sinktest.Certificate, o sinktest.CertificateOptions) {
	w.t.Helper()
	w.siem = sinktest.Listen(w.t, sinktest.Options{TLS: authority.Issue(w.t, o).Server(nil)})
	w.write("siem.pem", authority.CertPEM())
	w.cfg.Servers[0] = config.Server{
		ID: "siem", Hostname: w.siem.Host(), Port: w.siem.Port(), Protocol: config.TLS, CertFile: w.path("siem.pem"),
	}
}

// speaks replaces the receiver by one of another protocol.
func (w *world) speaks(protocol config.Protocol, b sinktest.Behaviour) {
	w.t.Helper()
	w.siem = sinktest.Listen(w.t, sinktest.Options{Behave: b})
	w.cfg.Servers[0].Port, w.cfg.Servers[0].Protocol = w.siem.Port(), protocol
	w.cfg.Servers[0].Syslog.Envelope = config.RFC5424
}

// collects replaces the receiver by a collector.
func (w *world) collects(h *sinktest.HEC) {
	w.t.Helper()
	h.T = w.t
	w.speaks(config.EventCollector, h.Behave)
	w.cfg.Servers[0].Syslog = config.Syslog{}
	w.cfg.Servers[0].HEC = config.HEC{Token: config.NewSecret(skey), Plaintext: true}
}

// hostPort splits the address of a proxy.
func (w *world) hostPort(address string) (string, int) {
	w.t.Helper()
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return host, port
}

// run checks, and sees to what is promised of every check: it sends no record,
// changes no file, and tells no secret.
func (w *world) run() []check.Finding {
	w.t.Helper()
	findings, failed, err := w.runWith(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	any := false
	for _, f := range findings {
		any = any || f.Outcome == check.Failed
	}
	if failed != any {
		w.t.Errorf("failed = %v, but of the findings: %v", failed, any)
	}
	return findings
}

func (w *world) runWith(ctx context.Context) ([]check.Finding, bool, error) {
	w.t.Helper()
	before := w.files()
	var findings []check.Finding
	var out bytes.Buffer
	failed, err := check.Run(ctx, w.cfg, w.options, func(f check.Finding) {
		findings = append(findings, f)
		if err := check.Print(&out, report.Screen{}, f); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Logf("\n%s", &out)
	if diff := cmp.Diff(before, w.files()); diff != "" {
		w.t.Errorf("files changed (-before +after):\n%s", diff)
	}
	if w.siem != nil && len(w.siem.Lines()) > 0 {
		w.t.Errorf("%d records reached the receiver", len(w.siem.Lines()))
	}
	for _, secret := range []string{skey, wrong, password} {
		if strings.Contains(out.String(), secret) {
			w.t.Error("a secret was printed")
		}
	}
	return findings, failed, err
}

// file is what can be seen of a file.
type file struct {
	Mode fs.FileMode
	Time time.Time
	Data string
}

// files reads the world's directory. What a directory's own time tells is left
// out: a file that is made and removed shows in it.
func (w *world) files() map[string]file {
	w.t.Helper()
	files := map[string]file{}
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		one := file{Mode: info.Mode(), Time: info.ModTime()}
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			one.Data = string(data)
		}
		files[path] = one
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// outcomes returns the findings' names and outcomes, one a line.
func outcomes(findings []check.Finding) []string {
	lines := make([]string, len(findings))
	for i, f := range findings {
		lines[i] = f.Outcome.String() + " " + f.Name
	}
	return lines
}

// notOK returns the findings that are not OK.
func notOK(findings []check.Finding) []check.Finding {
	var list []check.Finding
	for _, f := range findings {
		if f.Outcome != check.OK {
			list = append(list, f)
		}
	}
	return list
}

// want is a finding that a test expects, with parts of its texts.
type want struct {
	outcome      check.Outcome
	name         string
	detail, hint string
}

// expect compares the findings that are not OK with those wanted.
func (w *world) expect(findings []check.Finding, wanted ...want) {
	w.t.Helper()
	var got, names []string
	for _, f := range notOK(findings) {
		got = append(got, f.Outcome.String()+" "+f.Name)
	}
	for _, one := range wanted {
		names = append(names, one.outcome.String()+" "+one.name)
	}
	if diff := cmp.Diff(names, got); diff != "" {
		w.t.Errorf("findings that are not ok (-want +got):\n%s", diff)
		return
	}
	for i, f := range notOK(findings) {
		if !strings.Contains(f.Detail, wanted[i].detail) {
			w.t.Errorf("%s: detail %q does not contain %q", f.Name, f.Detail, wanted[i].detail)
		}
		if !strings.Contains(f.Hint, wanted[i].hint) {
			w.t.Errorf("%s: hint %q does not contain %q", f.Name, f.Hint, wanted[i].hint)
		}
	}
}

// skipped are the findings of checks that come after one that failed.
func skipped(detail string, names ...string) []want {
	var list []want
	for _, name := range names {
		list = append(list, want{check.Skipped, name, detail, ""})
	}
	return list
}

// permissions are the names of the checks of all permissions.
func permissions() []string {
	var names []string
	for _, name := range duo.Names() {
		names = append(names, "permission for "+name)
	}
	return names
}
