package job

import (
	"os"
	"path/filepath"
	"strings"
	"time"
)

// warnSystemd warns of a unit that is none for a program that runs once: one that
// starts dls again and again, and one whose checkpoints do not last.
func (r *run) warnSystemd() {
	if os.Getenv("INVOCATION_ID") == "" {
		return
	}
	if mounts, err := os.ReadFile("/proc/self/mountinfo"); err == nil && r.cfg.Bucket == nil {
		if why := volatile(r.cfg.Directory, string(mounts)); why != "" {
			r.log.Warn("checkpoints go to "+r.cfg.Directory+", and the next run may send everything again: "+why,
				"hint", "set StateDirectory= in the unit and leave dls_settings.checkpointing.directory out, as dls schedule has it")
		}
	}
	// A timer's unit is told which timer it was, from systemd 252 on.
	if os.Getenv("TRIGGER_UNIT") == "" && restarted(append(r.store.Began(r.opts.Shard.suffix(), r.cfg.Account.IKey), r.start)) {
		r.log.Warn("the last three runs began within two minutes: unless they were started by hand, systemd starts the unit again whenever it ends",
			"hint", "dls runs once: take Restart= out, and let a timer start it (dls schedule CONFIG systemd)")
	}
}

// restarted tells whether the last three of some times, in order, lie within two
// minutes.
func restarted(began []time.Time) bool {
	n := len(began)
	return n >= 3 && began[n-1].Sub(began[n-3]) < 2*time.Minute
}

// volatile says why what is written to a directory may be gone at the next run, or
// returns "". mounts is the text of Linux's /proc/self/mountinfo, proc(5).
func volatile(dir, mounts string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	best, root, kind := "", "", ""
	for line := range strings.Lines(mounts) {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
		fields, after, ok := strings.Cut(line, " - ")
		before := strings.Fields(fields)
		if !ok || len(before) < 5 {
			continue
		}
		point := unescapeMount(before[4])
		inside := point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
		if inside && len(point) >= len(best) { // of two at one place the later one counts
			best, root = point, unescapeMount(before[3])
			kind, _, _ = strings.Cut(after, " ")
		}
	}
	switch {
	case strings.Contains(root, "/systemd-private-"):
		return "systemd gives the unit a temporary folder of its own (PrivateTmp=, DynamicUser=) and removes it when the unit ends"
	case best != "/" && (kind == "tmpfs" || kind == "ramfs"):
		return "it lies in memory (" + kind + ") and goes with the mount, at the latest when the machine starts again"
	}
	return ""
}

// unescapeMount undoes the escapes of a path in mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
