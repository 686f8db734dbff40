package schedule

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// unsafe is what systemd refuses in the path of a program, and what versions of
// it unquote differently in a list of paths.
const unsafe = "\"'\\"

// DirectoryError is a checkpoint directory that the service cannot use, where that of
// [StateDirectory] would do.
type DirectoryError struct{ path, rule string }

// Error names the directory, why it cannot be used, and what to do.
func (e *DirectoryError) Error() string {
	return fmt.Sprintf("checkpoint directory %q: %s", e.path, e.rule)
}

// checkSystemd reports what the sandbox of the service would break.
func (j Job) checkSystemd() error {
	hidden := func(p string) bool {
		return temporaryUnix(p) || below(p, "/home", "/root", "/run/user")
	}
	if hidden(j.Exe) {
		return fmt.Errorf("program %q: the service sees no home and no temporary folder; install dls elsewhere, such as /usr/local/bin", j.Exe)
	}
	if strings.ContainsAny(j.Exe, unsafe) {
		return fmt.Errorf("program %q: systemd starts no program with a quotation mark or a backslash in its path", j.Exe)
	}
	if err := checkCredential(j.Config); err != nil {
		return fmt.Errorf("configuration %q: %w", j.Config, err)
	}
	if j.SecretFile != "" {
		if err := errors.Join(checkUnixPath(j.SecretFile), checkCredential(j.SecretFile)); err != nil {
			return fmt.Errorf("secret file %q: %w", j.SecretFile, err)
		}
	}
	for _, f := range j.Files {
		if f.Path != "" && hidden(f.Path) {
			return fmt.Errorf("%s %q: the service sees no home and no temporary folder; put the file elsewhere, such as in /etc/dls", f.Key, f.Path)
		}
	}
	switch {
	case j.StateDir == "" || below(j.StateDir, StateDirectory(j.Name)):
		return nil
	case hidden(j.StateDir):
		// A private /tmp is emptied with every run, and with it the checkpoints.
		return &DirectoryError{j.StateDir, fmt.Sprintf("the service sees no home and no temporary folder; leave dls_settings.checkpointing.directory out, and %s is used", StateDirectory(j.Name))}
	case j.User == "":
		return &DirectoryError{j.StateDir, fmt.Sprintf("a user that systemd makes up owns nothing there; leave dls_settings.checkpointing.directory out, and %s is used, or name the user who owns it", StateDirectory(j.Name))}
	}
	if err := checkUnixPath(j.StateDir); err != nil {
		return fmt.Errorf("checkpoint directory %q: %w", j.StateDir, err)
	}
	if strings.ContainsAny(j.StateDir, unsafe) {
		return fmt.Errorf("checkpoint directory %q: has a quotation mark or a backslash", j.StateDir)
	}
	return nil
}

// checkCredential refuses a path that LoadCredential= cannot hold: it takes the
// rest of the line as it is (systemd.exec(5)), and the line ends where
// systemd.syntax(7) says.
func checkCredential(p string) error {
	if strings.HasSuffix(p, `\`) || strings.TrimSpace(p) != p {
		return errors.New("systemd cannot take a path that ends in a backslash or a blank")
	}
	return nil
}

func renderSystemd(j Job) ([]byte, error) {
	more := map[string]any{
		"Calendar":  onCalendar(j.Every),
		"Delay":     j.Every / 10,
		"Unit":      j.Name,
		"SecretDir": "",
		"OwnState":  j.StateDir == "" || below(j.StateDir, StateDirectory(j.Name)),
	}
	if j.Audit {
		more["Unit"], more["Calendar"], more["Delay"] = j.Name+"-audit", "Sun 04:20", time.Hour
	}
	if dir, name := path.Split(j.SecretFile); name == "skey" {
		more["SecretDir"] = path.Clean(dir)
	}
	return fill("systemd.tmpl", j, more)
}

// onCalendar is a period in the form of systemd.time(7), or empty where it does
// not divide an hour or a day.
func onCalendar(every time.Duration) string {
	switch minutes, hours := even(every); {
	case minutes > 0:
		return fmt.Sprintf("*:0/%d", minutes)
	case hours == 24:
		return "00:00"
	case hours > 0:
		return fmt.Sprintf("0/%d:00", hours)
	}
	return ""
}

// systemdWord writes a path as one word of a unit file's line: systemd.syntax(7)
// for the quotes, systemd.unit(5) for the specifiers. The path has nothing of
// unsafe. It is for the program of a command line and for lists of paths, where a
// dollar sign is itself.
func systemdWord(s string) string {
	s = specifiers(s)
	if strings.ContainsAny(s, " ;") {
		return `"` + s + `"`
	}
	return s
}

// specifiers escapes the percent signs of a text for systemd.unit(5).
func specifiers(s string) string { return strings.ReplaceAll(s, "%", "%%") }
