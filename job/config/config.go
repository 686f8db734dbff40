// Package config turns duologsync's config.yml, version 1.0.0, into a [Config]
// that holds only checked, typed values.
//
// Start with [Load], or with [Parse] for a text that is at hand already. Every
// error of a file is reported in one go, with its line, key path, value and rule
// ([Errors]). Scalars mean what they mean to duologsync's YAML reader (package
// pyyaml). A secret is never part of an error, a warning or a printed Config
// ([Secret]). Nothing here reads the environment but through [Env].
package config

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"

	"dls/job/duo"
	"dls/state/safefile"
)

// Config is a valid configuration. It is not changed after [Parse] made it, so
// it may be read by several goroutines. Paths are as written: relative ones are
// relative to the working directory, as in duologsync, but see [Load].
type Config struct {
	// LogFile is the path of the program's own messages, or empty for none: the system's
	// null device is written so.
	LogFile string
	// LogMaxMegabytes is the size in 10^6 bytes at which LogFile is rotated, or 0
	// for no rotation.
	LogMaxMegabytes int
	// Format is how records are written.
	Format Format

	// Offset is how far back a stream without a checkpoint starts: 0 to 180 days.
	// The run cuts its window to what Duo answers for.
	Offset time.Duration
	// Timeout is the longest pause between two calls of one endpoint when Duo
	// answers 429; at least 120 seconds.
	Timeout time.Duration
	// Overlap is how far before its checkpoint a stream starts; 0 to 24 hours.
	Overlap time.Duration
	// CAFile is a PEM file of roots trusted for Duo besides the usual ones, or
	// empty.
	CAFile string

	// Audit tells whether the first run of a day looks for records that Duo showed late.
	Audit bool

	// Checkpointing tells whether checkpoints are read and written.
	Checkpointing bool
	// Directory is where checkpoints are kept, or how messages name Bucket.
	Directory string
	// Bucket is the bucket that keeps them, or nil.
	Bucket *Bucket
	// MustExist has a run refuse a store in which there never was a checkpoint.
	MustExist bool

	// Proxy is the HTTP CONNECT proxy for Duo; the zero value means that the
	// usual variables (HTTPS_PROXY, NO_PROXY) decide.
	Proxy Proxy

	// Servers are the receivers, at least one, in the file's order.
	Servers []Server
	// Account is whose logs are fetched.
	Account Account
	// Routes are the endpoints to fetch, at least one, in the order of
	// endpoint's table.
	Routes []Route

	// Warnings are what the user should know though the file is valid: one line
	// each, with path, line and key.
	Warnings []string
	// Foreign are the file itself and those that it names, as far as another user owns
	// and so can change them: one line each. That may be meant so, and is said once, by
	// dls check.
	Foreign []string
}

// Format is how a record is written.
type Format int

// The formats of dls_settings.log_format.
const (
	JSON Format = iota
	CEF
)

// String returns the format's name in the file.
func (f Format) String() string {
	if f == CEF {
		return "CEF"
	}
	return "JSON"
}

// Protocol is how a server is spoken to.
type Protocol string

// The protocols of servers[].protocol, as written there.
const (
	TCP            Protocol = "TCP"
	TLS            Protocol = "TCPSSL"
	UDP            Protocol = "UDP"
	RELP           Protocol = "RELP"
	RELPTLS        Protocol = "RELPSSL"
	EventCollector Protocol = "HEC"
)

// Server is a receiver of records.
type Server struct {
	// ID is the server's unique name in the file.
	ID string
	// Hostname is a name or an IP address, without brackets or a port.
	Hostname string
	// Port is 1024 to 65535, or lower where the file allows it; never 0.
	Port int
	// Protocol is one of the six.
	Protocol Protocol
	// CertFile is a PEM file with the certificates trusted for a server that
	// speaks TLS, and the client's certificate where the server asks for one.
	// Never empty for TCPSSL and RELPSSL; empty for HEC: the system's roots.
	CertFile string
	// KeyFile is the PEM file of the client's private key where CertFile does not
	// hold it, or empty.
	KeyFile string
	// ServerName is the name that the server's certificate must have, or empty
	// for Hostname.
	ServerName string

	// Settle is how long a connection must stay in order after its last byte
	// before what it carried counts: 0 to 300 s. TCP, TCPSSL and UDP look at it.
	Settle time.Duration
	// MaxRecordBytes is the longest record that the server takes, without its
	// newline, or 0 for the protocol's own limit.
	MaxRecordBytes int
	// Syslog is how a record is wrapped, for all protocols but HEC.
	Syslog Syslog
	// HEC is the zero value for all protocols but HEC.
	HEC HEC
}

