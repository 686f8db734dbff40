package check

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/legacy"
	"dls/job/report"
	"dls/state"
	"dls/state/bucket"
	"dls/state/safefile"
)

// files checks what needs no network.
func (c *checker) files(ctx context.Context) {
	c.warnings()
	store := c.directory
	if c.cfg.Bucket != nil {
		store = func() { c.bucket(ctx) }
	}
	for _, check := range []func(){c.logFile, store, c.authority, c.certificates} {
		if ctx.Err() != nil {
			return
		}
		check()
	}
}

// warnings tells what the configuration is warned of.
func (c *checker) warnings() {
	for _, w := range c.cfg.Warnings {
		c.tell(Finding{Name: "configuration", Outcome: Warning, Detail: w})
	}
	for _, foreign := range c.cfg.Foreign {
		c.tell(Finding{"configuration", Warning, foreign, "if that is not meant so, make it a file of root's, or of the user's that runs dls"})
	}
	if len(c.cfg.Warnings)+len(c.cfg.Foreign) == 0 {
		c.tell(Finding{Name: "configuration"})
	}
}

// logFile checks the log file without making it. A run goes on without it.
func (c *checker) logFile() {
	if c.cfg.LogFile == "" {
		c.tell(Finding{Name: "log file", Outcome: Skipped, Detail: "the log is off"})
		return
	}
	f := Finding{Name: "log file " + c.cfg.LogFile}
	_, err := os.Lstat(c.cfg.LogFile)
	if errors.Is(err, fs.ErrNotExist) {
		f.Detail = "the first run makes it"
		err = try(filepath.Dir(c.cfg.LogFile))
	} else {
		var file *os.File
		if file, err = report.OpenFile(c.cfg.LogFile); err == nil {
			err = file.Close()
		}
	}
	if err != nil {
		f.Outcome, f.Detail = Warning, err.Error()+"; runs go on without it"
		f.Hint = "correct dls_settings.log_filepath, or let the user that runs dls write there"
	}
	c.tell(f)
}

// try makes a file in a directory, writes to it and removes it.
func try(directory string) error {
	dir, err := safefile.Open(directory)
	if err != nil {
		return err
	}
	defer dir.Close()
	return tryIn(dir)
}

// tryIn is try for a directory that is open.
func tryIn(dir *safefile.Dir) error {
	// Should this process be killed, the next run sweeps up what is called so.
	name := safefile.TempPrefix + "check-" + rand.Text()
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return fmt.Errorf("create a file: %w", err)
	}
	_, err = f.WriteString("dls check\n")
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		err = fmt.Errorf("write a file: %w", safefile.Cause(err))
	}
	// A run that sweeps may have been faster.
	if removing := dir.Remove(name); err == nil && removing != nil && !errors.Is(removing, fs.ErrNotExist) {
		err = fmt.Errorf("remove a file: %w", removing)
	}
	return err
}

// directory checks the checkpoint directory and what is in it.
func (c *checker) directory() {
	udp := slices.ContainsFunc(c.cfg.Servers, func(s config.Server) bool { return s.Protocol == config.UDP })
	f := Finding{Name: "checkpoint directory " + c.cfg.Directory}
	if !c.cfg.Checkpointing && !udp {
		f.Outcome, f.Detail = Skipped, "checkpointing is off"
		c.tell(f)
		return
	}
	dir, err := safefile.Open(c.cfg.Directory)
	if err != nil {
		f.Outcome, f.Detail, f.Hint = Failed, safefile.Cause(err).Error(), job.Hint(err)
		if info, err := os.Stat(c.cfg.Directory); err == nil && !info.IsDir() {
			f.Hint = "dls_settings.checkpointing.directory must name a directory"
		}
		c.tell(f)
		if c.cfg.Checkpointing {
			if errors.Is(err, fs.ErrNotExist) {
				c.elsewhere()
			}
			c.skip("the directory cannot be opened", "run lock", "checkpoints")
		}
		return
	}
	defer dir.Close()
	access, unknown := dir.Access()
	if err := tryIn(dir); err != nil {
		f.Outcome, f.Detail, f.Hint = Failed, err.Error(), job.Hint(err)
	} else if why := notPrivate(dir, access); why != "" {
		f.Outcome, f.Detail, f.Hint = Warning, why, state.Private
	}
	c.tell(f)
	if unknown != nil || !access.Known {
		c.skip("this system does not tell who can read and write", "permissions of files and directories")
	}
	if c.cfg.Checkpointing {
		c.checkpoints()
	}
}

