package check

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/record"
)

const (
	keysName     = "account.ikey and account.skey"
	childrenName = "child accounts"
)

// duo checks the way to Duo, the clock, the keys and the permissions. What comes
// after a check that failed is skipped where it could only fail as well.
func (c *checker) duo(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	why := "dls_settings.api.ca_filepath cannot be used"
	if c.client != nil {
		why = c.way(ctx)
	} else {
		c.skip(why, "connection to "+c.cfg.Account.Hostname)
	}
	switch {
	case ctx.Err() != nil:
	case why != "":
		c.skip(why, keysName)
		if c.cfg.Account.MSP {
			c.skip(why, childrenName)
		}
		c.skip(why, permissionNames(c.cfg.Routes)...)
	case c.cfg.Account.MSP:
		c.msp(ctx)
	default:
		c.single(ctx)
	}
}

func permissionName(endpoint *duo.Endpoint) string { return "permission for " + endpoint.Name }

func permissionNames(routes []config.Route) []string {
	names := make([]string, len(routes))
	for i, route := range routes {
		names[i] = permissionName(route.Endpoint)
	}
	return names
}

// way checks the connection, TLS and the clock. It returns why there is no use in
// calling Duo, or "".
func (c *checker) way(ctx context.Context) string {
	host := c.cfg.Account.Hostname
	probing, cancel := bounded(ctx, bound)
	defer cancel()
	contact, err := c.client.Probe(probing, host)
	if ctx.Err() != nil {
		return ""
	}
	connection := Finding{Name: "connection to " + host, Detail: contact.Remote}
	if contact.Proxy != "" {
		connection.Detail = "through the proxy " + contact.Proxy
	}
	secured := Finding{Name: "TLS of " + host}
	clock := Finding{Name: "clock"}
	const why = "Duo is not reached"
	untrusted := duo.Untrusted(err)
	switch {
	case err == nil:
	case !contact.Connected && !untrusted:
		connection.Outcome, connection.Detail, connection.Hint = Failed, err.Error(), wayHint(err, contact, host)
		if contact.Proxy != "" {
			connection.Detail = fmt.Sprintf("through the proxy %s: %v", contact.Proxy, err)
		}
		c.tell(connection)
		c.skip(why, secured.Name, clock.Name)
		return why
	case contact.TLSVersion == "":
		secured.Outcome, secured.Detail, secured.Hint = Failed, err.Error(), tlsHint(err)
		if contact.Issuer != "" {
			secured.Detail += fmt.Sprintf("; the certificate was issued by %q", contact.Issuer)
		}
		c.tell(connection)
		c.tell(secured)
		c.skip(why, clock.Name)
		return why
	}
	c.tell(connection)
	if contact.TLSVersion != "" {
		secured.Detail = fmt.Sprintf("%s, certificate issued by %q", contact.TLSVersion, contact.Issuer)
		if contact.Added {
			secured.Detail += ", trusted by dls_settings.api.ca_filepath"
		}
	}
	c.tell(secured)
	if err != nil {
		clock.Outcome, clock.Detail, clock.Hint = Failed, err.Error(), "Duo, or something before it, is in trouble; see status.duo.com"
		c.tell(clock)
		return why
	}
	c.tell(clockFinding(clock, contact))
	return ""
}

// clockFinding judges the clock. Duo refuses calls that are five minutes off.
func clockFinding(f Finding, contact duo.Contact) Finding {
	const near, far = 30 * time.Second, 5 * time.Minute
	off := contact.Skew.Abs()
	switch {
	case !contact.Dated:
		f.Outcome, f.Detail = Skipped, "the answer tells no time"
		return f
	case off <= near:
		f.Detail = "within 30 seconds of Duo's"
		return f
	case off <= far:
		f.Outcome = Warning
	default:
		f.Outcome = Failed
	}
	way := "ahead of"
	if contact.Skew < 0 {
		way = "behind"
	}
	f.Detail = fmt.Sprintf("%v %s Duo's", off.Round(time.Second), way)
	f.Hint = "set this machine's clock; Duo refuses calls that are 5 minutes off"
	return f
}

