package schedule

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// awkward is a path component with all that needs escaping somewhere.
const awkward = `a b %n $HOME 'q' "d" \ & <é>; #`

// units splits a definition as the command in its head does.
func units(t *testing.T, text []byte) map[string]string {
	t.Helper()
	units := map[string]string{}
	file := ""
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "# /etc/systemd/system/"); ok {
			file = strings.TrimSpace(rest)
		}
		if file != "" {
			units[file] += line
		}
	}
	return units
}

// settings returns the values of some keys of a unit, in its order.
func settings(unit string, keys ...string) []string {
	var found []string
	for line := range strings.Lines(unit) {
		for _, key := range keys {
			if strings.HasPrefix(line, key+"=") {
				found = append(found, strings.TrimSuffix(line, "\n"))
			}
		}
	}
	return found
}

func TestSystemd(t *testing.T) {
	tests := []struct {
		name           string
		change         func(*Job)
		service, timer []string
	}{
		{"usual", func(j *Job) {},
			[]string{
				"ExecStart=/usr/local/bin/dls sync --verbose --max-runtime 50m ${CREDENTIALS_DIRECTORY}/config.yml",
				"LoadCredential=config.yml:/etc/dls/config.yml",
				"DynamicUser=yes", "StateDirectory=dls",
			},
			[]string{"OnCalendar=*:0/5", "Persistent=yes", "RandomizedDelaySec=30s"}},
		{"secret of its own", func(j *Job) { j.Name, j.StateDir, j.SecretFile = "dls-two", "", "/etc/dls/s%key" },
			[]string{
				"ExecStart=/usr/local/bin/dls sync --verbose --max-runtime 50m ${CREDENTIALS_DIRECTORY}/config.yml",
				"LoadCredential=config.yml:/etc/dls/config.yml", "LoadCredential=skey:/etc/dls/s%%key",
				"DynamicUser=yes", "StateDirectory=dls-two",
			},
			[]string{"OnCalendar=*:0/5", "Persistent=yes", "RandomizedDelaySec=30s"}},
		{"user, directory and odd period", func(j *Job) {
			j.User, j.StateDir, j.Every = "siem", "/srv/the state", 7*time.Minute
		},
			[]string{
				"ExecStart=/usr/local/bin/dls sync --verbose --max-runtime 50m ${CREDENTIALS_DIRECTORY}/config.yml",
				"LoadCredential=config.yml:/etc/dls/config.yml",
				"User=siem", `ReadWritePaths="/srv/the state"`,
			},
			[]string{"OnBootSec=1m", "OnUnitActiveSec=7m", "RandomizedDelaySec=42s"}},
		{"awkward paths", func(j *Job) { j.Exe, j.Config = "/opt/a b %n $HOME & <é>; #/dls", "/etc/"+awkward+"/c.yml" },
			[]string{
				`ExecStart="/opt/a b %%n $HOME & <é>; #/dls" sync --verbose --max-runtime 50m ${CREDENTIALS_DIRECTORY}/config.yml`,
				`LoadCredential=config.yml:/etc/a b %%n $HOME 'q' "d" \ & <é>; #/c.yml`,
				"DynamicUser=yes", "StateDirectory=dls",
			},
			[]string{"OnCalendar=*:0/5", "Persistent=yes", "RandomizedDelaySec=30s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := job(Systemd)
			tt.change(&j)
			units := units(t, mustRender(t, Systemd, j).Text)
			if len(units) != 2 {
				t.Fatalf("%d units, want a service and a timer", len(units))
			}
			service := settings(units[j.Name+".service"], "ExecStart", "LoadCredential", "DynamicUser", "User", "StateDirectory", "ReadWritePaths")
			if diff := cmp.Diff(tt.service, service); diff != "" {
				t.Errorf("service (-want +got):\n%s", diff)
			}
			timer := settings(units[j.Name+".timer"], "OnCalendar", "OnBootSec", "OnUnitActiveSec", "Persistent", "RandomizedDelaySec")
			if diff := cmp.Diff(tt.timer, timer); diff != "" {
				t.Errorf("timer (-want +got):\n%s", diff)
			}
		})
	}
}

// systemd itself accepts the units, and finds little that they leave open.
// The packages' unit lets the program talk over what the printed one does.
func TestPackagedUnit(t *testing.T) {
	packaged, err := os.ReadFile("../../packaging/systemd/dls@.service")
	if err != nil {
		t.Fatal(err)
	}
	printed := mustRender(t, Systemd, job(Systemd))
	const key = "RestrictAddressFamilies"
	if diff := cmp.Diff(settings(string(printed.Text), key), settings(string(packaged), key)); diff != "" {
		t.Errorf("(-printed +packaged):\n%s", diff)
	}
}

func TestSystemdAnalyze(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	help, err := exec.Command(analyze, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), "--offline") {
		t.Skip("systemd-analyze is older than 250")
	}
	dir := t.TempDir()
	odd := filepath.Join(dir, "a b %n $HOME & <é>; #")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(odd, "dls")
	if err := os.WriteFile(exe, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*Job)
	}{
		{"usual", func(j *Job) { j.SecretFile = "/etc/dls/skey" }},
		{"user", func(j *Job) { j.User, j.StateDir, j.Every = "daemon", "/srv/the %state", 7*time.Minute }},
		{"awkward", func(j *Job) { j.Exe, j.Config = exe, "/etc/"+awkward+"/c.yml" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := job(Systemd)
			j.Exe = "/bin/sh"
			tt.change(&j)
			// Not Render: a program in a temporary folder is what it refuses.
			text, err := renderSystemd(j)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			var paths []string
			for name, unit := range units(t, text) {
				path := filepath.Join(dir, name)
				if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
					t.Fatal(err)
				}
				paths = append(paths, path)
			}
			if out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
			service := filepath.Join(dir, "dls.service")
			if out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold=20", service).CombinedOutput(); err != nil {
				t.Errorf("systemd-analyze security finds an exposure over 2.0: %v\n%s", err, out)
			}
		})
	}
}