// bucket checks the bucket, which is asked, and written to, as a run does. What it
// writes is the object by which runs prove that the store minds conditions.
func (c *checker) bucket(ctx context.Context) {
	f := Finding{Name: "checkpoint bucket " + c.cfg.Directory}
	switch {
	case !c.cfg.Checkpointing:
		f.Outcome, f.Detail = Skipped, "checkpointing is off"
		c.tell(f)
		return
	case c.opts.Offline:
		f.Outcome, f.Detail = Skipped, "it needs the network"
		c.tell(f)
		return
	}
	ctx, cancel := bounded(ctx, bound)
	defer cancel()
	store, err := job.OpenStore(ctx, c.cfg, c.opts.Version, nil)
	if err == nil {
		defer store.Close()
		err = store.(*bucket.Store).Probe()
	}
	if err != nil {
		f.Outcome, f.Detail, f.Hint = Failed, err.Error(), job.Hint(err)
		c.tell(f)
		c.skip("the bucket cannot be used", "checkpoints")
		return
	}
	f.Detail = "it can be written, and refuses a write whose condition does not hold"
	c.tell(f)
	c.streams(store)
}

// notPrivate says why others could lose the directory's files, or "".
func notPrivate(dir *safefile.Dir, access safefile.Access) string {
	for _, temp := range []string{config.SystemEnv().TempDir, "/var/tmp"} {
		if t, err := os.Stat(temp); err == nil && dir.SameFile(t) {
			return "the system clears this directory of temporary files, and other users can write there"
		}
	}
	if access.Writers != "" {
		return fmt.Sprintf("other users can write there (%s)", access.Writers)
	}
	if access.Foreign {
		return fmt.Sprintf("%v (%s)", safefile.ErrOwner, access.Owner)
	}
	return ""
}

// lock tells whether a run is under way, for information. The lock itself is
// left alone: a run that began at that moment would find it taken.
func (c *checker) lock(dir *state.Dir) {
	f := Finding{Name: "run lock"}
	defer func() { c.tell(f) }()
	files, foreign, err := dir.LockFiles(state.LockName)
	if err != nil {
		f.Outcome, f.Detail, f.Hint = Failed, err.Error(), job.Hint(err)
		return
	}
	if len(foreign) > 0 {
		f.Outcome, f.Detail, f.Hint = Warning, "runs lock another file: "+foreign[0].Error(), job.Hint(foreign[0])
		return
	}
	f.Detail = "free"
	if len(files) == 0 {
		f.Detail = "free: there was no run yet"
	}
	for _, file := range files {
		pid, known := holder(file)
		if !known {
			f.Outcome, f.Detail = Skipped, "this system tells it only to who takes the lock"
		} else if pid != "" {
			f.Detail = "held by process " + pid + ": a run is under way"
		}
	}
}

// checkpoints looks at the run lock, and loads the checkpoint of each stream: for an MSP, whose children are
// not known yet, of those that have one.
func (c *checker) checkpoints() {
	dir, err := state.Open(c.cfg.Directory)
	if err != nil {
		c.tell(Finding{"checkpoints", Failed, err.Error(), job.Hint(err)})
		return
	}
	defer dir.Close()
	c.lock(dir)
	c.elsewhere()
	c.streams(dir)
}

