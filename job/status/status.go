// Package status tells how far each stream is, from what runs have left in the
// checkpoint directory: it needs no network, takes no lock and writes nothing.
//
// Start with [Collect]. [Report.Table] is for people, [Report.JSON] for programs,
// and [Report.Behind] for monitoring. Foreign texts (account names, errors) are
// cleared of control characters when they are collected.
package status

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/legacy"
	"dls/job/report"
	"dls/state"
)

// State is how a stream stands, in a word.
type State string

// The states, the worst first.
const (
	Unreadable State = "unreadable" // its checkpoint cannot be used
	Failed     State = "failed"     // its last run failed
	Never      State = "never"      // it has not had a run
	Unfinished State = "unfinished" // its last run was told to stop
	OK         State = "ok"         // its last run delivered everything
	LeftOver   State = "leftover"   // runs no longer read it: the configuration, or Duo's list of accounts, has it no more
)

var states = []State{Unreadable, Failed, Never, Unfinished, OK, LeftOver}

// severity is the lower the worse.
func (s State) severity() int { return slices.Index(states, s) }

// Takeover is what became of a checkpoint file of duologsync.
type Takeover string

// The states of a takeover.
const (
	NoTakeover Takeover = ""         // there is no such file
	Waiting    Takeover = "waiting"  // the next run goes on from it
	Imported   Takeover = "imported" // a run has gone on from it
	Unused     Takeover = "unused"   // the stream has a checkpoint of its own
)

// Row is one stream.
type Row struct {
	// Endpoint is the endpoint's name; Account and AccountName are the child
	// account's id and name, or "" for a single account. An MSP of whose accounts
	// nothing is known yet has one row for each endpoint, without an account.
	Endpoint, Account, AccountName string
	// State is how the stream stands.
	State State
	// DeliveredUntil is the time up to which everything that Duo showed is
	// delivered, and BehindBy how long ago that is. Zero when nothing is known.
	DeliveredUntil time.Time
	BehindBy       time.Duration
	// LastRun is what the last run came to, or nil when none is known.
	LastRun *state.StreamRun
	// Problem says why the checkpoint cannot be used, or "", and Err with its path.
	Problem string
	Err     error
	// Takeover is what became of duologsync's checkpoint.
	Takeover Takeover
	// History is what the last runs came to, oldest first, where [Report.History] was
	// told of it.
	History []state.RunPoint
}

// Configured tells whether runs still read the stream.
func (r *Row) Configured() bool { return r.State != LeftOver }

// Name names the stream in messages.
func (r *Row) Name() string {
	if r.Account == "" {
		return r.Endpoint
	}
	return r.Endpoint + " of " + r.Account
}

// Report is how all streams stand.
type Report struct {
	// At is the time that the report is about.
	At time.Time
	// Directory is the checkpoint directory, or "" when checkpointing is off.
	Directory string
	// MSP tells whether the rows are those of child accounts.
	MSP bool
	// Rows are the streams. Those of an account are together in the order of the
	// table of endpoints, those left over behind them; the account that is worst off
	// comes first.
	Rows []Row
	// Notes are what the user should know beside that, one line each.
	Notes []string

	// Shares is what the store knows of the shares that work on it.
	Shares state.Shares

	// Damaged tells that a file of last runs cannot be used.
	Damaged bool
}

// collector collects the rows of one report.
type collector struct {
	cfg      *config.Config
	dir      state.Store
	now      time.Time
	runs     map[state.ID]*state.StreamRun
	roster   map[string]bool // the streams of which the store has had a checkpoint
	unlisted error           // why that cannot be known
	files    map[string]time.Time
	names    map[string]string // of accounts, by their ids
	accounts map[string]bool   // whether runs still read it
	foreign  []string          // checkpoints of accounts that nothing else tells of
}

