package schedule

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCron(t *testing.T) {
	j := job(Cron)
	j.Config = "/etc/d l's 100%/config.yml"
	var got []string
	for line := range strings.Lines(string(mustRender(t, Cron, j).Text)) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, line)
		}
	}
	want := []string{`*/5 * * * * /usr/local/bin/dls sync --max-runtime 50m '/etc/d l'\''s 100'\%'/config.yml'` + "\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("crontab (-want +got):\n%s", diff)
	}
}

// A word comes through cron and the shell as it was, whether the cron takes the
// backslash off a percent sign or leaves it.
func TestCronWord(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh here")
	}
	for _, word := range []string{"/etc/dls/config.yml", "/" + awkward, `/%`, `/\%`, `/\\%'%`, `/a'%b%`, "/$(id)`id`*~"} {
		written := cronWord(word)
		taken, ok := cronCommand(written)
		if !ok {
			t.Errorf("cron would end %q, written %s, at a percent sign", word, written)
		}
		for _, command := range []string{written, taken} {
			out, err := exec.Command(sh, "-c", "printf %s "+command).CombinedOutput()
			if err != nil {
				t.Errorf("sh: %v", err)
			}
			if diff := cmp.Diff(word, string(out)); diff != "" {
				t.Errorf("written %s (-want +got):\n%s", command, diff)
			}
		}
	}
}

// cronCommand takes the backslashes off a command's percent signs as crontab(5)
// says, and tells whether all of it is command.
func cronCommand(s string) (string, bool) {
	var b strings.Builder
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			if r != '%' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped = true
		case r == '%':
			return b.String(), false
		default:
			b.WriteRune(r)
		}
	}
	return b.String(), true
}
