package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"dls/job/config/pyyaml"
	"dls/job/duo"
)

// parser goes through one file and gathers what is wrong with it.
type parser struct {
	file          string // only for messages
	env           Env
	pull          bool // servers and mappings may be missing
	receivers     bool // the account's keys do not matter
	errs          []*Error
	warnings      []warning
	secrets       []string // texts that no message may hold
	directoryLine int      // of checkpointing.directory, if that is there
	holdsSecret   bool     // the file itself has the secret key or a proxy's password
}

// warning is what the user should know of a line.
type warning struct {
	line int
	text string
}

func (p *parser) add(e *Error) { p.errs = append(p.errs, e) }

func (p *parser) addWarning(line int, format string, args ...any) {
	p.warnings = append(p.warnings, warning{line, fmt.Sprintf(format, args...)})
}

func (p *parser) parse(data []byte) (*Config, error) {
	c := &Config{}
	if root := p.root(data); root != nil {
		if p.pull {
			root.require("version", "account")
		} else {
			root.require("version", "servers", "account")
		}
		root.text("version")
		p.settings(root.sub("dls_settings"), c)
		p.servers(root, c)
		p.account(root.sub("account"), c)
	}
	if len(p.errs) > 0 {
		p.redact()
		slices.SortStableFunc(p.errs, func(a, b *Error) int { return cmp.Compare(a.Line, b.Line) })
		return nil, &Errors{Path: p.file, List: p.errs}
	}
	slices.SortStableFunc(p.warnings, func(a, b warning) int { return cmp.Compare(a.line, b.line) })
	for _, w := range p.warnings {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s:%d: %s", p.file, w.line, w.text))
	}
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
	maxOverlap     = 24 * time.Hour
	maxTimeout     = 365 * 24 * time.Hour // a bound only so that it fits a Duration
)

func (p *parser) settings(s *section, c *Config) {
	c.LogFile = filepath.Join(p.env.tempDir(), "duologsync.log")
	switch path, ok := s.text("log_filepath"); {
	case !ok:
	case path == os.DevNull, path == "/dev/null":
		c.LogFile = ""
	default:
		s.warnRelative("log_filepath", path)
		c.LogFile = path
	}
	if mb, ok := s.whole("log_max_megabytes", 1, 1_000_000, ""); ok {
		c.LogMaxMegabytes = mb
	}
	if i, ok := s.choice("log_format", "", JSON.String(), CEF.String()); ok {
		c.Format = Format(i)
	}
	if i, ok := s.choice("audit", "", "never", "daily"); ok {
		c.Audit = i == 1
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
		if minutes < 0 || minutes > maxOverlap.Minutes() {
			api.fail("overlap", fmt.Sprintf("must be between 0 and %.0f minutes (24 hours)", maxOverlap.Minutes()), "")
		} else {
			c.Overlap = time.Duration(minutes * float64(time.Minute))
		}
	}
	c.CAFile, _ = api.filePath("ca_filepath")

	checkpointing := s.sub("checkpointing")
	c.Checkpointing = checkpointing.boolean("enabled", true)
	if c.Audit && !c.Checkpointing {
		s.fail("audit", "needs checkpoints, and dls_settings.checkpointing.enabled is false", "")
	}
	if day := 24 * time.Hour; !c.Checkpointing && c.Offset < day {
		checkpointing.fail("enabled", fmt.Sprintf("without checkpoints every run sends the whole offset, and with one of %s (dls_settings.api.offset) what lies between two runs may never be sent", short(c.Offset)),
			"set enabled to true, or offset to 1 or more")
	} else if !c.Checkpointing {
		checkpointing.warn("enabled", fmt.Sprintf("without checkpoints every run sends all of the last %s again, and the overlap before them as far as Duo keeps it; what is older when a run comes is not sent", short(c.Offset)))
	}
	c.Directory = p.env.tempDir()
	if list := filepath.SplitList(p.env.getenv("STATE_DIRECTORY")); len(list) > 0 && list[0] != "" {
		c.Directory = list[0]
	}
	switch dir, ok := checkpointing.text("directory"); {
	case ok && strings.HasPrefix(dir, bucketScheme):
		c.bucket(checkpointing, dir)
	case ok:
		checkpointing.warnRelative("directory", dir)
		c.Directory, p.directoryLine = dir, checkpointing.values["directory"].line
	}
	if path, ok := checkpointing.filePath("ca_filepath"); ok && c.Bucket != nil {
		c.Bucket.CAFile = path
	}
	c.MustExist = checkpointing.boolean("must_exist", false)

	c.Proxy = s.sub("proxy").proxy()
}

// bucket takes a directory that is a bucket.
func (c *Config) bucket(s *section, text string) {
	if strings.Contains(text, "@") {
		s.failShape("directory", "must not hold credentials: they come from the environment (AWS_ACCESS_KEY_ID), ~/.aws/credentials or the machine's identity")
		return
	}
	b, rule, hint := bucket(text, s.env.getenv)
	if rule != "" {
		s.fail("directory", rule, hint)
		return
	}
	c.Bucket, c.Directory = b, b.String()
	if host, _, _ := cutPort(b.Endpoint); b.Plaintext && host != "localhost" && !strings.HasPrefix(host, "127.") {
		s.warn("directory", "is reached without TLS: who sees the network sees the checkpoints, and the records that no server takes")
	}
}

