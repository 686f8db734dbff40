package check_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job/check"
	"dls/sinks/sinktest"
	"dls/state"
	"dls/state/storetest"
)

func TestFiles(t *testing.T) {
	auth := state.ID{IKey: ikey, Endpoint: "auth"}
	for _, test := range []struct {
		name string
		do   func(w *world)
		want func(w *world) []want
	}{
		{"warnings of the configuration", func(w *world) { w.cfg.Warnings = []string{"config.yml:3: holds a secret"} },
			func(w *world) []want {
				return []want{{check.Warning, "configuration", "config.yml:3: holds a secret", ""}}
			}},
		{"log file without its directory", func(w *world) { w.cfg.LogFile = w.path("none", "dls.log") },
			func(w *world) []want {
				return []want{{check.Warning, "log file " + w.cfg.LogFile, "", "log_filepath"}}
			}},
		{"no log file", func(w *world) { w.cfg.LogFile = "" },
			func(w *world) []want { return []want{{check.Skipped, "log file", "the log is off", ""}} }},
		{"log file is a directory", func(w *world) { w.cfg.LogFile = w.path("state") },
			func(w *world) []want {
				return []want{{check.Warning, "log file " + w.cfg.LogFile, "no regular file", "log_filepath"}}
			}},
		{"log file is there", func(w *world) { w.write("dls.log", []byte("before\n")) },
			func(w *world) []want { return nil }},
		{"no checkpoint directory", func(w *world) { w.cfg.Directory = w.path("none") },
			func(w *world) []want {
				return append([]want{{check.Failed, "checkpoint directory " + w.cfg.Directory, "", "create it"}},
					skipped("cannot be opened", "run lock", "checkpoints")...)
			}},
		{"checkpoint directory is a file", func(w *world) { w.cfg.Directory = w.path("ca.pem") },
			func(w *world) []want {
				return append([]want{{check.Failed, "checkpoint directory " + w.cfg.Directory, "", "must name a directory"}},
					skipped("cannot be opened", "run lock", "checkpoints")...)
			}},
		{"checkpointing is off", func(w *world) { w.cfg.Checkpointing, w.cfg.Directory = false, w.path("none") },
			func(w *world) []want {
				return skipped("checkpointing is off", "checkpoint directory "+w.cfg.Directory)
			}},
		{"checkpoint is gone", func(w *world) {
			w.write("state/dls_roster.json", []byte(`{"version":1,"ikey":"`+ikey+`","streams":["telephony_checkpoint.json"]}`))
		}, func(w *world) []want {
			return []want{{check.Failed, "checkpoint of telephony", "is gone", "--begin --endpoint telephony"}}
		}},
		{"there must be a checkpoint", func(w *world) {
			w.cfg.MustExist = true
			if err := os.Remove(w.path("state", "auth_checkpoint.json")); err != nil {
				w.t.Fatal(err)
			}
		}, func(w *world) []want {
			return []want{{check.Warning, "checkpoints", "there never was a checkpoint", "--begin"}}
		}},
		{"there must be a checkpoint, and is", func(w *world) {
			w.cfg.MustExist = true
			w.write("state/dls_roster.json", []byte(`{"version":1,"ikey":"`+ikey+`","streams":[]}`))
		}, func(w *world) []want { return nil }},
		{"roster is damaged", func(w *world) { w.write("state/dls_roster.json", []byte("{")) }, func(w *world) []want {
			return []want{{check.Failed, "checkpoints", "it is damaged", "put back a good copy"}}
		}},
		{"checkpoint is torn", func(w *world) { w.write("state/auth_checkpoint.json", []byte(`{"version":1,"ikey`)) },
			func(w *world) []want {
				return []want{{check.Failed, "checkpoint of auth", "it is damaged", "put back a good copy"}}
			}},
		{"checkpoint of another account", func(w *world) {
			w.save(state.ID{IKey: "DIBBBBBBBBBBBBBBBBBB", Endpoint: "auth"}, time.Now())
		}, func(w *world) []want {
			return []want{{check.Failed, "checkpoint of auth", "another account", "correct account.ikey"}}
		}},
		{"checkpoint in the future", func(w *world) { w.save(auth, time.Now().Add(time.Hour)) },
			func(w *world) []want {
				return []want{{check.Failed, "checkpoint of auth", "ahead of this machine's clock", "clock"}}
			}},
		{"checkpoint older than Duo keeps", func(w *world) { w.save(auth, time.Now().AddDate(-1, 0, 0)) },
			func(w *world) []want {
				return []want{{check.Warning, "checkpoint of auth", "has a gap", ""}}
			}},
		{"checkpoints of children", func(w *world) {
			w.cfg.Account.MSP, w.cfg.Account.BlockList = true, []string{"DABLOCKED"}
			w.route("auth", "activity")
			w.save(state.ID{IKey: ikey, Endpoint: "auth", Account: "DAGOOD"}, time.Now())
			for _, name := range []string{"auth_checkpoint_DABAD", "activity_checkpoint_DAWORSE", "activity_checkpoint_DABLOCKED", "telephony_checkpoint_DAUNMAPPED", "auth_checkpoint_"} {
				w.write("state/"+name+".json", nil)
			}
		}, func(w *world) []want {
			return []want{
				{check.Failed, "checkpoint of auth of DABAD", "it is empty", "put back"},
				{check.Failed, "checkpoint of activity of DAWORSE", "it is empty", "put back"},
			}
		}},
		{"duologsync's checkpoint is torn", func(w *world) {
			w.write("state/telephony_checkpoint_data.txt", []byte(`"17900`))
		}, func(w *world) []want {
			return []want{{check.Failed, "checkpoint of telephony", "it is cut off or damaged", "replace its content by the time"}}
		}},
		{"duologsync's checkpoint is of another zone", func(w *world) {
			w.write("state/activity_checkpoint_data.txt", fmt.Appendf(nil, `"%d,id"`, time.Now().Add(5*time.Hour).UnixMilli()))
		}, func(w *world) []want {
			return []want{{check.Warning, "checkpoint of activity", "west of UTC", "the first run finds it out"}}
		}},
		{"duologsync's checkpoint is older than Duo keeps", func(w *world) {
			w.write("state/trustmonitor_checkpoint_data.txt", fmt.Append(nil, time.Now().AddDate(-1, 0, 0).UnixMilli()))
		}, func(w *world) []want {
			return []want{{check.Warning, "checkpoint of trustmonitor", "has a gap", ""}}
		}},
		{"duologsync's checkpoint beside one of dls", func(w *world) {
			w.save(auth, time.Now())
			w.write("state/auth_checkpoint_data.txt", []byte("torn"))
		}, func(w *world) []want { return nil }},
		{"duologsync's checkpoints of children", func(w *world) {
			w.cfg.Account.MSP, w.cfg.Account.BlockList = true, []string{"DABLOCKED"}
			w.route("auth", "telephony")
			w.save(state.ID{IKey: ikey, Endpoint: "auth", Account: "DAMOVED"}, time.Now())
			for _, name := range []string{"auth_checkpoint_data_DAMOVED", "auth_checkpoint_data_DABAD", "auth_checkpoint_data_DABLOCKED", "auth_checkpoint_data", "telephony_checkpoint_data"} {
				w.write("state/"+name+".txt", nil)
			}
		}, func(w *world) []want {
			return []want{
				{check.Failed, "checkpoint of auth of DABAD", "it is empty", "replace its content by the time"},
				{check.Failed, "checkpoint of telephony of child accounts", "it is empty", "replace its content by the time"},
			}
		}},
		{"authority without its file", func(w *world) { w.cfg.CAFile = w.path("none.pem") },
			func(w *world) []want {
				return []want{{check.Failed, "dls_settings.api.ca_filepath " + w.cfg.CAFile, "", "PEM"}}
			}},
		{"authority is no PEM file", func(w *world) { w.write("ca.pem", []byte("nothing")) },
			func(w *world) []want {
				return []want{{check.Failed, "dls_settings.api.ca_filepath " + w.cfg.CAFile, "no certificate", "PEM"}}
			}},
		{"certificate of a server without its file", func(w *world) {
			w.tls(sinktest.NewAuthority(w.t), sinktest.CertificateOptions{})
			w.cfg.Servers[0].CertFile = w.path("none.pem")
		}, func(w *world) []want {
			return []want{{check.Failed, `server "siem": certificate files`, "cert_filepath", ""}}
		}},
		{"key of a server without its certificate", func(w *world) {
			w.tls(sinktest.NewAuthority(w.t), sinktest.CertificateOptions{})
			w.write("key.pem", sinktest.NewAuthority(w.t).KeyPEM(w.t))
			w.cfg.Servers[0].KeyFile = w.path("key.pem")
		}, func(w *world) []want {
			return []want{{check.Failed, `server "siem": certificate files`, "belongs to none", ""}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.options.Offline = true
			test.do(w)
			w.expect(w.run(), test.want(w)...)
		})
	}
}

func TestModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has access lists, not modes")
	}
	w := newWorld(t)
	w.options.Offline = true
	ca := sinktest.NewAuthority(t)
	w.tls(ca, sinktest.CertificateOptions{})
	client := ca.Issue(t, sinktest.CertificateOptions{Client: true})
	w.write("siem.pem", append(ca.CertPEM(), append(client.CertPEM(), client.KeyPEM(t)...)...))
	for path, mode := range map[string]os.FileMode{"state": 0o770, "siem.pem": 0o644} {
		if err := os.Chmod(w.path(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	w.expect(w.run(),
		want{check.Warning, "checkpoint directory " + w.cfg.Directory, "other users can write there (mode 0770)", "0700"},
		want{check.Warning, `server "siem": certificate files`, "siem.pem", "chmod 600"})
}

func TestReadOnly(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("this user may write everywhere")
	}
	w := newWorld(t)
	w.options.Offline = true
	w.cfg.LogFile = w.path("state", "dls.log")
	if err := os.Chmod(w.path("state"), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(w.path("state"), 0o700) })
	w.expect(w.run(),
		want{check.Warning, "log file " + w.cfg.LogFile, syscall.EACCES.Error(), "log_filepath"},
		want{check.Failed, "checkpoint directory " + w.cfg.Directory, syscall.EACCES.Error(), "make dls_settings.checkpointing.directory writable"})
}

