package state

import (
	"errors"
	"fmt"
	"io/fs"

	"dls/state/safefile"
)

// Private is what to do about a directory that is [Dir.Exposed].
const Private = "set dls_settings.checkpointing.directory to a directory of mode 0700 that belongs to the user that runs dls alone"

// Hint says what to do about a file that is not used or could not be replaced, or
// "". It is safe to follow whoever put the file there.
func Hint(err error) string {
	if _, ok := errors.AsType[*FencedError](err); ok {
		return "see to it that one run at a time works on these streams: the same job may be defined twice, or a job of another N be at work; the run that has moved it goes on"
	}
	file, again := "it", ""
	if broken, ok := errors.AsType[*UntrustedError](err); ok {
		file, again = fmt.Sprintf("%q", broken.Path), "; then put back a good copy, or have the stream begin again, at dls_settings.api.offset, with --begin (--endpoint, and --account where it is a child account's)"
	}
	if broken, ok := errors.AsType[*LockError](err); ok {
		file = fmt.Sprintf("%q", broken.Path)
	}
	if broken, ok := errors.AsType[*RosterError](err); ok {
		file, again = fmt.Sprintf("%q", broken.Path), "; then put back a good copy, or dls does not notice that a checkpoint has gone until the next run has written it anew"
	}
	_, busy := errors.AsType[*safefile.BusyError](err)
	switch {
	case errors.Is(err, ErrOwner):
		return fmt.Sprintf("somebody else may have put %s there: look at it, and remove it%s; if dls was run as that user before, run it as that user", file, again)
	case errors.Is(err, ErrAccount):
		return "correct account.ikey, or give this account a checkpointing.directory of its own; if the same account has a new integration key, write that into the checkpoints' \"ikey\""
	case errors.Is(err, safefile.ErrShared):
		return fmt.Sprintf("anybody may have changed %s: look at it, and remove it%s", file, again)
	case errors.Is(err, safefile.ErrLinked):
		return fmt.Sprintf("if a backup gave %s its other name, put a copy in its place; else somebody may have put it there: look at it, and remove it%s", file, again)
	case errors.Is(err, safefile.ErrSymlink), errors.Is(err, safefile.ErrNotRegular):
		return fmt.Sprintf("somebody may have put %s there: look at it, and remove it%s", file, again)
	case busy:
		return "another program, such as a virus scanner, holds the file: exempt dls_settings.checkpointing.directory from it; if there is none, let the user that runs dls change the files there"
	}
	if _, ok := errors.AsType[*RosterError](err); ok {
		return "put back a good copy; only if you remove it does dls no longer notice that a checkpoint has gone, until the next run has written it anew"
	}
	if errors.Is(err, ErrLedger) {
		return "put back the copy that was beside the checkpoint, or remove the ledger: the next run that delivers something then begins it anew"
	}
	if _, ok := errors.AsType[*UntrustedError](err); ok {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Sprintf("let the user that runs dls read %s, or run dls once as root", file)
		}
		return fmt.Sprintf("look at %s and put back a good copy; only if you move it away and run once for this stream alone with --begin (--endpoint, and --account where it is a child account's) does it begin again, at dls_settings.api.offset", file)
	}
	return ""
}