// TLS tells whether the server is spoken to over TLS.
func (s Server) TLS() bool {
	return s.Protocol == TLS || s.Protocol == RELPTLS || s.Protocol == EventCollector && !s.HEC.Plaintext
}

// Envelope is the syslog header that a record gets.
type Envelope string

// The envelopes of servers[].envelope, as written there.
const (
	Bare    Envelope = "none" // the record's line alone, as duologsync sends it
	RFC5424 Envelope = "rfc5424"
	RFC3164 Envelope = "rfc3164"
)

// Framing is how records are told apart on a connection.
type Framing string

// The framings of servers[].framing, as written there.
const (
	Newline      Framing = "newline"
	OctetCounted Framing = "octet-counted" // RFC 6587
)

// Syslog is how a record is wrapped.
type Syslog struct {
	// Envelope is never empty; with RELP and RELPSSL it is not Bare.
	Envelope Envelope
	// Framing is never empty; OctetCounted only with TCP and TCPSSL.
	Framing Framing
	// Facility is 0 to 23; 16 (local0) where the file has none.
	Facility int
}

// HEC is what Splunk's HTTP Event Collector asks for beside an address.
type HEC struct {
	// Token is the collector's token; never empty with protocol HEC.
	Token Secret
	// TokenFile is servers[].token_filepath, or empty.
	TokenFile string
	// Path is the address of the collector on its host; it begins with a slash.
	Path string
	// Plaintext tells to speak HTTP in place of HTTPS.
	Plaintext bool
	// Host, Source, SourceType and Index are the metadata of each event; empty:
	// not set, but for SourceType: duo:<endpoint>.
	Host, Source, SourceType, Index string
	// MaxBatchBytes is the most that one request carries before compression.
	MaxBatchBytes int
	// Proxy is the HTTP CONNECT proxy for this server alone; the zero value is
	// none, whatever the usual variables say.
	Proxy Proxy
}

// Addr returns the server's address in the form of [net.Dial].
func (s Server) Addr() string { return net.JoinHostPort(s.Hostname, strconv.Itoa(s.Port)) }

// Account is an application of Duo's Admin API, or of the Accounts API when MSP.
type Account struct {
	// IKey is the integration key.
	IKey string
	// SKey is the secret key.
	SKey Secret
	// SKeyFile is account.skey_filepath, or empty.
	SKeyFile string
	// Hostname is the API host, with a port (host:port) if the file gives one.
	Hostname string
	// MSP tells to fetch the logs of every child account.
	MSP bool
	// BlockList holds the ids of child accounts to leave out.
	BlockList []string
	// ChildDomains are domains, in lower case and without a leading dot, in which
	// the API hosts of child accounts may lie beside the domain of Hostname.
	ChildDomains []string
}

// Route says where an endpoint's records go.
type Route struct {
	// Endpoint is the row of the table.
	Endpoint *duo.Endpoint
	// Servers are indexes into Config.Servers, at least one, none twice.
	Servers []int
}

// Proxy is an HTTP CONNECT proxy.
type Proxy struct {
	// Host is a name or an IP address without brackets; empty: no proxy.
	Host string
	// Port is 1 to 65535.
	Port int
	// User is empty when the proxy asks for no credentials.
	User string
	// Password belongs to User.
	Password Secret
}

