package job

import (
	"slices"
	"testing"

	"dls/job/duo"
	"dls/job/legacy"
	"dls/job/record"
)

// streamOf is a stream that is told nothing but its row.
func streamOf(name string) *stream {
	row := duo.Named(name)
	return &stream{run: new(run), row: row, fields: slices.Concat(row.ID, row.Times), extra: []record.Extra{record.NewExtra("host", "h")}}
}

// A page shows one answer and nothing of the one before, were it broken or not.
func TestPageAgain(t *testing.T) {
	s, p := streamOf("auth"), new(page)
	err := p.read(s, &answer{sought: "a", body: []byte(`{"stat":"OK","response":{"authlogs":[{"txid":"a"},{"txid":"c"}`)})
	if err == nil || !p.found || len(p.entries) != 2 {
		t.Fatalf("%v, %d records, found %v", err, len(p.entries), p.found)
	}
	err = p.read(s, &answer{sought: "a", body: []byte(`{"stat":"OK","response":{"authlogs":[{"txid":"b"}],"metadata":{}}}`)})
	if err != nil || p.found || string(p.lines) != `{"txid": "b", "host": "h"}`+"\n" || len(p.entries) != 1 {
		t.Errorf("%v, found %v, %d records, lines %s", err, p.found, len(p.entries), p.lines)
	}
}

// The next page is foreseen where Duo says that there is one.
func TestForesee(t *testing.T) {
	body := []byte(`{"stat":"OK","response":{"authlogs":[],"metadata":{"next_offset":["7","a"],"total_objects":1001}}}`)
	for _, tt := range []struct {
		name   string
		place  place
		body   []byte
		change func(*stream)
		want   bool
	}{
		{name: "more than a page", body: body, want: true},
		{name: "the last page", place: place{read: 1}, body: body},
		{name: "a cursor that does not move", place: place{cursor: "7,a"}, body: body},
		{name: "no metadata", body: []byte(`{"stat":"OK","response":{"authlogs":[]}}`)},
		{name: "duologsync's checkpoint is to be verified", body: body, change: func(s *stream) { s.from = new(legacy.Takeover) }},
		{name: "another kind of cursor", body: body, change: func(s *stream) { s.row = duo.Named("trustmonitor") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := streamOf("auth")
			s.place = tt.place
			if tt.change != nil {
				tt.change(s)
			}
			p, ok := s.foresee(&answer{body: tt.body})
			if ok != tt.want || ok && p.cursor != "7,a" {
				t.Errorf("%v, at %q", ok, p.cursor)
			}
		})
	}
}
