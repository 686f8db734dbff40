package check_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"dls/job/check"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/job/report"
)

func TestAllWell(t *testing.T) {
	w := newWorld(t)
	host := w.cfg.Account.Hostname
	want := []string{
		"ok configuration",
		"ok log file " + w.cfg.LogFile,
		"ok checkpoint directory " + w.cfg.Directory,
		"ok run lock",
		"ok checkpoint of auth", "ok checkpoint of telephony", "ok checkpoint of activity",
		"ok checkpoint of adminaction", "ok checkpoint of trustmonitor",
		"ok dls_settings.api.ca_filepath " + w.cfg.CAFile,
		"ok connection to " + host, "ok TLS of " + host, "ok clock",
		"ok account.ikey and account.skey",
		"ok permission for auth", "ok permission for telephony", "ok permission for activity",
		"ok permission for adminaction", "ok permission for trustmonitor",
		`ok server "siem"`,
	}
	if diff := cmp.Diff(want, outcomes(w.run())); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	var asked []string
	for _, call := range w.sim.Calls() {
		asked = append(asked, call.Endpoint)
		if call.Records > 1 && call.Endpoint != duosim.AdminAction {
			t.Errorf("%s: %d records were asked for", call.Endpoint, call.Records)
		}
	}
	slices.Sort(asked)
	if diff := cmp.Diff([]string{"/auth/v2/ping", "activity", "adminaction", "auth", "telephony", "trustmonitor"}, asked); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestOffline(t *testing.T) {
	w := newWorld(t)
	w.options.Offline = true
	findings := w.run()
	w.expect(findings)
	if got := findings[len(findings)-1].Name; got != "dls_settings.api.ca_filepath "+w.cfg.CAFile {
		t.Errorf("the last check is %q", got)
	}
	if n := len(w.sim.Calls()); n > 0 {
		t.Errorf("%d calls were made", n)
	}
	if n := w.siem.Connections(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
}

// The end of the context ends the checks, and is not reported as their failure.
func TestEnd(t *testing.T) {
	w := newWorld(t)
	cause := errors.New("the user has had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	w.options.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		cancel(cause)
		<-req.Context().Done()
		return nil, context.Cause(req.Context())
	})
	findings, failed, err := w.runWith(ctx)
	if !errors.Is(err, cause) || failed {
		t.Errorf("Run = %v, %v; want false, %v", failed, err, cause)
	}
	w.expect(findings)
}

// A host that swallows calls is waited for no longer than the bound.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: t.TempDir(), cfg: &config.Config{
			Servers: []config.Server{{ID: "siem", Hostname: "127.0.0.1", Port: 1514, Protocol: config.UDP}},
			Account: config.Account{IKey: ikey, SKey: config.NewSecret(skey), Hostname: "api-test.invalid"},
		}}
		w.cfg.LogFile, w.cfg.Directory = w.path("dls.log"), w.dir
		w.route(duo.Names()...)
		w.options.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, context.Cause(req.Context())
		})
		host := w.cfg.Account.Hostname
		w.expect(w.run(), append([]want{{check.Failed, "connection to " + host, "no answer within 20s", "firewall"}},
			skipped("Duo is not reached", append([]string{"TLS of " + host, "clock", "account.ikey and account.skey"}, permissions()...)...)...)...)
	})
}

func TestPrint(t *testing.T) {
	for _, test := range []struct {
		name string
		in   check.Finding
		want string
	}{
		{"ok", check.Finding{Name: "checkpoint directory /var/lib/dls"}, "ok       checkpoint directory /var/lib/dls\n"},
		{"detail", check.Finding{`server "siem"`, check.Warning, "certificate expires in 12 days (2026-12-05)", ""},
			"warning  server \"siem\": certificate expires in 12 days (2026-12-05)\n"},
		{"hint", check.Finding{"permission for activity", check.Failed, "Duo answered 403", "grant it"},
			"failed   permission for activity: Duo answered 403\n         hint: grant it\n"},
		{"foreign", check.Finding{"child account \x1b[2Jä", check.Skipped, "a\nok b", "c\r\u202ed"},
			"skipped  child account ?[2Jä: a?ok b\n         hint: c??d\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			if err := check.Print(&b, report.Screen{}, test.in); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, b.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// roundTripper stands in for the network to Duo.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
