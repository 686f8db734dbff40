package audit_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"dls/job/audit"
	"dls/job/duosim"
)

// export is a whole file that a SIEM gives for records.
type export struct {
	name string
	make func(lines []string) string
	cef  bool // the lines are CEF
	not  bool // nothing of it can be found, and each line or the file says so
}

const ingested = "2026-11-26T15:49:05.123Z"

func joined(lines []string, make func(line string) string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(make(line) + "\n")
	}
	return b.String()
}

func indented(t testing.TB, v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// utf16le is what a redirection of PowerShell 5 makes of a text.
func utf16le(text string, mark bool) string {
	var b bytes.Buffer
	if mark {
		b.WriteString("\xff\xfe")
	}
	for _, u := range utf16.Encode([]rune(text)) {
		b.Write([]byte{byte(u), byte(u >> 8)})
	}
	return b.String()
}

func exports(t testing.TB) []export {
	syslog := func(line string) string { return "<134>1 2026-11-26T15:49:05.000000Z collector dls 77 duo - " + line }
	return []export{
		{name: "Splunk, jobs/export as JSON", make: func(lines []string) string {
			n := -1
			return joined(lines, func(line string) string {
				n++
				return fmt.Sprintf(`{"preview":false,"offset":%d,"result":{"_bkt":"duo~3~77","_raw":%s,"_time":"2026-11-26T15:49:05.000+00:00","host":"siem","_sourcetype":"duo"}}`, n, quoted(line))
			})
		}},
		{name: "Splunk, results as JSON in one line", not: true, make: func(lines []string) string {
			all := joined(lines, func(line string) string { return `{"_raw":` + quoted(line) + `},` })
			return `{"preview":false,"results":[` + strings.TrimSuffix(strings.ReplaceAll(all, "\n", ""), ",") + "]}\n"
		}},
		{name: "Splunk, outputcsv", make: func(lines []string) string {
			return "\"_time\",\"_raw\",\"__mv__raw\"\n" + joined(lines, func(line string) string { return `"2026-11-26T15:49:05.000+0000",` + cell(line) + `,""` })
		}},
		{name: "Splunk, only _raw", make: func(lines []string) string { return "\"_raw\"\n" + joined(lines, cell) }},
		{name: "Splunk, results of several lines", make: func(lines []string) string {
			return "\"_time\",\"punct\",\"_raw\"\n" + joined(lines, func(line string) string { return "\"2026-11-26T15:49:05.000+0000\",\"a\nb\nc\"," + cell(syslog(line)) })
		}},
		{name: "Elastic, elasticdump", make: func(lines []string) string {
			return joined(lines, func(line string) string {
				return `{"_index":"logs-duo","_id":"x1","_score":1,"_source":{"@timestamp":"` + ingested + `","message":` + quoted(syslog(line)) + `,"event":{"original":` + quoted(line) + `}}}`
			})
		}},
		{name: "Elastic, JSON in JSON in a table", make: func(lines []string) string {
			return "\"@timestamp\",\"_source\"\n" + joined(lines, func(line string) string {
				return `"Nov 26, 2026 @ 15:49:05.123",` + cell(`{"message":`+quoted(`{"log":`+quoted(line)+`}`)+`}`)
			})
		}},
		{name: "Elastic, Kibana's CSV", make: func(lines []string) string {
			return "\"@timestamp\",\"event.original\",\"user.name\"\n" + joined(lines, func(line string) string {
				return `"Nov 26, 2026 @ 15:49:05.123",` + cell(line) + `,"-"`
			})
		}},
		{name: "Elastic, hits over several lines", not: true, make: func(lines []string) string {
			var hits []any
			for _, line := range lines {
				hits = append(hits, map[string]any{"_source": map[string]any{"message": line}})
			}
			return indented(t, map[string]any{"hits": map[string]any{"hits": hits}})
		}},
		{name: "Sentinel, CSV with BOM and CRLF", make: func(lines []string) string {
			return "\xef\xbb\xbf\"TimeGenerated [UTC]\",RawData\r\n" + strings.ReplaceAll(joined(lines, func(line string) string {
				return `"11/26/2026, 3:49:05.123 PM",` + cell(line)
			}), "\n", "\r\n")
		}},
		{name: "Sentinel, az", make: func(lines []string) string {
			var rows []any
			for _, line := range lines {
				rows = append(rows, map[string]any{"RawData": line, "TableName": "PrimaryResult"})
			}
			return indented(t, rows)
		}},
		{name: "Sentinel, az, of Syslog", make: func(lines []string) string {
			var rows []any
			for _, line := range lines {
				rows = append(rows, map[string]any{"Computer": "collector", "SyslogMessage": line, "TableName": "PrimaryResult", "TimeGenerated": ingested})
			}
			b, _ := json.Marshal(rows)
			return string(b)
		}},
		{name: "Sentinel, rows of the API", make: func(lines []string) string {
			return joined(lines, func(line string) string { return `["` + ingested + `",` + quoted(line) + `]` })
		}},
		{name: "Sentinel, CommonSecurityLog", cef: true, make: func(lines []string) string {
			return "\xef\xbb\xbfTimeGenerated,ExternalID,ReceiptTime,AdditionalExtensions\n" + joined(lines, func(line string) string {
				id := line[strings.LastIndex(line, "externalId=")+len("externalId="):]
				id, _, _ = strings.Cut(id, " ")
				_, rt, _ := strings.Cut(line, "rt=")
				rt, _, _ = strings.Cut(rt, " ")
				return ingested + "," + id + "," + rt + ",cs1=x"
			})
		}},
		{name: "CEF in _raw", cef: true, make: func(lines []string) string {
			return "\"_time\",\"_raw\"\n" + joined(lines, func(line string) string { return `"2026-11-26T15:49:05.000+0000",` + cell(syslog(line)) })
		}},
		{name: "a JSON array in one line", make: func(lines []string) string { return "[" + strings.Join(lines, ",") + "]" }},
		{name: "members indented", make: func(lines []string) string {
			var rows []json.RawMessage
			for _, line := range lines {
				rows = append(rows, json.RawMessage(line))
			}
			return indented(t, rows)
		}},
		{name: "CRLF, no newline at the end", make: func(lines []string) string { return strings.Join(lines, "\r\n") }},
		{name: "NUL bytes before", make: func(lines []string) string { return strings.Repeat("\x00", 9<<20) + strings.Join(lines, "\n\x00\x00") }},
		{name: "a long line between", make: func(lines []string) string {
			return lines[0] + "\n" + strings.Repeat("x", 5<<20) + "\n" + strings.Join(lines[1:], "\n")
		}},
		{name: "gzip of several members", make: func(lines []string) string {
			var b bytes.Buffer
			for _, line := range lines {
				z := gzip.NewWriter(&b)
				_, _ = z.Write([]byte(line + "\n"))
				_ = z.Close()
			}
			return b.String()
		}},
		{name: "UTF-16", not: true, make: func(lines []string) string { return utf16le(strings.Join(lines, "\r\n"), true) }},
		{name: "UTF-16 without its mark", not: true, make: func(lines []string) string { return utf16le(strings.Join(lines, "\r\n"), false) }},
		{name: "zip", not: true, make: func([]string) string { return "PK\x03\x04rest" }},
		{name: "zstd", not: true, make: func([]string) string { return "\x28\xb5\x2f\xfdrest" }},
		{name: "tar", not: true, make: func(lines []string) string {
			return "export.json" + strings.Repeat("\x00", 246) + "ustar" + strings.Repeat("\x00", 250) + strings.Join(lines, "\n")
		}},
		{name: "gzip of gzip", not: true, make: func([]string) string {
			var b, inner bytes.Buffer
			z := gzip.NewWriter(&inner)
			_ = z.Close()
			z = gzip.NewWriter(&b)
			_, _ = z.Write(inner.Bytes())
			_ = z.Close()
			return b.String()
		}},
	}
}

// What SIEMs export is looked through whatever its form: each record is found once for each
// time that it stands there. What cannot be looked through says so, and finds nothing.
func TestExports(t *testing.T) {
	for _, ex := range exports(t) {
		t.Run(ex.name, func(t *testing.T) {
			x := audit.New(temp(t))
			defer x.Close()
			var lines []string
			gone := 0
			for i, l := range logs(60, "") {
				if ex.cef && l.row.Name == "trustmonitor" {
					continue
				}
				l.want(t, x, i)
				for k, r := range l.records {
					if k == 7 {
						gone++
						continue
					}
					lines = append(lines, exported(t, ex, l, r))
				}
			}
			lines = append(lines, lines[3], lines[9])
			seen, err := x.Look(t.Context(), strings.NewReader(ex.make(lines)))
			r, wrong := x.Result()
			if wrong != nil {
				t.Fatal(wrong)
			}
			defer r.Close()
			var form *audit.FormError
			switch {
			case ex.not && (r.Found != 0 || !errors.As(err, &form) && seen.Several == 0):
				t.Errorf("%d found; %+v, %v", r.Found, seen, err)
			case !ex.not && (err != nil || r.Missing != gone || seen.Several != 0):
				t.Errorf("%d missing, want %d; %+v, %v", r.Missing, gone, seen, err)
			}
		})
	}
}

func exported(t testing.TB, ex export, l log, r duosim.Record) string {
	if ex.cef {
		return cefLine(t, l, r)
	}
	return l.line(t, r)
}

// An array that is cut, or holds an element without an end, is an error, not a short file.
func TestArrayCut(t *testing.T) {
	for name, text := range map[string]string{
		"cut":     `[{"txid":"a"},{"tx`,
		"endless": `[{"txid":"a"},{"x":"` + strings.Repeat("x", 20<<20),
		"odd":     `[{"txid":"a"}] and more`,
	} {
		t.Run(name, func(t *testing.T) {
			x := audit.New(temp(t))
			defer x.Close()
			if seen, err := x.Look(t.Context(), strings.NewReader(text)); err == nil || seen.Lines != 1 {
				t.Errorf("%+v, %v", seen, err)
			}
		})
	}
}

// A text of several lines in a cell of a table is no row, however many lines it has, and
// also behind a row that is cut.
func TestRowWithinACell(t *testing.T) {
	const id, iso = "11111111-1111-1111-1111-111111111111", "2026-11-26T15:49:05.123456+00:00"
	const other, cut = "22222222-2222-2222-2222-222222222222", "33333333-3333-3333-3333-333333333333,2026-11-26T15:47:05.1+00:00,\"cu\n"
	for _, tt := range []struct {
		name, before string
		lines        int
	}{
		{"few lines", "", 3}, {"many lines", "", 3000}, {"behind a row that is cut", cut, 3}, {"behind two", cut + cut, 3000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := audit.New(temp(t))
			defer x.Close()
			at, err := time.Parse(time.RFC3339Nano, iso)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{id, other} {
				if err := x.Add(audit.Wanted{ID: id, Time: iso, At: at.UnixMilli()}); err != nil {
					t.Fatal(err)
				}
			}
			written := "x" + strings.Repeat("\n", tt.lines) + id + "," + iso + ",y\n"
			seen, err := x.Look(t.Context(), strings.NewReader("txid,isotimestamp,name\n"+tt.before+other+","+iso+","+cell(written)+"\n"))
			r, wrong := x.Result()
			if wrong != nil {
				t.Fatal(wrong)
			}
			defer r.Close()
			if err != nil || r.Found != 1 || r.Missing != 1 {
				t.Errorf("%d found, %d missing; %+v, %v", r.Found, r.Missing, seen, err)
			}
		})
	}
}

