package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"dls/job/config"
)

// configArg is the configuration file, which $DLS_CONFIG names where the command
// line does not.
type configArg struct {
	Config string `arg:"" optional:"" env:"DLS_CONFIG" help:"The configuration file."`
}

// load reads the configuration.
func (c *configArg) load() (*config.Config, error) {
	return config.Load(c.Config, config.SystemEnv())
}

// errNoConfig is a command line that names no configuration.
var errNoConfig = errors.New("no configuration file: name one, or set $DLS_CONFIG")

// configured tells whether a command that wants a configuration has one.
func configured(command *kong.Node) bool {
	for _, arg := range command.Positional {
		if slices.Contains(arg.Tag.Envs, "DLS_CONFIG") && arg.Tag.Optional {
			return arg.Target.String() != "" || slices.Contains(standalone, command.Name)
		}
	}
	return true
}

// standalone are the commands that do without the configuration that they may take.
var standalone = []string{"demo"}

// duration is a time as a person writes it: what Go writes, with days as well.
type duration time.Duration

// UnmarshalText reads a duration of zero or more, such as 90s, 1h30m, 1d or 1d12h.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*d = duration(v)
	return nil
}

// period is a duration longer than zero.
type period time.Duration

// UnmarshalText reads a duration like that of [duration], but for zero.
func (p *period) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	if v == 0 {
		return fmt.Errorf("%q: it must be longer than zero", text)
	}
	*p = period(v)
	return nil
}

// parseDuration reads a duration of zero or more; a day is 24 hours.
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is no duration: write 90s, 5m, 1h30m, 1d or 1d12h", text)
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "", text
	}
	var d time.Duration
	if found {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, wrong
		}
		d = time.Duration(n) * 24 * time.Hour
	}
	if rest != "" || !found {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 || strings.HasPrefix(rest, "+") {
			return 0, wrong
		}
		d += more
	}
	if d < 0 {
		return 0, wrong
	}
	return d, nil
}

// layouts are the times that a person writes. What names no zone is in UTC.
var layouts = []string{
	time.DateOnly, time.RFC3339,
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04",
}

