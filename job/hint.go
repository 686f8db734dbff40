package job

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"

	"dls/job/audit"
	"dls/job/duo"
	"dls/job/legacy"
	"dls/job/window"
	"dls/sinks"
	"dls/state"
	"dls/state/bucket"
)

// Hints that hold where checkpoints are moved.
const (
	goesOn    = "the next run goes on from there"
	supports  = "if it happens again, tell Duo's support"
	stopsHere = "what was delivered is checkpointed; " + supports
)

// Hint says what to do about an error of [Sync] or of a [Result], or "".
func Hint(err error) string {
	if api, ok := errors.AsType[*duo.APIError](err); ok {
		return apiHint(api)
	}
	if proxy, ok := errors.AsType[*duo.ProxyError](err); ok && proxy.Proxy == "" {
		return proxy.Hint()
	}
	if left, ok := errors.AsType[*legacy.Error](err); ok {
		return left.Hint
	}
	if begin, ok := errors.AsType[*legacy.BeginError](err); ok {
		return begin.Hint()
	}
	if request, ok := errors.AsType[*bucket.Error](err); ok {
		if errors.Is(err, bucket.ErrUnconditional) {
			return "keep the checkpoints in a store that knows If-None-Match and If-Match on PutObject (Amazon S3, MinIO, Ceph from Squid on, versitygw, Cloudflare R2), or in a directory"
		}
		return request.Hint()
	}
	if errors.Is(err, bucket.ErrCredentials) {
		return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine, the pod or the task a role"
	}
	if form, ok := errors.AsType[*audit.FormError](err); ok {
		return form.Hint
	}
	if missing, ok := errors.AsType[*MissingError](err); ok {
		return missing.hint()
	}
	if _, ok := errors.AsType[*NoRosterError](err); ok {
		return "correct dls_settings.checkpointing.directory, or mount the volume that it is on; if this is the first run, let it begin: run dls sync as usual, with --begin"
	}
	if hint := state.Hint(err); hint != "" {
		return hint
	}
	if _, ok := errors.AsType[*window.AheadError](err); ok {
		return "set this machine's clock; nothing was fetched, and nothing is lost"
	}
	switch {
	case errors.Is(err, ErrMaxRuntime), errors.Is(err, context.Canceled):
		return goesOn
	case errors.Is(err, state.ErrLocked):
		return "wait for it to end; if it is a run for another account, give each account a checkpointing.directory of its own"
	case errors.Is(err, window.ErrStuck), errors.Is(err, window.ErrCircle), errors.Is(err, window.ErrRepeats), errors.Is(err, window.ErrForgotten):
		return stopsHere
	case errors.Is(err, errNoChildren):
		return "check in Duo's Admin Panel that the Accounts API application may still see them; if there are none, is_msp is not for this account"
	}
	entry, odd := errors.AsType[*duo.EntryError](err)
	switch {
	case odd && entry.ID == "":
		return "ask Duo's support about this entry of the list; the other accounts are read"
	case odd, errors.Is(err, duo.ErrNoHost):
		return "ask Duo's support about this account, or leave it out with account.block_list"
	}
	if _, ok := errors.AsType[*duo.DomainError](err); ok {
		return "if Duo's Admin Panel shows that host for the account, add its domain to account.child_domains; else ask Duo's support"
	}
	// The network and the standard output fail with the same numbers as a disk, and
	// are not the checkpoint directory.
	if _, ok := errors.AsType[*duo.BodyError](err); ok {
		return "something between here and Duo may answer in its place: check the proxy, and see status.duo.com"
	}
	if call, ok := errors.AsType[*duo.CallError](err); ok {
		return callHint(call)
	}
	_, sent := errors.AsType[*sinkError](err)
	if _, final := errors.AsType[*sinks.PermanentError](err); final || sent {
		return sinks.Hint(err)
	}
	if hint := diskHint(err); hint != "" {
		return hint
	}
	return sinks.Hint(err) // of a sink that was never made
}

// diskHint is the hint for what a disk refuses. Errors come from the checkpoint
// directory (those of the log and the metrics file are warnings), or from a file
// that is only read, which an [fs.PathError] names.
func diskHint(err error) string {
	file, named := errors.AsType[*fs.PathError](err)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "make room on the disk; what was delivered and not noted is sent again"
	case errors.Is(err, fs.ErrPermission) && named:
		return fmt.Sprintf("check the permissions of %q, and of the directories above it, for the user that runs dls", file.Path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "make dls_settings.checkpointing.directory writable for the user that runs dls"
	case errors.Is(err, fs.ErrNotExist):
		return "create it, or correct the path"
	}
	return ""
}

func callHint(err error) string {
	if proxy, ok := errors.AsType[*duo.ProxyError](err); ok && !duo.Untrusted(err) {
		return proxy.Hint()
	}
	if duo.Untrusted(err) {
		return "if a proxy inspects TLS, name its certificate in dls_settings.api.ca_filepath"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "check account.hostname, and that this machine can resolve it"
		}
		return "check this machine's name servers"
	}
	return "check that this machine reaches account.hostname on port 443, through the proxy if there is one"
}

// Hint says what to do about Err, or "".
func (r *Result) Hint() string {
	if r.rest != "" {
		switch hint := Hint(r.Err); hint {
		case goesOn:
			return r.rest
		case stopsHere:
			return supports
		}
	}
	row := duo.Named(r.Endpoint)
	if api, ok := errors.AsType[*duo.APIError](r.Err); ok && row != nil {
		switch {
		case api.Gone() && row.Gone != "":
			return row.Gone
		case api.Refusal() == 403:
			who := "the Admin API application"
			if r.Account != "" {
				who = "the Accounts API application for this child account"
			}
			return fmt.Sprintf("in Duo's Admin Panel, give %s the permission %q; the endpoint may also not be part of the account's edition", who, row.Permission)
		}
	}
	return Hint(r.Err)
}

func apiHint(api *duo.APIError) string {
	status := api.Refusal()
	off := api.Skew.Abs().Round(time.Second)
	way := "ahead of"
	if api.Skew < 0 {
		way = "behind"
	}
	switch {
	case status == 401 && api.Code == 40105 && off == 0: // the answer tells no time, or one beyond all clocks
		return "set this machine's clock: Duo says that it is off"
	case status == 401 && (api.Code == 40105 || off > window.Skew):
		return fmt.Sprintf("set this machine's clock: it is %v %s Duo's", off, way)
	case status == 401 && api.Code == 40103:
		return "check account.skey: it is not the secret key of this ikey"
	case status == 401:
		return "check account.ikey and account.hostname: both are on the application's page in Duo's Admin Panel"
	case status == 403:
		return "give the application the permission that the endpoint needs in Duo's Admin Panel"
	case status == 404:
		return "check account.hostname: Duo knows no such endpoint there"
	case api.Limited():
		return "Duo limits calls: is another program reading the same logs? Otherwise run less often"
	case status >= 300 && status < 400:
		return "something between here and Duo redirects the call: check the proxy"
	case status >= 500:
		return "Duo, or something before it, is in trouble; see status.duo.com"
	}
	return ""
}