// streams loads the checkpoints of a store.
func (c *checker) streams(dir state.Store) {
	times, err := dir.Times()
	if err != nil {
		c.tell(Finding{"checkpoints", Failed, err.Error(), job.Hint(err)})
		return
	}
	if c.roster, err = dir.Roster(c.cfg.Account.IKey); err != nil {
		c.tell(Finding{"checkpoints", Failed, err.Error(), job.Hint(err)})
		return
	}
	if c.cfg.MustExist && c.roster == nil && !job.FromBeforeRosters(times) {
		err := &job.NoRosterError{Directory: c.cfg.Directory}
		c.tell(Finding{"checkpoints", Warning, err.Error() + ": a run is refused", job.Hint(err)})
	}
	runs := map[state.ID]*state.StreamRun{}
	known, _ := dir.LoadRuns(c.cfg.Account.IKey) // without them the checkpoints tell less: status says why
	for i, r := range known {
		runs[state.ID{IKey: c.cfg.Account.IKey, Endpoint: r.Endpoint, Account: r.Account}] = &known[i]
	}
	if !c.cfg.Account.MSP {
		for _, route := range c.cfg.Routes {
			id := state.ID{IKey: c.cfg.Account.IKey, Endpoint: route.Endpoint.Name}
			c.tell(c.checkpoint(dir, id, runs[id]))
		}
		return
	}
	good, inherited, foreign := 0, 0, 0
	ids := c.childStreams(times)
	for _, id := range ids {
		if planted(dir, id, times) {
			if foreign++; foreign > 1 {
				continue // a neighbour may have put a thousand there
			}
		}
		f := c.checkpoint(dir, id, runs[id])
		if f.Outcome != OK {
			c.tell(f)
			continue
		}
		good++
		if times[id.File()].IsZero() {
			inherited++
		}
	}
	f := Finding{Name: "checkpoints of child accounts", Detail: fmt.Sprintf("in order: %d of %d", good, len(ids))}
	if inherited > 0 {
		f.Detail += fmt.Sprintf("; duologsync's, for the first run to take over: %d", inherited)
	}
	if foreign > 0 {
		f.Detail += fmt.Sprintf("; another user's: %d", foreign)
	}
	c.tell(f)
	// The telephony of all children has one file of duologsync's.
	telephony := slices.ContainsFunc(c.cfg.Routes, func(r config.Route) bool { return r.Endpoint.Name == "telephony" })
	if telephony && !times[legacy.Names("telephony", "")[0]].IsZero() {
		c.tell(inheritance(dir, state.ID{Endpoint: "telephony"}, "checkpoint of telephony of child accounts"))
	}
}

// planted tells whether the file that a stream goes on from is another user's.
func planted(store state.Store, id state.ID, files map[string]time.Time) bool {
	name := id.File()
	if files[name].IsZero() {
		name = legacy.Names(id.Endpoint, id.Account)[0]
	}
	dir, ok := store.(*state.Dir)
	return ok && dir.Foreign(name)
}

// elsewhere looks for checkpoints where the first run would not see them.
func (c *checker) elsewhere() {
	search := legacy.SearchFor(c.cfg)
	search.Places = c.opts.Places
	strays := legacy.Elsewhere(search)
	if err := legacy.Begins(c.cfg.Directory, strays); err != nil {
		c.tell(Finding{"checkpoints elsewhere", Failed, err.Error(), job.Hint(err)})
	}
	for _, s := range strays {
		if note := s.Note(); note != "" {
			c.tell(Finding{"checkpoints elsewhere", Warning, note, "if they are yours, move them into dls_settings.checkpointing.directory as a user who may"})
		}
	}
}

