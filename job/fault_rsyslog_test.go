package job_test

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dls/job"
	"dls/sinks/sinktest"
)

var whole = flag.Bool("whole", false, "run real receivers, and the program before real proxies, too")

// rsyslog is a real receiver: rsyslogd with imtcp, that can be stopped and
// started again.
type rsyslog struct {
	t       *testing.T
	daemon  string
	config  string
	pid     string
	logFile string
	port    int
	cmd     *exec.Cmd
	output  bytes.Buffer
}

// newRsyslog configures one for a port. A certificate makes it speak TLS, which
// takes the package rsyslog-gnutls.
func newRsyslog(t *testing.T, port int, ca, cert *sinktest.Certificate) *rsyslog {
	t.Helper()
	daemon, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("rsyslogd is not installed")
	}
	dir := t.TempDir()
	r := &rsyslog{
		t: t, daemon: daemon, port: port,
		config: filepath.Join(dir, "rsyslog.conf"), pid: filepath.Join(dir, "pid"), logFile: filepath.Join(dir, "log"),
	}
	drivers, mode := "", ""
	if cert != nil {
		drivers = fmt.Sprintf(`global(defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)`,
			sinktest.WriteFile(t, ca.CertPEM()), sinktest.WriteFile(t, cert.CertPEM()), sinktest.WriteFile(t, cert.KeyPEM(t)))
		mode = ` streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon"`
	}
	text := fmt.Sprintf(`
global(workDirectory=%q maxMessageSize="64k")
%s
module(load="imtcp"%s)
input(type="imtcp" address="127.0.0.1" port="%d")
template(name="line" type="string" string="%%rawmsg%%\n")
if $inputname == "imtcp" then action(type="omfile" file=%q template="line")
`, dir, drivers, mode, port, r.logFile)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(daemon, "-N1", "-f", r.config).CombinedOutput()
	if err != nil {
		t.Skipf("rsyslogd cannot do this: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("rsyslogd printed:\n%s", r.output.String())
		}
	})
	return r
}

// start starts the daemon and waits until it listens.
func (r *rsyslog) start() {
	r.cmd = exec.Command(r.daemon, "-n", "-f", r.config, "-i", r.pid)
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	if err := r.cmd.Start(); err != nil {
		r.t.Error(err)
		return
	}
	within(r.t, "rsyslogd listens", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// stop stops the daemon and waits for its end: then all that it has read is in
// its file.
func (r *rsyslog) stop() {
	if r.cmd == nil {
		return
	}
	r.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(20*time.Second, func() { r.cmd.Process.Kill() })
	r.cmd.Wait()
	kill.Stop()
	r.cmd = nil
}

// lines are the lines in its file.
func (r *rsyslog) lines() [][]byte {
	data, err := os.ReadFile(r.logFile)
	if err != nil {
		r.t.Error(err)
	}
	var lines [][]byte
	for line := range bytes.Lines(data) {
		lines = append(lines, line)
	}
	return lines
}

// within waits until something is so, and fails the test if that takes too long.
func within(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("not in time: %s", what)
			return
		}
	}
}

// rsyslog is stopped while a run is under way, and started again when the run
// has noticed: the run succeeds, and every record is in rsyslog's file.
func TestFaultRsyslog(t *testing.T) {
	if !*whole {
		t.Skip("real receivers: -whole is not given; .ci/steps/receivers gives it")
	}
	for _, name := range []string{"plain", "TLS"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, &fault{real: true, tls: name == "TLS", repeats: unconfirmed})
			var cert *sinktest.Certificate
			if s.fault.tls {
				cert = s.ca.Issue(t, sinktest.CertificateOptions{})
			}
			r := newRsyslog(t, s.port, s.ca, cert)
			r.start()
			s.options = func(o *job.Options) { o.RetryFor = time.Minute }
			var asked atomic.Int64
			back := make(chan struct{})
			s.wire = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(q *http.Request) (*http.Response, error) {
					if strings.Contains(q.URL.Path, victim) && asked.Add(1) == 2 {
						r.stop()
						go func() {
							defer close(back)
							within(t, "the run notices", func() bool { return strings.Contains(s.log.String(), "trying again") })
							r.start()
						}()
					}
					return next.RoundTrip(q)
				})
			}
			retries := 0
			s.run(func() {
				sum := s.sync()
				s.clean(sum)
				for _, result := range sum.Results {
					retries += result.Retries
				}
			})
			<-back
			s.wire = nil
			s.run(func() { s.clean(s.sync()) })
			r.stop()
			s.got = append(s.got, r.lines()...)
			if retries == 0 {
				t.Error("the run met no fault")
			}
			s.count(retries)
		})
	}
}