// URL returns the proxy in the form of [net/http.ProxyURL], or nil when there is
// none. It carries the password: print it with [url.URL.Redacted] only.
func (p Proxy) URL() *url.URL {
	if p.Host == "" {
		return nil
	}
	u := &url.URL{Scheme: "http", Host: net.JoinHostPort(p.Host, strconv.Itoa(p.Port))}
	if p.User != "" {
		u.User = url.UserPassword(p.User, p.Password.Reveal())
	}
	return u
}

// Env is all that a configuration takes from the machine.
type Env struct {
	// Getenv looks a variable up; empty means not set. Asked for are
	// STATE_DIRECTORY, CREDENTIALS_DIRECTORY, DLS_SKEY, DLS_TOKEN and DLS_TOKEN_<ID>
	// of each HEC server. Nil: none is set.
	Getenv func(string) string
	// TempDir is where the log and the checkpoints go by default. Empty: /tmp.
	TempDir string
	// Elsewhere tells that the configuration is for another machine: the files that it
	// names are not looked at, something stands in for the secrets that they hold, and
	// which paths are whole ones is not known.
	Elsewhere bool
}

// SystemEnv returns the environment of this process. TempDir is /tmp, whatever
// $TMPDIR says, or the temp folder on Windows.
func SystemEnv() Env {
	e := Env{Getenv: os.Getenv, TempDir: "/tmp"}
	if runtime.GOOS == "windows" {
		e.TempDir = os.TempDir()
	}
	return e
}

func (e Env) getenv(name string) string {
	if e.Getenv == nil {
		return ""
	}
	return e.Getenv(name)
}

func (e Env) tempDir() string {
	if e.TempDir == "" {
		return "/tmp"
	}
	return e.TempDir
}

// readFile reads a file with a secret, as the function of that name does.
func (e Env) readFile(path string, limit int64) (data []byte, shared bool, err error) {
	if e.Elsewhere {
		return []byte("elsewhere"), false, nil
	}
	return readFile(path, limit)
}

// private says how a file becomes its owner's alone.
func private() string {
	if runtime.GOOS == "windows" {
		// What is inherited is copied first: to take it away alone would shut everybody out.
		return "take Users, Authenticated Users and Everyone off its access control list: icacls FILE /inheritance:d, then icacls FILE /remove:g *S-1-5-32-545 *S-1-5-11 *S-1-1-0"
	}
	return "chmod 600 it"
}

// unwritable says how a file becomes one that its owner alone can change.
func unwritable() string {
	if runtime.GOOS == "windows" {
		return private()
	}
	return "chmod go-w it"
}

// maxFile is the most bytes that a configuration may have.
const maxFile = 256 << 10

// Load reads a file and checks it as [Parse] does. A relative directory of the
// checkpoints is taken where checkpoints are: in the working directory or, with a
// warning, beside the file; in both is an error. A file that holds a secret and may
// be read by others than its owner is a warning, and so is one, of the file itself and
// those with certificates, keys and secrets, to which anybody can write. What
// is no regular file is refused, but for what this process was started with
// ([safefile.Stdin]). The error
// is an [*Errors], or that of reading the file.
func Load(path string, env Env) (*Config, error) { return load(&parser{file: path, env: env}) }

