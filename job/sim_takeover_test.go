package job_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dls/job/legacy"
	"dls/state"
)

// simTakeover is what duologsync has left of a stream before the first run.
type simTakeover struct {
	name, kind string
	content    string
	right      string // what takes the place of a wrong content after the first run, else ""
	written    time.Time
	from       int64 // what lies before was delivered by duologsync, the rest is dls's
}

// drawTakeovers draws, in half of the scenarios, of which streams duologsync has left a
// checkpoint.
func (sim *simulation) drawTakeovers() map[*simStream]*simTakeover {
	left := map[*simStream]*simTakeover{}
	if dicing(sim.seed, "duologsync").oneIn(2) {
		return left
	}
	for _, s := range sim.streams {
		t := s.leave(dicing(sim.seed, "duologsync", s.name()), simEpoch+sim.begin.Milliseconds())
		if t != nil && left[s] == nil {
			left[s] = t
		}
		for _, other := range sim.streams { // of an MSP's children telephony has one for all
			if t != nil && s.account != "" && s.endpoint.Name == "telephony" && other.endpoint == s.endpoint {
				left[other] = left[s]
			}
		}
	}
	return left
}

// takeover is what duologsync had left of a stream before the first run, or nil.
func (sim *simulation) takeover(s *simStream) *simTakeover {
	if sim.directory == nil {
		return nil
	}
	return sim.directory.takeovers[s]
}

// named tells whether duologsync's file names a record that dls looks for.
func (s *simStream) named() bool {
	return s.account == "" && (s.endpoint.Name == "activity" || s.endpoint.Name == "telephony")
}

// leave draws what duologsync has left of the stream, when dls begins at a time; nil where
// it has delivered nothing.
func (s *simStream) leave(d dice, start int64) *simTakeover {
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	written := start - d.Int64N(ms(30*time.Minute))
	within := func(from, to int64) (n int) { // records that Duo may show first when asked from a time on
		for _, r := range s.records {
			if from <= r.at && r.at <= to {
				n++
			}
		}
		return n
	}
	var seen []*simRecord
	for _, r := range s.records {
		visible := r.visible < written-ms(5*time.Minute) && r.at > start-ms(179*24*time.Hour) && r.gone == 0
		if visible && (!s.named() || !r.noID && !r.shares && within(r.at, r.at) < s.least()) {
			seen = append(seen, r)
		}
	}
	if len(seen) == 0 || d.oneIn(4) {
		return nil
	}
	names := legacy.Names(s.endpoint.Name, s.account)
	t := &simTakeover{name: names[0], written: time.UnixMilli(written)}
	switch {
	case s.account != "" && s.endpoint.Name == "telephony":
		t.name = names[1]
	case len(names) == 2: // that of version 1.0
		t.name = pick(d, names...)
	}
	last := pick(d, seen...)
	lastID, _, _ := strings.Cut(last.id, ".") // what is behind it tells equal ones apart in cursors
	t.from, t.content = last.at, s.legacy(last.at, lastID)
	kinds := []string{"right", "right", "right", "right", "seconds", "old", "cut", "empty", "null", "ahead"}
	if s.named() {
		kinds = append(kinds, "west", "west", "west", "east", "another's")
	}
	t.kind = pick(d, kinds...)
	right := t.content
	switch t.kind {
	case "seconds": // an older version's shape, of which one is taken off
		t.from = last.at - last.at%1000 - 1000
		t.content = fmt.Sprintf("%d", last.at/1000)
	case "old":
		t.from = s.whole(start - d.Int64N(ms(200*24*time.Hour)) - ms(181*24*time.Hour))
		t.written = time.UnixMilli(t.from).Add(time.Hour)
		t.content = s.legacy(t.from, "gone")
	case "west":
		t.content = s.legacy(last.at+ms(pick(d, 1*time.Hour, 2*time.Hour+30*time.Minute, 5*time.Hour, 8*time.Hour, 12*time.Hour)), lastID)
	case "east":
		from := last.at - ms(pick(d, time.Hour, 5*time.Hour+30*time.Minute, 9*time.Hour))
		if within(from, last.at) < s.least() { // else it is not on the first page
			t.from, t.content = from, s.legacy(from, lastID)
		}
	case "cut":
		t.content, t.right = t.content[:d.between(1, 9)], right
	case "empty":
		t.content, t.right = "", right
	case "null":
		t.content, t.right = "null\n", right
	case "ahead": // no record is newer than the file; no zone puts that in the newest minutes, which no run reads
		t.content, t.right = s.legacy(s.whole(written+ms(40*time.Minute)), "ahead"), right
	case "another's":
		t.content, t.right = s.legacy(last.at, "another's"), right
	}
	return t
}

// legacy is the content of duologsync's file of the stream where the last record that it
// has delivered has a time and an id.
func (s *simStream) legacy(at int64, id string) string {
	switch s.endpoint.Name {
	case "auth":
		return fmt.Sprintf("[\"%d\", \"%s\"]\n", at, id)
	case "trustmonitor":
		return fmt.Sprintf("%d\n", at+1)
	case "adminaction":
		return fmt.Sprintf("%d\n", at/1000+1)
	}
	return fmt.Sprintf("\"%d,%s\"\n", at+1, id)
}

// inherit puts what duologsync has left into the directory.
func (d *simDirectory) inherit() {
	d.takeovers = d.sim.drawTakeovers()
	for s, t := range d.takeovers {
		d.sim.note("duologsync has left %q of %s (%s, written %s): %q; dls begins at %s", t.name, s.name(), t.kind, d.sim.clock(t.written.UnixMilli()), t.content, d.sim.clock(t.from))
		d.write(t.name, t.content, t.written)
	}
}

func (d *simDirectory) write(name, content string, written time.Time) {
	path := filepath.Join(d.path, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		panic(err)
	}
	if err := os.Chtimes(path, written, written); err != nil {
		panic(err)
	}
}

// mend puts a right file of duologsync in the place of each wrong one.
func (d *simDirectory) mend() {
	for _, t := range d.takeovers {
		if t.right != "" {
			d.write(t.name, t.right, t.written)
			t.right = ""
		}
	}
}

// relapse has somebody go back to duologsync for a while, before the run: its file is newer
// than dls's own, and the stream must fail until it is taken away.
func (d *simDirectory) relapse(s *simStream) (mended func()) {
	name := legacy.Names(s.endpoint.Name, s.account)[0]
	id := state.ID{IKey: ikey, Endpoint: s.endpoint.Name, Account: s.account}
	read := s.account == "" || s.endpoint.Name != "activity" && s.endpoint.Name != "telephony"
	if d.sim.disk.checkpoints[id.File()] == nil || !read {
		return nil
	}
	d.write(name, s.legacy(s.whole(time.Now().UnixMilli()), "later"), time.Now())
	return func() {
		if err := os.Remove(filepath.Join(d.path, name)); err != nil {
			panic(err)
		}
	}
}
