package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"dls/job/usage"
)

// program describes the command line for the completion scripts and the manual:
// what kong knows of it, without what is hidden, and what only prose can say.
func program(app *kong.Application) usage.Program {
	p := usage.Program{
		Name:    app.Name,
		Summary: "deliver Duo's security logs to a SIEM",
		Version: version,
		Description: []string{
			app.Help,
			"It runs once and exits; a scheduler gives the interval. Each run reads the checkpoints, fetches everything newer for every endpoint and account of the configuration, delivers it, and moves the checkpoints past what was confirmed. A fault may repeat records; it never skips them.",
		},
		Flags: usageFlags(app.Flags),
		ExitStatus: []usage.Entry{
			{Term: "0", Text: "Everything fetched is confirmed, or nothing was new."},
			{Term: "1", Text: "No stream got through."},
			{Term: "2", Text: "Usage or configuration error; nothing was fetched."},
			{Term: "3", Text: "Some streams failed or were not finished, but something got through."},
			{Term: "75", Text: "Another run holds the lock."},
			{Term: "130, 143", Text: "Interrupted by SIGINT or SIGTERM; what was confirmed is checkpointed."},
		},
		Files: []usage.Entry{
			{Term: "/tmp/duologsync.log", Text: "Messages of the program where dls_settings.log_filepath does not say otherwise. On Windows the system's temporary folder."},
			{Term: "/tmp/<endpoint>_checkpoint.json", Text: "A stream's checkpoint where neither dls_settings.checkpointing.directory nor $STATE_DIRECTORY says otherwise. The name goes on with _<account> for a child account."},
			{Term: "dls_last_run.json", Text: "Beside the checkpoints: what the last run of each stream came to, for dls status."},
			{Term: "dls_history.ndjson", Text: "Beside the checkpoints: what the last runs came to, at most about two megabytes, for dls status --html."},
		},
		Environment: []usage.Entry{
			{Term: "DLS_SKEY", Text: "The secret key, where nothing else gives it."},
			{Term: "DLS_TOKEN_<ID>", Text: "The token of the server of protocol HEC with that id, in capitals and with _ for what is no letter or digit, where nothing else gives it. DLS_TOKEN where there is one such server."},
			{Term: "CREDENTIALS_DIRECTORY", Text: "Its file skey has the secret key, and <id>.token the token of a server of protocol HEC. Set by systemd."},
			{Term: "STATE_DIRECTORY", Text: "Where checkpoints are kept when the configuration does not say. Set by systemd."},
			{Term: "DLS_CONFIG", Text: "The configuration file where the command line names none."},
			{Term: "DLS_PING_URL", Text: "The URL of --ping, out of sight of other users."},
			{Term: "HTTPS_PROXY, NO_PROXY", Text: "The proxy for Duo when the configuration names none."},
		},
		Examples: []usage.Example{
			{Text: "Try it, without an account or a receiver:", Line: "dls demo"},
			{Text: "Run the job once and watch it:", Line: "dls --verbose /etc/dls/config.yml"},
		},
		SeeAlso: []string{"systemd.timer(5)", "crontab(5)"},
	}
	var names []string
	for _, node := range app.Leaves(true) {
		names = append(names, node.Name)
	}
	for _, node := range app.Leaves(true) {
		c := usage.Command{
			Name: node.Name, Summary: node.Help,
			Flags:   usageFlags(node.Flags),
			Default: node == app.DefaultCmd,
		}
		c.Detail, c.Examples = examples(node.Detail)
		for _, value := range node.Positional {
			values := enumeration(value)
			if node.Name == "help" {
				values = names
			}
			c.Args = append(c.Args, usage.Arg{
				Name: strings.ToUpper(value.Name), Help: value.Help, Values: values,
				// An argument of dls is one of a few words or a file.
				File: values == nil, Optional: !value.Required,
			})
		}
		p.Commands = append(p.Commands, c)
	}
	return p
}

// examples parts a command's help into its text and its examples, which are the
// lines that are indented.
func examples(help string) (text string, lines []usage.Example) {
	var paragraphs []string
	for _, paragraph := range strings.Split(help, "\n\n") {
		switch {
		case strings.HasPrefix(paragraph, "    "):
			for line := range strings.SplitSeq(paragraph, "\n") {
				lines = append(lines, usage.Example{Line: strings.TrimSpace(line)})
			}
			lines[0].Text = "Examples:"
		case strings.HasPrefix(paragraph, "Example"):
		default:
			paragraphs = append(paragraphs, paragraph)
		}
	}
	return strings.Join(paragraphs, "\n\n"), lines
}

// usageFlags describes the flags that are not hidden.
func usageFlags(flags []*kong.Flag) []usage.Flag {
	var described []usage.Flag
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		d := usage.Flag{
			Name: f.Name, Placeholder: f.PlaceHolder, Help: f.Help, Default: f.Default,
			Bool: f.IsBool(), List: f.IsSlice(), Values: enumeration(f.Value),
			File: f.PlaceHolder == "FILE",
		}
		if f.Short != 0 {
			d.Short = string(f.Short)
		}
		described = append(described, d)
	}
	return described
}

// enumeration returns what a value may be, or nil when it may be anything.
func enumeration(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return slices.DeleteFunc(v.EnumSlice(), func(s string) bool { return s == "" })
}
