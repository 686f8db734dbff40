package job_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/sinks/sinktest"
	"dls/state"
	"dls/state/storetest"
)

// Every record of five endpoints reaches a TCP, a TLS and a UDP receiver, byte
// for byte as duologsync sends it; a second run sends nothing; what is added
// later, and what appears late behind the checkpoint, comes once.
func TestSyncDeliversOnce(t *testing.T) {
	w, tcp := newWorld(t)
	ca := sinktest.NewAuthority(t)
	tls := sinktest.Listen(t, sinktest.Options{TLS: ca.Issue(t, sinktest.CertificateOptions{}).Server(nil)})
	udp := sinktest.ListenUDP(t, sinktest.Options{})
	w.text.servers = append(w.text.servers,
		server{id: "tls", protocol: "TCPSSL", port: tls.Port(), cert: sinktest.WriteFile(t, ca.CertPEM())},
		server{id: "udp", protocol: "UDP", port: udp.Port()})
	w.fill(parent, 60, time.Now().Add(-30*24*time.Hour), 1)

	check := func(want []string) {
		t.Helper()
		exactly(t, want, tcp.Take())
		exactly(t, want, tls.Take())
		exactly(t, want, udp.Wait(t, len(want)))
		udp.Take()
	}
	w.clean(w.sync())
	all := w.lines(parent, duo.Names()...)
	if len(all) != 5*60 {
		t.Fatalf("Duo shows %d records, want %d", len(all), 5*60)
	}
	check(all)

	calls := len(w.sim.Calls())
	w.clean(w.sync())
	check(nil)
	if n := len(w.sim.Calls()) - calls; n != 5 {
		t.Errorf("an idle run made %d calls, want one for each of 5 streams", n)
	}

	before := all
	last := time.Now().Add(-duosim.Delay)
	for _, name := range duo.Names() {
		g := duosim.Generator{Seed: 2}
		w.add(parent, name, g.Generate(name, 3, last.Add(-20*time.Second), time.Second)...)
	}
	w.clean(w.sync())
	all = w.lines(parent, duo.Names()...)
	check(without(all, before))

	// These show up late, minutes behind what is delivered.
	before = all
	for _, name := range duo.Names() {
		g := duosim.Generator{Seed: 3}
		w.add(parent, name, g.Generate(name, 3, last.Add(-8*time.Minute), 90*time.Second)...)
	}
	w.clean(w.sync())
	all = w.lines(parent, duo.Names()...)
	check(without(all, before))
	w.clean(w.sync())
	check(nil)
}

// without takes the lines of b, each as often as it stands there, from a.
func without(a, b []string) []string {
	count := map[string]int{}
	for _, s := range b {
		count[s]++
	}
	var rest []string
	for _, s := range a {
		if count[s]--; count[s] < 0 {
			rest = append(rest, s)
		}
	}
	return rest
}

