package schedule

import (
	"encoding/binary"
	"errors"
	"regexp"
	"strings"
	"time"
	"unicode/utf16"
)

var windowsRoot = regexp.MustCompile(`^([A-Za-z]:\\|\\\\[^\\])`)

// checkWindowsPath refuses what is no path on Windows, and what the Task
// Scheduler would replace: it has no way to escape %NAME% or $(Arg0).
func checkWindowsPath(p string) error {
	rest := windowsRoot.ReplaceAllString(p, "")
	switch {
	case rest == p || rest == "" || strings.ContainsAny(rest, `/:*?"<>|`) || strings.HasSuffix(p, `\`):
		return errPath
	case strings.Count(p, "%") > 1 || strings.Contains(p, "$("):
		return errors.New("the Task Scheduler would replace what is between the percent signs or in $( )")
	}
	return checkText(p)
}

func temporaryWindows(p string) bool {
	for part := range strings.SplitSeq(strings.ToLower(p), `\`) {
		if part == "temp" || part == "tmp" {
			return true
		}
	}
	return false
}

// temporaryOf is %TEMP% of a task's account: the services have their own profiles,
// the system the one of all. A user's profile is taken to be where it usually is.
func temporaryOf(user string) string {
	name := user[strings.LastIndexByte(user, '\\')+1:]
	name, _, _ = strings.Cut(name, "@")
	switch strings.ToUpper(strings.ReplaceAll(name, " ", "")) {
	case "", "LOCALSERVICE", "S-1-5-19":
		return `C:\Windows\ServiceProfiles\LocalService\AppData\Local\Temp`
	case "NETWORKSERVICE", "S-1-5-20":
		return `C:\Windows\ServiceProfiles\NetworkService\AppData\Local\Temp`
	case "SYSTEM", "LOCALSYSTEM", "S-1-5-18":
		return `C:\Windows\Temp`
	}
	return `C:\Users\` + name + `\AppData\Local\Temp`
}

// renderTask writes the task in the one encoding that schtasks takes surely.
func renderTask(j Job) ([]byte, error) {
	text, err := fill("task.tmpl", j, map[string]any{"Delay": j.Every / 10})
	if err != nil {
		return nil, err
	}
	units := utf16.Encode([]rune("\ufeff" + strings.ReplaceAll(string(text), "\n", "\r\n")))
	return binary.Append(make([]byte, 0, 2*len(units)), binary.LittleEndian, units)
}

// windowsArgument quotes a path for a Windows command line. A path has no
// quotation marks and, having passed checkWindowsPath, no backslash at its end,
// so that the quotes are all it needs.
func windowsArgument(s string) string { return `"` + s + `"` }

// isoDuration is a duration of whole seconds in the form of ISO 8601: PT5M.
func isoDuration(d time.Duration) string { return "PT" + strings.ToUpper(period(d)) }
