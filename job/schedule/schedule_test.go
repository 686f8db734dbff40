package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// job returns a job that every kind but the one with other paths can do.
func job(kind Kind) Job {
	j := Job{Name: "dls", Exe: "/usr/local/bin/dls", Config: "/etc/dls/config.yml", Every: 5 * time.Minute}
	switch kind {
	case Systemd:
		j.StateDir, j.LogFile = StateDirectory("dls"), "/tmp/duologsync.log"
	case Windows:
		j.Exe, j.Config = `C:\Program Files\dls\dls.exe`, `C:\ProgramData\dls\config.yml`
	}
	return j
}

func mustRender(t *testing.T, kind Kind, j Job) *Definition {
	t.Helper()
	d, err := Render(kind, j)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRenderRefuses(t *testing.T) {
	tests := []struct {
		name   string
		kind   Kind
		change func(*Job)
		want   string
	}{
		{"kind", "at", func(j *Job) {}, "at job: unknown scheduler; there are systemd, cron, windows, launchd, kubernetes and slurm"},
		{"name", Cron, func(j *Job) { j.Name = "../dls" }, `name "../dls"`},
		{"name that would end a comment", Launchd, func(j *Job) { j.Name = "a--b" }, `name "a--b"`},
		{"no period", Cron, func(j *Job) { j.Every = 0 }, "every 0s: whole minutes"},
		{"seconds", Systemd, func(j *Job) { j.Every = 90 * time.Second }, "every 1m30s: whole minutes"},
		{"more than a day", Systemd, func(j *Job) { j.Every = 48 * time.Hour }, "every 48h0m0s: whole minutes"},
		{"period that cron cannot do", Cron, func(j *Job) { j.Every = 7 * time.Minute }, "every 7m: cron needs a period that divides"},
		{"minutes and hours", Cron, func(j *Job) { j.Every = 90 * time.Minute }, "every 1h30m: cron needs"},
		{"hours that do not divide a day", Cron, func(j *Job) { j.Every = 5 * time.Hour }, "every 5h: cron needs"},
		{"relative program", Cron, func(j *Job) { j.Exe = "dls" }, `program "dls": not a plain absolute path`},
		{"path to be cleaned", Systemd, func(j *Job) { j.Config = "/etc/../config.yml" }, "not a plain absolute path"},
		{"line break", Cron, func(j *Job) { j.Config = "/etc/a\n* * * * * root" }, "has a control character"},
		{"not UTF-8", Launchd, func(j *Job) { j.Config = "/etc/\xff" }, "not UTF-8"},
		{"not XML", Launchd, func(j *Job) { j.Config = "/etc/\ufffe" }, "has a control character"},
		{"user", Cron, func(j *Job) { j.User = "me; rm" }, `user "me; rm": not a user's name`},
		{"unix path for windows", Windows, func(j *Job) { j.Exe = "/usr/local/bin/dls" }, "absolute path of this scheduler's system"},
		{"windows path for unix", Cron, func(j *Job) { j.Exe = `C:\dls.exe` }, "absolute path of this scheduler's system"},
		{"variable in a task", Windows, func(j *Job) { j.Config = `C:\%TEMP%\c.yml` }, "would replace"},
		{"argument in a task", Windows, func(j *Job) { j.Config = `C:\$(Arg0)\c.yml` }, "would replace"},
		{"quotation mark in a task", Windows, func(j *Job) { j.Config = `C:\a" b` }, "not a plain absolute path"},
		{"directory in a task", Windows, func(j *Job) { j.Config = `C:\a\` }, "not a plain absolute path"},
		{"control character in an account", Windows, func(j *Job) { j.User = "a\x00" }, "not a user's name"},
		{"credential without systemd", Cron, func(j *Job) { j.SecretFile = "/etc/dls/skey" }, "only systemd passes credentials on"},
		{"program in a home", Systemd, func(j *Job) { j.Exe = "/home/me/go/bin/dls" }, "install dls elsewhere"},
		{"program in the temporary folder", Systemd, func(j *Job) { j.Exe = "/tmp/dls" }, "install dls elsewhere"},
		{"program that systemd does not start", Systemd, func(j *Job) { j.Exe = "/opt/d'ls" }, "systemd starts no program with a quotation mark"},
		{"checkpoints that systemd might misread", Systemd, func(j *Job) { j.StateDir, j.User = `/srv/\x20`, "dls" }, "has a quotation mark or a backslash"},
		{"configuration that would continue the line", Systemd, func(j *Job) { j.Config = `/etc/dls\` }, "ends in a backslash"},
		{"secret that would lose its blank", Systemd, func(j *Job) { j.SecretFile = "/etc/skey " }, "ends in a backslash or a blank"},
		{"relative secret", Systemd, func(j *Job) { j.SecretFile = "skey" }, `secret file "skey"`},
		{"certificate in the temporary folder", Systemd, func(j *Job) { j.Files = []File{{"servers[0].cert_filepath", "/var/tmp/siem.pem"}} }, `servers[0].cert_filepath "/var/tmp/siem.pem": the service sees no`},
		{"key in a home", Systemd, func(j *Job) {
			j.Files = []File{{"dls_settings.api.ca_filepath", "/etc/dls/ca.pem"}, {"servers[0].key_filepath", "/home/me/key.pem"}}
		}, `servers[0].key_filepath "/home/me/key.pem": the service sees no`},
		{"relative authority", Systemd, func(j *Job) { j.Files = []File{{"dls_settings.api.ca_filepath", "ca.pem"}} }, `dls_settings.api.ca_filepath "ca.pem": not an absolute path`},
		{"relative authority for cron", Cron, func(j *Job) { j.Files = []File{{"dls_settings.api.ca_filepath", "ca.pem"}} }, `dls_settings.api.ca_filepath "ca.pem": not an absolute path`},
		{"relative secret for a task", Windows, func(j *Job) { j.Files = []File{{"account.skey_filepath", `keys\skey`}} }, `account.skey_filepath "keys\\skey": not an absolute path`},
		{"path without its drive", Windows, func(j *Job) { j.StateDir = `\dls` }, `checkpointing.directory "\\dls": not an absolute path`},
		{"unix directory for a task", Windows, func(j *Job) { j.StateDir = "/var/lib/dls" }, `checkpointing.directory "/var/lib/dls": not an absolute path`},
		{"relative log for launchd", Launchd, func(j *Job) { j.LogFile = "dls.log" }, `log_filepath "dls.log": not an absolute path`},
		{"relative checkpoints for cron", Cron, func(j *Job) { j.StateDir = "./state" }, `checkpointing.directory "./state": not an absolute path`},
		{"checkpoints that would not last", Systemd, func(j *Job) { j.StateDir, j.User = "/tmp", "dls" }, "and /var/lib/dls is used"},
		{"checkpoints of nobody", Systemd, func(j *Job) { j.StateDir = "/srv/dls" }, "or name the user who owns it"},
		{"relative checkpoints", Systemd, func(j *Job) { j.StateDir, j.User = "state", "dls" }, `checkpointing.directory "state": not an absolute path`},
		{"checkpoints of another name", Systemd, func(j *Job) { j.StateDir = "/var/lib/dls-other" }, "and /var/lib/dls is used"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := job(tt.kind)
			tt.change(&j)
			_, err := Render(tt.kind, j)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Render: error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		name   string
		kind   Kind
		change func(*Job)
		want   []string // how each begins
	}{
		{"nothing", Cron, func(j *Job) { j.StateDir = "/var/lib/dls" }, nil},
		{"no checkpoints", Cron, func(j *Job) {}, nil},
		{"temporary", Cron, func(j *Job) { j.StateDir = "/tmp" }, []string{`checkpoints go to "/tmp"`}},
		{"temporary on macOS", Launchd, func(j *Job) { j.StateDir = "/private/tmp/dls" }, []string{`checkpoints go to`}},
		{"temporary on Windows", Windows, func(j *Job) { j.StateDir = `C:\Users\me\AppData\Local\Temp` }, []string{`checkpoints go to`}},
		{"files elsewhere", Systemd, func(j *Job) {
			j.Files = []File{{"account.skey_filepath", ""}, {"servers[0].cert_filepath", "/etc/dls/siem.pem"}, {"servers[0].key_filepath", "/run/credentials/dls.service/key"}}
		}, nil},
		{"files where cron sees them", Cron, func(j *Job) { j.Files = []File{{"servers[0].cert_filepath", "/tmp/siem.pem"}} }, nil},
		{"the journal has the log", Systemd, func(j *Job) {}, nil},
		{"the log's own directory", Systemd, func(j *Job) { j.LogFile = "/var/log/dls/dls.log" }, nil},
		{"a log out of reach", Systemd, func(j *Job) { j.LogFile = "/var/log/dls.log" }, []string{`the service cannot write its log to "/var/log/dls.log"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := job(tt.kind)
			tt.change(&j)
			same := cmp.Comparer(func(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) })
			if diff := cmp.Diff(tt.want, mustRender(t, tt.kind, j).Warnings, same); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// The temporary folder is that of the account that runs the task, not of the one
// that prints it.
func TestTempDir(t *testing.T) {
	for user, want := range map[string]string{
		"":                             `C:\Windows\ServiceProfiles\LocalService\AppData\Local\Temp`,
		`NT AUTHORITY\LOCAL SERVICE`:   `C:\Windows\ServiceProfiles\LocalService\AppData\Local\Temp`,
		"NT AUTHORITY\\NetworkService": `C:\Windows\ServiceProfiles\NetworkService\AppData\Local\Temp`,
		"SYSTEM":                       `C:\Windows\Temp`,
		`CORP\siem`:                    `C:\Users\siem\AppData\Local\Temp`,
		"siem@corp.example":            `C:\Users\siem\AppData\Local\Temp`,
	} {
		if got := TempDir(Windows, user); got != want {
			t.Errorf("%q: %q, want %q", user, got, want)
		}
	}
	if got := TempDir(Launchd, "siem"); got != "/tmp" {
		t.Errorf("launchd: %q", got)
	}
}

func TestPeriods(t *testing.T) {
	tests := []struct {
		every                  time.Duration
		calendar, cron, period string
	}{
		{time.Minute, "*:0/1", "* * * * *", "1m"},
		{5 * time.Minute, "*:0/5", "*/5 * * * *", "5m"},
		{7 * time.Minute, "", "", "7m"},
		{30 * time.Minute, "*:0/30", "*/30 * * * *", "30m"},
		{time.Hour, "0/1:00", "0 * * * *", "1h"},
		{90 * time.Minute, "", "", "1h30m"},
		{6 * time.Hour, "0/6:00", "0 */6 * * *", "6h"},
		{10 * time.Hour, "", "", "10h"},
		{24 * time.Hour, "00:00", "0 0 * * *", "24h"},
	}
	for _, tt := range tests {
		cron, err := cronTime(tt.every)
		if (err == nil) != (tt.cron != "") {
			t.Errorf("cronTime(%v): error %v", tt.every, err)
		}
		got := []string{onCalendar(tt.every), cron, period(tt.every)}
		if diff := cmp.Diff([]string{tt.calendar, tt.cron, tt.period}, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.every, diff)
		}
	}
}
