package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The weekly audit is a job of its own beside the one whose checkpoints it reads.
func TestAudit(t *testing.T) {
	job := Job{
		Name: "dls", Exe: "/usr/local/bin/dls", Config: "/etc/dls/config.yml", Every: 5 * time.Minute,
		StateDir: "/var/lib/dls", Audit: true,
	}
	d, err := Render(Systemd, job)
	if err != nil {
		t.Fatal(err)
	}
	all := units(t, d.Text)
	if diff := cmp.Diff([]string{
		"ExecStart=/usr/local/bin/dls audit --since 8d --max-runtime 11h ${CREDENTIALS_DIRECTORY}/config.yml",
		"TimeoutStartSec=12h", "DynamicUser=yes", "User=dls", "StateDirectory=dls",
	}, settings(all["dls-audit.service"], "ExecStart", "TimeoutStartSec", "DynamicUser", "User", "StateDirectory")); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"OnCalendar=Sun 04:20", "Persistent=yes"}, settings(all["dls-audit.timer"], "OnCalendar", "Persistent")); diff != "" {
		t.Errorf("timer (-want +got):\n%s", diff)
	}
	for kind, want := range map[Kind]string{
		Cron:    "\n20 4 * * 0 /usr/local/bin/dls audit --since 8d --max-runtime 11h --quiet /etc/dls/config.yml\n",
		Launchd: "<string>local.dls-audit</string>",
	} {
		d, err := Render(kind, job)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(d.Text), want) {
			t.Errorf("%s:\n%s", kind, d.Text)
		}
	}
	job.StateDir = ""
	if _, err := Render(Cron, job); err == nil {
		t.Error("an audit without checkpoints is no error")
	}
}
