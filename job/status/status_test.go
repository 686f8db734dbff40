package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dls/job"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/report"
	"dls/state"
)

const ikey = "DIAAAAAAAAAAAAAAAAAA"

var now = time.Date(2025, 11, 24, 12, 0, 0, 0, time.UTC)

// ago is the time so long before now.
func ago(d time.Duration) time.Time { return now.Add(-d) }

func settings(msp bool, endpoints ...string) *config.Config {
	cfg := &config.Config{Checkpointing: true, Account: config.Account{IKey: ikey, MSP: msp}}
	for _, name := range endpoints {
		cfg.Routes = append(cfg.Routes, config.Route{Endpoint: duo.Named(name), Servers: []int{0}})
	}
	return cfg
}

func open(t *testing.T) *state.Dir {
	t.Helper()
	dir, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// checkpoint saves one of a stream whose last record is so old.
func checkpoint(t *testing.T, dir *state.Dir, key, name, account string, old time.Duration) {
	t.Helper()
	id := state.ID{IKey: key, Endpoint: name, Account: account}
	if err := dir.Save(id, &state.Checkpoint{Progress: state.Progress{Began: 1, DeliveredUntil: ago(old).UnixMilli()}}); err != nil {
		t.Fatal(err)
	}
}

// roster writes the roster of a store that has had these checkpoints.
func roster(t *testing.T, dir *state.Dir, checkpoints ...string) {
	t.Helper()
	write(t, dir, "dls_roster.json", `{"version":1,"ikey":"`+ikey+`","streams":["`+strings.Join(checkpoints, `","`)+`"]}`, 0)
}

// write writes a file that was last changed so long ago.
func write(t *testing.T, dir *state.Dir, name, content string, old time.Duration) {
	t.Helper()
	if err := os.WriteFile(dir.Path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dir.Path(name), ago(old), ago(old)); err != nil {
		t.Fatal(err)
	}
}

// done is a run that ended so long ago and delivered everything.
func done(name, account string, old time.Duration) state.StreamRun {
	return state.StreamRun{
		Endpoint: name, Account: account, Ended: ago(old), Outcome: state.Done, Fetched: 7, Delivered: 5, Already: 2,
		Bytes: 900, Pages: 1, Duration: 1500 * time.Millisecond, CompleteUntil: ago(old + 2*time.Minute), Succeeded: ago(old),
	}
}

func failed(name, account, because string, old time.Duration) state.StreamRun {
	return state.StreamRun{Endpoint: name, Account: account, Ended: ago(old), Outcome: state.Failed, Error: because, Retries: 3}
}

func save(t *testing.T, dir *state.Dir, all bool, runs ...state.StreamRun) {
	t.Helper()
	if _, err := dir.SaveRuns("", ikey, runs, all); err != nil {
		t.Fatal(err)
	}
}

func collect(t *testing.T, cfg *config.Config, dir *state.Dir) *Report {
	t.Helper()
	var store state.Store
	if dir != nil {
		store = dir
	}
	report, err := Collect(cfg, store, now)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// table returns the table with blanks squeezed, without its heading.
func table(t *testing.T, r *Report) []string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Table(&b, report.Screen{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")[1:]
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return lines
}

func TestTable(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  *config.Config
		make func(t *testing.T, dir *state.Dir)
		want []string
	}{
		{"never ran", settings(false, "auth", "activity"), func(*testing.T, *state.Dir) {}, []string{
			"auth never - - - -", "activity never - - - -", "",
			"2 streams: 2 never",
		}},
		{"idle and busy", settings(false, "auth", "activity"), func(t *testing.T, dir *state.Dir) {
			checkpoint(t, dir, ikey, "auth", "", 5*24*time.Hour)
			checkpoint(t, dir, ikey, "activity", "", 90*time.Second)
			save(t, dir, true, done("auth", "", time.Minute), done("activity", "", time.Minute))
		}, []string{
			"auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5",
			"activity ok 2025-11-24T11:58:30Z 1m 2025-11-24T11:59:00Z 5", "",
			"2 streams: 2 ok; furthest behind: auth by 3m",
		}},
		{"kept in a file", settings(false, "auth"), func(t *testing.T, dir *state.Dir) {
			checkpoint(t, dir, ikey, "auth", "", 5*24*time.Hour)
			kept := done("auth", "", time.Minute)
			kept.Oversize, kept.Longest = 2, 12345
			save(t, dir, true, kept)
		}, []string{
			"auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5 2 that the receiver does not take kept in a file", "",
			"1 stream: 1 ok; furthest behind: auth by 3m; longest record of the last runs: 12345 bytes",
		}},
		{"fails after a success", settings(false, "auth"), func(t *testing.T, dir *state.Dir) {
			checkpoint(t, dir, ikey, "auth", "", 5*time.Hour)
			save(t, dir, true, done("auth", "", 130*time.Minute))
			save(t, dir, true, failed("auth", "", "no answer "+strings.Repeat("x", 200), time.Minute))
		}, []string{
			"auth failed 2025-11-24T09:48:00Z 2h12m 2025-11-24T11:59:00Z 0 no answer " + strings.Repeat("x", 89) + "…", "",
			"1 stream: 1 failed; furthest behind: auth by 2h12m",
		}},
		{"checkpoint that cannot be used", settings(false, "auth", "activity"), func(t *testing.T, dir *state.Dir) {
			checkpoint(t, dir, "DIB", "auth", "", time.Hour)
			write(t, dir, "activity_checkpoint.json", "", 0)
			save(t, dir, true, done("auth", "", time.Minute))
		}, []string{
			`auth unreadable 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5 checkpoint: it belongs to another account, of the integration key "DIB"`,
			"activity unreadable - - - - checkpoint: it is empty", "",
			"2 streams: 2 unreadable; furthest behind: auth by 3m",
		}},
		{"checkpoint is gone", settings(false, "auth", "activity", "telephony", "adminaction"), func(t *testing.T, dir *state.Dir) {
			roster(t, dir, "auth_checkpoint.json", "activity_checkpoint.json", "telephony_checkpoint.json", "trustmonitor_checkpoint.json")
			write(t, dir, "telephony_checkpoint_data.txt", "1", 0)
			gone := (&job.MissingError{Path: dir.Path("activity_checkpoint.json")}).Error()
			save(t, dir, true, done("auth", "", time.Minute), failed("activity", "", gone, time.Minute))
		}, []string{
			"auth unreadable 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5 checkpoint: it is gone: the store has known this stream, and all of dls_settings.api.offset would b…",
			"telephony never - - - - duologsync's checkpoint is waiting",
			"activity unreadable - - 2025-11-24T11:59:00Z 0 checkpoint: it is gone: the store has known this stream, and all of dls_settings.api.offset would b…",
			"adminaction never - - - -", "",
			"4 streams: 2 unreadable, 2 never; furthest behind: auth by 3m",
		}},
		{"roster that cannot be read", settings(false, "auth", "activity"), func(t *testing.T, dir *state.Dir) {
			write(t, dir, "dls_roster.json", "{", 0)
			checkpoint(t, dir, ikey, "auth", "", time.Hour)
			save(t, dir, true, done("auth", "", time.Minute))
		}, []string{
			"auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5",
			"activity unreadable - - - - checkpoint: there is none, and the roster of those that there were cannot be used: it is damaged", "",
			"2 streams: 1 unreadable, 1 ok; furthest behind: auth by 3m",
		}},
		{"msp of which all but the roster is gone", settings(true, "auth"), func(t *testing.T, dir *state.Dir) {
			roster(t, dir, "auth_checkpoint_DA1.json")
		}, []string{
			"DA1", "auth unreadable - - - - checkpoint: it is gone: the store has known this stream, and all of dls_settings.api.offset would b…", "",
			"1 stream of 1 child account: 1 unreadable",
		}},
		{"checkpoint that cannot be used, and the last run said so", settings(false, "auth"), func(t *testing.T, dir *state.Dir) {
			write(t, dir, "auth_checkpoint.json", "", 0)
			_, err := dir.Load(state.ID{IKey: ikey, Endpoint: "auth"})
			save(t, dir, true, failed("auth", "", err.Error(), time.Minute))
		}, []string{
			"auth unreadable - - 2025-11-24T11:59:00Z 0 checkpoint: it is empty", "",
			"1 stream: 1 unreadable",
		}},
		{"no longer mapped", settings(false, "activity"), func(t *testing.T, dir *state.Dir) {
			checkpoint(t, dir, ikey, "auth", "", 5*24*time.Hour)
			checkpoint(t, dir, ikey, "auth", "DA1", 4*24*time.Hour)
			save(t, dir, true, done("activity", "", time.Minute))
		}, []string{
			"activity ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5",
			"auth leftover 2025-11-19T12:00:00Z 5d - -",
			"auth leftover 2025-11-20T12:00:00Z 4d - -", "",
			"1 stream: 1 ok, 2 leftover; furthest behind: activity by 3m",
		}},
		{"takeover", settings(false, "auth", "telephony", "activity"), func(t *testing.T, dir *state.Dir) {
			write(t, dir, "auth_checkpoint_data.txt", "1", 0)
			write(t, dir, "telephony_checkpoint_data.txt.imported", "1", 0)
			checkpoint(t, dir, ikey, "telephony", "", time.Hour)
			write(t, dir, "activity_checkpoint_data.txt", "1", 0)
			checkpoint(t, dir, ikey, "activity", "", time.Hour)
		}, []string{
			"auth never - - - - duologsync's checkpoint is waiting",
			"telephony never 2025-11-24T11:00:00Z 1h0m - - taken over from duologsync",
			"activity never 2025-11-24T11:00:00Z 1h0m - - duologsync's checkpoint is not used", "",
			"3 streams: 3 never; furthest behind: telephony by 1h0m",
		}},
		{"msp before its first run", settings(true, "auth", "activity"), func(t *testing.T, dir *state.Dir) {
			write(t, dir, "telephony_checkpoint_data.txt", "1", 0)
		}, []string{
			"(no account)", "auth never - - - -", "activity never - - - -", "",
			"2 streams of 0 child accounts: 2 never", "note: no child account is known yet: the first run asks Duo for them",
		}},
		{"msp moving from duologsync", settings(true, "auth", "telephony"), func(t *testing.T, dir *state.Dir) {
			write(t, dir, "telephony_checkpoint_data.txt", "1", 0)
			write(t, dir, "auth_checkpoint_data_DA1.txt", "1", 365*24*time.Hour)
		}, []string{
			"DA1", "auth never - - - - duologsync's checkpoint is waiting", "telephony never - - - - duologsync's checkpoint is waiting", "",
			"2 streams of 1 child account: 2 never",
		}},
		{"msp, worst first", settings(true, "auth", "activity"), func(t *testing.T, dir *state.Dir) {
			named := done("auth", "DA3", 2*time.Hour)
			named.AccountName = "Evil \x1b[2J\n" + strings.Repeat("é", 100)
			save(t, dir, true,
				done("auth", "DA1", time.Minute), done("activity", "DA1", time.Minute),
				done("auth", "DA2", time.Minute), failed("activity", "DA2", "because\x1b]0;x\x07\nok", time.Minute),
				named, done("activity", "DA3", time.Minute),
				done("auth", "DA4", time.Minute))
			checkpoint(t, dir, ikey, "auth", "DA5", time.Minute) // a child that is new
		}, []string{
			"DA2", "auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5", "activity failed - - 2025-11-24T11:59:00Z 0 because?]0;x??ok",
			"DA4", "auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5", "activity never - - - -",
			"DA5", "auth never 2025-11-24T11:59:00Z 1m - -", "activity never - - - -",
			"Evil ?[2J?" + strings.Repeat("é", 49) + "… (DA3)", "auth ok 2025-11-24T09:58:00Z 2h2m 2025-11-24T10:00:00Z 5", "activity ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5",
			"DA1", "auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5", "activity ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5", "",
			"10 streams of 5 child accounts: 1 failed, 3 never, 6 ok; furthest behind: auth of DA3 by 2h2m",
		}},
		{"msp, an id that is none", settings(true, "auth"), func(t *testing.T, dir *state.Dir) {
			save(t, dir, true, done("auth", "DA1", time.Minute), failed("auth", "\x1b[31m\u202e", "no account", time.Minute))
		}, []string{
			"?[31m?", "auth failed - - 2025-11-24T11:59:00Z 0 no account",
			"DA1", "auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5", "",
			"2 streams of 2 child accounts: 1 failed, 1 ok; furthest behind: auth of DA1 by 3m",
		}},
		{"msp, a child without an id", settings(true, "auth", "activity"), func(t *testing.T, dir *state.Dir) {
			roster(t, dir, "auth_checkpoint.json") // of a single account
			save(t, dir, true, done("auth", "DA1", time.Minute), done("activity", "DA1", time.Minute),
				failed("auth", "", "entry 2 has no account_id", time.Minute), failed("activity", "", "entry 2 has no account_id", time.Minute))
		}, []string{
			"(no account)", "auth failed - - 2025-11-24T11:59:00Z 0 entry 2 has no account_id", "activity failed - - 2025-11-24T11:59:00Z 0 entry 2 has no account_id",
			"DA1", "auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5", "activity ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5", "",
			"4 streams of 1 child account: 2 failed, 2 ok; furthest behind: auth of DA1 by 3m",
		}},
		{"msp, a child without an id that is listed no more", settings(true, "auth"), func(t *testing.T, dir *state.Dir) {
			save(t, dir, true, done("auth", "DA1", time.Hour), failed("auth", "", "entry 2 has no account_id", time.Hour))
			save(t, dir, true, done("auth", "DA1", time.Minute))
		}, []string{
			"DA1", "auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5",
			"(no account)", "auth leftover - - 2025-11-24T11:00:00Z 0 entry 2 has no account_id", "",
			"1 stream of 1 child account: 1 ok, 1 leftover; furthest behind: auth of DA1 by 3m",
		}},
		{"msp, children that are gone", func() *config.Config {
			cfg := settings(true, "auth")
			cfg.Account.BlockList = []string{"DA3"}
			return cfg
		}(), func(t *testing.T, dir *state.Dir) {
			save(t, dir, true, done("auth", "DA1", time.Hour), done("auth", "DA2", time.Hour), done("auth", "DA3", time.Hour))
			save(t, dir, true, done("auth", "DA1", time.Minute), done("auth", "DA3", time.Minute))
			checkpoint(t, dir, ikey, "auth", "DA2", time.Hour)
			checkpoint(t, dir, ikey, "auth", "DA4", 40*24*time.Hour) // of whose runs nothing is known any more
			if err := os.Chtimes(dir.Path("auth_checkpoint_DA4.json"), ago(31*24*time.Hour), ago(31*24*time.Hour)); err != nil {
				t.Fatal(err)
			}
			checkpoint(t, dir, ikey, "auth", "", time.Hour)
		}, []string{
			"DA1", "auth ok 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5",
			"(no account)", "auth leftover 2025-11-24T11:00:00Z 1h0m - -",
			"DA2", "auth leftover 2025-11-24T11:00:00Z 1h0m 2025-11-24T11:00:00Z 5",
			"DA3", "auth leftover 2025-11-24T11:57:00Z 3m 2025-11-24T11:59:00Z 5",
			"DA4", "auth leftover 2025-10-15T12:00:00Z 40d - -", "",
			"1 stream of 1 child account: 1 ok, 4 leftover; furthest behind: auth of DA1 by 3m",
		}},
		{"last runs that cannot be read", settings(false, "auth"), func(t *testing.T, dir *state.Dir) {
			write(t, dir, "dls_last_run.json", "{", 0)
		}, []string{
			"auth never - - - -", "", "1 stream: 1 never", "note: it is damaged",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := open(t)
			tt.make(t, dir)
			got := table(t, collect(t, tt.cfg, dir))
			for i, line := range got {
				if _, rest, ok := strings.Cut(line, `.json": `); ok { // the path differs
					rest, _, _ = strings.Cut(rest, ";")
					got[i] = "note: " + rest
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestColumnsAreAligned(t *testing.T) {
	dir := open(t)
	save(t, dir, true, done("auth", "DA1", time.Minute), failed("adminaction", "DA2", "refused", time.Minute))
	var b bytes.Buffer
	if err := collect(t, settings(true, "auth", "adminaction"), dir).Table(&b, report.Screen{}); err != nil {
		t.Fatal(err)
	}
	want := `  ENDPOINT     STATE   DELIVERED UP TO       BEHIND  LAST RUN              RECORDS  NOTE
DA2
  auth         never   -                     -       -                     -
  adminaction  failed  -                     -       2025-11-24T11:59:00Z  0        refused
DA1
  auth         ok      2025-11-24T11:57:00Z  3m      2025-11-24T11:59:00Z  5
  adminaction  never   -                     -       -                     -

4 streams of 2 child accounts: 1 failed, 2 never, 1 ok; furthest behind: auth of DA1 by 3m
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWithoutCheckpointing(t *testing.T) {
	report := collect(t, settings(false, "auth"), nil)
	want := []string{"auth never - - - -", "", "1 stream: 1 never", "note: dls_settings.checkpointing.enabled is false: nothing is remembered"}
	if diff := cmp.Diff(want, table(t, report)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(report.Behind(time.Hour)) != 1 {
		t.Error("a stream of which nothing is known is not behind")
	}
}

func TestBehind(t *testing.T) {
	dir := open(t)
	checkpoint(t, dir, "DIB", "telephony", "", time.Minute)
	checkpoint(t, dir, ikey, "trustmonitor", "", time.Minute)
	late := done("activity", "", 30*time.Minute)
	late.CompleteUntil = ago(2 * time.Hour)
	save(t, dir, false, done("auth", "", 30*time.Minute), late, done("telephony", "", time.Minute))
	cfg := settings(false, "auth", "telephony", "activity", "adminaction")
	for lag, want := range map[time.Duration][]string{
		29 * time.Minute: {"auth", "telephony", "activity", "adminaction"},
		32 * time.Minute: {"telephony", "activity", "adminaction"},
		3 * time.Hour:    {"telephony", "adminaction"},
	} {
		var got []string
		for _, row := range collect(t, cfg, dir).Behind(lag) {
			got = append(got, row.Name())
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("behind by more than %v (-want +got):\n%s", lag, diff)
		}
	}
	// Records are delivered up to now, and yet no run has come to its end.
	save(t, dir, false, done("adminaction", "", 2*time.Hour))
	save(t, dir, false, failed("adminaction", "", "no answer", time.Minute))
	checkpoint(t, dir, ikey, "adminaction", "", time.Minute)
	behind := collect(t, settings(false, "adminaction"), dir).Behind(time.Hour)
	if len(behind) != 1 || behind[0].BehindBy != time.Minute {
		t.Errorf("got %+v", behind)
	}
}

func TestJSON(t *testing.T) {
	dir := open(t)
	kept := done("auth", "DA1", time.Minute)
	kept.Oversize, kept.Longest = 1, 300
	save(t, dir, true, kept, failed("activity", "DA1", "a\u009b<b>", time.Minute))
	var b bytes.Buffer
	if err := collect(t, settings(true, "auth", "activity", "telephony"), dir).JSON(&b); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"at":"2025-11-24T12:00:00Z","directory":%q,"msp":true,"notes":[],"streams":[
{"endpoint":"auth","account_id":"DA1","account_name":"","state":"ok","configured":true,"delivered_until":"2025-11-24T11:57:00Z","behind_seconds":180,
 "last_success":"2025-11-24T11:59:00Z","checkpoint_problem":"","takeover":"","last_run":{"ended":"2025-11-24T11:59:00Z","outcome":"done","error":"",
 "fetched":7,"delivered":5,"already":2,"oversize":1,"longest_bytes":300,"bytes":900,"pages":1,"retries":0,"rate_limited":0,"duration_seconds":1.5,"late":0,"audited":null,"audit_missing":0}},
{"endpoint":"telephony","account_id":"DA1","account_name":"","state":"never","configured":true,"delivered_until":null,"behind_seconds":null,
 "last_success":null,"checkpoint_problem":"","takeover":"","last_run":null},
{"endpoint":"activity","account_id":"DA1","account_name":"","state":"failed","configured":true,"delivered_until":null,"behind_seconds":null,
 "last_success":null,"checkpoint_problem":"","takeover":"","last_run":{"ended":"2025-11-24T11:59:00Z","outcome":"failed","error":"a?<b>",
 "fetched":0,"delivered":0,"already":0,"oversize":0,"longest_bytes":0,"bytes":0,"pages":0,"retries":3,"rate_limited":0,"duration_seconds":0,"late":0,"audited":null,"audit_missing":0}}]}`, dir.Path(""))
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHuman(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		time.Hour: "1h0m", 2*time.Hour + 10*time.Minute: "2h10m", 24*time.Hour - 1: "23h59m", 24 * time.Hour: "1d", 5*24*time.Hour + 23*time.Hour: "5d",
		-3 * time.Minute: "-3m", math.MinInt64: "-106751d",
	} {
		if got := human(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestParseName(t *testing.T) {
	type parsed struct {
		Account string
		Own, OK bool
	}
	for name, want := range map[string]parsed{
		"auth_checkpoint.json":                        {"", true, true},
		"trustmonitor_checkpoint.json":                {"", true, true},
		"auth_checkpoint_DA1.json":                    {"DA1", true, true},
		"auth_checkpoint_data.txt":                    {"", false, true},
		"auth_checkpoint_data_DA1.txt":                {"DA1", false, true},
		"auth_checkpoint_data_DA1.txt.imported":       {},
		"auth_checkpoint_.json":                       {},
		"auth_checkpoint_DA1\x1b.json":                {},
		"auth_checkpoint_DA 1.json":                   {},
		"authx_checkpoint.json":                       {},
		"auth_checkpoint":                             {},
		"dls_last_run.json":                           {},
		"auth_udp_failed_ingestion_logs.txt":          {},
		"adminaction_checkpoint_data_DA1_checkpoint.": {},
	} {
		account, own, ok := parseName(name)
		if !ok {
			account, own = "", false
		}
		if diff := cmp.Diff(want, parsed{account, own, ok}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", name, diff)
		}
	}
}

// FuzzTable holds that no foreign text makes lines, or characters that a
// terminal acts on.
func FuzzTable(f *testing.F) {
	f.Add("Acme", "no answer")
	f.Add("a\nb\x1b[2J", "\u202E\u009b\t\xff")
	f.Fuzz(func(t *testing.T, name, text string) {
		dir := open(t)
		run := failed("auth", "DA1", text, time.Minute)
		run.AccountName = name
		save(t, dir, true, run)
		found := collect(t, settings(true, "auth"), dir)
		var table, object bytes.Buffer
		if err := found.Table(&table, report.Screen{}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(table.String(), "\n"); n != 5 {
			t.Errorf("%d lines:\n%s", n, table.String())
		}
		if err := found.JSON(&object); err != nil {
			t.Fatal(err)
		}
		for _, out := range []string{table.String(), object.String()} {
			if lines := strings.ReplaceAll(out, "\n", ""); report.Clean(lines) != lines {
				t.Errorf("it holds what cannot be printed: %q", out)
			}
		}
	})
}

// An account's rows stay together, whatever order they are found in.
func TestOrderIsTheSameEachTime(t *testing.T) {
	dir := open(t)
	var runs []state.StreamRun
	for i := range 30 {
		runs = append(runs, done("auth", fmt.Sprintf("DA%d", i), time.Minute), done("activity", fmt.Sprintf("DA%d", i), time.Minute))
	}
	save(t, dir, true, runs...)
	first := collect(t, settings(true, "auth", "activity"), dir)
	for range 5 {
		if diff := cmp.Diff(first, collect(t, settings(true, "auth", "activity"), dir), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
	}
}

// No line is longer than the screen, and the state is always there.
func TestTableFits(t *testing.T) {
	dir := open(t)
	run := failed("trustmonitor", "DA1", strings.Repeat("no answer from https://api-1234.duosecurity.com/admin/v1/trust_monitor/events ", 4), 50*time.Hour)
	run.AccountName = strings.Repeat("Very long name of a customer ", 5)
	save(t, dir, true, run, done("auth", "DA1", 23*time.Hour+59*time.Minute), done("activity", "DA2", time.Minute))
	found := collect(t, settings(true, "auth", "activity", "trustmonitor"), dir)
	for _, width := range []int{40, 60, 80, 100, 200} {
		var b bytes.Buffer
		if err := found.Table(&b, report.Screen{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n >= width {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
		if !strings.Contains(b.String(), "trustmonitor  failed") || !strings.Contains(b.String(), "no answer from") {
			t.Errorf("at %d columns:\n%s", width, b.String())
		}
	}
	var b bytes.Buffer
	if err := found.Table(&b, report.Screen{Width: 80, Colour: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[31;1mfailed", "\x1b[32mok", "\x1b[33mnever"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

// What could not be read does not pass for a good report.
func TestUnread(t *testing.T) {
	cfg := settings(false, "auth")
	if got := collect(t, cfg, nil).Unread(); !strings.Contains(got, "checkpointing is off") {
		t.Errorf("no directory: %q", got)
	}
	dir := open(t)
	if got := collect(t, cfg, dir).Unread(); got != "" {
		t.Errorf("nothing yet: %q", got)
	}
	if err := os.WriteFile(dir.Path("auth_checkpoint.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, cfg, dir).Unread(); !strings.Contains(got, "1 of 1 streams; the first is auth: it is damaged") {
		t.Errorf("a broken checkpoint: %q", got)
	}
	dir = open(t)
	roster(t, dir, "auth_checkpoint.json")
	save(t, dir, true, done("auth", "", time.Minute))
	gone := collect(t, cfg, dir)
	if got := gone.Unread(); !strings.Contains(got, "the first is auth: it is gone") || !strings.Contains(job.Hint(gone.Broken()), "--begin --endpoint auth") || len(gone.Behind(time.Hour)) != 1 {
		t.Errorf("a checkpoint that is gone: %q, %v, %+v", got, gone.Broken(), gone.Behind(time.Hour))
	}
	dir = open(t)
	if err := os.WriteFile(dir.Path(state.RunsFile("")), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, cfg, dir).Unread(); !strings.Contains(got, "what runs have left") {
		t.Errorf("broken last runs: %q", got)
	}
}

// The page has the worst first, takes nothing from elsewhere, and lets no foreign text
// be anything but text.
func TestHTML(t *testing.T) {
	dir := open(t)
	evil := failed("auth", "DA2", `</td><script>alert("1")</script>`, time.Minute)
	evil.AccountName = `<img src=x onerror=alert(1)> "Acme"`
	save(t, dir, true, done("auth", "DA1", time.Minute), evil)
	found := collect(t, settings(true, "auth", "telephony"), dir)
	var points []state.RunPoint
	for i := range 100 {
		at := ago(time.Duration(200-i) * time.Hour)
		points = append(points,
			state.RunPoint{At: at, Endpoint: "auth", Account: "DA1", Behind: time.Minute, Delivered: i, Outcome: state.Done},
			state.RunPoint{At: at, Endpoint: "auth", Account: "DA2", Behind: -1, Outcome: state.Failed})
	}
	found.History(append(points, state.RunPoint{At: now.Add(time.Hour), Endpoint: "auth", Account: "DA1"})) // of a wrong clock
	var b bytes.Buffer
	if err := found.HTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, never := range []string{"<script", "<img", "http:", "https:", "//", "url(", "@import", "ZgotmplZ", "NaN"} {
		if strings.Contains(text, never) {
			t.Errorf("the page has %q", never)
		}
	}
	worst, best := strings.Index(text, "<small>&lt;img"), strings.Index(text, "<small>DA1")
	if worst < 0 || best < worst {
		t.Errorf("DA2 at %d, DA1 at %d: the worst comes first", worst, best)
	}
	if n := strings.Count(text, "<svg"); n != 4 {
		t.Errorf("%d charts, want 4", n)
	}
	if !strings.Contains(text, "behind by at most 1m since 7d ago") {
		t.Errorf("no chart of a week")
	}
	if len(found.Rows[0].History) == 0 || now.Sub(found.Rows[0].History[0].At) > chartWindow {
		t.Errorf("history %v", found.Rows[0].History)
	}
}
