package demo

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"dls/job/duosim"
	"dls/state/safefile"
)

// The account of the simulations. Its secret is none.
const (
	account = "DA00000000000000DEMO"
	ikey    = "DI00000000000000DEMO"
	skey    = "not-a-secret-not-a-secret-not-a-secret-n"
)

// settings are what a configuration for a simulated Duo is made of.
type settings struct {
	host      string // of the simulated Duo's API
	ca        []byte // its authority, in PEM
	format    string // JSON or CEF
	offset    int    // days
	msp       bool
	servers   *yaml.Node // the receivers, a list
	mappings  *yaml.Node // what goes where, a list
	directory string     // of the checkpoints, beside the configuration
}

// banner begins a configuration that a simulation wrote.
const banner = "# For the simulated Duo that wrote it: the key is no secret, and good for nothing else.\n"

// The files of a simulation in its directory.
const configName, caName = "config.yml", "ca.pem"

// write writes the configuration and what belongs to it into dir. What another
// simulation wrote there is replaced, and nothing else.
func (s *settings) write(dir string) (path string, err error) {
	path, ca, state := filepath.Join(dir, configName), filepath.Join(dir, caName), filepath.Join(dir, s.directory)
	if err := mayReplace(path, ca); err != nil {
		return "", err
	}
	if err := os.Mkdir(state, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	if info, err := os.Lstat(state); err != nil || !info.IsDir() {
		return "", fmt.Errorf("make directory %q: something else has the name", state)
	}
	type mapping = map[string]any
	b := bytes.NewBufferString(banner)
	e := yaml.NewEncoder(b)
	e.SetIndent(2)
	err = e.Encode(struct {
		Version  string     `yaml:"version"`
		Settings mapping    `yaml:"dls_settings"`
		Servers  *yaml.Node `yaml:"servers"`
		Account  mapping    `yaml:"account"`
	}{
		"1.0.0",
		mapping{
			"log_filepath": filepath.Join(dir, "dls.log"), "log_format": s.format,
			"api":           mapping{"offset": s.offset, "ca_filepath": ca},
			"checkpointing": mapping{"enabled": true, "directory": state},
		},
		s.servers,
		mapping{"ikey": ikey, "skey": skey, "hostname": s.host, "is_msp": s.msp, "endpoint_server_mappings": s.mappings},
	})
	if err != nil {
		return "", fmt.Errorf("write the configuration: %w", err)
	}
	for _, file := range []struct {
		path string
		data []byte
	}{{ca, s.ca}, {path, b.Bytes()}} {
		if err := safefile.ReplaceOwn(file.path, file.data, 0o600); err != nil {
			return "", fmt.Errorf("write %q: %w", file.path, err)
		}
	}
	return path, nil
}

// mayReplace refuses to put a simulation's files in the place of somebody's own.
func mayReplace(config, ca string) error {
	data, _, err := safefile.Read(config, maxConfig)
	if err == nil && bytes.HasPrefix(data, []byte(banner)) {
		return nil
	}
	for _, path := range []string{config, ca} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("write %q: it is there already, and no simulation has written it: name another directory", path)
		}
	}
	return nil
}

// configure writes a configuration that sends endpoints to a receiver on loopback.
func configure(dir string, sim *duosim.Server, siem *net.TCPAddr, offset int, endpoints []string) (path string, err error) {
	s := settings{host: sim.Host(account), ca: sim.CAPEM(), format: "JSON", offset: offset, directory: "checkpoints"}
	s.servers, s.mappings = local(siem), mapped(endpoints, "siem")
	return s.write(dir)
}

// local is a list of one server on loopback.
func local(addr *net.TCPAddr) *yaml.Node {
	return parsed("- id: siem\n  hostname: 127.0.0.1\n  port: " + strconv.Itoa(addr.Port) + "\n  protocol: TCP\n  settle: 0\n")
}

// mapped is a list of one mapping.
func mapped(endpoints []string, server string) *yaml.Node {
	return parsed(fmt.Sprintf("- endpoints: [%s]\n  server: %q\n", strings.Join(endpoints, ", "), server))
}

// parsed is YAML of this program's own.
func parsed(text string) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		panic(fmt.Sprintf("demo: %v in %q", err, text))
	}
	return doc.Content[0]
}

// borrowed is what is taken from somebody's own configuration: where records go, and
// how. Its keys and secrets of Duo are left where they are.
type borrowed struct {
	Settings struct {
		Format string `yaml:"log_format"`
	} `yaml:"dls_settings"`
	Servers yaml.Node `yaml:"servers"`
	Account struct {
		MSP      bool      `yaml:"is_msp"`
		Mappings yaml.Node `yaml:"endpoint_server_mappings"`
	} `yaml:"account"`
}

// maxConfig is more than a configuration may have.
const maxConfig = 1 << 20

// borrow reads a configuration that [config.LoadForReceivers] has found good.
func borrow(path string) (*borrowed, error) {
	if safefile.Stdin(path) {
		return nil, fmt.Errorf("read %q: the servers are taken from a file, which can be read twice", path)
	}
	data, _, err := safefile.Read(path, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, safefile.Cause(err))
	}
	var b borrowed
	if err := yaml.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	for _, n := range []*yaml.Node{&b.Servers, &b.Account.Mappings} {
		*n = *unalias(n, 0)
	}
	if b.Settings.Format == "" {
		b.Settings.Format = "JSON"
	}
	return &b, nil
}

// scalar is the text of a key of a mapping, or "".
func scalar(n *yaml.Node, key string) string {
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1].Value
		}
	}
	return ""
}

// unalias puts what aliases stand for in their place, since their anchors may be
// elsewhere in the file.
func unalias(n *yaml.Node, depth int) *yaml.Node {
	if n.Kind == yaml.AliasNode && depth < 20 {
		return unalias(n.Alias, depth+1)
	}
	c := *n
	c.Anchor, c.Content = "", nil
	for _, child := range n.Content {
		if depth < 20 {
			c.Content = append(c.Content, unalias(child, depth+1))
		}
	}
	return &c
}
