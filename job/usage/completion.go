package usage

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// Shells returns the shells that [Completion] knows.
func Shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

//go:embed *.tmpl
var files embed.FS

var scripts = template.Must(template.New("").Funcs(template.FuncMap{
	"join":       strings.Join,
	"inc":        func(n int) int { return n + 1 },
	"identifier": identifier,
	"named":      named,
	"words":      words,
	"withValue":  withValue,
	"forms":      Flag.forms,
	"zshFlags":   zshFlags,
	"zshArg":     zshArg,
	"zshText":    zshText,
	"fishText":   fishText,
	"powerText":  powerText,
}).ParseFS(files, "*.tmpl"))

// Completion returns the completion script for one of the [Shells], which says
// in its head how to install it. The error is that of a shell unknown, or of a
// name or value that a shell would need quotes for.
func Completion(p Program, shell string) (string, error) {
	if !slices.Contains(Shells(), shell) {
		return "", fmt.Errorf("completion for %q: there are %s", shell, strings.Join(Shells(), ", "))
	}
	if err := p.check(); err != nil {
		return "", fmt.Errorf("completion for %s: %w", shell, err)
	}
	var b strings.Builder
	if err := scripts.ExecuteTemplate(&b, shell+".tmpl", newScript(p)); err != nil {
		return "", fmt.Errorf("completion for %s: %w", shell, err)
	}
	return b.String(), nil
}

// script is what the templates are filled from: the program, with the flags
// that every command has put into each command.
type script struct {
	Program
	Default string
}

func newScript(p Program) script {
	s := script{Program: p, Default: p.byDefault().Name}
	s.Commands = slices.Clone(p.Commands)
	for i, c := range s.Commands {
		s.Commands[i].Flags = slices.Concat(c.Flags, p.Flags)
	}
	if s.Default == "" {
		// A command line without a command has the common flags and no argument.
		s.Commands = append(s.Commands, Command{Flags: p.Flags})
	}
	return s
}

// named returns the commands that the user can type.
func named(commands []Command) []Command {
	return slices.DeleteFunc(slices.Clone(commands), func(c Command) bool { return c.Name == "" })
}

// words returns every form of the flags.
func words(flags []Flag) []string {
	var words []string
	for _, f := range flags {
		words = append(words, f.forms()...)
	}
	return words
}

// withValue returns those of the flags that take a value.
func withValue(flags []Flag) []Flag {
	return slices.DeleteFunc(slices.Clone(flags), func(f Flag) bool { return f.Bool })
}

// identifier turns the program's name into a function's.
func identifier(name string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(name)
}

// zshText escapes a help text for the inside of brackets or of a list in single
// quotes: the quote for the shell, the rest for _arguments and _describe.
func zshText(help string) string {
	return strings.NewReplacer(`'`, `'\''`, `\`, `\\`, `[`, `\[`, `]`, `\]`, `:`, `\:`).Replace(oneLine(help))
}

// zshFlags returns the specifications of flags for _arguments, each in quotes.
func zshFlags(flags []Flag) []string {
	var specs []string
	for _, f := range flags {
		action := ""
		switch {
		case f.Bool:
		case f.Values != nil && f.List:
			action = ":" + f.Name + ":_sequence compadd - " + strings.Join(f.Values, " ")
		case f.Values != nil:
			action = ":" + f.Name + ":(" + strings.Join(f.Values, " ") + ")"
		case f.File:
			action = ":" + f.Name + ":_files"
		default:
			action = ":" + f.Name + ": "
		}
		once := "(" + strings.Join(f.forms(), " ") + ")"
		if f.List {
			once = "*"
		}
		for _, form := range f.forms() {
			if strings.HasPrefix(form, "--") && !f.Bool {
				form += "="
			} else if !f.Bool {
				form += "+"
			}
			specs = append(specs, "'"+once+form+"["+zshText(f.Help)+"]"+action+"'")
		}
	}
	return specs
}

// zshArg returns the specification of an argument for _arguments, in quotes.
func zshArg(n int, a Arg) string {
	action := " "
	switch {
	case a.Values != nil:
		action = "(" + strings.Join(a.Values, " ") + ")"
	case a.File:
		action = "_files"
	}
	colons := ":"
	if a.Optional {
		colons = "::"
	}
	return fmt.Sprintf("'%d%s%s:%s'", n, colons, zshText(a.Name), action)
}

// fishText quotes a help text for fish.
func fishText(help string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(oneLine(help)) + "'"
}

// powerText quotes a help text for PowerShell, for which some typographic quotes
// end a string as the plain one does. An empty text is not allowed as a tooltip.
func powerText(help string) string {
	help = oneLine(help)
	if help == "" {
		help = " "
	}
	return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(help) + "'"
}
