package audit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"dls/cef"
	"dls/job/audit"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/job/flat"
	"dls/job/record"
)

// temp makes temporary files.
func temp(t testing.TB) audit.Temp {
	return func() (audit.File, error) { return os.CreateTemp(t.TempDir(), "") }
}

// log is the records of one endpoint, as a SIEM may have them.
type log struct {
	row     *duo.Endpoint
	account string
	records []duosim.Record
}

var from = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func logs(n int, account string) []log {
	var all []log
	for _, row := range duo.All() {
		if row.Name == "trustmonitor" && account != "" {
			continue
		}
		all = append(all, log{row, account, duosim.Generator{Seed: 7, Jitter: true}.Generate(row.Name, n, from, time.Minute)})
	}
	return all
}

// want adds the records of a log, its stream's number being that of the log.
func (l log) want(t testing.TB, x *audit.Index, stream int) {
	t.Helper()
	for i, r := range l.records {
		w := l.wanted(t, r)
		w.Stream, w.Line = stream, i
		if err := x.Add(w); err != nil {
			t.Fatal(err)
		}
	}
}

func (l log) wanted(t testing.TB, r duosim.Record) audit.Wanted {
	t.Helper()
	f := record.Fields{Names: append(append([]string{}, l.row.ID...), l.row.Times...)}
	if _, err := record.Scan(r.Raw, 0, &f); err != nil {
		t.Fatal(err)
	}
	w := audit.Wanted{Raw: r.Raw, Account: l.account}
	told, _ := record.Time(f.Values[len(l.row.ID)], l.row.TimeUnit.Duration())
	w.Time, w.At = record.Text(f.Values[len(l.row.ID)]), told.UnixMilli()
	if len(l.row.ID) > 0 {
		w.ID = record.Text(f.Values[0])
	} else {
		var err error
		if w.External, err = cef.For(l.row.CEF).ExternalID(r.Raw, l.account); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// line is a record as dls delivers it.
func (l log) line(t testing.TB, r duosim.Record) string {
	t.Helper()
	var extra []record.Extra
	switch {
	case l.account != "":
		extra = append(extra, record.NewExtra("child_account_id", l.account))
	default:
		for _, e := range l.row.Extra {
			extra = append(extra, record.NewExtra(e.Key, strings.TrimPrefix(e.Value, "\x00")))
		}
	}
	line, _, err := record.NewWriter(nil, extra...).Append(nil, r.Raw, 0)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(line), "\n")
}

func quoted(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	return strings.TrimSuffix(b.String(), "\n")
}

func cell(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// forms are what SIEMs and syslog daemons make of a line.
var forms = []struct {
	name string
	head string
	make func(t testing.TB, l log, r duosim.Record) string
	no   string // an endpoint that has no such form
}{
	{name: "lines", make: func(t testing.TB, l log, r duosim.Record) string { return l.line(t, r) }},
	{name: "as Duo wrote it", make: func(t testing.TB, l log, r duosim.Record) string {
		if l.account != "" {
			return l.line(t, r)
		}
		return string(r.Raw)
	}},
	{name: "raw syslog", make: func(t testing.TB, l log, r duosim.Record) string {
		return "Nov 26 15:49:05 collector dls: " + l.line(t, r)
	}},
	{name: "RFC 5424", make: func(t testing.TB, l log, r duosim.Record) string {
		return "<134>1 2026-11-26T15:49:05.123456+01:00 collector dls 1234 auth - " + l.line(t, r)
	}},
	{name: "Splunk's JSON", make: func(t testing.TB, l log, r duosim.Record) string {
		return `{"preview":false,"result":{"_raw":` + quoted(l.line(t, r)) + `,"_time":"2026-11-26T15:49:05.000+00:00"}}`
	}},
	{name: "Splunk's CSV", head: `"_time","_raw",host`, make: func(t testing.TB, l log, r duosim.Record) string {
		return `"2026-11-26T15:49:05.000+0000",` + cell(l.line(t, r)) + `,siem`
	}},
	{name: "Elastic's hits", make: func(t testing.TB, l log, r duosim.Record) string {
		return `{"_index":"duo","_source":{"event":{"original":` + quoted("<134>Nov 26 15:49:05 h dls: "+l.line(t, r)) + `},"@timestamp":"2026-11-26T15:49:05.000Z"}}`
	}},
	{name: "members in another order", make: func(t testing.TB, l log, r duosim.Record) string {
		var v map[string]any
		dec := json.NewDecoder(strings.NewReader(l.line(t, r)))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(map[string]any{"duo": v})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}},
	{name: "CEF", no: "trustmonitor", make: cefLine},
	{name: "CEF within JSON", no: "trustmonitor", make: func(t testing.TB, l log, r duosim.Record) string {
		return `{"Message":` + quoted(cefLine(t, l, r)) + `}`
	}},
}

func cefLine(t testing.TB, l log, r duosim.Record) string {
	f := cef.New("1")
	line, err := f.Append(nil, cef.For(l.row.CEF), r.Raw, l.account)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(line), "\n")
}

// result looks for the records of the logs in lines.
func result(t testing.TB, all []log, text string) *audit.Result {
	t.Helper()
	x := audit.New(temp(t))
	t.Cleanup(x.Close)
	for i, l := range all {
		l.want(t, x, i)
	}
	if _, err := x.Look(t.Context(), strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	got, err := x.Result()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.Close)
	return got
}

// missing names what was not found: "stream/line".
func missing(t testing.TB, r *audit.Result) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	if err := r.Each(func(m audit.Missing) error { names[fmt.Sprint(m.Stream, "/", m.Line)] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	return names
}

// Whatever the form of the lines, what is there is found, and what was cut out or torn
// is missing, and nothing else.
func TestForms(t *testing.T) {
	for _, account := range []string{"", "DACHILD0000000000001"} {
		for _, form := range forms {
			t.Run(form.name+account, func(t *testing.T) {
				random := rand.New(rand.NewPCG(3, 4))
				var all []log
				var lines []string
				gone := map[string]bool{}
				for _, l := range logs(400, account) {
					if l.row.Name == form.no {
						continue
					}
					for i, r := range l.records {
						name := fmt.Sprint(len(all), "/", i)
						line := form.make(t, l, r)
						switch dice := random.IntN(30); {
						case dice == 0:
							gone[name] = true
							continue
						case dice == 1:
							gone[name] = true
							line = line[:random.IntN(len(line))]
							if strings.HasSuffix(form.name, "JSON") || form.name == "Elastic's hits" || l.row.Name == "adminaction" {
								line = line[:len(line)/2]
							}
						case dice < 4:
							lines = append(lines, line) // twice
						}
						lines = append(lines, line)
					}
					all = append(all, l)
				}
				random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
				if form.head != "" {
					lines = append([]string{form.head}, lines...)
				}
				got := result(t, all, strings.Join(lines, "\n"))
				names := missing(t, got)
				for name := range gone {
					if !names[name] {
						t.Errorf("%s was found", name)
					}
				}
				for name := range names {
					if !gone[name] {
						t.Errorf("%s was not found", name)
					}
				}
				if got.Missing != len(gone) {
					t.Errorf("%d missing, want %d", got.Missing, len(gone))
				}
			})
		}
	}
}

// A table with a column for each member is looked through, too.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	table, err := flat.NewCSV(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	all := logs(500, "")
	for _, l := range all {
		for _, r := range l.records {
			if _, err := table.Write([]byte(l.line(t, r) + "\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	var b bytes.Buffer
	if _, err := table.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if got := result(t, all, b.String()); got.Missing != 0 {
		n := 0
		_ = got.Each(func(m audit.Missing) error {
			if n++; n < 4 {
				rows, _ := csv.NewReader(strings.NewReader(b.String())).ReadAll()
				t.Logf("%s: %s\n%q", all[m.Stream].row.Name, all[m.Stream].records[m.Line].Raw, rows[1+m.Stream*500+m.Line])
			}
			return nil
		})
		t.Errorf("%d missing", got.Missing)
	}
}

// A compressed file is read as what it holds.
func TestGzip(t *testing.T) {
	all := logs(50, "")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, l := range all {
		for _, r := range l.records {
			_, _ = io.WriteString(z, l.line(t, r)+"\r\n")
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if got := result(t, all, b.String()); got.Missing != 0 {
		t.Errorf("%d missing", got.Missing)
	}
}

// A line that has no end is not read beyond the end of the context.
func TestLookEnds(t *testing.T) {
	why := errors.New("enough")
	for name, head := range map[string]string{"plain": "", "within a file": "{}\n"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		endless := io.MultiReader(strings.NewReader(head), reads(func(n int) {
			if n == 100 {
				cancel(why)
			}
		}))
		x := audit.New(temp(t))
		t.Cleanup(x.Close)
		if _, err := x.Look(ctx, endless); !errors.Is(err, why) {
			t.Errorf("%s: error %v, want %v", name, err, why)
		}
	}
}

// reads is what has no end; the function is called with how often it was read.
func reads(each func(n int)) io.Reader { return &endless{each: each} }

type endless struct {
	n    int
	each func(n int)
}

func (e *endless) Read(p []byte) (int, error) {
	e.n++
	e.each(e.n)
	return copy(p, bytes.Repeat([]byte("x"), len(p))), nil
}
