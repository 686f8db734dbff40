package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dls/job"
	"dls/job/config"
	"dls/job/report"
	"dls/state/safefile"
)

type auditCommand struct {
	configArg
	More    []string `arg:"" optional:"" name:"file" help:"Further files, where --against is given a pattern of the shell's."`
	Since   string   `required:"" placeholder:"24h" help:"From when on: a duration before now (24h, 7d), a day, a time (UTC unless it names a zone), or seconds or milliseconds since the epoch."`
	Until   string   `placeholder:"1h" help:"Up to when, written like --since. Left out: what the checkpoints say is delivered."`
	Against []string `sep:"none" placeholder:"FILE" help:"What the SIEM has: lines of JSON, CEF, CSV or raw syslog, plain or gzip; - is the standard input. May be given several times. Left out: Duo is held against what dls has delivered, by the hour."`
	Missing string   `placeholder:"FILE" help:"Write the records that are missing to this file, as they are delivered; it is replaced."`
	Resend  string   `placeholder:"ID" help:"Deliver the records that are missing to this server of the configuration. Checkpoints stay as they are."`
	Quiet   bool     `short:"q" help:"Print nothing where everything is found."`
	JSON    bool     `name:"json" help:"Print one JSON object in place of the table."`
	streamFlags
}

// options reads the flags.
func (c *auditCommand) options(log *slog.Logger, now time.Time) (opts job.AuditOptions, err error) {
	opts = job.AuditOptions{Options: c.streamFlags.options(log), Resend: c.Resend}
	if opts.Since, opts.Until, err = parseSpan(c.Since, c.Until, now); err != nil {
		return opts, err
	}
	if len(c.Against) == 0 && len(c.More) > 0 {
		return opts, fmt.Errorf("%q: files are named by --against", c.More[0])
	}
	stdin := 0
	for _, name := range append(c.Against[:len(c.Against):len(c.Against)], c.More...) {
		f := job.AuditFile{Name: name, Open: func() (io.ReadCloser, error) { return os.Open(name) }}
		if name == "-" {
			f.Open = func() (io.ReadCloser, error) { return io.NopCloser(os.Stdin), nil }
			stdin++
		} else if info, err := os.Stat(name); err == nil && info.IsDir() {
			return opts, fmt.Errorf("--against %q: it is a directory", name)
		} else if err != nil {
			return opts, fmt.Errorf("--against %q: %w", name, safefile.Cause(err))
		}
		if one, err := os.Stat(name); name != "-" && err == nil && c.Missing != "" {
			if other, err := os.Stat(c.Missing); err == nil && os.SameFile(one, other) {
				return opts, fmt.Errorf("--missing %q: it is a file of --against, and would be replaced", c.Missing)
			}
		}
		opts.Against = append(opts.Against, f)
	}
	if stdin > 1 {
		return opts, errors.New("--against -: the standard input can be read once")
	}
	return opts, nil
}

// auditMemory is what an audit keeps to, where it can.
const auditMemory = 44 << 20

func (c *auditCommand) run(ctx context.Context, stdout, stderr io.Writer) int {
	now := time.Now()
	if err := c.check(); err != nil {
		return misused(stderr, err)
	}
	if _, err := c.options(nil, now); err != nil {
		return misused(stderr, err)
	}
	cfg, err := config.LoadForPull(c.Config, config.SystemEnv())
	if err != nil {
		slog.New(c.console(stderr)).Error(err.Error())
		return exitUsage
	}
	console, progress, stop := c.follow(stderr)
	defer stop()
	log := slog.New(console)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	opts, err := c.options(log, now)
	if err != nil {
		return misused(stderr, err)
	}
	opts.Progress = progress
	missing, err := c.open()
	if err != nil {
		log.Error(err.Error(), "hint", replacingHint(err))
		return exitUsage
	}
	defer missing.discard()
	var lines spilled
	switch {
	case c.Missing != "":
		opts.Missing = missing
	case c.Verbose && !c.JSON:
		opts.Missing = &lines
	}
	defer lines.close()
	defer keepTo(auditMemory)()
	a, err := job.Examine(ctx, cfg, opts)
	stop()
	if err == nil {
		err = c.print(stdout, a, &lines)
	}
	if err == nil {
		_, err = missing.finish(true)
	}
	if a == nil {
		log.Error(err.Error(), "hint", job.Hint(err))
		return exitCode(ctx, nil, err)
	}
	a.Read.Report(log)
	if a.Resent != nil {
		a.Resent.Report(log)
	}
	if err != nil {
		log.Error(err.Error(), "hint", job.Hint(err))
	}
	return c.code(ctx, a, err)
}

