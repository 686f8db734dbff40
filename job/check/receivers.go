package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/sinks"
	"dls/state/safefile"
)

func serverName(s config.Server) string { return fmt.Sprintf("server %q", s.ID) }

// certificates makes the sinks of the servers that endpoints are mapped to. For
// TLS that reads the files of certificates and keys.
func (c *checker) certificates() {
	for i, server := range c.cfg.Servers {
		mapped := slices.ContainsFunc(c.cfg.Routes, func(r config.Route) bool { return slices.Contains(r.Servers, i) })
		if !mapped {
			continue
		}
		o := job.ServerOptions(server)
		// Together they fit the bound of a check, so that the sink says what took so long;
		// the time for which a connection is held open goes on top.
		o.DialTimeout, o.StallTimeout, o.CloseTimeout = bound/2, bound/5, bound/5
		sink, err := sinks.New(o)
		if err == nil {
			c.servers[i] = sink
			if !server.TLS() {
				continue
			}
		}
		f := Finding{Name: serverName(server) + ": certificate files"}
		if err != nil {
			f.Outcome, f.Detail, f.Hint = Failed, inner(err).Error(), sinks.Hint(err)
		} else if shared := sharedKey(server); shared != "" {
			f.Outcome, f.Detail = Warning, "other users can read the private key in "+shared
			f.Hint = "make the file readable for the user that runs dls alone (chmod 600)"
		}
		c.tell(f)
	}
}

// inner takes off what package sinks puts before an error: the server, which the
// finding names already.
func inner(err error) error {
	if e := errors.Unwrap(err); e != nil {
		return e
	}
	return err
}

// sharedKey returns the path of a file with a private key that others may read,
// or "".
func sharedKey(server config.Server) string {
	for _, path := range []string{server.KeyFile, server.CertFile} {
		data, access, err := safefile.Read(path, safefile.MaxPEM)
		if err == nil && access.Readers != "" && bytes.Contains(data, []byte("PRIVATE KEY-----")) {
			return path
		}
	}
	return ""
}

// receivers holds an empty session with each server: over TCP a connection that must
// stay open for as long as a run has it settle, with RELP the opening and the closing,
// of a collector its health and its judgement of the token.
func (c *checker) receivers(ctx context.Context) {
	type result struct {
		report sinks.Report
		err    error
	}
	longest := func(i int) time.Duration { return bound + c.cfg.Servers[i].Settle }
	each(ctx, len(c.servers), c.opts.Parallel, longest, func(ctx context.Context, i int) (r result) {
		if c.servers[i] != nil {
			r.report, r.err = c.servers[i].Check(ctx)
		}
		return r
	}, func(i int, r result) {
		server := c.cfg.Servers[i]
		switch {
		case c.servers[i] != nil:
			if c.opts.Certificate != nil && r.err == nil && !r.report.NotAfter.IsZero() {
				c.opts.Certificate(server.ID, r.report.NotAfter)
			}
			c.tell(receiver(server, r.report, r.err))
		case slices.ContainsFunc(c.cfg.Routes, func(r config.Route) bool { return slices.Contains(r.Servers, i) }):
			c.skip("its certificate files are not in order", serverName(server))
		default:
			c.skip("no endpoint is mapped to it", serverName(server))
		}
	})
}

// renewal is how long before its end a certificate is worth a warning.
const renewal = 30 * 24 * time.Hour

// receiver judges what a connection to a server came to.
func receiver(server config.Server, r sinks.Report, err error) Finding {
	f := Finding{Name: serverName(server)}
	if err != nil {
		f.Outcome, f.Hint = Failed, sinks.Hint(err)
		f.Detail = fmt.Sprintf("%s %s: %v", server.Protocol, server.Addr(), inner(err))
		return f
	}
	if server.Protocol == config.UDP {
		f.Detail = fmt.Sprintf("UDP %s: the name resolves; whether anybody listens cannot be known; a confirmed delivery proves %s", r.Remote, r.Proves)
		return f
	}
	var details, hints []string
	if r.TLSVersion != "" && time.Until(r.NotAfter) < renewal {
		f.Outcome = Warning
		details = append(details, fmt.Sprintf("certificate expires in %d days (%s)",
			int(time.Until(r.NotAfter).Hours()/24), r.NotAfter.UTC().Format(time.DateOnly)))
		hints = append(hints, "have it renewed: from then on nothing is delivered")
	}
	for _, w := range r.Warnings {
		f.Outcome = Warning
		details = append(details, w)
	}
	switch {
	case r.Closed:
	case server.Protocol == config.RELP, server.Protocol == config.RELPTLS:
		f.Outcome = Warning
		details = append(details, "it opens a session and does not answer its close")
		hints = append(hints, "the receiver's log may say why; what it has answered counts all the same")
	case server.Protocol == config.TCP, server.Protocol == config.TLS:
		f.Outcome = Warning
		details = append(details, "it leaves the connection open when ours ends, so delivery is confirmed by its system alone, not by the receiver")
		hints = append(hints, "have it, or the load balancer before it, close a connection whose sender is done")
	}
	details = append(details, fmt.Sprintf("%s %s%s", server.Protocol, r.Remote, keptOpen(server)))
	if r.TLSVersion != "" {
		details = append(details, fmt.Sprintf("%s, certificate of %q issued by %q", r.TLSVersion, r.Subject, r.Issuer))
		if f.Outcome == OK {
			details = append(details, "expires "+r.NotAfter.UTC().Format(time.DateOnly))
		}
		switch {
		case r.ClientCert:
			details = append(details, "our certificate was asked for and shown")
		case server.KeyFile != "":
			details = append(details, "our certificate was not asked for")
		}
	}
	if r.Proves != "" {
		details = append(details, "a confirmed delivery proves "+r.Proves)
	}
	f.Detail, f.Hint = strings.Join(details, "; "), strings.Join(hints, "; ")
	return f
}

// keptOpen says in words what the session of a server whose check found nothing was.
func keptOpen(server config.Server) string {
	switch server.Protocol {
	case config.TCP, config.TLS:
		if server.Settle > 0 {
			return fmt.Sprintf(" stayed open for %v", server.Settle)
		}
	case config.RELP, config.RELPTLS:
		return " opened a session"
	case config.EventCollector:
		return " is healthy and knows the token"
	}
	return ""
}
