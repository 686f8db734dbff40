package job

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestRestarted(t *testing.T) {
	at := time.Now()
	for _, tt := range []struct {
		ago  []time.Duration
		want bool
	}{
		{nil, false},
		{[]time.Duration{time.Second, 0}, false},
		{[]time.Duration{119 * time.Second, time.Second, 0}, true},
		{[]time.Duration{120 * time.Second, 60 * time.Second, 0}, false},
		{[]time.Duration{time.Hour, 20 * time.Second, 10 * time.Second, 0}, true},
	} {
		var began []time.Time
		for _, ago := range tt.ago {
			began = append(began, at.Add(-ago))
		}
		if restarted(began) != tt.want {
			t.Errorf("%v: %v", tt.ago, !tt.want)
		}
	}
}

func TestVolatile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such mounts")
	}
	const mounts = `22 1 252:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,mode=755
40 22 252:1 /tmp/systemd-private-0123-dls.service-abc/tmp /absent-tmp rw shared:20 - ext4 /dev/vda1 rw
41 22 252:1 /var/lib/private/dls /absent-lib/dls rw - ext4 /dev/vda1 rw
42 22 0:40 / /absent\040shm rw - tmpfs tmpfs rw
43 22 0:41 / /absent-twice rw - ext4 /dev/vdb rw
44 43 0:42 / /absent-twice rw - tmpfs tmpfs rw
broken
`
	for dir, want := range map[string]string{
		"/absent-tmp":         "PrivateTmp=",
		"/absent-tmp/dls":     "PrivateTmp=",
		"/absent-tmpx":        "",
		"/absent-lib/dls":     "",
		"/absent shm/x":       "in memory (tmpfs)",
		"/absent-twice/state": "in memory (tmpfs)",
		"/absent":             "",
	} {
		got := volatile(dir, mounts)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
	if why := volatile("/absent", "1 0 0:1 / / rw - tmpfs tmpfs rw"); why != "" {
		t.Errorf("a root in memory: %q", why)
	}
}
