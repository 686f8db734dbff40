package job

import (
	"bytes"
	"fmt"
	"testing"

	"dls/job/duo"
	"dls/job/feed"
	"dls/job/window"
	"dls/state"
)

// The lines of a page are written into one piece, and a slot keeps nothing of a page
// that is larger than Duo's are.
func TestSlotTrim(t *testing.T) {
	row := duo.Named("auth")
	l := &lines{endpoint: row, fields: append(append([]string{}, row.ID...), row.Times...), delivered: new(state.Delivered)}
	for _, tt := range []struct {
		size int
		kept bool
	}{{feed.Kept / 8, true}, {2 * feed.Kept, false}} {
		var s slot
		s.page.use(l)
		s.page.reset(window.Call{})
		one := []byte(fmt.Sprintf(`{"txid":"a","text":"%s"},`, bytes.Repeat([]byte("x"), tt.size/16)))
		body := bytes.Repeat(one, 16)
		var first *byte
		for i := 0; i < len(body); {
			end, err := s.page.read(body, i)
			if err != nil {
				t.Fatal(err)
			}
			i = end + 1
			if first == nil {
				first = &s.page.bytes[0]
			}
		}
		if len(s.page.bytes) < tt.size || &s.page.bytes[0] != first {
			t.Errorf("%d bytes: the lines have moved while they were written", tt.size)
		}
		s.trim(l)
		if kept := cap(s.page.bytes) > 0 && cap(s.page.entries) > 0; kept != tt.kept {
			t.Errorf("%d bytes: kept %v, want %v", tt.size, kept, tt.kept)
		}
	}
}

// A page of more records than any of Duo's is no page: what is kept of each takes more
// memory than a small record.
func TestPageOfTooManyRecords(t *testing.T) {
	row := duo.Named("auth")
	var p page
	p.use(&lines{endpoint: row, fields: row.ID, delivered: new(state.Delivered)})
	p.reset(window.Call{})
	body := []byte("{}")
	for n := range maxRecords + 1 {
		if _, err := p.read(body, 0); (err != nil) != (n == maxRecords) {
			t.Fatalf("record %d: error %v", n+1, err)
		}
	}
}
