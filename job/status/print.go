package status

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"dls/job/report"
	"dls/state"
)

// The most characters of an account's name and of a note that the table shows.
const maxName, maxNote = 60, 100

// The columns of the table.
const (
	colEndpoint = iota
	colState
	colUntil
	colBehind
	colLastRun
	colRecords
	colNote
)

var titles = []string{"ENDPOINT", "STATE", "DELIVERED UP TO", "BEHIND", "LAST RUN", "RECORDS", "NOTE"}

// Table writes a line for each stream, for people: those of an MSP under a line
// with the account's name and id. Times are UTC. Where a screen is too narrow, notes
// stand below their lines, and the columns that say least are left out.
func (r *Report) Table(w io.Writer, screen report.Screen) error {
	out := bufio.NewWriter(w)
	indent := ""
	if r.MSP {
		indent = "  "
	}
	lines := [][]string{slices.Clone(titles)}
	for i := range r.Rows {
		cells := r.Rows[i].cells()
		if run := r.Rows[i].LastRun; run != nil && screen.Width > 0 {
			cells[colLastRun] = human(r.At.Sub(run.Ended)) + " ago"
		}
		lines = append(lines, cells)
	}
	widths, shown := columns(lines, screen.Width-1-len(indent))
	for i, cells := range lines {
		if i > 0 && r.MSP && (i == 1 || r.Rows[i-1].Account != r.Rows[i-2].Account) {
			title := heading(&r.Rows[i-1])
			if screen.Width > 0 {
				title = report.Cut(title, screen.Width-1)
			}
			fmt.Fprintf(out, "%s\n", title)
		}
		var line strings.Builder
		for _, column := range shown {
			text := fmt.Sprintf("%-*s  ", widths[column], cells[column])
			if i > 0 && column == colState {
				text = r.Rows[i-1].State.paint(screen, text)
			}
			line.WriteString(text)
		}
		note := report.Cut(cells[colNote], maxNote)
		if screen.Width > 0 {
			note = ""
		}
		fmt.Fprintf(out, "%s\n", strings.TrimRight(indent+line.String()+note, " "))
		if below := len(indent) + 4; i > 0 && screen.Width > 0 && cells[colNote] != "" {
			fmt.Fprintf(out, "%*s%s\n", below, "", screen.Wrap(cells[colNote], below, below))
		}
	}
	fmt.Fprintf(out, "\n%s\n", screen.Wrap(r.Summary(), 0, 2))
	for _, note := range r.Notes {
		fmt.Fprintf(out, "%s\n", screen.Wrap("note: "+note, 0, 2))
	}
	return out.Flush() // it has the first error of all
}

// columns returns the widths of the columns but the note, and those for which there
// is room; any room when it is negative.
func columns(lines [][]string, room int) (widths []int, shown []int) {
	widths = make([]int, colNote)
	total := -2
	for column := range widths {
		for _, cells := range lines {
			widths[column] = max(widths[column], utf8.RuneCountInString(cells[column]))
		}
		total += widths[column] + 2
		shown = append(shown, column)
	}
	for _, column := range []int{colRecords, colLastRun, colUntil, colBehind} {
		if room < 0 || total <= room {
			break
		}
		total -= widths[column] + 2
		shown = slices.DeleteFunc(shown, func(c int) bool { return c == column })
	}
	return widths, shown
}

// paint colours a text that tells the state.
func (s State) paint(screen report.Screen, text string) string {
	switch s {
	case OK:
		return screen.Good(text)
	case Unreadable, Failed:
		return screen.Bad(text)
	case LeftOver:
		return screen.Faint(text)
	}
	return screen.Warning(text)
}

// heading is the line above an account's streams.
func heading(r *Row) string {
	switch {
	case r.Account == "":
		return "(no account)"
	case r.AccountName == "":
		return r.Account
	}
	return fmt.Sprintf("%s (%s)", report.Cut(r.AccountName, maxName), r.Account)
}

// cells are the columns of a stream's line.
func (r *Row) cells() []string {
	cells := []string{r.Endpoint, string(r.State), "-", "-", "-", "-", ""}
	if !r.DeliveredUntil.IsZero() {
		cells[colUntil], cells[colBehind] = stamp(r.DeliveredUntil), human(r.BehindBy)
	}
	var notes []string
	if r.Problem != "" {
		notes = append(notes, "checkpoint: "+r.Problem)
	}
	if run := r.LastRun; run != nil {
		cells[colLastRun], cells[colRecords] = stamp(run.Ended), fmt.Sprint(run.Delivered)
		if run.Error != "" && (r.Err == nil || run.Error != report.Clean(r.Err.Error())) {
			notes = append(notes, run.Error)
		}
		if run.AuditMissing > 0 {
			notes = append(notes, fmt.Sprintf("missing by the audit of %s: %d", stamp(run.Audited), run.AuditMissing))
		} else if run.Late > 0 {
			notes = append(notes, fmt.Sprintf("shown late and delivered: %d", run.Late))
		}
		if run.Oversize > 0 {
			notes = append(notes, fmt.Sprintf("%d that the receiver does not take kept in a file", run.Oversize))
		}
	}
	switch r.Takeover {
	case Waiting:
		notes = append(notes, "duologsync's checkpoint is waiting")
	case Imported:
		notes = append(notes, "taken over from duologsync")
	case Unused:
		notes = append(notes, "duologsync's checkpoint is not used")
	}
	cells[colNote] = strings.Join(notes, "; ")
	return cells
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// human writes a duration in the units that matter, rounded down.
func human(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + human(-max(d, -math.MaxInt64))
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/day)
}

