package legacy

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"dls/state"

	"github.com/google/go-cmp/cmp"
)

func TestStream(t *testing.T) {
	for name, want := range map[string]string{
		"auth_checkpoint_data.txt":                 "auth  false",
		"authlog_checkpoint_data.txt":              "auth  false",
		"activity_checkpoint_data_DA1.txt":         "activity DA1 false",
		"adminaction_checkpoint.json":              "adminaction  true",
		"auth_checkpoint_DA1.json":                 "auth DA1 true",
		"authlog_checkpoint.json":                  "none",
		"auth_checkpoint_data.txt.imported":        "none",
		"auth_checkpoint_data_../x.txt":            "none",
		"auth_checkpoint_data_.txt":                "none",
		"auth_checkpoint.txt":                      "none",
		"auth_checkpoint_data_.json":               "none",
		"xauth_checkpoint_data.txt":                "none",
		"auth_udp_failed_ingestion_logs.txt":       "none",
		"telephony_checkpoint_data_DA2;rm -rf.txt": "none",
	} {
		got := "none"
		if id, own, ok := stream(name); ok {
			got = fmt.Sprint(id.Endpoint, " ", id.Account, " ", own)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestElsewhere(t *testing.T) {
	write := func(dir string, names ...string) {
		t.Helper()
		for _, name := range names {
			text := "{}"
			if name, text, _ = strings.Cut(name, "="); text == "" {
				text = "{}"
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := []string{"auth", "telephony", "activity"}
	for _, tt := range []struct {
		name        string
		here, there []string // files; "=" and the content
		search      Search
		want        string
	}{
		{"nothing", nil, []string{"x.txt", "auth_checkpoint_data.txt.imported"}, Search{Endpoints: all}, ""},
		{"duologsync's", nil, []string{"auth_checkpoint_data.txt", "telephony_checkpoint_data.txt"}, Search{Endpoints: all}, "auth_checkpoint_data.txt, telephony_checkpoint_data.txt"},
		{"of version 1.0", nil, []string{"authlog_checkpoint_data.txt"}, Search{Endpoints: all}, "authlog_checkpoint_data.txt"},
		{"of endpoints that are not fetched", nil, []string{"auth_checkpoint_data.txt", "adminaction_checkpoint_data.txt"}, Search{Endpoints: []string{"telephony"}}, ""},
		{"of an MSP's children, for a single account", nil, []string{"auth_checkpoint_data_DA1.txt"}, Search{Endpoints: all}, ""},
		{"of a single account, for an MSP", nil, []string{"auth_checkpoint_data.txt"}, Search{Endpoints: all, MSP: true}, ""},
		{"of children", nil, []string{"auth_checkpoint_data_DA1.txt", "auth_checkpoint_data_DA2.txt", "telephony_checkpoint_data.txt", "activity_checkpoint_data.txt"}, Search{Endpoints: all, MSP: true, BlockList: []string{"DA2"}}, "auth_checkpoint_data_DA1.txt, telephony_checkpoint_data.txt"},
		{"moved in part", []string{"auth_checkpoint_data.txt"}, []string{"auth_checkpoint_data.txt", "activity_checkpoint_data.txt"}, Search{Endpoints: all}, "activity_checkpoint_data.txt"},
		{"not the first run", []string{"activity_checkpoint.json"}, []string{"auth_checkpoint_data.txt"}, Search{Endpoints: all}, ""},
		{"dls's own", nil, []string{`auth_checkpoint.json={"ikey":"DI1"}`, `telephony_checkpoint.json={"ikey":"DI2"}`, "activity_checkpoint.json=torn"}, Search{Endpoints: all, IKey: "DI1"}, "auth_checkpoint.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			here, there := t.TempDir(), t.TempDir()
			write(here, tt.here...)
			write(there, tt.there...)
			tt.search.Dir, tt.search.Places = here, []string{here, there, there, filepath.Join(there, "absent")}
			strays := Elsewhere(tt.search)
			err := Begins(here, strays)
			if tt.want == "" {
				if err != nil || len(strays) > 0 {
					t.Errorf("found %v, error %v", strays, err)
				}
				return
			}
			want := fmt.Sprintf("there is no checkpoint in %q, but %s in %q: a run that begins at dls_settings.api.offset sends again what they say is delivered", here, tt.want, there)
			if err == nil || err.Error() != want {
				t.Errorf("error %v, want %s", err, want)
			}
			if runtime.GOOS == "windows" {
				return
			}
			hint := "go on from them: mv"
			for name := range strings.SplitSeq(tt.want, ", ") {
				hint += " " + filepath.Join(there, name)
			}
			if diff := cmp.Diff(hint+" "+here+"/; or begin anew on purpose, with --begin", err.(*BeginError).Hint()); diff != "" {
				t.Errorf("hint (-want +got):\n%s", diff)
			}
		})
	}
}

// Where systemd keeps the checkpoints of jobs only dls's own count: the others may be
// another account's. What lies there is not moved into the temporary folder.
func TestElsewhereJobs(t *testing.T) {
	here, place := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"auth_checkpoint_data.txt": "{}", "telephony_checkpoint.json": `{"ikey":"DI2"}`, "activity_checkpoint.json": `{"ikey":"DI1"}`} {
		if err := os.WriteFile(filepath.Join(place, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	strays := Elsewhere(Search{Dir: here, IKey: "DI1", Endpoints: []string{"auth", "telephony", "activity"}, Jobs: []string{place, here}})
	if diff := cmp.Diff([]Stray{{Dir: place, Names: []string{"activity_checkpoint.json"}}}, strays); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if hint := (&BeginError{here, strays}).Hint(); !strings.HasPrefix(hint, "go on from them: m") {
		t.Errorf("hint for another directory that lasts: %s", hint)
	}
	if hint := (&BeginError{Places()[0], strays}).Hint(); !strings.Contains(hint, "STATE_DIRECTORY="+place) || strings.Contains(hint, "mv ") {
		t.Errorf("hint for the temporary folder: %s", hint)
	}
}

func TestElsewhereForeign(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	place := t.TempDir()
	for _, name := range []string{"auth_checkpoint_data.txt", "activity_checkpoint_data.txt"} {
		path := filepath.Join(place, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "auth_checkpoint_data.txt" {
			if err := os.Chown(path, 61001, 61001); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(place, "telephony_checkpoint_data.txt")); err != nil {
		t.Fatal(err)
	}
	strays := Elsewhere(Search{Dir: filepath.Join(place, "none"), Endpoints: []string{"auth", "activity", "telephony"}, Places: []string{place}})
	want := []Stray{{Dir: place, Names: []string{"activity_checkpoint_data.txt"}, Foreign: []string{"auth_checkpoint_data.txt"}}}
	if diff := cmp.Diff(want, strays); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if note := strays[0].Note(); !strings.Contains(note, "auth_checkpoint_data.txt in ") || !strings.Contains(note, "is another user's") {
		t.Errorf("note %q", note)
	}
	strays[0].Names = nil
	if err := Begins("/x", strays); err != nil {
		t.Errorf("somebody else's files stop the run: %v", err)
	}
}

func TestMove(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the command is another one there")
	}
	many := make([]string, 9)
	for i := range many {
		many[i] = state.ID{Endpoint: "auth", Account: fmt.Sprint("DA", i)}.File()
	}
	e := &BeginError{filepath.Join(t.TempDir(), "it's new"), []Stray{{Dir: "/tmp", Names: many}, {Dir: "/my tmp", Names: many[:1]}}}
	dir := "'" + strings.ReplaceAll(e.Dir, "'", `'\''`) + "'"
	want := "install -d -m 700 " + dir + " && mv /tmp/*_checkpoint* '/my tmp/auth_checkpoint_DA0.json' " + dir + "/"
	if diff := cmp.Diff(want, e.Move()); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	if text := e.Error(); !strings.Contains(text, "and 1 more") {
		t.Errorf("error %s", text)
	}
	// A checkpoint of dls's own goes with its ledger, however many there are.
	place := t.TempDir()
	ledger := state.ID{Endpoint: "auth", Account: "DA0"}.LedgerFile()
	if err := os.WriteFile(filepath.Join(place, ledger), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		names, moved []string
	}{
		{[]string{many[0], "auth_checkpoint_data_DA1.txt"}, []string{many[0], ledger, "auth_checkpoint_data_DA1.txt"}},
		{many, []string{"*_checkpoint*", "*_ledger*"}},
	} {
		e := &BeginError{place, []Stray{{Dir: place, Names: test.names}}}
		want := "mv " + place + "/" + strings.Join(test.moved, " "+place+"/") + " " + place + "/"
		if diff := cmp.Diff(want, e.Move()); diff != "" {
			t.Errorf("command (-want +got):\n%s", diff)
		}
	}
}
