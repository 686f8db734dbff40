package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dls/job/config/pyyaml"
)

// protocols are the words of servers[].protocol.
var protocols = []Protocol{TCP, TLS, UDP, RELP, RELPTLS, EventCollector}

const (
	defaultSettle   = 5 * time.Second
	maxSettle       = 300 * time.Second
	defaultFacility = 16 // local0
	minRecord       = 480
	maxRecord       = 64 << 20
	maxDatagram     = 65507
	defaultBatch    = 1_000_000
	minBatch        = 1_000
	maxBatch        = 64_000_000
	defaultPath     = "/services/collector/event"
)

// keyProtocols says which protocols a key of a server goes with; a key that is
// missing here goes with all.
var keyProtocols = map[string][]Protocol{
	"settle":          {TCP, TLS, UDP},
	"envelope":        {TCP, TLS, UDP, RELP, RELPTLS},
	"framing":         {TCP, TLS},
	"facility":        {TCP, TLS, UDP, RELP, RELPTLS},
	"token":           {EventCollector},
	"token_filepath":  {EventCollector},
	"path":            {EventCollector},
	"plaintext":       {EventCollector},
	"host":            {EventCollector},
	"source":          {EventCollector},
	"sourcetype":      {EventCollector},
	"index":           {EventCollector},
	"max_batch_bytes": {EventCollector},
	"proxy":           {EventCollector},
}

// tlsKeys are the keys that duologsync's files may have with any protocol.
var tlsKeys = []string{"cert_filepath", "key_filepath", "server_name"}

func (p *parser) servers(root *section, c *Config) {
	list := root.sections("servers", "a list of servers, each beginning with - id:")
	seen := map[string]string{} // id → path
	collectors := 0
	for _, s := range list {
		if v, ok := s.value("protocol"); ok && v.node.Value == string(EventCollector) {
			collectors++
		}
	}
	variables := map[string]string{} // of tokens → path
	for _, s := range list {
		var server Server
		if v, ok := s.value("token"); ok { // whatever the protocol
			s.holdsSecret = true
			s.secrets = append(s.secrets, v.node.Value)
		}
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

		words := make([]string, len(protocols))
		for i, protocol := range protocols {
			words[i] = string(protocol)
		}
		if i, ok := s.choice("protocol", "TLS is called TCPSSL here", words...); ok {
			server.Protocol = protocols[i]
		}
		if server.Protocol == TLS || server.Protocol == RELPTLS {
			s.require("cert_filepath")
		}
		server.CertFile, _ = s.text("cert_filepath")
		server.KeyFile, _ = s.text("key_filepath")
		server.ServerName, _ = s.text("server_name")
		s.wrap(&server)
		if server.Protocol == EventCollector {
			server.HEC = s.hec(server.ID, collectors == 1, variables)
		}
		s.goWith(server)
		c.Servers = append(c.Servers, server)
	}
}

// wrap reads how a server's connections settle and how a record is wrapped.
func (s *section) wrap(server *Server) {
	server.Settle = defaultSettle
	if seconds, ok := s.number("settle"); ok {
		if seconds < 0 || seconds > maxSettle.Seconds() {
			s.fail("settle", fmt.Sprintf("must be between 0 and %.0f seconds", maxSettle.Seconds()), "")
		} else {
			server.Settle = time.Duration(seconds * float64(time.Second))
		}
	}

	most := int64(maxRecord)
	if server.Protocol == UDP {
		most = maxDatagram
	}
	server.MaxRecordBytes, _ = s.whole("max_record_bytes", minRecord, most, "")

	relp := server.Protocol == RELP || server.Protocol == RELPTLS
	server.Syslog = Syslog{Envelope: Bare, Framing: Newline, Facility: defaultFacility}
	if relp {
		server.Syslog.Envelope = RFC5424
	}
	if i, ok := s.choice("envelope", "", string(Bare), string(RFC5424), string(RFC3164)); ok {
		server.Syslog.Envelope = []Envelope{Bare, RFC5424, RFC3164}[i]
		if relp && i == 0 {
			s.fail("envelope", fmt.Sprintf("must be rfc5424 or rfc3164 with protocol %s", server.Protocol), "")
		}
	}
	if i, ok := s.choice("framing", "", string(Newline), string(OctetCounted)); ok {
		server.Syslog.Framing = []Framing{Newline, OctetCounted}[i]
	}
	if server.Syslog.Framing == OctetCounted && server.Syslog.Envelope == Bare {
		s.warn("framing", "counts records that are no messages of syslog: a receiver may take their start for a header; set envelope: rfc5424")
	}
	if facility, ok := s.facility(); ok {
		server.Syslog.Facility = facility
		if server.Protocol != "" && server.Syslog.Envelope == Bare {
			s.warn("facility", "has no effect without an envelope (rfc5424 or rfc3164)")
		}
	}
}

