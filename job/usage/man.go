package usage

import (
	"fmt"
	"slices"
	"strings"
)

// Man returns the program's manual page, section 1, in the macros of man(7).
func Man(p Program) string {
	m := &manual{}
	m.line("TH", strings.ToUpper(p.Name), "1", "", p.Name+" "+p.Version, "User Commands")

	m.line("SH", "NAME")
	m.text(p.Name + " - " + oneLine(p.Summary))

	m.line("SH", "SYNOPSIS")
	for i, c := range p.Commands {
		if i > 0 {
			m.line("br")
		}
		m.synopsis(p.Name, c)
	}
	for _, f := range p.Flags {
		m.line("br")
		m.raw(bold(p.Name) + " " + bold("--"+f.Name))
	}

	m.line("SH", "DESCRIPTION")
	m.paragraphs(p.Description...)
	if d := p.byDefault(); d.Name != "" {
		m.line("PP")
		m.raw("The command " + bold(d.Name) + " may be left out: " + bold(p.Name) + arguments(d) +
			" is the same as " + bold(p.Name) + " " + bold(d.Name) + arguments(d) + ".")
	}

	m.line("SH", "COMMANDS")
	for _, c := range p.Commands {
		m.line("SS", p.Name+" "+c.Name)
		m.paragraphs(append([]string{c.Summary}, strings.Split(c.Detail, "\n\n")...)...)
		for _, a := range c.Args {
			if a.Help != "" || a.Values != nil {
				m.term(italic(a.Name), a.Help, a.Values, "", false)
			}
		}
		for _, f := range c.Flags {
			m.flag(f)
		}
		if len(c.Examples) > 0 {
			m.line("PP")
			m.examples(c.Examples)
		}
	}

	if len(p.Flags) > 0 {
		m.line("SH", "OPTIONS OF EVERY COMMAND")
		for _, f := range p.Flags {
			m.flag(f)
		}
	}
	m.entries("EXIT STATUS", p.ExitStatus)
	m.entries("FILES", p.Files)
	m.entries("ENVIRONMENT", p.Environment)
	if len(p.Examples) > 0 {
		m.line("SH", "EXAMPLES")
		m.examples(p.Examples)
	}
	if len(p.SeeAlso) > 0 {
		m.line("SH", "SEE ALSO")
		pages := slices.Clone(p.SeeAlso)
		for i, page := range pages {
			name, section, _ := strings.Cut(page, "(")
			pages[i] = bold(name)
			if section != "" {
				pages[i] += "(" + escape(section)
			}
		}
		m.raw(strings.Join(pages, ",\n"))
	}
	return m.String()
}

// manual is a page as it grows.
type manual struct{ strings.Builder }

// line writes a request or a macro with its arguments, which it escapes.
func (m *manual) line(macro string, args ...string) {
	m.WriteString("." + macro)
	for _, arg := range args {
		m.WriteString(` "` + strings.ReplaceAll(escape(oneSpaced(arg)), `"`, `\(dq`) + `"`)
	}
	m.WriteByte('\n')
}

// raw writes lines of text that are escaped already.
func (m *manual) raw(s string) {
	for line := range strings.SplitSeq(s, "\n") {
		m.WriteString(guard(line) + "\n")
	}
}

// text writes a paragraph's text.
func (m *manual) text(s string) { m.raw(escape(oneSpaced(s))) }

// paragraphs writes those that are not empty.
func (m *manual) paragraphs(texts ...string) {
	first := true
	for _, text := range texts {
		if text == "" {
			continue
		}
		if !first {
			m.line("PP")
		}
		first = false
		m.text(text)
	}
}

func (m *manual) synopsis(name string, c Command) {
	s := bold(name) + " "
	if c.Default {
		s += "[" + bold(c.Name) + "]"
	} else {
		s += bold(c.Name)
	}
	if len(c.Flags) > 0 {
		s += " [" + italic("options") + "]"
	}
	m.raw(s + arguments(c))
}

// mostShown is how many values of an argument the synopsis shows.
const mostShown = 6

// arguments are a command's arguments as the synopsis shows them.
func arguments(c Command) string {
	s := ""
	for _, a := range c.Args {
		shown := italic(a.Name)
		if n := len(a.Values); n > 0 && n <= mostShown {
			shown = bold(strings.Join(a.Values, "|"))
		}
		if a.Optional {
			shown = "[" + shown + "]"
		}
		s += " " + shown
	}
	return s
}

func (m *manual) flag(f Flag) {
	forms := f.forms()
	for i, form := range forms {
		forms[i] = bold(form)
	}
	term := strings.Join(forms, ", ")
	if !f.Bool {
		placeholder := f.Placeholder
		if placeholder == "" {
			placeholder = strings.ToUpper(f.Name)
		}
		term += " " + italic(placeholder)
	}
	m.term(term, f.Help, f.Values, f.Default, f.List)
}

// term writes an escaped term with its help, and what else there is to say.
func (m *manual) term(term, help string, values []string, byDefault string, list bool) {
	m.line("TP")
	m.raw(term)
	if len(values) > 0 {
		one := "One of "
		if list {
			one = "One or more of "
		}
		help += " " + one + strings.Join(values, ", ") + "."
	}
	if byDefault != "" {
		help += " Default: " + byDefault + "."
	}
	m.text(help)
}

func (m *manual) entries(title string, entries []Entry) {
	if len(entries) == 0 {
		return
	}
	m.line("SH", title)
	for _, e := range entries {
		m.line("TP")
		m.raw(bold(e.Term))
		m.text(e.Text)
	}
}

func (m *manual) examples(examples []Example) {
	for i, e := range examples {
		if i > 0 {
			m.line("PP")
		}
		if e.Text != "" {
			m.text(e.Text)
			m.line("PP")
		}
		m.line("RS", "4")
		m.line("nf")
		for line := range strings.Lines(e.Line) {
			m.raw(escape(strings.TrimSuffix(line, "\n")))
		}
		m.line("fi")
		m.line("RE")
	}
}

func bold(s string) string   { return `\fB` + escape(s) + `\fR` }
func italic(s string) string { return `\fI` + escape(s) + `\fR` }

// oneSpaced is a text as one line.
func oneSpaced(s string) string { return strings.Join(strings.Fields(s), " ") }

var troff = strings.NewReplacer(`\`, `\e`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`, `^`, `\(ha`, `~`, `\(ti`)

// escape writes a text for troff, so that it is shown, and can be copied, as it
// is: hyphens stay those of the keyboard. What is not ASCII is written by its code point.
func escape(s string) string {
	s = troff.Replace(s)
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

// guard keeps troff from taking a line of text for a request.
func guard(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}