// short returns a duration of days or hours as people write it.
func short(d time.Duration) string {
	switch day := 24 * time.Hour; {
	case d == 0:
		return "0 days"
	case d == day:
		return "24 hours"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return strings.TrimSuffix(strings.TrimSuffix(d.Round(time.Second).String(), "0s"), "0m")
}

// proxy returns the proxy of a section, the zero value if it names none. An empty
// proxy_server and a proxy_port of 0 count as missing, and one key alone names no
// proxy, as in duologsync.
func (s *section) proxy() Proxy {
	host, named := s.value("proxy_server")
	if named {
		text, ok := pyyaml.Text(host.node)
		named = !ok || text != ""
	}
	port, numbered := s.value("proxy_port")
	if numbered {
		i, isInt := pyyaml.Int64(port.node)
		f, isFloat := pyyaml.Float64(port.node)
		numbered = !(isInt && i == 0 || isFloat && f == 0)
	}
	switch {
	case named && !numbered:
		s.warn("proxy_server", "has no effect without proxy_port: no proxy is set")
		return Proxy{}
	case numbered && !named:
		s.warn("proxy_port", "has no effect without proxy_server: no proxy is set")
		return Proxy{}
	case !named:
		return Proxy{}
	}

	var proxy Proxy
	number, numbered := s.whole("proxy_port", 1, 65535, "")
	server, ok := s.text("proxy_server")
	if !ok {
		return Proxy{}
	}
	if at := strings.LastIndexByte(server, '@'); at >= 0 {
		s.holdsSecret = true
		user, password, ok := strings.Cut(server[:at], ":")
		s.secrets = append(s.secrets, password)
		if !ok || user == "" || strings.HasPrefix(password, "//") {
			s.fail("proxy_server", "must be a host, or user:password@host", "write no scheme such as http://")
			return Proxy{}
		}
		proxy.User, proxy.Password = duo.Unescape(user), NewSecret(duo.Unescape(password))
		server = server[at+1:]
	}
	if rule, hint := hostRule(server); rule != "" {
		s.fail("proxy_server", rule, hint)
		return Proxy{}
	}
	if !numbered {
		return Proxy{}
	}
	proxy.Host, proxy.Port = server, number
	return proxy
}

func (p *parser) account(s *section, c *Config) {
	if !p.receivers {
		s.require("ikey", "hostname")
	}
	if !p.pull {
		s.require("endpoint_server_mappings")
	}
	before := len(p.errs)
	p.keys(s, c)
	if p.receivers {
		p.errs = p.errs[:before]
	}
	c.Account.MSP = s.boolean("is_msp", false)
	c.Account.BlockList = s.blockList()
	for _, domain := range s.texts("child_domains", "a list of domains, such as ['duosecurity.com']") {
		name := strings.ToLower(strings.TrimPrefix(domain.text, "."))
		if !hostName.MatchString(name) {
			domain.fail("is no domain", "write names such as 'duosecurity.com'")
			continue
		}
		c.Account.ChildDomains = append(c.Account.ChildDomains, name)
	}
	if len(c.Account.ChildDomains) > 0 && !c.Account.MSP {
		s.warn("child_domains", "has no effect unless is_msp is true")
	}
	if len(c.Account.BlockList) > 0 && !c.Account.MSP {
		s.warn("block_list", "has no effect unless is_msp is true")
	}
	p.routes(s, c)
}

// keys reads whose account it is, and by which keys Duo lets dls in.
func (p *parser) keys(s *section, c *Config) {
	if ikey, ok := s.text("ikey"); ok {
		if ikey != strings.TrimSpace(ikey) {
			s.fail("ikey", "has blanks around it", writeHint(strings.TrimSpace(ikey)))
		} else if inQuotes(ikey) {
			s.fail("ikey", ruleQuotes, hintQuotes)
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
}

var accountID = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// blockList returns the ids of account.block_list. What can be no id is ignored
// with a warning: duologsync takes it, and ignores the whole list. An odd text stays,
// since Duo's list may hold an entry as odd, which is left out by nothing else.
func (s *section) blockList() (ids []string) {
	if v, ok := s.value("block_list"); ok && pyyaml.KindOf(v.node) == pyyaml.Other {
		s.warn("block_list", "is no list of account ids, and is ignored")
		return nil
	}
	for i, n := range s.list("block_list", "a list of account ids, such as ['DA…']") {
		if id, ok := pyyaml.Text(n); ok && id != "" {
			ids = append(ids, id)
			if !accountID.MatchString(id) {
				s.addWarning(n.Line, "%s[%d]: %q has not the form of an account id: it leaves out only what Duo lists by exactly this name", s.at("block_list"), i, id)
			}
			continue
		}
		shown := show(pyyaml.Resolve(n))
		if shown != "" {
			shown += ": "
		}
		s.addWarning(n.Line, "%s[%d]: %sis no account id, and is ignored", s.at("block_list"), i, shown)
	}
	return ids
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