// facilities are the names of syslog's facilities, by their number, and then
// other names in use.
var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "security", "console", "solaris-cron",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

func (s *section) facility() (int, bool) {
	v, ok := s.value("facility")
	if !ok {
		return 0, false
	}
	if name, ok := pyyaml.Text(v.node); ok {
		if i := slices.Index(facilities, strings.ToLower(name)); i >= 0 {
			return i, true
		}
		hint := ""
		if near := nearest(name, facilities); near != "" {
			hint = didYouMean(near)
		}
		s.fail("facility", "must be a facility of syslog, such as local0, or a number between 0 and 23", hint)
		return 0, false
	}
	return s.whole("facility", 0, int64(len(facilities)-1), "")
}

// hec reads what goes with protocol HEC. The only collector of a file may have
// its token in $DLS_TOKEN.
func (s *section) hec(id string, only bool, variables map[string]string) HEC {
	h := HEC{Path: defaultPath, MaxBatchBytes: defaultBatch}
	h.Token, h.TokenFile = s.token(id, only, variables)
	if path, ok := s.text("path"); ok {
		if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' || r == '?' }) {
			s.fail("path", "must be the path of an address, such as "+defaultPath, "begin it with a slash; hostname and port have keys of their own")
		}
		h.Path = path
	}
	h.Plaintext = s.boolean("plaintext", false)
	if h.Plaintext {
		for _, name := range tlsKeys {
			if s.has(name) {
				s.warn(name, "has no effect with plaintext: true")
			}
		}
	}
	h.Host, _ = s.text("host")
	h.Source, _ = s.text("source")
	h.SourceType, _ = s.text("sourcetype")
	h.Index, _ = s.text("index")
	if n, ok := s.whole("max_batch_bytes", minBatch, maxBatch, ""); ok {
		h.MaxBatchBytes = n
	}
	h.Proxy = s.sub("proxy").proxy()
	return h
}

// token reads the token of a collector from the one place that gives it.
func (s *section) token(id string, only bool, variables map[string]string) (token Secret, file string) {
	if s.absent || id == "" {
		return Secret{}, ""
	}
	sources := &sources{
		section: s, what: "the token", key: "token", fileKey: "token_filepath",
		origin: "copy it again from the collector's settings", word: true,
	}
	if filepath.IsLocal(id) && filepath.Base(id) == id {
		sources.credential = id + ".token"
	}
	own := "DLS_TOKEN_" + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, id)
	if other, ok := variables[own]; ok && s.env.getenv(own) != "" {
		s.fail("id", fmt.Sprintf("has its token in $%s, as %s has", own, other), "give the servers ids that differ in letters and digits")
	}
	variables[own] = s.path
	sources.variables = []string{own}
	if only {
		sources.variables = append(sources.variables, "DLS_TOKEN")
	}
	return sources.read()
}

// goWith checks which key goes with which protocol.
func (s *section) goWith(server Server) {
	if server.Protocol == "" {
		return
	}
	if server.TLS() {
		s.warnRelative("cert_filepath", server.CertFile)
		s.warnRelative("key_filepath", server.KeyFile)
	}
	if !server.TLS() && server.Protocol != EventCollector {
		for _, name := range []string{"key_filepath", "server_name"} {
			if s.has(name) {
				s.warn(name, fmt.Sprintf("has no effect with protocol %s", server.Protocol))
			}
		}
	}
	for _, name := range known["servers[]"] {
		if allowed, ok := keyProtocols[name]; ok && s.has(name) && !slices.Contains(allowed, server.Protocol) {
			words := make([]string, len(allowed))
			for i, protocol := range allowed {
				words[i] = string(protocol)
			}
			hint := "it goes with " + enumerate(words)
			if name == "host" && !s.has("hostname") {
				hint = didYouMean("hostname")
			}
			s.fail(name, fmt.Sprintf("has no place with protocol %s", server.Protocol), hint)
		}
	}
}
