package upgrade

import (
	"math/big"
	"regexp"
	"slices"
	"strings"

	"dls/job/config/pyyaml"

	"gopkg.in/yaml.v3"
)

// oldest is the version of files that name none.
const oldest = "0.0.0"

// changesets lead from version to version, up to Version.
var changesets = []changeset{
	{from: oldest, to: "1.0.0", is: ofJuly2020, changes: slices.Concat(toAccount, []change{
		edit{"logs.logFilepath", silent, filled},
		move{"logs.logFilepath", "logs.log_filepath", silent},
		remove{"logs.logDir"},
		edit{"transport.certFilepath", silent, filled},
		move{"transport.certFilepath", "transport.cert_filepath", silent},
		edit{"logs.polling.duration", defaulted, minutesOrSeconds},
		edit{"logs.log_format", silent, filled},
		add{"logs.log_format", value("JSON"), true},
	}, toServers, toSettings)},

	{from: oldest, to: "1.0.0", changes: slices.Concat(toAccount, []change{
		edit{"logs.logDir", defaulted, logFile},
		move{"logs.logDir", "logs.log_filepath", silent},
		edit{"transport.certFilepath", silent, unknown},
		edit{"logs.polling.duration", defaulted, minutes},
		add{"logs.log_format", value("JSON"), false},
	}, toServers, toSettings)},
}

// The changes from 0.0.0 to 1.0.0 that all files need. Inner keys are moved
// before outer ones, so that a missing one is named as the old file has it.
var (
	toAccount = []change{
		move{"duoclient.host", "duoclient.hostname", required},
		add{"duoclient.endpoint_server_mappings", mappings, false},
		move{"logs.endpoints.enabled", "duoclient.endpoint_server_mappings.0.endpoints", required},
		remove{"logs.endpoints"},
		move{"duoclient", "account", required},
	}
	toServers = []change{
		move{"transport.host", "transport.hostname", required},
		add{"transport.id", value(serverID), false},
		edit{"transport", required, certFile},
		remove{"transport.certFileName"},
		add{"servers", servers, false},
		move{"transport", "servers.0", required},
	}
	toSettings = []change{
		edit{"logs.polling", silent, section},
		move{"logs.polling.duration", "logs.polling.timeout", silent},
		move{"logs.polling.daysinpast", "logs.polling.offset", defaulted},
		move{"logs.polling", "logs.api", silent},
		edit{"recoverFromCheckpoint", silent, section},
		edit{"recoverFromCheckpoint.enabled", defaulted, recovery},
		move{"logs.checkpointDir", "recoverFromCheckpoint.directory", defaulted},
		move{"recoverFromCheckpoint", "logs.checkpointing", silent},
		move{"logs", "dls_settings", required},
	}
)

// serverID is the id of the one receiver that a file of 0.0.0 has.
const serverID = "Server 1"

func value(s string) func() *yaml.Node { return func() *yaml.Node { return text(s) } }

// servers is a list with a place for the one receiver.
func servers() *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
}

// mappings is a list of one mapping, to the one receiver.
func mappings() *yaml.Node {
	list := servers()
	put(list.Content[0], "server", text(serverID))
	return list
}

// ofJuly2020 tells the files that were in use for a few weeks before version
// 1.0.0: they name whole paths, not directories, and know log_format.
func ofJuly2020(d *document) bool {
	file, _ := d.get("logs.logFilepath")
	dir, _ := d.get("logs.logDir")
	return file != nil && empty(dir)
}

// filled leaves out a value that is null or an empty text.
func filled(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	if s, ok := pyyaml.Text(n); empty(n) || ok && s == "" {
		d.note("%q is empty, and left out", path)
		return nil, nil
	}
	return n, nil
}

// unknown keeps a key that version 1.0.0 knows by another name, as
// upgrade_config.py does, and says so.
func unknown(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	d.note("%q is kept as it is; version %s calls it cert_filepath", path, Version)
	return n, nil
}

// section leaves out a mapping that is null.
func section(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	if empty(n) {
		return nil, nil
	}
	if pyyaml.KindOf(n) != pyyaml.Mapping {
		return nil, wrong(n, path, "a mapping")
	}
	return n, nil
}

// recovery warns of what the switch means to a program that runs once.
func recovery(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	if on, ok := pyyaml.Boolean(n); ok && !on {
		d.note("%q is false, so each run would send everything from offset on again; consider true for dls_settings.checkpointing.enabled", path)
	}
	return n, nil
}