// code is the exit code of an audit.
func (c *auditCommand) code(ctx context.Context, a *job.Audit, err error) int {
	read := exitCode(ctx, a.Read, nil)
	switch {
	case read > exitSignal:
		return read
	case err != nil || a.Missing+a.Unclear+a.Unproved > 0:
		if a.Resent != nil {
			if sent := exitCode(ctx, a.Resent, nil); sent > exitSignal {
				return sent
			}
		}
		return exitNone
	}
	return read
}

// open opens the file for the records that are missing.
func (c *auditCommand) open() (*destination, error) {
	if c.Missing == "" {
		return &destination{}, nil
	}
	return replacing("--missing", c.Missing)
}

// spilled keeps lines for the end of the standard output: a table comes first. Its file has
// no name where the system can, so that a kill leaves nothing behind.
type spilled struct {
	file *safefile.Temp
	size int64
}

// Write takes lines.
func (s *spilled) Write(p []byte) (int, error) {
	if s.file == nil {
		f, err := safefile.TempIn(os.TempDir())
		if err != nil {
			return 0, err
		}
		s.file = f
	}
	n, err := s.file.WriteAt(p, s.size)
	s.size += int64(n)
	return n, err
}

// writeTo writes all lines.
func (s *spilled) writeTo(w io.Writer) error {
	if s.file == nil {
		return nil
	}
	_, err := io.Copy(w, io.NewSectionReader(s.file, 0, s.size))
	return err
}

func (s *spilled) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

// auditForm is what --json prints.
type auditForm struct {
	Since    time.Time      `json:"since"`
	Until    time.Time      `json:"until"`
	AtDuo    int            `json:"at_duo"`
	Found    int            `json:"found"`
	Missing  int            `json:"missing"`
	Pending  int            `json:"pending"`
	Outside  int            `json:"outside_ledger"`
	Unclear  int            `json:"unclear_hours"`
	Unproved int            `json:"unproved"`
	Resent   *int           `json:"resent,omitempty"`
	Lines    int            `json:"lines"`
	Rows     []job.AuditRow `json:"rows"`
	Failed   []auditFailure `json:"failed,omitempty"`
}

// auditFailure is a stream that could not be read, or sent, to its end.
type auditFailure struct {
	Endpoint string `json:"endpoint"`
	Account  string `json:"account_id,omitempty"`
	Error    string `json:"error"`
}

// print prints what came of the audit.
func (c *auditCommand) print(stdout io.Writer, a *job.Audit, lines *spilled) error {
	if c.Quiet && a.Missing+a.Unclear+a.Unproved == 0 && len(a.Read.Failed()) == 0 {
		return nil
	}
	if c.JSON {
		form := auditForm{
			Since: a.Since, Until: a.Until, AtDuo: a.AtDuo, Found: a.Found, Missing: a.Missing, Pending: a.Pending, Outside: a.Outside, Unclear: a.Unclear, Unproved: a.Unproved,
			Lines: a.Lines, Rows: append([]job.AuditRow{}, a.Rows...),
		}
		if a.Resent != nil {
			n := delivered(a.Resent)
			form.Resent = &n
		}
		for _, sum := range []*job.Summary{a.Read, a.Resent} {
			if sum == nil {
				continue
			}
			for _, r := range sum.Failed() {
				form.Failed = append(form.Failed, auditFailure{r.Endpoint, r.Account, report.Clean(r.Err.Error())})
			}
		}
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(form)
	}
	if err := c.table(stdout, a); err != nil {
		return err
	}
	return lines.writeTo(stdout)
}

// The columns of the table.
const (
	colStream = iota
	colAccount
	colDay
	colAtDuo
	colFound
	colMissing
	colNote
)