// wayHint says what to do about an API host that cannot be reached.
func wayHint(err error, contact duo.Contact, host string) string {
	if proxy, ok := errors.AsType[*duo.ProxyError](err); ok {
		return proxy.Hint()
	}
	if contact.Proxy != "" {
		return fmt.Sprintf("check dls_settings.proxy or HTTPS_PROXY, and that the proxy lets this machine through to %s", host)
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "check account.hostname, and that this machine can resolve it"
	}
	return "check this machine's routes and firewall; where Duo is reached by a proxy only, set dls_settings.proxy"
}

// tlsHint says what to do about an API host with which there is no TLS.
func tlsHint(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "check account.hostname: what answers there is somebody else"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "set this machine's clock; if it is right, the certificate must be renewed"
	}
	if hint := job.Hint(err); duo.Untrusted(err) && hint != "" {
		return hint
	}
	return "check account.hostname, and what stands between this machine and Duo"
}

// single checks the keys and the permissions of a single account: one call for
// each endpoint.
func (c *checker) single(ctx context.Context) {
	host, routes := c.cfg.Account.Hostname, c.cfg.Routes
	errs := make([]error, len(routes))
	asking, cancel := bounded(ctx, bound)
	errs[0] = c.ask(asking, host, routes[0].Endpoint, "")
	cancel()
	refused := keysOf(errs[:1]).Outcome == Failed
	if !refused {
		each(ctx, len(routes)-1, c.opts.Parallel, always, func(ctx context.Context, i int) error {
			return c.ask(ctx, host, routes[i+1].Endpoint, "")
		}, func(i int, err error) { errs[i+1] = err })
	}
	if ctx.Err() != nil {
		return
	}
	keys := keysOf(errs)
	c.tell(keys)
	if refused {
		c.skip("Duo refuses the signed call", permissionNames(routes)...)
		return
	}
	for i, route := range routes {
		c.tell(permission(permissionName(route.Endpoint), route.Endpoint, "", errs[i]))
	}
}

// keysOf judges the keys by what calls that were signed with them came to.
func keysOf(errs []error) Finding {
	f := Finding{Name: keysName, Outcome: Skipped, Detail: "no call was answered"}
	for _, err := range errs {
		api, ok := errors.AsType[*duo.APIError](err)
		switch {
		case ok && api.Status == 401:
			return Finding{keysName, Failed, api.Error(), job.Hint(api)}
		case err == nil, ok && api.Code != 0 && (api.Status == 400 || api.Status == 403):
			// Duo looks at what a call asks for only when its signature is right.
			f.Outcome, f.Detail = OK, "Duo accepts the signature"
		case ok && api.Limited() && f.Outcome == Skipped:
			f.Outcome, f.Detail, f.Hint = Warning, "Duo limits calls just now, so they are not proved", limitedHint
		}
	}
	if f.Outcome == OK {
		f.Hint = ""
	}
	return f
}

const limitedHint = "check again in some minutes"

// permission judges what a call to an endpoint came to.
func permission(name string, endpoint *duo.Endpoint, account string, err error) Finding {
	f := Finding{Name: name}
	if err == nil {
		return f
	}
	f.Outcome, f.Detail = Failed, err.Error()
	api, answered := errors.AsType[*duo.APIError](err)
	_, broken := errors.AsType[*duo.BodyError](err)
	switch {
	case answered && api.Limited():
		f.Outcome, f.Detail, f.Hint = Warning, "reachable, but limited just now: "+err.Error(), limitedHint
	case answered:
		result := job.Result{Endpoint: endpoint.Name, Account: account, Err: err}
		f.Hint = result.Hint()
	case broken:
		f.Hint = "something between here and Duo changes its answers, or Duo is in trouble; see status.duo.com"
	case duo.Untrusted(err):
		f.Hint = tlsHint(err)
	default:
		f.Hint = wayHint(err, duo.Contact{}, "")
	}
	return f
}

// ask makes the cheapest call that an endpoint knows: for one record of one
// minute, shortly before now.
func (c *checker) ask(ctx context.Context, host string, endpoint *duo.Endpoint, account string) error {
	unit := endpoint.AskUnit.Duration().Milliseconds()
	at := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli()/unit, 10) }
	end := time.Now().Add(-2 * time.Minute)
	v := url.Values{"mintime": {at(end.Add(-time.Minute))}}
	if endpoint.Cursor != duo.Mintime {
		v.Set("maxtime", at(end))
	}
	if endpoint.SendLimit {
		v.Set("limit", "1")
	}
	if endpoint.Sort != "" {
		v.Set("sort", endpoint.Sort)
	}
	if account != "" {
		v.Set("account_id", account)
	}
	body, err := c.client.Get(ctx, host, endpoint.Path, v, nil, nil)
	if err != nil {
		return err
	}
	_, err = duo.ReadPage(endpoint, body, func(i int) (int, error) { return record.Skip(body, i) })
	return err
}

