package usage

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A completion asks for what may follow a command line in a directory that holds
// sub.yml and other.yml.
type completion struct {
	line string
	want []string
}

var (
	commandNames = []string{"demo", "schedule", "sync"}
	configFiles  = []string{"other.yml", "sub.yml"}
)

// common is what every shell completes alike. A line ends where the cursor is.
var common = []completion{
	{"dls sy", []string{"sync"}},
	{"dls d", []string{"demo"}},
	{"dls s", []string{"schedule", "sub.yml", "sync"}},
	{"dls ", slices.Sorted(slices.Values(append(slices.Clone(commandNames), configFiles...)))},
	{"dls o", []string{"other.yml"}},
	{"dls sync s", []string{"sub.yml"}},
	{"dls -v s", []string{"schedule", "sub.yml", "sync"}},
	{"dls --max-runtime 5m sy", []string{"sync"}},
	{"dls sync --max", []string{"--max-runtime"}},
	{"dls --end", []string{"--endpoint"}},
	{"dls sub.yml --end", []string{"--endpoint"}},
	{"dls schedule --f", []string{"--format"}},
	{"dls schedule sub.yml ", []string{"cron", "systemd"}},
	{"dls schedule --format json sub.yml s", []string{"systemd"}},
	{"dls schedule -f json sub.yml s", []string{"systemd"}},
	{"dls schedule --format ", []string{"cef", "json"}},
	{"dls schedule --format=j", []string{"json"}},
	{"dls sync --endpoint a", []string{"activity", "auth"}},
	{"dls demo --h", []string{"--help"}},
	{"dls sync --log s", []string{"sub.yml"}},
	{"dls demo x", nil},
	{"dls sync --max-runtime s", nil},
}

