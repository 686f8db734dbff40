package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"dls/cef"
	"dls/job/audit"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/record"
	"dls/job/window"
	"dls/state"
	"dls/state/once"
	"dls/state/safefile"
)

// AuditOptions are what an audit is told beside the configuration.
type AuditOptions struct {
	// Options are as for Sync, with what is said of checkpoints left out.
	Options
	// Since and Until bound the records' times, both included. A zero Until means what
	// the checkpoints say is delivered: what is newer is the next run's.
	Since, Until time.Time
	// Against are the files in which the records are looked for. None: Duo is held
	// against the streams' ledgers, by the hour.
	Against []AuditFile
	// Missing gets the lines of the records that are missing, as they are delivered.
	// Nil: nobody does.
	Missing io.Writer
	// Resend is the id of the server that gets the missing records, "" for none.
	Resend string
}

// AuditFile is a file in which records are looked for.
type AuditFile struct {
	// Name names the file in messages.
	Name string
	// Open opens it. It is read once.
	Open func() (io.ReadCloser, error)
}

// Audit is what came of an audit.
type Audit struct {
	// Since and Until bound the records' times, as far as any stream was read.
	Since, Until time.Time
	// Rows has one entry for each day of each stream that has records.
	Rows []AuditRow
	// AtDuo, Found and Missing are the sums of Rows. Pending counts the records that are
	// newer than what is delivered, or of an hour that is not delivered as a whole where
	// ledgers are looked at, and therefore in none of them.
	AtDuo, Found, Missing, Pending int
	// Outside counts the records that could not be held against a ledger: they tell a time
	// before the hours that are compared, or none. They are in none of Rows.
	Outside int
	// Unclear and Unproved are the sums of those of Rows.
	Unclear, Unproved int
	// Lines counts the lines of the files.
	Lines int
	// Read tells how reading each stream from Duo went.
	Read *Summary
	// Resent tells what was delivered again, nil where nothing was.
	Resent *Summary
}

// AuditRow is one day of one stream.
type AuditRow struct {
	Endpoint string `json:"endpoint"`
	// Account and AccountName are the child account's, or "".
	Account     string `json:"account_id,omitempty"`
	AccountName string `json:"account_name,omitempty"`
	// Day is the day, in UTC, as 2006-01-02; "" for records that tell no time.
	Day     string `json:"day"`
	AtDuo   int    `json:"at_duo"`
	Found   int    `json:"found"`
	Missing int    `json:"missing"`
	// Unclear counts the hours in which the ledger differs and does not tell which
	// records it does not know: Missing has how many they are at least.
	Unclear int `json:"unclear_hours,omitempty"`
	// Unproved counts the records of AtDuo that are neither found nor missing: their text
	// tells another time than their place among Duo's, and what is known does not tell
	// whether they were delivered.
	Unproved int `json:"unproved,omitempty"`
	// Complete tells that the stream was read to its end.
	Complete bool `json:"complete"`

	uncounted int // of the hours of Unclear those of which Missing has none
}

// add adds the counts of a row.
func (a *Audit) add(r AuditRow) {
	a.Rows = append(a.Rows, r)
	a.AtDuo += r.AtDuo
	a.Found += r.Found
	a.Missing += r.Missing
	a.Unclear += r.Unclear
	a.Unproved += r.Unproved
}