// table prints the counts of each stream and day. On a screen an account stands above
// its streams; a narrow one goes without the years, and without what was found, which
// the others tell.
func (c *auditCommand) table(stdout io.Writer, a *job.Audit) error {
	screen, out := report.ScreenOf(stdout), bufio.NewWriter(stdout)
	found := "found"
	if len(c.Against) == 0 {
		found = "delivered"
	}
	lines := [][]string{{"stream", "account", "day", "at Duo", found, "missing", ""}}
	accounts := false
	for _, r := range a.Rows {
		account, note := report.Clean(r.Account), ""
		accounts = accounts || account != ""
		if r.AccountName != "" {
			account = report.Clean(r.AccountName) + " (" + account + ")"
		}
		if !r.Complete {
			note = "  not read to the end"
		}
		if r.Unclear > 0 {
			note += fmt.Sprintf("  %d hours differ", r.Unclear)
		}
		if r.Unproved > 0 {
			note += fmt.Sprintf("  %d cannot be proved", r.Unproved)
		}
		lines = append(lines, []string{
			r.Endpoint, account, cmp.Or(r.Day, "no time"), strconv.Itoa(r.AtDuo), strconv.Itoa(r.Found), strconv.Itoa(r.Missing), note,
		})
	}
	shown, indent := []int{colStream, colAccount, colDay, colAtDuo, colFound, colMissing}, ""
	grouped := accounts && screen.Width > 0
	if grouped {
		indent = "  "
	}
	if grouped || !accounts {
		shown = slices.DeleteFunc(shown, func(column int) bool { return column == colAccount })
	}
	if screen.Width > 0 && screen.Width < 56 {
		shown = slices.DeleteFunc(shown, func(column int) bool { return column == colFound })
		for _, cells := range lines[1:] {
			if day, err := time.Parse(time.DateOnly, cells[colDay]); err == nil {
				cells[colDay] = day.Format("01-02")
			}
		}
	}
	widths := make([]int, colNote)
	for _, cells := range lines {
		for column := range widths {
			widths[column] = max(widths[column], utf8.RuneCountInString(cells[column]))
		}
	}
	for i, cells := range lines {
		if grouped && i > 0 && (i == 1 || cells[colAccount] != lines[i-1][colAccount]) {
			fmt.Fprintln(out, report.Cut(cells[colAccount], screen.Width-1))
		}
		var line []string
		for _, column := range shown {
			width := widths[column]
			if column < colAtDuo {
				width = -width // to the left
			}
			line = append(line, fmt.Sprintf("%*s", width, cells[column]))
		}
		fmt.Fprint(out, indent, strings.Join(line, "  "))
		switch note := cells[colNote]; {
		case note != "" && screen.Width > 0:
			fmt.Fprintf(out, "\n%6s%s\n", "", screen.Wrap(note, 6, 6))
		default:
			fmt.Fprintln(out, note)
		}
	}
	text := fmt.Sprintf("from %s to %s: %d at Duo, %d %s, %d missing", a.Since.Format(time.RFC3339), a.Until.Format(time.RFC3339), a.AtDuo, a.Found, found, a.Missing)
	if a.Unclear > 0 {
		text += fmt.Sprintf("; %d hours differ in which single records cannot be told apart", a.Unclear)
	}
	if a.Unproved > 0 {
		text += fmt.Sprintf("; %d cannot be proved to be there or missing: they tell another time than their place at Duo", a.Unproved)
	}
	if a.Outside > 0 {
		text += fmt.Sprintf("; %d tell a time before what is compared, or none, and were not looked at", a.Outside)
	}
	if a.Pending > 0 {
		newer := "newer than what is delivered are the next run's"
		if len(c.Against) == 0 {
			newer = "newer than the last hour that is delivered as a whole were not looked at"
		}
		text += fmt.Sprintf("; %d %s", a.Pending, newer)
	}
	if a.Resent != nil {
		text += fmt.Sprintf("; %d delivered to %q", delivered(a.Resent), c.Resend)
	}
	fmt.Fprintln(out, screen.Wrap(text, 0, 2))
	return out.Flush() // it has the first error of all
}