// What duologsync left is what the first run goes on from, and left alone.
func TestLegacy(t *testing.T) {
	// A whole second, and what duologsync adds to it.
	from := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	millis, seconds := from.UnixMilli()+1, from.Unix()+1
	const goesOn = "none yet; the first run takes over duologsync's %s and goes on from %s"
	for _, test := range []struct {
		name   string
		msp    bool
		files  map[string]string
		detail map[string]string // of what is in order, by name
	}{
		{"single account", false, map[string]string{
			"auth_checkpoint_data.txt":        fmt.Sprintf(`["%d", "txid"]`, from.UnixMilli()),
			"activity_checkpoint_data.txt":    fmt.Sprintf(`"%d,id"`, millis),
			"adminaction_checkpoint_data.txt": fmt.Sprint(seconds),
		}, map[string]string{
			"checkpoint of auth":        "delivered up to " + from.Format(time.RFC3339),
			"checkpoint of telephony":   "none yet",
			"checkpoint of activity":    fmt.Sprintf(goesOn, "activity_checkpoint_data.txt", from.Format(time.RFC3339)),
			"checkpoint of adminaction": fmt.Sprintf(goesOn, "adminaction_checkpoint_data.txt", from.Format(time.RFC3339)),
		}},
		{"child accounts", true, map[string]string{
			"auth_checkpoint_data_DAONE.txt": fmt.Sprintf(`["%d", "txid"]`, from.UnixMilli()),
			"auth_checkpoint_data_DATWO.txt": "",
			"telephony_checkpoint_data.txt":  fmt.Sprintf(`"%d,id"`, millis),
		}, map[string]string{
			"checkpoints of child accounts":             "in order: 1 of 2; duologsync's, for the first run to take over: 1",
			"checkpoint of telephony of child accounts": fmt.Sprintf(goesOn, "telephony_checkpoint_data.txt", from.Format(time.RFC3339)),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.options.Offline, w.cfg.Account.MSP = true, test.msp
			w.route("auth", "telephony", "activity", "adminaction")
			w.save(state.ID{IKey: ikey, Endpoint: "auth"}, from)
			for name, content := range test.files {
				w.write("state/"+name, []byte(content))
			}
			got := map[string]string{}
			for _, f := range w.run() {
				if f.Outcome == check.OK && (strings.HasPrefix(f.Name, "checkpoint of") || strings.HasPrefix(f.Name, "checkpoints")) {
					got[f.Name] = f.Detail
				}
			}
			if diff := cmp.Diff(test.detail, got); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}

// The temporary folder is no place for checkpoints, and works.
func TestTemp(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the folder differs from user to user")
	}
	w := newWorld(t)
	w.options.Offline = true
	w.cfg.Directory = "/tmp"
	for _, f := range w.run() {
		if f.Name == "checkpoint directory /tmp" {
			if f.Outcome != check.Warning {
				t.Errorf("the outcome is %v", f.Outcome)
			}
			return
		}
	}
	t.Error("there is no finding")
}

// What lies elsewhere is seen before there is a directory.
func TestElsewhereBeforeTheDirectory(t *testing.T) {
	w := newWorld(t)
	w.options.Offline, w.options.Places = true, []string{w.path("old")}
	w.cfg.Directory = w.path("new")
	if err := os.Mkdir(w.path("old"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.write("old/auth_checkpoint_data.txt", []byte(`["1795397947000", "x"]`))
	w.expect(w.run(), append([]want{
		{check.Failed, "checkpoint directory " + w.cfg.Directory, "no such file or directory", ""},
		{check.Failed, "checkpoints elsewhere", "auth_checkpoint_data.txt", "--begin"},
	}, skipped("the directory cannot be opened", "run lock", "checkpoints")...)...)
}

func TestLock(t *testing.T) {
	w := newWorld(t)
	w.options.Offline = true
	unlock := storetest.Lock(t, w.path("state"))
	held := w.lock()
	unlock()
	free := w.lock()
	if held.Outcome == check.Skipped && free.Outcome == check.Skipped {
		t.Skip("this system does not tell who holds a lock")
	}
	if held.Outcome != check.OK || held.Detail == free.Detail || free.Detail != "free" {
		t.Errorf("held: %v, free: %v", held, free)
	}
}

func (w *world) lock() check.Finding {
	w.t.Helper()
	for _, f := range w.run() {
		if f.Name == "run lock" {
			return f
		}
	}
	w.t.Fatal("there is no finding of the lock")
	return check.Finding{}
}