// Collect tells how the streams of the configuration stand at the time now, and
// those of which the directory still knows. dir is nil when checkpointing is off:
// then nothing is known. The error is one of reading the directory; a file that
// cannot be used is in its row, or in a note.
//
// The child accounts of an MSP are those of which runs have left something: Duo
// is not asked.
func Collect(cfg *config.Config, dir state.Store, now time.Time) (*Report, error) {
	found := &Report{At: now.UTC(), MSP: cfg.Account.MSP}
	c := &collector{
		cfg: cfg, dir: dir, now: now,
		runs: map[state.ID]*state.StreamRun{}, names: map[string]string{}, accounts: map[string]bool{},
	}
	if dir == nil {
		found.Notes = append(found.Notes, "dls_settings.checkpointing.enabled is false: nothing is remembered")
	} else {
		found.Directory = dir.Path("")
		var err error
		// Before the files: a run may begin a stream just now.
		c.roster, c.unlisted = dir.Roster(cfg.Account.IKey)
		if c.files, err = dir.Times(); err != nil {
			return nil, err
		}
		runs, err := dir.LoadRuns(cfg.Account.IKey)
		for _, wrong := range flat(err) {
			found.Damaged = true
			found.Notes = append(found.Notes, report.Clean(wrong.Error())+"; what it knew of last runs is missing here")
		}
		for i := range runs {
			r := &runs[i]
			r.Error, r.Account, r.AccountName = report.Clean(r.Error), report.Clean(r.Account), report.Clean(r.AccountName)
			c.runs[c.id(r.Endpoint, r.Account)] = r
		}
	}
	if dir != nil {
		if err := found.shares(dir, cfg.Account.IKey); err != nil {
			return nil, err
		}
	}
	c.discover()
	if len(c.foreign) > 0 {
		note := fmt.Sprintf("another user has put %q there, and no run knows its account", dir.Path(slices.Min(c.foreign)))
		if more := len(c.foreign) - 1; more > 0 {
			note += fmt.Sprintf("; and %d more such files", more)
		}
		found.Notes = append(found.Notes, note)
	}
	for account := range c.accounts {
		found.Rows = append(found.Rows, c.rows(account)...)
	}
	if len(c.runs) == 0 && !slices.ContainsFunc(found.Rows, func(r Row) bool { return r.Configured() }) {
		for _, route := range cfg.Routes {
			found.Rows = append(found.Rows, Row{Endpoint: route.Endpoint.Name, State: Never})
		}
		found.Notes = append(found.Notes, "no child account is known yet: the first run asks Duo for them")
	}
	found.sort()
	return found, nil
}

// shares notes which shares nobody runs, as the one that was at work last sees it.
func (r *Report) shares(store state.Store, ikey string) error {
	runs, err := store.Shares()
	if err != nil {
		return err
	}
	var last state.ShareRun
	for _, run := range runs {
		if run.N > 0 && run.At.After(last.At) {
			last = run
		}
	}
	if last.N == 0 {
		return nil
	}
	r.Shares = state.LookAtShares(last.Share, store.Began(last.Suffix(), ikey), runs)
	r.Notes = append(r.Notes, r.Shares.Notes()...)
	return nil
}

func (c *collector) id(endpoint, account string) state.ID {
	return state.ID{IKey: c.cfg.Account.IKey, Endpoint: endpoint, Account: account}
}

// discover finds the accounts, and which of them runs still read: those of which
// the last run of all knew, or whose files are so new that a run may just have
// begun with them.
func (c *collector) discover() {
	see := func(account string, live bool) {
		if c.cfg.Account.MSP == (account == "") || slices.Contains(c.cfg.Account.BlockList, account) {
			live = false
		}
		c.accounts[account] = c.accounts[account] || live
	}
	if !c.cfg.Account.MSP {
		see("", true)
	}
	heard := map[string]bool{}
	for id, r := range c.runs {
		see(id.Account, !r.Gone)
		heard[id.Account] = true
		if r.AccountName != "" {
			c.names[id.Account] = r.AccountName
		}
	}
	dir, _ := c.dir.(*state.Dir)
	for name, written := range c.files {
		account, own, ok := parseName(name)
		// The files of a single account's duologsync are not an account's of an MSP.
		if !ok || heard[account] || account == "" && !own {
			continue
		}
		// What a neighbour puts there makes no account.
		if account != "" && dir != nil && dir.Foreign(name) {
			c.foreign = append(c.foreign, name)
			continue
		}
		see(account, len(c.runs) == 0 || c.now.Sub(written) < state.KeepRuns)
	}
	for name := range c.roster {
		if account, _, ok := parseName(name); ok && account != "" && len(c.runs) == 0 {
			see(account, true)
		}
	}
}

