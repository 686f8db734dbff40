package job

import (
	"slices"
	"testing"

	"dls/job/endpoint"
	"dls/job/record"
)

// streamOf is a stream that is told nothing but its row.
func streamOf(name string) *stream {
	row := endpoint.Named(name)
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