// parseTime reads a time as a person, or Duo's notice of an incident, writes it: a
// duration before now, a day (its beginning in UTC), a time, or the seconds or
// milliseconds since the epoch.
func parseTime(text string, now time.Time) (time.Time, error) {
	if n, err := strconv.ParseUint(text, 10, 63); err == nil {
		switch len(text) {
		case 10:
			return time.Unix(int64(n), 0), nil
		case 13:
			return time.UnixMilli(int64(n)), nil
		}
	}
	if d, err := parseDuration(text); err == nil && text != "0" {
		return now.Add(-d), nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write a duration before now (24h, 7d), a day (2026-11-20), a time (2026-11-20T08:00Z), or seconds or milliseconds since the epoch", text)
}

// parseSpan reads the values of --since and --until; until may be left out.
func parseSpan(since, until string, now time.Time) (from, to time.Time, err error) {
	if from, err = parseTime(since, now); err != nil {
		return from, to, fmt.Errorf("--since: %w", err)
	}
	if until == "" {
		return from, to, nil
	}
	if to, err = parseTime(until, now); err != nil {
		return from, to, fmt.Errorf("--until: %w", err)
	}
	return from, to, nil
}

// empty refuses arguments and values of flags that are empty: in a script they are
// a variable that is not set, and must never mean "all".
func empty(app *kong.Application, args []string) error {
	for i, arg := range args {
		name, value, assigned := strings.Cut(arg, "=")
		switch {
		case blank(arg) && i > 0 && takesValue(app, args[i-1]):
			return fmt.Errorf("%s: its value is empty", args[i-1])
		case blank(arg):
			return fmt.Errorf("argument %d is empty", i+1)
		case assigned && strings.HasPrefix(arg, "-") && blank(value):
			return fmt.Errorf("%s: its value is empty", name)
		}
	}
	return nil
}

// blank tells whether a text has nothing in it, or nothing between its commas.
func blank(text string) bool { return strings.Trim(text, " \t\r\n,") == "" }

// takesValue tells whether an argument is a flag whose value is the next one.
func takesValue(app *kong.Application, arg string) bool {
	if strings.Contains(arg, "=") {
		return false
	}
	for _, node := range append(app.Leaves(false), app.Node) {
		for _, f := range node.Flags {
			if arg == "--"+f.Name || f.Short != 0 && arg == "-"+string(f.Short) {
				return !f.IsBool() && f.Target.Kind() != reflect.Bool
			}
		}
	}
	return false
}

// misspelt says what a command line may mean whose first word is neither a command
// nor a file, or nil.
func misspelt(app *kong.Application, args []string) error {
	word := ""
	for i, arg := range args {
		if !strings.HasPrefix(arg, "-") && (i == 0 || !takesValue(app, args[i-1])) {
			word = arg
			break
		}
		if arg == "--" {
			return nil
		}
	}
	if word == "" || strings.ContainsAny(word, `./\`) {
		return nil
	}
	return noCommand(app, word, true)
}

// noCommand is the error of a word that is no command, or nil when it is one, or a
// file where that would do as well.
func noCommand(app *kong.Application, word string, orFile bool) error {
	var names []string
	for _, node := range app.Leaves(true) {
		names = append(names, node.Name)
	}
	if slices.Contains(names, word) {
		return nil
	}
	what := fmt.Sprintf("%q is no command", word)
	if orFile {
		if _, err := os.Stat(word); err == nil {
			return nil
		}
		what = fmt.Sprintf("%q is neither a command nor a file", word)
	}
	if near := nearest(word, names); near != "" {
		return fmt.Errorf("%s; did you mean %q?", what, near)
	}
	return errors.New(what)
}

// nearest returns the name that a misspelt word most likely means, or "".
func nearest(word string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if len(word) > 2 && strings.HasPrefix(name, word) {
			return name
		}
		if d := distance(word, name); d < least && 2*d <= len(name) && 2*d <= len(word) {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters that are to be put in, taken out, changed, or
// exchanged with the next one, to make b of a.
func distance(a, b string) int {
	rows := [3][]int{}
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		two, one, row := rows[0], rows[1], rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = one, row, two
	}
	return rows[1][len(b)]
}

// choices adds to a flag's or an argument's help what its value may be.
func choices(value *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(value)
	words := enumeration(value)
	if len(words) == 0 {
		return help
	}
	if value.IsSlice() {
		return help + " One or more of " + listed(words, "or") + "."
	}
	return help + " One of " + listed(words, "or") + "."
}

// listed writes words as a list that ends in "x or y".
func listed(words []string, last string) string {
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " " + last + " " + words[n]
}

// wordings are messages of kong, and what they say in this program's words.
var wordings = []struct {
	of   *regexp.Regexp
	text string
}{
	{regexp.MustCompile(`^\[?(\S+?)\]? must be one of (".*?")(?:,"")? but got (".*")$`), "$1: $3 is none of $2"},
	{regexp.MustCompile(`^(--\S+): expected .* value but got "EOL".*$`), "$1: its value is missing"},
	{regexp.MustCompile(`^(--\S+): expected .* value but got ("[^"]*") \(.*$`), "$1: its value is missing: $2 is a flag"},
	{regexp.MustCompile(`^(--\S+): expected a valid \d+ bit int but got ("[^"]*")$`), "$1: $2 is no whole number"},
	{regexp.MustCompile(`^(--\S+): expected a float but got ("[^"]*") \(.*$`), "$1: $2 is no number"},
	{regexp.MustCompile(`^expected "(<.*>)"$`), "$1 is missing"},
	{regexp.MustCompile(`^missing flags: (--[\w-]+)=(.*)$`), "$1 is missing, such as $1=$2"},
}

// plain is a message about the command line without kong's jargon.
func plain(text string) string {
	for _, w := range wordings {
		text = w.of.ReplaceAllString(text, w.text)
	}
	return strings.ReplaceAll(text, `","`, `", "`)
}