// parseName tells whose stream's checkpoint a file is, and whether it is one of
// dls's own or one of duologsync.
func parseName(name string) (account string, own, ok bool) {
	for _, row := range duo.All() {
		rest, found := strings.CutPrefix(name, row.Name+"_checkpoint")
		if !found {
			continue
		}
		if account, found := strings.CutSuffix(rest, ".json"); found {
			account, ok = identifier(account)
			return account, true, ok
		}
		rest, found = strings.CutPrefix(rest, "_data")
		if account, text := strings.CutSuffix(rest, ".txt"); found && text {
			account, ok = identifier(account)
			return account, false, ok
		}
	}
	return "", false, false
}

// identifier reads "" or "_" and an account's id.
func identifier(s string) (id string, ok bool) {
	if s == "" {
		return "", true
	}
	id, ok = strings.CutPrefix(s, "_")
	foreign := func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	return id, ok && id != "" && !strings.ContainsFunc(id, foreign)
}

// rows are the streams of an account: those configured, and those left over.
func (c *collector) rows(account string) []Row {
	var rows []Row
	for _, row := range duo.All() {
		id := c.id(row.Name, account)
		configured := c.read(id) && slices.ContainsFunc(c.cfg.Routes, func(r config.Route) bool { return r.Endpoint == row })
		waiting := slices.ContainsFunc(legacy.Names(row.Name, account), func(name string) bool {
			_, there := c.files[name]
			return there && !(account != "" && name == legacy.Names(row.Name, "")[0]) // that of all children
		})
		_, kept := c.files[id.File()]
		if configured || kept || c.runs[id] != nil || waiting {
			rows = append(rows, c.row(id, configured))
		}
	}
	return rows
}

// read tells whether runs still read a stream's account. A child that Duo lists without
// an id fails in each run, until Duo lists it no more.
func (c *collector) read(id state.ID) bool {
	if !c.nameless(id) {
		return c.accounts[id.Account]
	}
	run := c.runs[id]
	return run != nil && !run.Gone && run.Outcome == state.Failed
}

// nameless tells whether a stream is of no account that is known, where there are several.
func (c *collector) nameless(id state.ID) bool { return c.cfg.Account.MSP && id.Account == "" }

// row tells how one stream stands.
func (c *collector) row(id state.ID, configured bool) Row {
	r := Row{Endpoint: id.Endpoint, Account: id.Account, AccountName: c.names[id.Account], LastRun: c.runs[id]}
	cp, err := c.checkpoint(id)
	r.Takeover = c.takeover(id)
	if _, there := c.files[id.File()]; !there && configured && !c.nameless(id) && r.Takeover != Waiting {
		err = c.lost(id)
	}
	if err != nil {
		r.Err, r.Problem = err, reason(err)
	}
	r.DeliveredUntil = state.Reached(cp, r.LastRun)
	if !r.DeliveredUntil.IsZero() {
		r.BehindBy = c.now.Sub(r.DeliveredUntil)
	}
	switch {
	case !configured:
		r.State = LeftOver
	case r.Problem != "":
		r.State = Unreadable
	case r.LastRun == nil:
		r.State = Never
	case r.LastRun.Outcome == state.Done:
		r.State = OK
	case r.LastRun.Outcome == state.Unfinished:
		r.State = Unfinished
	default:
		r.State = Failed
	}
	return r
}

// lost is why a run refuses a stream that has no checkpoint, or nil.
func (c *collector) lost(id state.ID) error {
	if c.roster[id.File()] {
		return &job.MissingError{Path: c.dir.Path(id.File()), Stream: id}
	}
	return c.unlisted
}

// reason is why a checkpoint cannot be used, where a row says whose it is.
func reason(err error) string {
	if broken, ok := errors.AsType[*state.UntrustedError](err); ok {
		err = broken.Err
	}
	if gone, ok := errors.AsType[*job.MissingError](err); ok {
		return gone.Reason()
	}
	if broken, ok := errors.AsType[*state.RosterError](err); ok {
		return report.Clean("there is none, and the roster of those that there were cannot be used: " + broken.Err.Error())
	}
	return report.Clean(err.Error())
}

// checkpoint reads a stream's checkpoint, or nil when there is none.
func (c *collector) checkpoint(id state.ID) (cp *state.Checkpoint, err error) {
	if _, ok := c.files[id.File()]; !ok {
		return nil, nil
	}
	for range 3 { // a run may put another file in its place just now
		if cp, err = c.dir.Load(id); err == nil {
			break
		}
	}
	return cp, err
}