// What stands beside a record as it was delivered, such as its texts as members or columns
// of their own, proves nothing: not of another record either, when the line's own is none
// of those that are looked for.
func TestBesideTheRecord(t *testing.T) {
	const id, iso = "11111111-1111-1111-1111-111111111111", "2026-11-26T15:49:05.123456+00:00"
	at, err := time.Parse(time.RFC3339Nano, iso)
	if err != nil {
		t.Fatal(err)
	}
	const record = `{"isotimestamp":"2026-11-26T15:47:05.654321+00:00","txid":"22222222-2222-2222-2222-222222222222","user":{"name":"x"}}`
	for name, written := range map[string]string{"words": id + " " + iso, "an object": `{"txid":"` + id + `","isotimestamp":"` + iso + `"}`} {
		for form, line := range map[string]string{
			"members":  `{"result":{"_raw":` + quoted(record) + `,"name":` + quoted(written) + `}}`,
			"before":   `{"result":{"name":` + quoted(written) + `,"_raw":` + quoted(record) + `}}`,
			"columns":  "name,_raw\n" + cell(written) + "," + cell(record),
			"elements": `[` + quoted(written) + `,` + quoted(record) + `]`,
		} {
			t.Run(name+", "+form, func(t *testing.T) {
				x := audit.New(temp(t))
				defer x.Close()
				if err := x.Add(audit.Wanted{ID: id, Time: iso, At: at.UnixMilli()}); err != nil {
					t.Fatal(err)
				}
				seen, err := x.Look(t.Context(), strings.NewReader(line+"\n"))
				r, wrong := x.Result()
				if wrong != nil {
					t.Fatal(wrong)
				}
				defer r.Close()
				if err != nil || r.Missing != 1 {
					t.Errorf("%d found; %+v, %v", r.Found, seen, err)
				}
			})
		}
	}
}
