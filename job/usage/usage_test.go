package usage

import (
	"strings"
	"testing"
)

// example is a program with one of everything, and texts that every format has
// to escape.
func example() Program {
	return Program{
		Name: "dls", Version: "1.0.0",
		Summary:     "deliver logs; don't lose any.",
		Description: []string{".TH is no macro here", "A \\ stays, 'quotes' too, and — a dash."},
		Flags:       []Flag{{Name: "help", Short: "h", Help: "Show it.", Bool: true}},
		Commands: []Command{
			{
				Name: "sync", Summary: "Run: it's [once]; $HOME `id` \\ \"x\".", Detail: "'Tis more.", Default: true,
				Args: []Arg{{Name: "CONFIG", Help: "The file.", File: true}},
				Flags: []Flag{
					{Name: "endpoint", Placeholder: "auth,…", Help: "Only these.", List: true, Values: []string{"auth", "activity", "telephony"}},
					{Name: "max-runtime", Placeholder: "50m", Help: "Stop: then."},
					{Name: "log", Short: "l", Placeholder: "FILE", Help: "Write [here].", File: true},
					{Name: "verbose", Short: "v", Help: "Say ‘more’.", Bool: true},
				},
				Examples: []Example{{Text: "By hand:", Line: "dls -v config.yml\n.dls 'x'"}},
			},
			{
				Name: "schedule", Summary: "Print a job.",
				Args:  []Arg{{Name: "CONFIG", File: true}, {Name: "KIND", Values: []string{"systemd", "cron"}, Optional: true}},
				Flags: []Flag{{Name: "format", Short: "f", Help: "How.", Values: []string{"json", "cef"}, Default: "json"}},
			},
			{Name: "demo"},
		},
		ExitStatus: []Entry{{"0", "Done."}, {"75", "Locked."}},
		Files:      []Entry{{"/tmp/duologsync.log", "Messages."}},
		Examples:   []Example{{"One:", "dls demo"}, {"Two:", "dls x"}},
		SeeAlso:    []string{"cron(8)", "systemd.timer(5)"},
	}
}

func TestCompletionRefuses(t *testing.T) {
	tests := []struct {
		name, shell string
		change      func(*Program)
		want        string
	}{
		{"shell", "csh", func(*Program) {}, `completion for "csh": there are bash, zsh, fish, powershell`},
		{"program", "bash", func(p *Program) { p.Name = "d l s" }, `"d l s": a shell would need quotes`},
		{"command", "zsh", func(p *Program) { p.Commands[0].Name = "$(id)" }, `"$(id)": a shell would need quotes`},
		{"flag", "fish", func(p *Program) { p.Commands[0].Flags[0].Name = "a;b" }, `"a;b": a shell would need quotes`},
		{"value of a flag", "bash", func(p *Program) { p.Commands[0].Flags[0].Values[0] = "*" }, `"*": a shell would need quotes`},
		{"value of an argument", "powershell", func(p *Program) { p.Commands[1].Args[1].Values[0] = "it's" }, `"it's": a shell would need quotes`},
		{"short form", "bash", func(p *Program) { p.Flags[0].Short = "-" }, `flag "help": the short form "-"`},
		{"short form of a command", "bash", func(p *Program) { p.Commands[0].Flags[0].Short = "ab" }, `flag "endpoint": the short form "ab"`},
		{"two defaults", "bash", func(p *Program) { p.Commands[1].Default = true }, "2 commands are the default"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := example()
			tt.change(&p)
			_, err := Completion(p, tt.shell)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Completion: error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// mustComplete returns a completion script.
func mustComplete(t *testing.T, p Program, shell string) string {
	t.Helper()
	script, err := Completion(p, shell)
	if err != nil {
		t.Fatal(err)
	}
	return script
}