// However Duo may read the points that are not sure, nothing is lost and nothing
// repeated: over page edges, over records of one moment, and over runs.
func TestSyncWithQuirks(t *testing.T) {
	from := time.Now().Add(-179 * 24 * time.Hour).Truncate(time.Second)
	records := map[string][]duosim.Record{}
	for i, name := range duo.Names() {
		// More than a page over time, then in one moment, then in many close ones.
		limit := duo.Named(name).Limit
		burst := limit + limit/10
		if name == "adminaction" {
			burst = 900 // of more than 1000 in a second Duo shows no more
		}
		seed := uint64(i)
		records[name] = slices.Concat(
			duosim.Generator{Seed: seed}.Generate(name, limit+limit/10, from, 37*time.Second),
			duosim.Generator{Seed: seed + 100}.Generate(name, burst, from.Add(48*time.Hour), 0),
			duosim.Generator{Seed: seed + 200}.Generate(name, limit, from.Add(72*time.Hour), 7*time.Millisecond))
	}
	for name, q := range map[string]duosim.Quirks{
		"likely":                   {},
		"null on a short page":     {NullOnShortPage: true},
		"null on the last page":    {NullOnShortPage: true, NullOnLastPage: true},
		"no cursor":                {NullOnShortPage: true, NullOnLastPage: true, NullIsAbsent: true},
		"cursor as text":           {CursorAsText: true},
		"mintime ignored":          {CursorIgnoresMintime: true},
		"record repeated":          {RepeatAtPageHead: true},
		"microsecond order":        {MicrosecondOrder: true},
		"total as object":          {TotalAsObject: true},
		"old mintime refused":      {RejectOld: true},
		"more than 1000":           {MoreThan1000: true},
		"offset as number":         {OffsetAsNumber: true},
		"unsorted Trust Monitor":   {Unsorted: true},
		"unsorted, as a number":    {Unsorted: true, OffsetAsNumber: true},
		"several at the same time": {MicrosecondOrder: true, RepeatAtPageHead: true, MoreThan1000: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, siem := newWorld(t)
			w.sim.Quirks = q
			for name, all := range records {
				w.add(parent, name, all...)
			}
			w.clean(w.sync())
			all := w.lines(parent, duo.Names()...)
			exactly(t, all, siem.Take())
			w.clean(w.sync())
			exactly(t, nil, siem.Take())
			for i, name := range duo.Names() {
				g := duosim.Generator{Seed: uint64(i) + 1000}
				w.add(parent, name, g.Generate(name, 20, from.Add(72*time.Hour).Add(time.Second), 300*time.Millisecond)...)
			}
			// The overlap holds more than one call shows: it is read again in turns.
			var got [][]byte
			for range 3 {
				w.clean(w.sync())
				got = append(got, siem.Take()...)
			}
			exactly(t, without(w.lines(parent, duo.Names()...), all), got)
		})
	}
}

// The child accounts of an MSP are read each on its own host, with its own
// checkpoint; a failure of one leaves the others alone.
func TestSyncMSP(t *testing.T) {
	t.Parallel()
	names := []string{"auth", "telephony", "activity", "adminaction"}
	w, siem := newWorld(t)
	children := []string{"DACHILD0000000000001", "DACHILD0000000000002", "DACHILD0000000000003"}
	for i, id := range children {
		w.child(id, "Child")
		w.fill(id, 30, time.Now().Add(-time.Hour), uint64(i))
	}
	w.fill(parent, 10, time.Now().Add(-time.Hour), 99) // nobody asked for the parent's own
	w.text.blockList = children[2:]
	w.sim.Deny(children[1], "activity")

	sum := w.sync()
	failed := sum.Failed()
	if len(failed) != 1 || failed[0].Name() != "activity of "+children[1] {
		t.Fatalf("failed: %v", failed)
	}
	if hint := failed[0].Hint(); !strings.Contains(hint, "Grant read log") {
		t.Errorf("hint %q names no permission", hint)
	}
	want := append(w.lines(children[0], names...), w.lines(children[1], "auth", "telephony", "adminaction")...)
	exactly(t, want, siem.Take())

	w.sim.Permit(children[1], "activity")
	w.clean(w.sync())
	exactly(t, w.lines(children[1], "activity"), siem.Take())

	// A new child is seen by the next run.
	w.text.blockList = nil
	w.clean(w.sync())
	exactly(t, w.lines(children[2], names...), siem.Take())
	w.clean(w.sync())
	exactly(t, nil, siem.Take())

	w.fill(children[0], 5, time.Now().Add(-5*time.Minute), 7)
	w.clean(w.sync(func(o *job.Options) { o.Account = children[1] }))
	exactly(t, nil, siem.Take())
	w.clean(w.sync(func(o *job.Options) { o.Account, o.Endpoints = children[0], []string{"auth"} }))
	if n := len(siem.Take()); n != 5 {
		t.Errorf("%d records, want 5", n)
	}
}