// Examine reads from Duo what there was in a time and looks for each record in files, or
// holds each hour against what the streams' ledgers know to be delivered. It moves no
// checkpoint. It takes a lock, that of the checkpoints, only to note in the ledgers what
// it sends again. The error is as for Sync, one of a file, or one of a temporary file;
// failures of single streams are in Read and Resent.
func Examine(ctx context.Context, cfg *config.Config, opts AuditOptions) (*Audit, error) {
	e, err := newExamination(ctx, cfg, opts)
	if err != nil {
		return nil, err
	}
	defer e.close()
	if e.ledgers != nil && opts.Resend != "" {
		unlock, err := claim(ctx, e.store, opts.Shard)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	sum, err := e.run.work(ctx)
	if err != nil {
		return nil, err
	}
	a := &Audit{Since: e.opts.Since.UTC(), Until: time.UnixMilli(e.run.end).UTC(), Read: sum, Pending: e.pending, Outside: e.outside}
	switch {
	case e.failed != nil:
		return a, e.failed
	case e.ledgers != nil:
		return a, e.againstLedgers(ctx, a)
	}
	return a, e.againstFiles(ctx, a)
}

// againstFiles looks for the records in the files.
func (e *examination) againstFiles(ctx context.Context, a *Audit) error {
	for _, f := range e.opts.Against {
		seen, err := e.look(ctx, f)
		a.Lines += seen.Lines
		if err != nil {
			return fmt.Errorf("read %q: %w", f.Name, safefile.Cause(err))
		}
		if seen.Long > 0 {
			e.run.log.Warn(fmt.Sprintf("%q: %s longer than any record, and not looked at", f.Name, counted(seen.Long, "line is", "lines are")),
				"hint", "one record a line is what is looked for")
		}
		if seen.Several > 0 {
			e.run.log.Warn(fmt.Sprintf("%q: %s one of several records, and no proof of any", f.Name, counted(seen.Several, "line may be", "lines may be")),
				"hint", "export the record as it was delivered, one a line: what else stands beside it may have been written to look like a record")
		}
	}
	result, err := e.index.Result()
	if err != nil {
		return err
	}
	defer result.Close()
	for _, r := range e.rows(result) {
		a.add(r)
	}
	if err := e.write(result); err != nil {
		return fmt.Errorf("write the missing records: %w", safefile.Cause(err))
	}
	if e.opts.Resend == "" || a.Missing == 0 {
		return nil
	}
	a.Resent, err = e.resend(ctx, func(one func(again) error) error {
		return result.Each(func(m audit.Missing) error {
			return one(again{stream: int32(m.Stream), page: int32(m.Page), line: int32(m.Line), at: m.At})
		})
	})
	return err
}

// againstLedgers holds what Duo has against the ledgers.
func (e *examination) againstLedgers(ctx context.Context, a *Audit) error {
	var missing func(audit.Shown, *gap) error
	if e.opts.Missing != nil {
		missing = func(r audit.Shown, _ *gap) error {
			line, err := e.spool.Line(r.Page, r.Line)
			if err == nil {
				_, err = e.opts.Missing.Write(line)
			}
			return err
		}
	}
	rows, err := e.compare(missing)
	if err != nil {
		return err
	}
	sortRows(rows)
	for _, r := range rows {
		a.add(r)
	}
	if e.opts.Resend == "" || a.Missing+a.Unclear+a.Unproved == 0 {
		return nil
	}
	if a.Unclear > 0 {
		e.run.log.Warn(fmt.Sprintf("in %s the ledger does not tell which records it does not know: all of them are sent, and most of them come twice", counted(a.Unclear, "hour", "hours")))
	}
	a.Resent, err = e.resend(ctx, func(one func(again) error) error {
		return e.unknown(true, one)
	})
	return err
}

// examination is an audit under way.
type examination struct {
	cfg   *config.Config
	opts  AuditOptions
	run   *run
	store state.Store // nil when checkpointing is off
	daily *daily      // nil but for what a run does by itself

	index *audit.Index // nil where ledgers are looked at
	held  *audit.Held  // nil where files are looked at
	spool *audit.Spool // nil where no line is asked for

	ledgers map[*stream]*ledger // nil where files are looked at

	mu      sync.Mutex
	read    []*Result // of a daily audit
	streams []*stream
	numbers map[*stream]int
	due     map[*stream]int64 // the time up to which a stream's records count
	told    once.Once         // guards runs
	runs    map[state.ID]int64
	pending int
	outside int
	loose   map[looseDay]*looseCount
	failed  error // of a temporary file
}

// newExamination prepares an audit: a run that remembers nothing, knows its window, and
// hands records to the examination in place of servers.
func newExamination(ctx context.Context, cfg *config.Config, opts AuditOptions) (*examination, error) {
	e := &examination{cfg: cfg, opts: opts, numbers: map[*stream]int{}, due: map[*stream]int64{}, loose: map[looseDay]*looseCount{}}
	if len(opts.Against) == 0 {
		e.ledgers = map[*stream]*ledger{}
		opts.Since = opts.Since.Truncate(time.Hour)
		e.opts.Since = opts.Since
	}
	now := time.Now()
	end := opts.Until
	if end.IsZero() || end.After(now.Add(-window.Lag)) {
		end = now.Add(-window.Lag)
	}
	switch {
	case !opts.Since.Before(end):
		return nil, &SetupError{fmt.Errorf("--since %s is not before --until %s (Duo withholds the newest two minutes)",
			opts.Since.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339))}
	case opts.Since.UnixMilli() < window.Oldest(now)-window.Margin.Milliseconds():
		return nil, &SetupError{errors.New("--since lies further back than the 180 days for which Duo keeps records")}
	case e.ledgers != nil && !cfg.Checkpointing:
		return nil, &SetupError{errors.New("without --against Duo is held against what was delivered, and dls_settings.checkpointing.enabled is false: nothing is remembered")}
	case opts.Resend != "" && !slices.ContainsFunc(cfg.Servers, func(s config.Server) bool { return s.ID == opts.Resend }):
		return nil, &SetupError{fmt.Errorf("--resend %q: the configuration has no such server", opts.Resend)}
	}
	own := *cfg
	own.Checkpointing, own.Servers, own.Routes = false, nil, nil
	for _, route := range cfg.Routes {
		own.Routes = append(own.Routes, config.Route{Endpoint: route.Endpoint})
	}
	var err error
	if e.run, err = prepare(ctx, &own, opts.Options); err != nil {
		return nil, err
	}
	own.Offset, e.run.end = e.run.start.Sub(opts.Since), end.UnixMilli()
	if e.ledgers != nil {
		own.Offset += aheadHours * time.Hour
	}
	e.run.collect, e.run.rest = e.collect, "what was read is not all: audit again"
	if cfg.Checkpointing {
		if e.store, err = openStore(ctx, cfg, opts.Options); err != nil {
			e.run.client.Close()
			return nil, &SetupError{err}
		}
	}
	if e.ledgers == nil {
		e.index = audit.New(e.temp)
	} else {
		e.held = audit.NewHeld(e.temp)
	}
	if opts.Missing != nil || opts.Resend != "" {
		e.spool = audit.NewSpool(e.temp)
	}
	return e, nil
}

