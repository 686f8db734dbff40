// Package usage turns a description of a command line into what others read of
// it: completion scripts for the shells and the manual page.
//
// Start with [Program], then [Completion] and [Man]. Both are pure functions of
// the description, so scripts and manual say what the command line says. The
// scripts are static: to complete a word runs nothing of the program.
package usage

import (
	"fmt"
	"regexp"
	"strings"
)

// Program describes a command line of one level of commands. All texts are plain:
// the functions of this package escape them.
type Program struct {
	// Name is what the user types. Required.
	Name string
	// Summary says in a few words what the program is.
	Summary string
	// Version is the version's number.
	Version string
	// Description has the paragraphs of the manual's DESCRIPTION.
	Description []string
	// Flags are those that every command has.
	Flags []Flag
	// Commands are the commands in the order in which to show them.
	Commands []Command
	// ExitStatus, Files and Environment are the manual's sections of these names.
	ExitStatus, Files, Environment []Entry
	// Examples are those of the manual's last section but one.
	Examples []Example
	// SeeAlso names other manual pages: cron(8).
	SeeAlso []string
}

// Command is one command.
type Command struct {
	// Name is what the user types. Required.
	Name string
	// Summary says in a sentence what it does; Detail has more, for the manual.
	Summary, Detail string
	// Args are the arguments in their order.
	Args []Arg
	// Flags are the command's own flags.
	Flags []Flag
	// Examples follow the command in the manual.
	Examples []Example
	// Default tells that the command's name may be left out. At most one may be.
	Default bool
}

// Flag is a flag.
type Flag struct {
	// Name is the long form without its hyphens. Required.
	Name string
	// Short is the short form, one letter or digit, or empty.
	Short string
	// Placeholder stands for the value in the manual.
	Placeholder string
	// Help is a sentence.
	Help string
	// Default is the value without the flag, or empty.
	Default string
	// Bool tells that the flag takes no value.
	Bool bool
	// List tells that the value is a list with commas.
	List bool
	// Values are all that the value, or a member of the list, may be; nil: anything.
	Values []string
	// File tells that the value is a file's path.
	File bool
}

// Arg is an argument.
type Arg struct {
	// Name stands for it in the manual.
	Name string
	// Help is a sentence.
	Help string
	// Values are all that it may be; nil: anything.
	Values []string
	// File tells that it is a file's path.
	File bool
	// Optional tells that it may be left out.
	Optional bool
}

// Entry is a term with its explanation.
type Entry struct{ Term, Text string }

// Example is a command line with what it is for.
type Example struct{ Text, Line string }

// plain is what needs no quotes in any shell.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// check refuses names and values that a shell would need quotes for.
func (p Program) check() error {
	names := []string{p.Name}
	flags := func(flags []Flag) error {
		for _, f := range flags {
			names = append(names, f.Name)
			names = append(names, f.Values...)
			if f.Short != "" && (len(f.Short) != 1 || !plain.MatchString(f.Short)) {
				return fmt.Errorf("flag %q: the short form %q is no letter or digit", f.Name, f.Short)
			}
		}
		return nil
	}
	if err := flags(p.Flags); err != nil {
		return err
	}
	defaults := 0
	for _, c := range p.Commands {
		names = append(names, c.Name)
		for _, a := range c.Args {
			names = append(names, a.Values...)
		}
		if err := flags(c.Flags); err != nil {
			return err
		}
		if c.Default {
			defaults++
		}
	}
	for _, name := range names {
		if !plain.MatchString(name) {
			return fmt.Errorf("the name or value %q: a shell would need quotes for it", name)
		}
	}
	if defaults > 1 {
		return fmt.Errorf("%d commands are the default", defaults)
	}
	return nil
}

// byDefault returns the default command, or an empty one.
func (p Program) byDefault() Command {
	for _, c := range p.Commands {
		if c.Default {
			return c
		}
	}
	return Command{}
}

// forms returns how the flag is written: its short form, if any, and its long.
func (f Flag) forms() []string {
	if f.Short == "" {
		return []string{"--" + f.Name}
	}
	return []string{"-" + f.Short, "--" + f.Name}
}

// oneLine is a help text as one line, without the full stop.
func oneLine(help string) string {
	return strings.TrimSuffix(strings.Join(strings.Fields(help), " "), ".")
}
