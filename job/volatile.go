package job

import (
	"os"
	"path/filepath"
	"strings"
)

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

// warnVolatile warns of a directory of checkpoints that the next start of a systemd
// unit may not find again.
func (r *run) warnVolatile() {
	if os.Getenv("INVOCATION_ID") == "" {
		return
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	if why := volatile(r.cfg.Directory, string(mounts)); why != "" {
		r.log.Warn("checkpoints go to "+r.cfg.Directory+", and the next run may send everything again: "+why,
			"hint", "set StateDirectory= in the unit and leave dls_settings.checkpointing.directory out, as dls schedule has it")
	}
}
