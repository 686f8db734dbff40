package cef_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/cef"
)

// rsyslog must get each line as it was sent, and find the host name in it.
func TestRsyslog(t *testing.T) {
	daemon, err := exec.LookPath("rsyslogd")
	if err != nil {
		t.Skip("rsyslogd is not installed")
	}
	dir := t.TempDir()
	portFile, logFile := filepath.Join(dir, "port"), filepath.Join(dir, "log")
	config := fmt.Sprintf(`
global(workDirectory=%[1]q maxMessageSize="64k")
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName=%[2]q)
template(name="line" type="string" string="%%hostname%% %%rawmsg%%\n")
action(type="omfile" file=%[3]q template="line")
`, dir, portFile, logFile)
	configFile := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(daemon, "-N1", "-f", configFile).CombinedOutput(); err != nil {
		t.Skipf("rsyslogd is too old or confined: %v\n%s", err, out)
	}

	cmd := exec.Command(daemon, "-n", "-f", configFile, "-i", filepath.Join(dir, "pid"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("rsyslogd printed:\n%s", output.String())
		}
	})

	texts := []string{
		"plain", " spaces  ", `pipe|eq=back\slash "q"`, "a\nb\r\nMar 04 00:00:00 h CEF:0|x", "tab\tNUL\x00DEL\x7f\u0085\u2028", "Zoë 日本 \U0001F600",
		"not UTF-8 \xff\xc3", "%msg% #012 ' \" $!all", strings.Repeat(`=\`, 2500), "",
	}
	f := formatter()
	var lines []byte
	want := ""
	for _, endpoint := range []string{"auth", "telephony", "adminaction", "activity"} {
		all := [][]byte{[]byte(records[endpoint])}
		for _, text := range texts {
			record := make(map[string]any)
			for _, e := range expectedFields[endpoint] {
				for _, path := range e.paths {
					set(record, path, text)
				}
			}
			all = append(all, appendJSON(nil, record))
		}
		for _, record := range all {
			start := len(lines)
			if lines, err = f.Append(lines, cef.For(endpoint), record, "DA0EXAMPLE0EXAMPLE0B"); err != nil {
				t.Fatal(err)
			}
			want += f.Host + " " + string(lines[start:])
		}
	}

	port := strings.TrimSpace(await(t, portFile, func(s string) bool { return s != "" }))
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(lines); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}

	got := await(t, logFile, func(s string) bool { return strings.Count(s, "\n") >= strings.Count(want, "\n") })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// await reads a file again and again until it is complete.
func await(t *testing.T, file string, complete func(string) bool) string {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(file)
		if err == nil && complete(string(b)) {
			return string(b)
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is not complete: %d bytes, error %v", filepath.Base(file), len(b), err)
		}
	}
}
