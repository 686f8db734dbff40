package status

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"dls/state"
)

//go:embed page.html.tmpl
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// The most streams that have charts, so that a page of thousands can still be opened,
// and how far back charts reach.
const (
	maxCharts   = 400
	chartWindow = 7 * 24 * time.Hour
)

// History gives the rows what is known of their last runs, for [Report.HTML].
func (r *Report) History(points []state.RunPoint) {
	type stream struct{ account, endpoint string }
	of := map[stream][]state.RunPoint{}
	for _, p := range points {
		if r.At.Sub(p.At) <= chartWindow && !p.At.After(r.At) {
			key := stream{p.Account, p.Endpoint}
			of[key] = append(of[key], p)
		}
	}
	for i := range r.Rows {
		r.Rows[i].History = of[stream{r.Rows[i].Account, r.Rows[i].Endpoint}]
	}
}

// HTML writes the report as one page that needs nothing from elsewhere: no script, no
// font, no picture. The stream that is worst off comes first.
func (r *Report) HTML(w io.Writer) error {
	rows := slices.Clone(r.Rows)
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.State.severity(), b.State.severity()), cmp.Compare(b.BehindBy, a.BehindBy))
	})
	p := pageData{At: stamp(r.At), Summary: r.Summary(), Directory: r.Directory, Notes: r.Notes, MSP: r.MSP}
	from := r.At
	for _, row := range rows {
		if len(row.History) > 0 && row.History[0].At.Before(from) {
			from = row.History[0].At
		}
	}
	count := map[State]int{}
	for i := range rows {
		row := &rows[i]
		count[row.State]++
		cells := row.cells()
		line := pageRow{
			Endpoint: row.Endpoint, Account: row.Account, AccountName: row.AccountName, State: row.State,
			Until: cells[colUntil], Behind: cells[colBehind], Note: cells[colNote],
		}
		if run := row.LastRun; run != nil {
			line.Run, line.Records = human(r.At.Sub(run.Ended))+" ago", fmt.Sprint(run.Delivered)
		}
		if i < maxCharts {
			line.Lag, line.Flow = charts(row.History, from, r.At)
		}
		p.Rows = append(p.Rows, line)
	}
	if len(rows) > maxCharts {
		p.Notes = append(slices.Clone(p.Notes), fmt.Sprintf("only the first %d streams have charts", maxCharts))
	}
	for _, s := range states {
		if count[s] > 0 {
			p.Counts = append(p.Counts, pageCount{s, count[s]})
		}
	}
	return page.Execute(w, p)
}

type pageData struct {
	At, Summary, Directory string
	Counts                 []pageCount
	Notes                  []string
	MSP                    bool
	Rows                   []pageRow
}

type pageCount struct {
	State State
	N     int
}

type pageRow struct {
	Endpoint, Account, AccountName    string
	State                             State
	Until, Behind, Run, Records, Note string
	Lag, Flow                         *chart
}

// chart is a picture of one quantity over the last runs.
type chart struct {
	Title string // for who does not see it
	Most  string // the highest value
	Since string // how long ago the first run was
	Line  string // points of a line, or ""
	Area  string // points of the area below it, or ""
	Bars  []bar
	Marks []float64 // where runs failed
}

type bar struct{ X, Y, Width, Height float64 }

// The size of a chart in its own units, and how many parts of time it tells apart.
const chartWidth, chartHeight, chartParts = 200.0, 40.0, 50

// charts draws how far a stream was behind, and how many records its runs delivered,
// between two times. They are nil when less than two runs are known.
func charts(points []state.RunPoint, from, to time.Time) (lag, flow *chart) {
	if len(points) < 2 || !from.Before(to) {
		return nil, nil
	}
	span := to.Sub(from)
	part := func(at time.Time) int { return min(int(at.Sub(from)*chartParts/span), chartParts-1) }
	var behind [chartParts]time.Duration
	var seen, failed [chartParts]bool
	var records [chartParts]int
	for _, p := range points {
		i := part(p.At)
		if p.Behind >= 0 {
			behind[i], seen[i] = max(behind[i], p.Behind), true
		}
		records[i] += p.Delivered
		failed[i] = failed[i] || p.Outcome == state.Failed
	}
	mostBehind, mostRecords := slices.Max(behind[:]), slices.Max(records[:])
	scale := max(mostBehind, time.Hour) // the lag of a good day stays flat
	const wide = chartWidth / chartParts
	since := human(span) + " ago"
	lag = &chart{Title: fmt.Sprintf("behind by at most %s since %s", human(mostBehind), since), Most: human(mostBehind), Since: since}
	flow = &chart{Title: fmt.Sprintf("at most %d records in %s since %s", mostRecords, human(span/chartParts), since), Most: fmt.Sprint(mostRecords), Since: since}
	var line []string
	first, last := -1.0, 0.0
	for i := range chartParts {
		x := (float64(i) + 0.5) * wide
		if seen[i] {
			y := chartHeight - 1 - (chartHeight-4)*float64(behind[i])/float64(scale)
			line = append(line, fmt.Sprintf("%.1f,%.1f", x, y))
			if first < 0 {
				first = x
			}
			last = x
		}
		if failed[i] {
			lag.Marks = append(lag.Marks, x-wide/2)
		}
		if records[i] > 0 {
			h := max((chartHeight-4)*float64(records[i])/float64(mostRecords), 1)
			flow.Bars = append(flow.Bars, bar{x - wide/2 + 0.4, chartHeight - h, wide - 0.8, h})
		}
	}
	if len(line) > 0 {
		lag.Line = strings.Join(line, " ")
		lag.Area = fmt.Sprintf("%.1f,%.0f %s %.1f,%.0f", first, chartHeight, lag.Line, last, chartHeight)
	}
	return lag, flow
}
