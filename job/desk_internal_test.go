package job

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/cef"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/job/endpoint"
	"dls/job/record"
)

// streamOf is a stream that is told nothing but its row.
func streamOf(name string, lines *cef.Formatter) *stream {
	row := endpoint.Named(name)
	s := &stream{run: &run{cef: lines}, row: row, fields: slices.Concat(row.ID, row.Times), extra: []record.Extra{record.NewExtra("host", "h")}}
	if lines != nil {
		s.mapping = cef.For(row.CEF)
	}
	return s
}

// sheetOf reads an answer that comes in pieces, which end at the given places.
func sheetOf(s *stream, answer []byte, ends []int) (*sheet, error) {
	p := &sheet{writer: record.NewWriter(s.fields, s.extra...), of: s, sought: "a"}
	var body []byte
	from := 0
	for _, end := range ends {
		body = append(body, answer[from:end]...)
		body, _ = p.read(s, body)
		from = end
	}
	_, err := p.read(s, append(body, answer[from:]...))
	return p, err
}

// FuzzPieces holds an answer that comes in pieces to the same answer in one.
func FuzzPieces(f *testing.F) {
	lines := cef.New("1")
	lines.Now = func() time.Time { return time.Unix(1795335330, 0) }
	streams := []*stream{streamOf("auth", nil), streamOf("adminaction", nil), streamOf("auth", lines)}
	for i, s := range streams {
		var page []byte
		for k, r := range (duosim.Generator{Seed: 1}).Generate(s.row.Name, 2, time.Unix(1795335330, 0), time.Second) {
			if k > 0 {
				page = append(page, ',', '\n')
			}
			page = append(page, r.Raw...)
		}
		for _, form := range []string{
			`{"stat":"OK","response":{"authlogs":[%s],"metadata":{"next_offset":["1","x"],"total_objects":7}}}`,
			`{"response":{"metadata":{"next_offset":null},"authlogs":[ %s ]} , "stat":"OK"}`,
			`{"stat":"OK","response":{"authlogs":[%s,0]}}`,
			`{"stat":"OK","response":{"authlogs":[%s],"authlogs":[]}}`,
			`{"stat":"FAIL","response":{"authlogs":[%s`,
			`{"stat":"OK","response":[%s]}`,
		} {
			f.Add(fmt.Appendf(nil, form, page), uint16(200), uint16(150), uint8(i))
			f.Add(fmt.Appendf(nil, form, `{"txid":"a"},{"txid":null}`), uint16(3), uint16(1), uint8(i))
			f.Add(fmt.Appendf(nil, form, ""), uint16(20), uint16(1), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte, first, step uint16, kind uint8) {
		s := streams[int(kind)%len(streams)]
		var ends []int
		for end := int(first); end < len(answer) && len(ends) < 1000; end += int(step) + 1 {
			ends = append(ends, end)
		}
		want, err := sheetOf(s, bytes.Clone(answer), nil)
		got, again := sheetOf(s, bytes.Clone(answer), ends)
		if (err == nil) != (again == nil) {
			t.Fatalf("in one: %v, in pieces: %v", err, again)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(string(want.lines), string(got.lines)); diff != "" {
			t.Errorf("lines (-in one +in pieces):\n%s", diff)
		}
		if diff := cmp.Diff(want.entries, got.entries, cmp.AllowUnexported(entry{})); diff != "" {
			t.Errorf("entries (-in one +in pieces):\n%s", diff)
		}
		if want.next != got.next || want.total != got.total || string(want.lastID) != string(got.lastID) || want.found != got.found {
			t.Errorf("in one: %q, %d, %q, %v; in pieces: %q, %d, %q, %v",
				want.next, want.total, want.lastID, want.found, got.next, got.total, got.lastID, got.found)
		}
	})
}

// answers are bodies, one for each call, as long as they say they are.
type answers []string

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body := (*a)[0]
	*a = (*a)[1:]
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1, Request: r}, nil
}

// A sheet shows one answer and nothing of the one before, were it broken or not.
func TestSheetAgain(t *testing.T) {
	filler := strings.Repeat(`,{"txid":"filler"}`, 20_000) // more than a piece
	s := streamOf("auth", nil)
	var err error
	s.run.client, err = duo.New(duo.Options{Transport: &answers{
		`{"stat":"OK","response":{"authlogs":[{"txid":"a"}` + filler,
		`{"stat":"OK","response":{"authlogs":[{"txid":"b"}],"metadata":{}}}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := &sheet{sought: "a"}
	if err := p.fetch(context.Background(), s, nil); err == nil || !p.found || len(p.entries) < 1000 {
		t.Fatalf("%v, %d records, found %v", err, len(p.entries), p.found)
	}
	if err := p.fetch(context.Background(), s, nil); err != nil || p.found || string(p.lines) != `{"txid": "b", "host": "h"}`+"\n" {
		t.Errorf("%v, found %v, lines %s", err, p.found, p.lines)
	}
}