// openStore opens the store of checkpoints.
func openStore(ctx context.Context, cfg *config.Config, opts Options) (state.Store, error) {
	if opts.hooks.store != nil {
		return opts.hooks.store(cfg)
	}
	return OpenStore(ctx, cfg, opts.Version, nil)
}

func (e *examination) close() {
	e.run.client.Close()
	if e.index != nil {
		e.index.Close()
	}
	if e.held != nil {
		e.held.Close()
	}
	if e.spool != nil {
		e.spool.Close()
	}
	if e.store != nil && e.daily == nil {
		e.store.Close()
	}
}

// temp makes a temporary file: beside the checkpoints, where they lie in a directory that
// may be written to, else where the system has such files.
func (e *examination) temp() (audit.File, error) {
	if dir, ok := e.store.(*state.Dir); ok {
		f, err := dir.Temp()
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
			return nil, fmt.Errorf("make a temporary file beside the checkpoints: %w", safefile.Cause(err))
		}
	}
	f, err := safefile.TempIn(os.TempDir())
	if err != nil {
		return nil, fmt.Errorf("make a temporary file in %q: %w", os.TempDir(), safefile.Cause(err))
	}
	return f, nil
}

// collect takes a page of a stream in the place of its servers.
func (e *examination) collect(s *stream, p *page) error {
	if err := e.daily.over(s); err != nil {
		return err
	}
	if len(p.marks) == 0 {
		return nil
	}
	number, due, err := e.number(s)
	if err != nil {
		return err // of the stream's own checkpoint or ledger
	}
	if err := e.take(s, p, number, due); err != nil {
		e.mu.Lock()
		e.failed = cmp.Or(e.failed, err)
		e.mu.Unlock()
		return err
	}
	return nil
}

func (e *examination) take(s *stream, p *page, number int, due int64) (err error) {
	p.order(s.endpoint.Cursor == duo.NextOffset)
	kept := 0
	if e.spool != nil {
		if kept, err = e.spool.Put(p.bytes); err != nil {
			return err
		}
	}
	if l := e.ledger(s); l != nil {
		return e.hold(s, l, p, number, kept)
	}
	for i, raw := range p.raws {
		w, err := s.wanted(raw)
		if err != nil {
			return err
		}
		switch p.place(i, due) {
		case isPending:
			e.aside(number, w.At, isPending)
			continue
		case isUnproved:
			w.Doubtful = true
		}
		w.Stream, w.Page, w.Line = number, kept, i
		if err := e.index.Add(w); err != nil {
			return err
		}
	}
	return nil
}

