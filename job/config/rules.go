package config

import (
	"cmp"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dls/job/config/pyyaml"
	"dls/job/duo"
)

// parser goes through one file and gathers what is wrong with it.
type parser struct {
	file        string // only for messages
	env         Env
	pull        bool // servers and mappings may be missing
	errs        []*Error
	warnings    []string
	secrets     []string // texts that no message may hold
	holdsSecret bool     // the file itself has the secret key or a proxy's password
}

func (p *parser) add(e *Error) { p.errs = append(p.errs, e) }

func (p *parser) parse(data []byte) (*Config, error) {
	c := &Config{}
	if root := p.root(data); root != nil {
		if p.pull {
			root.require("version", "account")
		} else {
			root.require("version", "servers", "account")
		}
		root.text("version")
		if v, ok := root.values["dls_settings"]; ok && pyyaml.KindOf(v.node) == pyyaml.Null {
			delete(root.values, "dls_settings") // as duologsync: all below it is commented out
		}
		p.settings(root.sub("dls_settings"), c)
		p.servers(root, c)
		p.account(root.sub("account"), c)
	}
	if len(p.errs) > 0 {
		p.redact()
		slices.SortStableFunc(p.errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
		return nil, &Errors{Path: p.file, List: p.errs}
	}
	c.Warnings = p.warnings
	return c, nil
}

// redact clears from the errors what came from a place where no secret belongs,
// yet is one: by an alias, or by a slip of copying.
func (p *parser) redact() {
	for _, secret := range p.secrets {
		if len(secret) < 6 {
			continue
		}
		for _, e := range p.errs {
			if strings.Contains(e.Value+e.Hint, secret) {
				e.Value, e.Hint = "", ""
			}
		}
	}
}

const (
	keptDays       = 180 // how long Duo keeps its logs
	minTimeout     = 120 * time.Second
	defaultOverlap = 10 * time.Minute
	maxTimeout     = 365 * 24 * time.Hour // a bound only so that it fits a Duration
)

func (p *parser) settings(s *section, c *Config) {
	c.LogFile = filepath.Join(p.env.tempDir(), "duologsync.log")
	if path, ok := s.text("log_filepath"); ok {
		c.LogFile = path
	}
	if mb, ok := s.whole("log_max_megabytes", 1, math.MaxInt32, ""); ok {
		c.LogMaxMegabytes = mb
	}
	if i, ok := s.choice("log_format", "", JSON.String(), CEF.String()); ok {
		c.Format = Format(i)
	}

	api := s.sub("api")
	c.Offset, c.Timeout, c.Overlap = keptDays*24*time.Hour, minTimeout, defaultOverlap
	if days, ok := api.number("offset"); ok {
		if days < 0 || days > keptDays {
			api.fail("offset", fmt.Sprintf("must be between 0 and %d days", keptDays), "")
		} else {
			c.Offset = time.Duration(days * 24 * float64(time.Hour))
		}
	}
	if seconds, ok := api.number("timeout"); ok {
		if seconds < minTimeout.Seconds() {
			api.warn("timeout", fmt.Sprintf("%s is less than 120 seconds, so 120 is used", show(api.values["timeout"].node)))
			seconds = minTimeout.Seconds()
		}
		c.Timeout = time.Duration(min(seconds, maxTimeout.Seconds()) * float64(time.Second))
	}
	if minutes, ok := api.number("overlap"); ok {
		if most := float64(keptDays * 24 * 60); minutes < 0 || minutes > most {
			api.fail("overlap", fmt.Sprintf("must be between 0 and %.0f minutes (%d days)", most, keptDays), "")
		} else {
			c.Overlap = time.Duration(minutes * float64(time.Minute))
		}
	}
	c.CAFile, _ = api.text("ca_filepath")

	checkpointing := s.sub("checkpointing")
	c.Checkpointing = checkpointing.boolean("enabled", true)
	if !c.Checkpointing {
		checkpointing.warn("enabled", "without checkpoints every run sends the whole window of offset days again")
	}
	c.Directory = p.env.tempDir()
	if list := filepath.SplitList(p.env.getenv("STATE_DIRECTORY")); len(list) > 0 && list[0] != "" {
		c.Directory = list[0]
	}
	if dir, ok := checkpointing.text("directory"); ok {
		c.Directory = dir
	}

	p.proxy(s.sub("proxy"), c)
}

func (p *parser) proxy(s *section, c *Config) {
	if s.has("proxy_server") != s.has("proxy_port") {
		s.require("proxy_server", "proxy_port")
	}
	port, portOK := s.whole("proxy_port", 1, 65535, "")
	server, ok := s.text("proxy_server")
	if !ok {
		return
	}
	var proxy Proxy
	if at := strings.LastIndexByte(server, '@'); at >= 0 {
		p.holdsSecret = true
		user, password, ok := strings.Cut(server[:at], ":")
		p.secrets = append(p.secrets, password)
		if !ok || user == "" || strings.HasPrefix(password, "//") {
			s.fail("proxy_server", "must be a host, or user:password@host", "write no scheme such as http://")
			return
		}
		proxy.User = user
		proxy.Password = NewSecret(password)
		server = server[at+1:]
	}
	if rule, hint := hostRule(server); rule != "" {
		s.fail("proxy_server", rule, hint)
		return
	}
	proxy.Host, proxy.Port = server, port
	if portOK {
		c.Proxy = proxy
	}
}

func (p *parser) servers(root *section, c *Config) {
	seen := map[string]string{} // id → path
	for _, s := range root.sections("servers", "a list of servers, each beginning with - id:") {
		var server Server
		s.require("id", "hostname", "port", "protocol")
		if id, ok := s.text("id"); ok {
			if first, ok := seen[id]; ok {
				s.fail("id", "is the id of "+first+" too", "give each server an id of its own")
			} else {
				seen[id] = s.path
			}
			server.ID = id
		}
		if host, ok := s.text("hostname"); ok {
			rule, hint := hostRule(host)
			if rule != "" {
				s.fail("hostname", rule, hint)
			}
			server.Hostname = host
		}

		low, hint := int64(1024), ""
		if s.boolean("allow_privileged_port", false) {
			low = 1
		} else if s.has("port") {
			if port, ok := pyyaml.Int64(s.values["port"].node); ok && port > 0 && port < low {
				hint = "allow_privileged_port: true on this server allows it"
			}
		}
		server.Port, _ = s.whole("port", low, 65535, hint)

		if i, ok := s.choice("protocol", "TLS is called TCPSSL here", string(TCP), string(TLS), string(UDP)); ok {
			server.Protocol = []Protocol{TCP, TLS, UDP}[i]
		}
		if server.Protocol == TLS {
			s.require("cert_filepath")
		}
		server.CertFile, _ = s.text("cert_filepath")
		server.KeyFile, _ = s.text("key_filepath")
		server.ServerName, _ = s.text("server_name")
		for _, name := range []string{"key_filepath", "server_name"} {
			if s.has(name) && (server.Protocol == TCP || server.Protocol == UDP) {
				s.warn(name, fmt.Sprintf("has no effect with protocol %s", server.Protocol))
			}
		}
		c.Servers = append(c.Servers, server)
	}
}

func (p *parser) account(s *section, c *Config) {
	s.require("ikey", "hostname")
	if !p.pull {
		s.require("endpoint_server_mappings")
	}
	if ikey, ok := s.text("ikey"); ok {
		if ikey != strings.TrimSpace(ikey) {
			s.fail("ikey", "has blanks around it", writeHint(strings.TrimSpace(ikey)))
		}
		c.Account.IKey = ikey
	}
	c.Account.SKey, c.Account.SKeyFile = p.secretKey(s)
	if host, ok := s.text("hostname"); ok {
		if rule, hint := apiHostRule(host); rule != "" {
			s.fail("hostname", rule, hint)
		}
		c.Account.Hostname = host
	}
	c.Account.MSP = s.boolean("is_msp", false)
	for _, id := range s.texts("block_list", "a list of account ids, such as ['DA…']") {
		c.Account.BlockList = append(c.Account.BlockList, id.text)
	}
	if len(c.Account.BlockList) > 0 && !c.Account.MSP {
		s.warn("block_list", "has no effect unless is_msp is true")
	}
	p.routes(s, c)
}

func (p *parser) routes(account *section, c *Config) {
	ids := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		ids[i] = s.ID
	}
	servers := map[string][]int{} // by endpoint's name
	named := map[string]bool{}
	for _, m := range account.sections("endpoint_server_mappings", "a list of mappings, each beginning with - endpoints:") {
		m.require("endpoints", "server")
		server := -1
		if id, ok := m.text("server"); ok {
			server = slices.Index(ids, id)
			// A server whose id is refused may be the one meant.
			if server < 0 && len(ids) > 0 && !slices.Contains(ids, "") {
				m.fail("server", "is no id of a server", unknownName(id, ids))
			}
		}
		for _, name := range m.texts("endpoints", "a list of endpoints, such as ['auth', 'activity']") {
			e := duo.Named(name.text)
			if e == nil {
				name.fail("is no endpoint", unknownName(name.text, duo.Names()))
				continue
			}
			if c.Format == CEF && e.CEF == "" {
				name.fail("cannot be written as CEF", "set dls_settings.log_format to JSON, or leave the endpoint out")
			}
			if c.Account.MSP && !e.MSP {
				name.fail("cannot be fetched for child accounts", "set is_msp to false, or leave the endpoint out")
			}
			named[e.Name] = true
			if server >= 0 && slices.Contains(servers[e.Name], server) {
				name.warn(fmt.Sprintf("is mapped to server %q already; it is sent once", ids[server]))
			} else if server >= 0 {
				servers[e.Name] = append(servers[e.Name], server)
			}
		}
	}
	for _, e := range duo.All() {
		list := servers[e.Name]
		bare := p.pull && len(c.Servers) == 0 && (named[e.Name] || len(named) == 0 && (e.MSP || !c.Account.MSP))
		if len(list) > 0 || bare {
			c.Routes = append(c.Routes, Route{Endpoint: e, Servers: list})
		}
	}
}