// testShell asks a shell for the completions: ask returns them in any order, as
// the shell gives them.
func testShell(t *testing.T, shell string, more []completion, ask func(t *testing.T, dir, script, line string) []string) {
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("no %s here", shell)
	}
	dir := t.TempDir()
	for _, name := range configFiles {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte(mustComplete(t, example(), shell)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range slices.Concat(common, more) {
		got := ask(t, dir, script, tt.line)
		slices.Sort(got)
		if diff := cmp.Diff(tt.want, slices.Compact(got)); diff != "" {
			t.Errorf("%s: %q (-want +got):\n%s", shell, tt.line, diff)
		}
	}
}

// run runs a shell in a directory and returns the lines of its output.
func run(t *testing.T, dir string, command ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	home := t.TempDir() // nobody's own settings
	cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home, "LC_ALL=C.UTF-8", "TERM=dumb")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Errorf("%s: %v\n%s", command[0], err, &stderr)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

// Bash's own completion of files, which the script asks for by compopt, is not
// there outside of an interactive line, so compgen stands in for it.
const askBash = `
source "$1"
shift
wanted=
compopt() { wanted=$2; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
$(complete -p dls | sed 's/.*-F \([^ ]*\) .*/\1/')
if [[ $wanted == default && ${#COMPREPLY[@]} -eq 0 ]]; then
	compgen -f -- "${COMP_WORDS[COMP_CWORD]}"
fi
for word in "${COMPREPLY[@]}"; do
	echo "$word"
done
`

func TestBash(t *testing.T) {
	more := []completion{
		{"dls sync --endpoint auth,t", []string{"auth,telephony"}},
		{"dls sync --endpoint=", []string{"activity", "auth", "telephony"}},
		{"dls sync --log=x o", []string{"other.yml"}},
		{"dls -", []string{"--endpoint", "--help", "--log", "--max-runtime", "--verbose", "-h", "-l", "-v"}},
	}
	testShell(t, "bash", more, func(t *testing.T, dir, script, line string) []string {
		// Readline gives the equals sign as a word of its own.
		words := strings.Split(strings.ReplaceAll(line, "=", " = "), " ")
		if strings.HasSuffix(line, "=") {
			words = words[:len(words)-1]
		}
		return run(t, dir, slices.Concat([]string{"bash", "--norc", "-c", askBash, "bash", script}, words)...)
	})
}

// askZsh types a line and a tab into an interactive zsh, and writes what is
// offered to the completion system's last builtin to a file.
const askZsh = `
zmodload zsh/zpty || exit 3
export SCRIPT=$1 LINE=$2 OUT=$3
: >$OUT
setup='
PS1= PS2= RPS1= fpath=($fpath)
unsetopt zle_bracketed_paste 2>/dev/null
autoload -Uz compinit && compinit -C -d $OUT.dump
source $SCRIPT
compadd() {
	local -a hits
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)* ]]; then
		builtin compadd "$@"
		return
	fi
	builtin compadd -A hits "$@"
	(( $#hits )) && print -rl -- $hits >>$OUT
	builtin compadd "$@"
}
finish() { exit 0 }
after() { comppostfuncs=(finish) }
compprefuncs=(after)
zstyle ":completion:*" list-prompt ""
bindkey "^I" complete-word
print READY
'
zpty shell "zsh -f -i"
zpty -w shell "$setup"
zpty -r shell text '*READY*READY*'
zpty -n -w shell "$LINE"$'\t'
while zpty -r shell text; do :; done
zpty -d shell
cat $OUT
`

func TestZsh(t *testing.T) {
	more := []completion{
		{"dls sync --endpoint auth,t", []string{"telephony"}},
		{"dls sync --endpoint=", []string{"activity", "auth", "telephony"}},
	}
	out := filepath.Join(t.TempDir(), "out")
	testShell(t, "zsh", more, func(t *testing.T, dir, script, line string) []string {
		found := run(t, dir, "zsh", "-f", "-c", askZsh, "zsh", script, line, out)
		for i, word := range found {
			found[i] = strings.TrimSuffix(word, "=") // of a flag
		}
		return found
	})
}

func TestFish(t *testing.T) {
	more := []completion{
		{"dls sync --endpoint auth,t", []string{"auth,telephony"}},
		{"dls -", []string{"--endpoint", "--help", "--log", "--max-runtime", "--verbose", "-h", "-l", "-v"}},
	}
	testShell(t, "fish", more, func(t *testing.T, dir, script, line string) []string {
		found := run(t, dir, "fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, script, line)
		for i, word := range found {
			word, _, _ = strings.Cut(word, "\t") // the help
			if strings.HasPrefix(word, "--") {
				_, value, ok := strings.Cut(word, "=")
				if ok && value != "" {
					word = value
				} else {
					word = strings.TrimSuffix(word, "=")
				}
			}
			found[i] = word
		}
		return found
	})
}

// PowerShell's script is at least in balance, and says what the others say.
func TestPowerShell(t *testing.T) {
	script := mustComplete(t, example(), "powershell")
	for _, want := range []string{
		"-CommandName 'dls', 'dls.exe'",
		"        'sync' = 'Run: it''s [once]; $HOME `id` \\ \"x\"'\n        'schedule' = 'Print a job'\n        'demo' = ' '\n",
		"@{ Form = '--endpoint'; Help = 'Only these'; Value = $true; List = $true; File = $false; Words = @('auth', 'activity', 'telephony') }",
		"@{ Form = '-v'; Help = 'Say ‘‘more’’'; Value = $false; List = $false; File = $false; Words = @() }",
		"            @{ File = $true; Words = @() }\n            @{ File = $false; Words = @('systemd', 'cron') }\n",
	} {
		if !strings.Contains(script, want) {
			t.Errorf("the script lacks %s", want)
		}
	}
	var open []rune
	quoted, comment := false, false
	for _, r := range script {
		switch {
		case comment:
			comment = r != '\n'
		case r == '\'':
			quoted = !quoted
		case quoted:
		case r == '#':
			comment = true
		case strings.ContainsRune("({[", r):
			open = append(open, r)
		case strings.ContainsRune(")}]", r):
			if len(open) == 0 || strings.IndexRune("({[", open[len(open)-1]) != strings.IndexRune(")}]", r) {
				t.Fatal("brackets are out of balance")
			}
			open = open[:len(open)-1]
		}
	}
	if quoted || len(open) > 0 {
		t.Error("quotes or brackets are out of balance")
	}
}

// A program without a default command completes nothing in its place.
func TestWithoutDefault(t *testing.T) {
	p := example()
	p.Commands[0].Default = false
	for _, shell := range Shells() {
		script := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(script, []byte(mustComplete(t, p, shell)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath(shell); err != nil || shell == "powershell" {
			continue
		}
		run(t, t.TempDir(), shell, "-n", script)
	}
}
