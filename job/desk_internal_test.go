package job

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job/duosim"
	"dls/job/endpoint"
	"dls/job/record"
)

// sheetOf reads an answer that comes in pieces, which end at the given places.
func sheetOf(s *stream, answer []byte, ends []int) (*sheet, error) {
	p := &sheet{writer: record.NewWriter(s.fields, s.extra...), of: s}
	var body []byte
	from := 0
	for _, end := range ends {
		body = append(body, answer[from:end]...)
		body, _ = p.read(s, body, false)
		from = end
	}
	_, err := p.read(s, append(body, answer[from:]...), true)
	return p, err
}

// FuzzPieces holds an answer that comes in pieces to the same answer in one.
func FuzzPieces(f *testing.F) {
	row := endpoint.Named("auth")
	s := &stream{run: &run{}, row: row, fields: slices.Concat(row.ID, row.Times), extra: []record.Extra{record.NewExtra("host", "h")}}
	var page []byte
	for i, r := range (duosim.Generator{Seed: 1}).Generate("auth", 2, time.Unix(1795335330, 0), time.Second) {
		if i > 0 {
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
	} {
		f.Add(fmt.Appendf(nil, form, page), uint16(200), uint16(150))
		f.Add(fmt.Appendf(nil, form, `{"txid":"a"},{"txid":null}`), uint16(3), uint16(1))
		f.Add(fmt.Appendf(nil, form, ""), uint16(20), uint16(1))
	}
	f.Fuzz(func(t *testing.T, answer []byte, first, step uint16) {
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
		if want.next != got.next || want.total != got.total || string(want.lastID) != string(got.lastID) {
			t.Errorf("in one: %q, %d, %q; in pieces: %q, %d, %q", want.next, want.total, want.lastID, got.next, got.total, got.lastID)
		}
	})
}