// optionalText returns the text at a path, "" where it is missing or null.
func (d *document) optionalText(path string) (string, error) {
	n, err := d.get(path)
	if err != nil || empty(n) {
		return "", err
	}
	s, ok := pyyaml.Text(n)
	if !ok {
		return "", wrong(n, path, "text")
	}
	return s, nil
}

// separator is what upgrade_config.py puts between a directory and a file: the
// directory of the certificate decides, for the log file too.
func (d *document) separator() (string, error) {
	dir, err := d.optionalText("transport.certFileDir")
	if strings.Contains(dir, `\`) {
		return `\`, err
	}
	return "/", err
}

// logFile turns the directory of the log into the log file's path.
func logFile(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	if empty(n) {
		d.note("%q is empty; the default counts", path)
		return nil, nil
	}
	dir, ok := pyyaml.Text(n)
	if !ok {
		return nil, wrong(n, path, "text")
	}
	if dir == "" {
		d.note("%q is empty, which makes the root directory that of the log file; look at dls_settings.log_filepath", path)
	}
	sep, err := d.separator()
	if err != nil {
		return nil, err
	}
	return text(dir + sep + "duologsync.log"), nil
}

// certFile makes one path of the certificate's directory and file name.
func certFile(d *document, path string, transport *yaml.Node) (*yaml.Node, error) {
	dir, err := d.optionalText(path + ".certFileDir")
	if err != nil {
		return nil, err
	}
	name, err := d.optionalText(path + ".certFileName")
	if err != nil {
		return nil, err
	}
	sep, err := d.separator()
	if err != nil {
		return nil, err
	}
	if err := d.cut(path + ".certFileDir"); err != nil {
		return nil, err
	}
	switch {
	case dir == "" && name == "":
		return transport, nil
	case dir == "":
		d.note("%q is missing, so the certificate is looked for in the root directory; look at cert_filepath", path+".certFileDir")
	case name == "":
		d.note("%q is missing, so the certificate has a directory only; look at cert_filepath", path+".certFileName")
	}
	put(transport, "cert_filepath", text(dir+sep+name))
	return transport, nil
}

// minutes turns minutes into seconds. Text it repeats sixty times, as
// upgrade_config.py does: the result is to be the same, and the note says what to
// write instead.
func minutes(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	if empty(n) {
		d.note("%q is empty; the default counts", path)
		return nil, nil
	}
	if s, ok := pyyaml.Text(n); ok && len(s) <= maxRepeated {
		d.note("%q is text, which cannot be turned into seconds: write timeout as a number of seconds, such as 300", path)
		return text(strings.Repeat(s, 60)), nil
	}
	if f, ok := pyyaml.Float64(n); ok {
		return plain(formatFloat(f * 60)), nil
	}
	i, ok := pyyaml.BigInt(n)
	if b, isBool := pyyaml.Boolean(n); isBool {
		// Python counts with booleans.
		i, ok = new(big.Int), true
		if b {
			i.SetInt64(1)
		}
	}
	if !ok {
		return nil, wrong(n, path, "a number of minutes")
	}
	return plain(i.Mul(i, big.NewInt(60)).String()), nil
}

// minutesOrSeconds turns minutes into seconds where they are minutes. The
// template changed from minutes to seconds, no less than 120, while the files of
// July 2020 were in use; nobody polled every two hours.
func minutesOrSeconds(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	n, err := number(d, path, n)
	if n == nil {
		return nil, err
	}
	f, _ := pyyaml.Float64(n)
	if i, ok := pyyaml.BigInt(n); ok {
		f, _ = new(big.Float).SetInt(i).Float64()
	}
	if f < 120 {
		return minutes(d, path, n)
	}
	d.note("%q is 120 or more, and taken as seconds", path)
	return n, nil
}

// maxRepeated bounds the text that minutes repeats.
const maxRepeated = 200

var digits = regexp.MustCompile(`^(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,8})?$`)

// number reads text that spells a number as that number, and leaves out a null.
func number(d *document, path string, n *yaml.Node) (*yaml.Node, error) {
	if empty(n) {
		d.note("%q is empty; the default counts", path)
		return nil, nil
	}
	s, ok := pyyaml.Text(n)
	if !ok {
		return n, nil
	}
	if !digits.MatchString(s) {
		return nil, wrong(n, path, "a number")
	}
	d.note("%q is text, and read as the number that it spells", path)
	return plain(s), nil
}