// takeover tells what became of duologsync's checkpoint of a stream. The children
// of an MSP have one in common for telephony.
func (c *collector) takeover(id state.ID) Takeover {
	_, kept := c.files[id.File()]
	for _, name := range legacy.Names(id.Endpoint, id.Account) {
		_, there := c.files[name]
		_, retired := c.files[name+state.Imported]
		switch {
		case there && !kept:
			return Waiting
		case there:
			return Unused
		case retired:
			return Imported
		}
	}
	return NoTakeover
}

// Behind returns the configured streams that are further behind than maxLag, or
// have not succeeded for that long, or whose checkpoint cannot be used. In the
// order of Rows.
func (r *Report) Behind(maxLag time.Duration) []Row {
	return slices.DeleteFunc(slices.Clone(r.Rows), func(row Row) bool {
		fresh := row.LastRun != nil && r.At.Sub(row.LastRun.Succeeded) <= maxLag
		return !row.Configured() || row.Problem == "" && fresh && !row.DeliveredUntil.IsZero() && row.BehindBy <= maxLag
	})
}

// Unread says what could not be read, or returns "" when all could: a report that is
// without it must not pass for a good one.
func (r *Report) Unread() string {
	broken := r.unreadable()
	known := slices.ContainsFunc(r.Rows, func(row Row) bool { return !row.DeliveredUntil.IsZero() })
	switch {
	case r.Directory == "":
		return "nothing is known of any stream: checkpointing is off"
	case len(broken) > 0:
		return fmt.Sprintf("checkpoints that cannot be used: %d of %d streams; the first is %s: %s", len(broken), len(r.Rows), broken[0].Name(), broken[0].Problem)
	case r.Damaged && !known:
		return "nothing is known of any stream: what runs have left cannot be read"
	}
	return ""
}

// Broken is why the first checkpoint that cannot be used cannot, or nil.
func (r *Report) Broken() error {
	if broken := r.unreadable(); len(broken) > 0 {
		return broken[0].Err
	}
	return nil
}

// unreadable are the rows whose checkpoints cannot be used.
func (r *Report) unreadable() (rows []*Row) {
	for i := range r.Rows {
		if r.Rows[i].State == Unreadable {
			rows = append(rows, &r.Rows[i])
		}
	}
	return rows
}

// sort puts the account that is worst off first: by its worst state, then by how
// far it is behind.
func (r *Report) sort() {
	type rank struct {
		severity int
		behind   time.Duration
	}
	ranks := map[string]rank{}
	for _, row := range r.Rows {
		own, ok := ranks[row.Account]
		this := rank{row.State.severity(), 0}
		if row.Configured() {
			this.behind = row.BehindBy
		}
		if !ok {
			own = this
		}
		ranks[row.Account] = rank{min(own.severity, this.severity), max(own.behind, this.behind)}
	}
	order := duo.Names()
	slices.SortFunc(r.Rows, func(a, b Row) int {
		x, y := ranks[a.Account], ranks[b.Account]
		return cmp.Or(
			cmp.Compare(x.severity, y.severity), cmp.Compare(y.behind, x.behind), cmp.Compare(a.Account, b.Account),
			cmp.Compare(left(a), left(b)), cmp.Compare(slices.Index(order, a.Endpoint), slices.Index(order, b.Endpoint)))
	})
}

func left(r Row) int {
	if r.Configured() {
		return 0
	}
	return 1
}

// Summary says in one line how many streams stand how, and which is furthest
// behind.
func (r *Report) Summary() string {
	accounts := map[string]bool{}
	count := map[State]int{}
	var worst *Row
	configured, longest := 0, 0
	for i := range r.Rows {
		row := &r.Rows[i]
		count[row.State]++
		if !row.Configured() {
			continue
		}
		configured++
		accounts[row.Account] = true
		if row.LastRun != nil {
			longest = max(longest, row.LastRun.Longest)
		}
		if row.BehindBy > 0 && (worst == nil || row.BehindBy > worst.BehindBy) {
			worst = row
		}
	}
	text := plural(configured, "stream")
	if r.MSP {
		delete(accounts, "")
		text += " of " + plural(len(accounts), "child account")
	}
	var parts []string
	for _, s := range states {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	text += ": " + strings.Join(parts, ", ")
	if worst != nil {
		text += fmt.Sprintf("; furthest behind: %s by %s", worst.Name(), human(worst.BehindBy))
	}
	if longest > 0 {
		text += fmt.Sprintf("; longest record of the last runs: %d bytes", longest)
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// flat returns the errors of which an error is made up.
func flat(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
