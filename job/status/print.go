package status

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"dls/state"
)

// The most characters of an account's name and of a note that the table shows.
const maxName, maxNote = 60, 100

// Table writes a line for each stream, for people: those of an MSP under a line
// with the account's name and id. Times are UTC.
func (r *Report) Table(w io.Writer) error {
	out := bufio.NewWriter(w)
	lines := [][]string{{"ENDPOINT", "STATE", "DELIVERED UP TO", "BEHIND", "LAST RUN", "RECORDS", "NOTE"}}
	for i := range r.Rows {
		lines = append(lines, r.Rows[i].cells())
	}
	widths := make([]int, len(lines[0])-1) // the last column has no width
	for _, cells := range lines {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
		}
	}
	indent := ""
	if r.MSP {
		indent = "  "
	}
	for i, cells := range lines {
		if i > 0 && r.MSP && (i == 1 || r.Rows[i-1].Account != r.Rows[i-2].Account) {
			fmt.Fprintf(out, "%s\n", heading(&r.Rows[i-1]))
		}
		var line strings.Builder
		for j, width := range widths {
			fmt.Fprintf(&line, "%-*s  ", width, cells[j])
		}
		fmt.Fprintf(out, "%s\n", strings.TrimRight(indent+line.String()+cells[len(widths)], " "))
	}
	fmt.Fprintf(out, "\n%s\n", r.Summary())
	for _, note := range r.Notes {
		fmt.Fprintf(out, "note: %s\n", note)
	}
	return out.Flush() // it has the first error of all
}

// heading is the line above an account's streams.
func heading(r *Row) string {
	switch {
	case r.Account == "":
		return "(no account)"
	case r.AccountName == "":
		return r.Account
	}
	return fmt.Sprintf("%s (%s)", cut(r.AccountName, maxName), r.Account)
}

// cells are the columns of a stream's line.
func (r *Row) cells() []string {
	cells := []string{r.Endpoint, string(r.State), "-", "-", "-", "-", ""}
	if !r.DeliveredUntil.IsZero() {
		cells[2], cells[3] = stamp(r.DeliveredUntil), human(r.BehindBy)
	}
	var notes []string
	if r.Problem != "" {
		notes = append(notes, "checkpoint: "+r.Problem)
	}
	if run := r.LastRun; run != nil {
		cells[4], cells[5] = stamp(run.Ended), fmt.Sprint(run.Delivered)
		if run.Error != "" {
			notes = append(notes, run.Error)
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
	cells[6] = cut(strings.Join(notes, "; "), maxNote)
	return cells
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// human writes a duration in the units that matter, rounded down.
func human(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + human(-d)
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/day)
}

// cut returns text of at most so many characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
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
	Bytes     int64         `json:"bytes"`
	Pages     int           `json:"pages"`
	Retries   int           `json:"retries"`
	Limited   int           `json:"rate_limited"`
	Duration  float64       `json:"duration_seconds"`
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
//	    fetched, delivered, already  records
//	    bytes, pages, retries, rate_limited, duration_seconds
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
			Fetched: run.Fetched, Delivered: run.Delivered, Already: run.Already, Bytes: run.Bytes,
			Pages: run.Pages, Retries: run.Retries, Limited: run.Limited, Duration: run.Duration.Seconds(),
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
