package job

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"

	"dls/job/config"
	"dls/job/feed"
	"dls/sinks"
)

// server is a receiver of the run.
type server struct {
	sink      sinks.Sink
	datagrams bool // a record that is too long is what duologsync keeps, too

	group   *sinks.Group // its sessions, while the run works
	half    *feed.Memory // what pages for it may hold
	givenUp atomic.Bool  // a stream has waited for it as long as it may
	fickle  atomic.Bool  // it took a page that it had refused alone: no page is to blame
}

// mapped are the servers that records go to.
func (r *run) mapped() []*server {
	return slices.DeleteFunc(slices.Clone(r.servers), func(s *server) bool { return s == nil })
}

// hangUp waits until the sessions of all servers have ended.
func (r *run) hangUp() {
	for _, to := range r.mapped() {
		to.group.Close()
	}
}

// ServerOptions are what the sink of a configured server is made of.
func ServerOptions(s config.Server) sinks.Options {
	o := sinks.Options{
		ID: s.ID, Protocol: sinks.Protocol(s.Protocol), Hostname: s.Hostname, Port: s.Port,
		CertFile: s.CertFile, KeyFile: s.KeyFile, ServerName: s.ServerName,
		Settle: s.Settle, MaxRecordBytes: s.MaxRecordBytes,
		Syslog: sinks.SyslogOptions{
			Envelope: sinks.Envelope(s.Syslog.Envelope), Framing: sinks.Framing(s.Syslog.Framing), Facility: strconv.Itoa(s.Syslog.Facility),
		},
	}
	if s.Protocol == config.EventCollector {
		o.HEC = sinks.HECOptions{
			Token: s.HEC.Token.Reveal(), Path: s.HEC.Path, Plaintext: s.HEC.Plaintext,
			Host: s.HEC.Host, Source: s.HEC.Source, SourceType: s.HEC.SourceType, Index: s.HEC.Index,
			MaxBatchBytes: s.HEC.MaxBatchBytes,
		}
		if proxy := s.HEC.Proxy.URL(); proxy != nil {
			o.HEC.Proxy = proxy.String()
		}
	}
	return o
}

// unmade is a server that cannot be spoken to as it is configured: its streams fail by
// name, and those of the others go on.
type unmade struct {
	id  string
	err error
}

func (u *unmade) ID() string     { return u.id }
func (u *unmade) MaxRecord() int { return 0 }

func (u *unmade) Open(context.Context) (sinks.Session, error) { return nil, u.permanent() }

func (u *unmade) Check(context.Context) (sinks.Report, error) { return sinks.Report{}, u.permanent() }

func (u *unmade) permanent() error {
	if _, already := errors.AsType[*sinks.PermanentError](u.err); already {
		return u.err
	}
	return &sinks.PermanentError{Err: u.err, Hint: cmp.Or(Hint(u.err), "correct servers[] in the configuration")}
}

// bare takes the syslog prefix off lines of CEF, for a server whose protocol has an
// envelope of its own.
func bare(b sinks.Batch) sinks.Batch {
	lines := make([]byte, 0, len(b.Lines))
	for line := range bytes.Lines(b.Lines) {
		if i := bytes.Index(line, []byte("CEF:0|")); i > 0 {
			line = line[i:]
		}
		lines = append(lines, line...)
	}
	b.Lines = lines
	return b
}