// number is the number of a stream, and the time up to which its records count. What
// the store is asked for, it is asked by one goroutine a stream and without the lock:
// the answers of a bucket may take their time.
func (e *examination) number(s *stream) (n int, due int64, err error) {
	e.mu.Lock()
	n, known := e.numbers[s]
	due = e.due[s]
	e.mu.Unlock()
	if known {
		return n, due, nil
	}
	due = e.run.end
	var cp *state.Checkpoint
	if e.store != nil && (e.opts.Until.IsZero() || e.ledgers != nil) {
		if cp, err = e.store.Load(s.id); err != nil {
			return 0, 0, err
		}
	}
	if cp != nil && e.opts.Until.IsZero() {
		due = min(due, max(cp.DeliveredUntil, cp.LookedUntil, e.complete(s.id)))
	}
	var l *ledger
	if e.ledgers != nil {
		if l, err = e.openLedger(s, cp, due); err != nil {
			return 0, 0, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ledgers != nil {
		e.ledgers[s] = l
	}
	n = len(e.streams)
	e.streams = append(e.streams, s)
	e.numbers[s], e.due[s] = n, due
	return n, due, nil
}

// ledger is that of a stream, or nil where files are looked at.
func (e *examination) ledger(s *stream) *ledger {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ledgers[s]
}

// complete is the time up to which the last run that was done read a stream, in
// milliseconds since the epoch, or 0.
func (e *examination) complete(id state.ID) int64 {
	e.told.Do(func() {
		runs, _ := e.store.LoadRuns(id.IKey) // what is not known is the next run's
		e.runs = map[state.ID]int64{}
		for _, r := range runs {
			if !r.CompleteUntil.IsZero() {
				e.runs[state.ID{IKey: id.IKey, Endpoint: r.Endpoint, Account: r.Account}] = r.CompleteUntil.UnixMilli()
			}
		}
	})
	return e.runs[id]
}

// wanted is a record of the stream as it is looked for.
func (s *stream) wanted(raw []byte) (w audit.Wanted, err error) {
	row := s.endpoint
	f := record.Fields{Names: s.lines.fields}
	if _, err := record.Scan(raw, 0, &f); err != nil {
		return w, err
	}
	w = audit.Wanted{At: -1, Raw: raw, Account: s.id.Account}
	for k := range row.Times {
		v := f.Values[len(row.ID)+k]
		if t, ok := record.Time(v, row.TimeUnit.Duration()); ok {
			w.Time, w.At = record.Text(v), t.UnixMilli()
			break
		}
	}
	if len(row.ID) > 0 {
		w.ID = record.Text(f.Values[0])
	}
	if m := cef.For(row.CEF); m != nil && (w.ID == "" || len(w.ID) > 40) {
		w.External, err = m.ExternalID(raw, s.id.Account)
	}
	return w, err
}

// look looks for the records in a file.
func (e *examination) look(ctx context.Context, f AuditFile) (audit.Seen, error) {
	in, err := f.Open()
	if err != nil {
		return audit.Seen{}, err
	}
	defer in.Close()
	return e.index.Look(ctx, in)
}

// rows are the counts as they are shown: by account and endpoint, and then by day.
func (e *examination) rows(result *audit.Result) []AuditRow {
	var rows []AuditRow
	for _, d := range result.Days {
		s, c := e.streams[d.Stream], result.Counts[d]
		row := AuditRow{
			Endpoint: s.id.Endpoint, Account: s.id.Account, AccountName: s.result.AccountName,
			AtDuo: c.AtDuo, Found: c.Found, Unproved: c.Unproved, Missing: c.AtDuo - c.Found - c.Unproved, Complete: s.result.Err == nil,
		}
		if d.Day != audit.NoDay {
			row.Day = d.Time().Format(time.DateOnly)
		}
		rows = append(rows, row)
	}
	sortRows(rows)
	return rows
}

func sortRows(rows []AuditRow) {
	names := duo.Names()
	slices.SortStableFunc(rows, func(a, b AuditRow) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(slices.Index(names, a.Endpoint), slices.Index(names, b.Endpoint)), cmp.Compare(a.Day, b.Day))
	})
}

// merged makes one of the rows of a day, which follow each other.
func merged(rows []AuditRow) []AuditRow {
	n := 0
	for _, r := range rows {
		if n > 0 && rows[n-1].Endpoint == r.Endpoint && rows[n-1].Account == r.Account && rows[n-1].Day == r.Day {
			last := &rows[n-1]
			last.AtDuo, last.Found, last.Missing = last.AtDuo+r.AtDuo, last.Found+r.Found, last.Missing+r.Missing
			last.Unclear, last.Unproved, last.uncounted = last.Unclear+r.Unclear, last.Unproved+r.Unproved, last.uncounted+r.uncounted
			continue
		}
		rows[n] = r
		n++
	}
	return rows[:n]
}

// write writes the lines of the missing records.
func (e *examination) write(result *audit.Result) error {
	if e.opts.Missing == nil {
		return nil
	}
	return result.Each(func(m audit.Missing) error {
		line, err := e.spool.Line(m.Page, m.Line)
		if err == nil {
			_, err = e.opts.Missing.Write(line)
		}
		return err
	})
}