func load(p *parser) (*Config, error) {
	path := p.file
	var data []byte
	var access safefile.Access
	var err error
	if safefile.Stdin(path) {
		data, err = safefile.ReadStdin(path, maxFile)
	} else {
		data, access, err = safefile.Read(path, maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read config %q: %w", path, safefile.Cause(err))
	}
	c, err := p.parse(data)
	if err != nil {
		return nil, err
	}
	if err := c.findDirectory(p); err != nil {
		return nil, err
	}
	if access.Anybody {
		c.Warnings = append(c.Warnings, path+": any user of this machine can write to it, and so send the records elsewhere; "+private())
	}
	if access.Readers != "" && p.holdsSecret {
		c.Warnings = append(c.Warnings, path+": holds a secret and can be read by other users; "+private())
	}
	c.foreign(path, access)
	if !p.env.Elsewhere {
		for _, file := range c.files() {
			access, err := safefile.Look(file)
			if err != nil {
				continue // who reads it says so
			}
			if access.Anybody {
				c.Warnings = append(c.Warnings, file+": any user of this machine can write to it; "+unwritable())
			}
			c.foreign(file, access)
		}
	}
	return c, nil
}

// foreign notes a file that is another user's.
func (c *Config) foreign(path string, access safefile.Access) {
	if access.Foreign {
		c.Foreign = append(c.Foreign, fmt.Sprintf("%q belongs to another user (%s), who can change it", path, access.Owner))
	}
}

// files are those that the configuration names for its secrets and certificates, each
// once.
func (c *Config) files() []string {
	files := []string{c.CAFile, c.Account.SKeyFile}
	if c.Bucket != nil {
		files = append(files, c.Bucket.CAFile)
	}
	for _, s := range c.Servers {
		files = append(files, s.CertFile, s.KeyFile, s.HEC.TokenFile)
	}
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(file string) bool { return file == "" })
}

// LoadForPull is Load for a pull, which does without servers: where the file has
// none, the endpoints of its mappings are those to fetch, or all where it has no
// mappings either. The Routes of such a file have no Servers.
func LoadForPull(path string, env Env) (*Config, error) {
	return load(&parser{file: path, env: env, pull: true})
}

// LoadForReceivers is Load for what sends to the servers of the file and asks another
// Duo than that of its account: whatever is wrong with ikey, skey and hostname there, and
// that they are missing, does not matter.
func LoadForReceivers(path string, env Env) (*Config, error) {
	return load(&parser{file: path, env: env, receivers: true})
}

// findDirectory settles where a relative directory of checkpoints is.
func (c *Config) findDirectory(p *parser) error {
	if filepath.IsAbs(c.Directory) || !c.Checkpointing || c.Bucket != nil || p.env.Elsewhere {
		return nil
	}
	here, err := filepath.Abs(c.Directory)
	if err != nil {
		return fmt.Errorf("find dls_settings.checkpointing.directory: %w", err)
	}
	beside, err := filepath.Abs(filepath.Join(filepath.Dir(p.file), c.Directory))
	if err != nil {
		return fmt.Errorf("find dls_settings.checkpointing.directory: %w", err)
	}
	if here == beside || !holdsCheckpoints(beside) || sameFile(here, beside) {
		return nil
	}
	const key = "dls_settings.checkpointing.directory"
	if holdsCheckpoints(here) {
		return &Errors{Path: p.file, List: []*Error{{
			Line: p.directoryLine, Key: key, Value: showText(c.Directory),
			Rule: fmt.Sprintf("is relative, and there are checkpoints in the working directory's (%q) and in that beside the file (%q)", here, beside),
			Hint: "write the whole path of the one that counts",
		}}}
	}
	c.Warnings = append(c.Warnings, fmt.Sprintf("%s:%d: %s: the checkpoints are not in the working directory's %q but in that beside the file, %q, which is used", p.file, p.directoryLine, key, here, beside))
	c.Directory = beside
	return nil
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	two, err := os.Stat(b)
	return err == nil && os.SameFile(one, two)
}

// holdsCheckpoints tells whether a directory has a checkpoint of dls or duologsync.
func holdsCheckpoints(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return checkpointFile.MatchString(e.Name()) })
}

var checkpointFile = regexp.MustCompile(`^[a-z]+_checkpoint(_\w+)?\.json$|^[a-z]+_checkpoint_data(_\w+)?\.txt$`)

// Parse checks a configuration's text. The path is only for messages. No file is
// read but the one that holds the secret key, if the key is in a file of its own.
// The error is always an [*Errors].
func Parse(path string, data []byte, env Env) (*Config, error) {
	p := parser{file: path, env: env}
	return p.parse(data)
}

// readFile reads a file of at most limit bytes, and tells whether others than
// its owner may read it. The error does not repeat the path.
func readFile(path string, limit int64) (data []byte, shared bool, err error) {
	data, access, err := safefile.Read(path, limit)
	return data, access.Readers != "", safefile.Cause(err)
}
