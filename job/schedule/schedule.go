// Package schedule writes the job definitions with which a system's own
// scheduler runs dls: a systemd service and timer, a crontab line, a task of the
// Windows Task Scheduler, a launchd daemon, a CronJob of Kubernetes, a job of Slurm.
//
// Start with [Render]. A definition is complete: absolute paths, each escaped as
// its format wants it, a time limit, and no way to start a second run beside the
// first where the scheduler can prevent that. What a definition cannot carry
// through is an error, never a definition that works differently. Nothing here
// reads the machine, so a definition depends on the [Job] alone and can be printed
// on any system.
package schedule

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"
)

// Kind is a scheduler.
type Kind string

// The kinds, as the command line names them.
const (
	Systemd    Kind = "systemd"
	Cron       Kind = "cron"
	Windows    Kind = "windows"
	Launchd    Kind = "launchd"
	Kubernetes Kind = "kubernetes"
	Slurm      Kind = "slurm"
)

// Job is what is to run, and how often.
type Job struct {
	// Name names the units, the task or the daemon, and systemd's directories
	// below /var/lib and /var/log. Letters and digits, with single hyphens or
	// underscores between them. Two configurations on one machine need two names.
	// Required.
	Name string
	// Exe and Config are the absolute paths of dls and of its configuration.
	// Required.
	Exe, Config string
	// Every is the time from one start to the next: whole minutes, from one minute
	// to a day. Cron can do only what divides an hour or a day evenly. Required.
	Every time.Duration
	// User is an existing account to run as. Empty: systemd makes up a user of its
	// own (DynamicUser=), Windows takes LocalService, launchd root, and cron whoever
	// owns the crontab.
	User string
	// StateDir is where checkpoints will be kept, or empty when none are. For
	// systemd it is [StateDirectory] where the configuration names none.
	StateDir string
	// Bucket names the bucket with the checkpoints, in the place of StateDir, or is empty.
	Bucket string
	// MustExist tells that the configuration refuses a place without checkpoints.
	MustExist bool
	// Shards is in how many shares the child accounts are read, 0 for one run of all.
	// Kubernetes and Slurm alone can do it.
	Shards int
	// LogFile is the configuration's log file, or empty.
	LogFile string
	// Audit makes the job a weekly dls audit of what dls itself has delivered, beside the
	// job of that name. Every does not matter then.
	Audit bool
	// Files are what else the run reads. Those without a path are not there.
	Files []File
	// SecretFile is the absolute path of a file with the secret key, for systemd to
	// pass on as the credential "skey". Empty when the configuration says where the
	// secret is; it has to for the other kinds.
	SecretFile string
}

// File is a file that the configuration names.
type File struct{ Key, Path string }

// Definition is a job definition, ready to install.
type Definition struct {
	// Text is what the scheduler takes: UTF-16LE with a byte order mark for
	// Windows, else UTF-8. It says how to install it.
	Text []byte
	// Warnings are what the user should know though the definition is valid: one
	// line each.
	Warnings []string
}

// StateDirectory returns the checkpoint directory that systemd gives to a job
// of that name in $STATE_DIRECTORY.
func StateDirectory(name string) string { return "/var/lib/" + name }

// A run ends itself cleanly at maxRuntime; the scheduler ends it at timeLimit
// should it hang.
const (
	maxRuntime = "50m"
	timeLimit  = time.Hour
	// Of a weekly audit, which reads a day more than a week.
	auditSince   = "8d"
	auditRuntime = "11h"
	auditLimit   = 12 * time.Hour
)

// Render writes the definition of a job for a kind of scheduler. The error says
// which field of the job cannot be carried out and what would be possible.
func Render(kind Kind, j Job) (*Definition, error) {
	if err := j.check(kind); err != nil {
		return nil, fmt.Errorf("%s job: %w", kind, err)
	}
	var text []byte
	var err error
	switch kind {
	case Systemd:
		text, err = renderSystemd(j)
	case Cron:
		text, err = renderCron(j)
	case Windows:
		text, err = renderTask(j)
	case Launchd:
		text, err = renderLaunchd(j)
	case Kubernetes, Slurm:
		text, err = renderCluster(string(kind)+".tmpl", j)
	}
	if err != nil {
		return nil, fmt.Errorf("%s job: %w", kind, err)
	}
	return &Definition{Text: text, Warnings: j.warnings(kind)}, nil
}