// childStreams returns the streams of child accounts that have a file, of dls or
// of duologsync, in the order of the endpoints and the accounts.
func (c *checker) childStreams(files map[string]time.Time) []state.ID {
	var ids []state.ID
	for _, route := range c.cfg.Routes {
		before := len(ids)
		for _, file := range slices.Concat(slices.Collect(maps.Keys(files)), slices.Collect(maps.Keys(c.roster))) {
			_, account, _ := strings.Cut(strings.TrimSuffix(file, filepath.Ext(file)), "_checkpoint_")
			account = strings.TrimPrefix(account, "data_")
			id := state.ID{IKey: c.cfg.Account.IKey, Endpoint: route.Endpoint.Name, Account: account}
			known := id.File() == file || legacy.Names(id.Endpoint, account)[0] == file
			if account != "" && known && !slices.Contains(c.cfg.Account.BlockList, account) {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids[before:], func(a, b state.ID) int { return strings.Compare(a.Account, b.Account) })
		ids = slices.Compact(ids) // a stream may have a file of both
	}
	return ids
}

const (
	// kept is how long Duo keeps records.
	kept = 180 * 24 * time.Hour
	// ahead is how far a checkpoint may lie in the future; a run bears no more.
	ahead = 5 * time.Minute
)

// checkpoint loads the checkpoint of one stream, or the one of duologsync that it
// would go on from. The last run may be nil.
func (c *checker) checkpoint(store state.Store, id state.ID, last *state.StreamRun) Finding {
	result := job.Result{Endpoint: id.Endpoint, Account: id.Account}
	f := Finding{Name: "checkpoint of " + result.Name()}
	cp, err := store.Load(id)
	if err != nil {
		f.Outcome, f.Detail, f.Hint = Failed, err.Error(), job.Hint(err)
		return f
	}
	if cp == nil {
		f = inheritance(store, id, f.Name)
		if f.Outcome == OK && f.Detail == noneYet && c.roster[id.File()] {
			err := &job.MissingError{Path: store.Path(id.File()), Stream: id}
			f.Outcome, f.Detail, f.Hint = Failed, err.Error(), job.Hint(err)
		}
		return f
	}
	if dir, ok := store.(*state.Dir); ok {
		if err := legacy.Newer(dir, id, time.UnixMilli(max(cp.DeliveredUntil, cp.LookedUntil)), time.Now()); err != nil {
			f.Outcome, f.Detail, f.Hint = Failed, err.Error(), job.Hint(err)
			return f
		}
	}
	f.Detail = "delivered up to " + state.Reached(cp, last).Format(time.RFC3339)
	until, now := time.UnixMilli(cp.DeliveredUntil).UTC(), time.Now()
	if until.Sub(now) > ahead {
		f.Outcome = Failed
		f.Detail += fmt.Sprintf(", which is %v ahead of this machine's clock", until.Sub(now).Round(time.Second))
		f.Hint = "set this machine's clock"
		return f
	}
	return reachable(f, time.UnixMilli(max(cp.DeliveredUntil, cp.LookedUntil)))
}

// noneYet is said of a stream that has no checkpoint.
const noneYet = "none yet"

// inheritance tells what duologsync left of a stream that has no checkpoint yet.
func inheritance(store state.Store, id state.ID, name string) Finding {
	dir, ok := store.(*state.Dir)
	if !ok {
		return Finding{Name: name, Detail: noneYet}
	}
	from, err := legacy.Find(dir, id, time.Now())
	switch {
	case err != nil:
		return Finding{name, Failed, err.Error(), job.Hint(err)}
	case from == nil:
		return Finding{Name: name, Detail: noneYet}
	}
	f := Finding{Name: name, Detail: fmt.Sprintf("none yet; the first run takes over duologsync's %s and goes on from %s", from.Name, from.From.Format(time.RFC3339))}
	if doubt := from.Doubt(); doubt != "" {
		f.Outcome = Warning
		f.Detail += ", or another time: " + doubt
		f.Hint = "the first run finds it out by the record that the file names; if Duo does not show that, the stream fails and nothing is sent"
	}
	return reachable(f, from.From)
}

// reachable warns when Duo no longer has all records since the time.
func reachable(f Finding, since time.Time) Finding {
	if time.Since(since) > kept {
		f.Outcome = Warning
		f.Detail += "; Duo keeps records for 180 days, so the next run has a gap"
	}
	return f
}

// authority makes the client, with the certificates that are trusted for Duo.
func (c *checker) authority() {
	options := duo.Options{
		IKey: c.cfg.Account.IKey, SKey: c.cfg.Account.SKey.Reveal(),
		UserAgent: "dls/" + c.opts.Version, Proxy: c.cfg.Proxy.URL(),
		Conns: c.opts.Parallel, Transport: c.opts.Transport,
	}
	f := Finding{Name: "dls_settings.api.ca_filepath " + c.cfg.CAFile}
	var err error
	if c.cfg.CAFile != "" {
		options.CAPEM, _, err = safefile.Read(c.cfg.CAFile, safefile.MaxPEM)
	}
	if err == nil {
		c.client, err = duo.New(options)
	}
	proxy, ofProxy := errors.AsType[*duo.ProxyError](err)
	switch {
	case ofProxy:
		f.Name, f.Outcome, f.Detail, f.Hint = "proxy", Failed, proxy.Error(), proxy.Hint()
	case err != nil:
		f.Outcome, f.Detail, f.Hint = Failed, safefile.Cause(err).Error(), "it must name a PEM file that the user that runs dls can read"
	case c.cfg.CAFile == "":
		return
	}
	c.tell(f)
}