// A child account whose API host lies elsewhere than its parent's is not called, and
// stops no other.
func TestSyncChildElsewhere(t *testing.T) {
	w, siem := newWorld(t)
	const near, far = "DACHILD0000000000001", "DACHILD0000000000002"
	w.child(near, "Child")
	w.fill(near, 5, time.Now().Add(-time.Hour), 1)
	w.sim.AddAccount(duosim.Account{ID: far, Name: "Far", Host: "169.254.169.254", Parent: parent})
	failed := w.sync(func(o *job.Options) { o.Endpoints = []string{"auth"} }).Failed()
	if len(failed) != 1 || failed[0].Name() != "auth of "+far {
		t.Fatalf("failed: %v, want auth of %s", failed, far)
	}
	if err, hint := failed[0].Err.Error(), failed[0].Hint(); !strings.Contains(err, "is not called") || !strings.Contains(hint, "account.child_domains") {
		t.Errorf("error %q, hint %q", err, hint)
	}
	exactly(t, w.lines(near, "auth"), siem.Take())
}

// A second run finds the lock held and fetches nothing.
func TestSyncLocked(t *testing.T) {
	w, _ := newWorld(t)
	defer storetest.Lock(t, w.path("state"))()
	if _, err := w.try(); !errors.Is(err, state.ErrLocked) {
		t.Errorf("error %v, want %v", err, state.ErrLocked)
	}
	if n := len(w.sim.Calls()); n != 0 {
		t.Errorf("%d calls, want none", n)
	}
}

// Where nothing is there at first, the window still begins where the first run
// put it.
func TestSyncBeginsOnce(t *testing.T) {
	t.Parallel()
	w, siem := newWorld(t)
	w.text.api = map[string]any{"offset": 1}
	w.clean(w.sync())
	files, err := os.ReadDir(w.path("state"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	want := []string{"activity_checkpoint.json", "adminaction_checkpoint.json", "auth_checkpoint.json", "dls.lock", "dls_last_run.json", "dls_roster.json", "telephony_checkpoint.json", "trustmonitor_checkpoint.json"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	// With a smaller offset the window must not move up over what was not read.
	w.text.api = map[string]any{"offset": 0}
	w.fill(parent, 10, time.Now().Add(-12*time.Hour), 1)
	w.clean(w.sync())
	exactly(t, w.lines(parent, duo.Names()...), siem.Take())
}

// An endpoint mapped to two servers is fetched once, and its checkpoint moves
// when both have confirmed.
func TestSyncTwoServers(t *testing.T) {
	t.Parallel()
	w, one := newWorld(t)
	w.text.servers = append(w.text.servers, server{id: "down", protocol: "TCP", port: sinktest.FreePort(t)})
	w.fill(parent, 20, time.Now().Add(-time.Hour), 1)
	sum := w.sync()
	if sum.Through() || len(sum.Failed()) != 5 {
		t.Errorf("%d streams failed, want all 5", len(sum.Failed()))
	}
	all := w.lines(parent, duo.Names()...)
	exactly(t, nil, one.Take()) // or it would get the page again in each run
	two := sinktest.Listen(t, sinktest.Options{})
	w.text.servers[1].port = two.Port()
	calls := len(w.sim.Calls())
	w.clean(w.sync())
	exactly(t, all, one.Take())
	exactly(t, all, two.Take())
	if n := len(w.sim.Calls()) - calls; n != 2*5-1 { // each asks on until nothing comes, Trust Monitor is told
		t.Errorf("%d calls for 5 streams", n)
	}
}

func TestSyncWithoutCheckpoints(t *testing.T) {
	w, siem := newWorld(t)
	w.text.enabled = false
	w.fill(parent, 20, time.Now().Add(-time.Hour), 1)
	for range 2 {
		w.clean(w.sync())
		exactly(t, w.lines(parent, duo.Names()...), siem.Take())
	}
	if files, err := os.ReadDir(w.path("state")); err != nil || len(files) > 0 {
		t.Errorf("files %v, %v, want none", files, err)
	}
}