var (
	nameRule = regexp.MustCompile(`^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$`)
	userRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*\$?$`) // of Unix
)

// check reports the first thing that no definition of the kind can express.
func (j Job) check(kind Kind) error {
	if !nameRule.MatchString(j.Name) {
		return fmt.Errorf("name %q: letters and digits, with single hyphens between them", j.Name)
	}
	switch {
	case j.Audit && (kind == Kubernetes || kind == Slurm):
		return fmt.Errorf("a weekly audit is printed for %s, %s, %s and %s; for this scheduler take the job of runs, with \"audit --since %s\" in place of sync", Systemd, Cron, Windows, Launchd, auditSince)
	case j.Audit && j.StateDir == "" && j.Bucket == "":
		return errors.New("an audit holds Duo against what was delivered, and without checkpoints nothing is remembered")
	}
	if j.Every%time.Minute != 0 || j.Every < time.Minute || j.Every > 24*time.Hour {
		return fmt.Errorf("every %v: whole minutes are possible, from 1m to 24h", j.Every)
	}
	checkPath, user := checkUnixPath, userRule.MatchString(j.User)
	switch kind {
	case Systemd, Cron, Launchd:
	case Kubernetes, Slurm:
		if err := j.checkCluster(kind); err != nil {
			return err
		}
	case Windows:
		checkPath, user = checkWindowsPath, checkText(j.User) == nil
	default:
		return fmt.Errorf("unknown scheduler; there are %s, %s, %s, %s, %s and %s", Systemd, Cron, Windows, Launchd, Kubernetes, Slurm)
	}
	if j.Shards > 0 && kind != Kubernetes && kind != Slurm {
		return errors.New("shares: Kubernetes and Slurm start several runs of one job, this scheduler one")
	}
	if j.User != "" && !user {
		return fmt.Errorf("user %q: not a user's name", j.User)
	}
	for _, p := range []struct{ what, path string }{{"program", j.Exe}, {"configuration", j.Config}} {
		if err := checkPath(p.path); err != nil {
			return fmt.Errorf("%s %q: %w", p.what, p.path, err)
		}
	}
	for _, f := range append([]File{{"log_filepath", j.LogFile}, {"checkpointing.directory", j.StateDir}}, j.Files...) {
		if f.Path != "" && !absolute(kind, f.Path) {
			return fmt.Errorf("%s %q: not an absolute path of this scheduler's system; the scheduler starts the job in a directory of its own choice", f.Key, f.Path)
		}
	}
	if kind == Systemd {
		return j.checkSystemd()
	}
	if j.SecretFile != "" && kind != Kubernetes {
		return errors.New("only systemd passes credentials on; name the secret's file in account.skey_filepath")
	}
	return nil
}

// checkText refuses what one of the formats cannot hold.
func checkText(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("not UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufffe' || r == '\uffff'
	}) {
		return errors.New("has a control character")
	}
	return nil
}

// errPath is also that of a job printed on another system than its own.
var errPath = errors.New("not a plain absolute path of this scheduler's system; print the job on the machine that is to run it, or say with --program and --for where dls and the configuration are there")

func checkUnixPath(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
		return errPath
	}
	return checkText(p)
}

// absolute tells whether a path of a kind's system does not depend on where the job
// is started.
func absolute(kind Kind, p string) bool {
	if kind == Windows {
		return windowsRoot.MatchString(p)
	}
	return path.IsAbs(p)
}

// TempDir is the temporary folder of the account that a job of the kind runs as,
// where user is as in [Job.User].
func TempDir(kind Kind, user string) string {
	if kind != Windows {
		return "/tmp"
	}
	return temporaryOf(user)
}

// warnings tell of checkpoints that the system may throw away.
func (j Job) warnings(kind Kind) []string {
	var w []string
	temporary := temporaryUnix
	if kind == Windows {
		temporary = temporaryWindows
	}
	if kind == Kubernetes || kind == Slurm {
		w = j.clusterWarnings(kind)
	}
	if temporary(j.StateDir) {
		w = append(w, fmt.Sprintf("checkpoints go to %q: the system may empty a temporary folder, and the next run then sends the whole window again; set dls_settings.checkpointing.directory", j.StateDir))
	}
	if kind == Systemd && j.LogFile != "" && !temporary(j.LogFile) && !below(j.LogFile, "/var/log/"+j.Name) {
		w = append(w, fmt.Sprintf("the service cannot write its log to %q: set dls_settings.log_filepath to a file in /var/log/%s, or leave it out and read the journal", j.LogFile, j.Name))
	}
	return w
}

func temporaryUnix(p string) bool {
	return below(p, "/tmp", "/var/tmp", "/private/tmp", "/private/var/tmp")
}

// below tells whether a path is one of the directories or in it.
func below(p string, dirs ...string) bool {
	p = path.Clean(p)
	for _, dir := range dirs {
		if p == dir || strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// even splits a period that divides an hour or a day evenly: it is so many
// minutes within each hour, or else so many hours within each day. Both are zero
// for any other period.
func even(every time.Duration) (minutes, hours int) {
	switch m := int(every / time.Minute); {
	case m < 60 && 60%m == 0:
		return m, 0
	case m%60 == 0 && 24%(m/60) == 0:
		return 0, m / 60
	}
	return 0, 0
}

//go:embed *.tmpl
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"systemdWord": systemdWord,
	"specifiers":  specifiers,
	"shellWord":   cronWord,
	"argument":    windowsArgument,
	"xml":         escapeXML,
	"iso":         isoDuration,
	"seconds":     func(d time.Duration) int { return int(d / time.Second) },
	"period":      period,
	"shWord":      shWord,
	"minutes":     func(d time.Duration) int { return int(d / time.Minute) },
}).ParseFS(files, "*.tmpl"))

// fill executes a template on what every template needs.
func fill(name string, j Job, more map[string]any) ([]byte, error) {
	data := map[string]any{"Job": j, "MaxRuntime": maxRuntime, "TimeLimit": timeLimit, "Unit": j.Name}
	if j.Audit {
		data["Unit"], data["TimeLimit"], data["AuditSince"], data["AuditRuntime"] = j.Name+"-audit", auditLimit, auditSince, auditRuntime
	}
	for k, v := range more {
		data[k] = v
	}
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// period names a duration of whole seconds in short: 5m, 2h, 1h30m, 30s.
func period(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