// msp checks the list of child accounts, and each child. Of each child one
// endpoint is asked for, the first; the other endpoints only of one child: they
// hang on the permissions of the same application, and calls are rationed.
func (c *checker) msp(ctx context.Context) {
	listing, cancel := bounded(ctx, bound)
	list, err := c.client.Children(listing, c.cfg.Account.Hostname, c.cfg.Account.ChildDomains)
	cancel()
	if ctx.Err() != nil {
		return
	}
	keys := keysOf([]error{err})
	c.tell(keys)
	if err != nil {
		c.tell(unlisted(err))
		c.skip("the child accounts are not known", permissionNames(c.cfg.Routes)...)
		return
	}
	children := slices.DeleteFunc(slices.Clone(list), func(child duo.Child) bool {
		return slices.Contains(c.cfg.Account.BlockList, child.ID)
	})
	f := Finding{Name: childrenName, Detail: fmt.Sprintf("Duo lists %d; runs read %d of them", len(list), len(children))}
	if len(children) == 0 {
		f.Outcome = Warning
	}
	c.tell(f)
	c.blocked(list)

	endpoint := c.cfg.Routes[0].Endpoint
	sample, answered := "", false // the child that answered, or else the one to which Duo said no
	var sampleHost string
	each(ctx, len(children), c.opts.Parallel, always, func(ctx context.Context, i int) error {
		if children[i].Wrong != nil {
			return children[i].Wrong
		}
		return c.ask(ctx, children[i].Host, endpoint, children[i].ID)
	}, func(i int, err error) {
		child := children[i]
		name := fmt.Sprintf("child account %s %q: %s", child.ID, child.Name, endpoint.Name)
		if entry, odd := errors.AsType[*duo.EntryError](child.Wrong); odd && entry.ID == "" {
			name = fmt.Sprintf("entry %d of the list of child accounts", entry.Number)
		}
		if child.Wrong != nil {
			c.tell(Finding{name, Failed, child.Wrong.Error(), job.Hint(child.Wrong)})
			return
		}
		c.tell(permission(name, endpoint, child.ID, err))
		_, refused := errors.AsType[*duo.APIError](err)
		if !answered && err == nil || sample == "" && refused {
			sample, sampleHost, answered = child.ID, child.Host, err == nil
		}
	})
	if ctx.Err() != nil {
		return
	}
	routes := c.cfg.Routes[1:]
	if sample == "" {
		c.skip("no child account answers", permissionNames(routes)...)
		return
	}
	each(ctx, len(routes), c.opts.Parallel, always, func(ctx context.Context, i int) error {
		return c.ask(ctx, sampleHost, routes[i].Endpoint, sample)
	}, func(i int, err error) {
		name := fmt.Sprintf("%s, asked of %s alone", permissionName(routes[i].Endpoint), sample)
		c.tell(permission(name, routes[i].Endpoint, sample, err))
	})
}

// unlisted is the finding when the child accounts cannot be listed.
func unlisted(err error) Finding {
	f := Finding{childrenName, Failed, err.Error(), job.Hint(err)}
	api, answered := errors.AsType[*duo.APIError](err)
	switch {
	case !answered:
		f.Hint = wayHint(err, duo.Contact{}, "")
	case api.Limited():
		f.Outcome, f.Hint = Warning, limitedHint
	case api.Status == 403, api.Gone():
		f.Hint = "account.ikey and account.skey must be those of an Accounts API application; of an Admin API application, set account.is_msp to false"
	}
	return f
}

// blocked warns of ids in block_list that Duo does not list: one that is mistyped
// does not leave out what it should.
func (c *checker) blocked(list []duo.Child) {
	for _, id := range c.cfg.Account.BlockList {
		if !slices.ContainsFunc(list, func(child duo.Child) bool { return child.ID == id }) {
			c.tell(Finding{"account.block_list", Warning, fmt.Sprintf("Duo lists no child account %q", id), "correct the id, or take it out"})
		}
	}
}