type document struct {
	At        string         `json:"at"`
	Directory string         `json:"directory"`
	MSP       bool           `json:"msp"`
	Streams   []streamObject `json:"streams"`
	Notes     []string       `json:"notes"`
}

type streamObject struct {
	Endpoint       string     `json:"endpoint"`
	Account        string     `json:"account_id"`
	AccountName    string     `json:"account_name"`
	State          State      `json:"state"`
	Configured     bool       `json:"configured"`
	DeliveredUntil *string    `json:"delivered_until"`
	Behind         *int64     `json:"behind_seconds"`
	LastSuccess    *string    `json:"last_success"`
	LastRun        *runObject `json:"last_run"`
	Problem        string     `json:"checkpoint_problem"`
	Takeover       Takeover   `json:"takeover"`
}

type runObject struct {
	Ended     string        `json:"ended"`
	Outcome   state.Outcome `json:"outcome"`
	Error     string        `json:"error"`
	Fetched   int           `json:"fetched"`
	Delivered int           `json:"delivered"`
	Already   int           `json:"already"`
	Oversize  int           `json:"oversize"`
	Longest   int           `json:"longest_bytes"`
	Bytes     int64         `json:"bytes"`
	Pages     int           `json:"pages"`
	Retries   int           `json:"retries"`
	Limited   int           `json:"rate_limited"`
	Duration  float64       `json:"duration_seconds"`
	Late      int           `json:"late"`
	Audited   *string       `json:"audited"`
	Missing   int           `json:"audit_missing"`
}

// JSON writes the report as one JSON document. All keys are always there; more
// may come. Times are RFC 3339 in UTC without a fraction.
//
//	at         the time of the report
//	directory  the checkpoint directory, "" when checkpointing is off
//	msp        true: the streams are those of child accounts
//	notes      a list of texts: what else the user should know
//	streams    a list in the order of the table, each
//	  endpoint
//	  account_id, account_name  "" for a single account
//	  state                     unreadable, failed, never, unfinished, ok or leftover
//	  configured                false: runs no longer read it
//	  delivered_until           everything that Duo showed up to then is delivered; or null
//	  behind_seconds            how long ago that is, or null
//	  last_success              when the last run that delivered everything ended, or null
//	  last_run                  null, or
//	    ended, outcome (done, failed, unfinished), error
//	    fetched, delivered, already, oversize  records; the last lie in a file
//	    longest_bytes                the longest record delivered
//	    bytes, pages, retries, rate_limited, duration_seconds
//	    late, audited, audit_missing  of the daily audit: records that it delivered in the last
//	                              run, when its last pass ended (or null), and what that missed
//	  checkpoint_problem        why the checkpoint cannot be used, or ""
//	  takeover                  of duologsync's checkpoint: "", waiting, imported or unused
func (r *Report) JSON(w io.Writer) error {
	doc := document{At: stamp(r.At), Directory: r.Directory, MSP: r.MSP, Streams: []streamObject{}, Notes: append([]string{}, r.Notes...)}
	for i := range r.Rows {
		doc.Streams = append(doc.Streams, r.Rows[i].object())
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(doc)
}

func (r *Row) object() streamObject {
	o := streamObject{
		Endpoint: r.Endpoint, Account: r.Account, AccountName: r.AccountName, State: r.State, Configured: r.Configured(),
		DeliveredUntil: known(r.DeliveredUntil), Problem: r.Problem, Takeover: r.Takeover,
	}
	if !r.DeliveredUntil.IsZero() {
		behind := int64(r.BehindBy / time.Second)
		o.Behind = &behind
	}
	if run := r.LastRun; run != nil {
		o.LastSuccess = known(run.Succeeded)
		o.LastRun = &runObject{
			Ended: stamp(run.Ended), Outcome: run.Outcome, Error: run.Error,
			Fetched: run.Fetched, Delivered: run.Delivered, Already: run.Already, Oversize: run.Oversize, Longest: run.Longest, Bytes: run.Bytes,
			Pages: run.Pages, Retries: run.Retries, Limited: run.Limited, Duration: run.Duration.Seconds(),
			Late: run.Late, Audited: known(run.Audited), Missing: run.AuditMissing,
		}
	}
	return o
}

// known is the text of a time, or nil for none.
func known(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := stamp(t)
	return &text
}
