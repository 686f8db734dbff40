package check_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/job/check"
	"dls/job/config"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/sinks/sinktest"
)

// password is that of the proxy.
const password = "proxy-password-of-nobody"

func TestDuo(t *testing.T) {
	const keys = "account.ikey and account.skey"
	// unreached are the checks that are skipped when TLS does not come about.
	unreached := func(names ...string) []want {
		return skipped("Duo is not reached", append(append(names, "clock", keys), permissions()...)...)
	}
	for _, test := range []struct {
		name string
		do   func(w *world)
		want func(w *world) []want
	}{
		{"wrong skey", func(w *world) { w.cfg.Account.SKey = config.NewSecret(wrong) },
			func(*world) []want {
				return append([]want{{check.Failed, keys, "40103", "account.skey"}}, skipped("refuses the signed call", permissions()...)...)
			}},
		{"wrong ikey", func(w *world) { w.cfg.Account.IKey = "DIBBBBBBBBBBBBBBBBBB"; w.cfg.Checkpointing = false },
			func(w *world) []want {
				off := want{check.Skipped, "checkpoint directory " + w.cfg.Directory, "checkpointing is off", ""}
				return append([]want{off, {check.Failed, keys, "40102", "account.ikey"}}, skipped("refuses the signed call", permissions()...)...)
			}},
		{"no permission", func(w *world) { w.sim.Deny(parent, "activity") },
			func(*world) []want {
				return []want{{check.Failed, "permission for activity", `Duo answered 403 (code 40301): "Access forbidden"`, `give the Admin API application the permission "Grant read log"`}}
			}},
		{"no permission at all", func(w *world) {
			for _, name := range duo.Names() {
				w.sim.Deny(parent, name)
			}
		}, func(*world) []want {
			var list []want
			for _, name := range permissions() {
				list = append(list, want{check.Failed, name, "403", "Grant read log"})
			}
			return list
		}},
		{"endpoint is gone", func(w *world) {
			w.sim.Inject(duosim.Match{Endpoint: "trustmonitor"}, duosim.Error(40401, "Resource not found", ""))
		}, func(*world) []want {
			return []want{{check.Failed, "permission for trustmonitor", "404", "2027-01-31"}}
		}},
		{"limited", func(w *world) { w.sim.Inject(duosim.Match{Endpoint: "auth"}, duosim.TooMany()) },
			func(*world) []want {
				return []want{{check.Warning, "permission for auth", "reachable, but limited just now", "again"}}
			}},
		{"limited everywhere", func(w *world) {
			for _, name := range duo.Names() {
				w.sim.Inject(duosim.Match{Endpoint: name}, duosim.TooMany())
			}
		}, func(*world) []want {
			list := []want{{check.Warning, keys, "not proved", "again"}}
			for _, name := range permissions() {
				list = append(list, want{check.Warning, name, "limited just now", "again"})
			}
			return list
		}},
		{"trouble", func(w *world) { w.sim.Inject(duosim.Match{Endpoint: "auth"}, duosim.HTML(502)) },
			func(*world) []want {
				return []want{{check.Failed, "permission for auth", "Duo answered 502", "status.duo.com"}}
			}},
		{"answer is not Duo's", func(w *world) { w.sim.Inject(duosim.Match{Endpoint: "auth"}, duosim.NotJSON()) },
			func(*world) []want {
				return []want{{check.Failed, "permission for auth", "cannot be read", "status.duo.com"}}
			}},
		{"connection is reset", func(w *world) { w.sim.Inject(duosim.Match{Endpoint: "auth"}, duosim.Reset().Forever()) },
			func(*world) []want {
				return []want{{check.Failed, "permission for auth", "call Duo", "firewall"}}
			}},
		{"clock is a little behind", func(w *world) { w.clock(2 * time.Minute) },
			func(*world) []want {
				return []want{{check.Warning, "clock", "behind Duo's", "set this machine's clock"}}
			}},
		{"clock is far ahead", func(w *world) { w.clock(-time.Hour) },
			func(*world) []want {
				return append([]want{
					{check.Failed, "clock", "ahead of Duo's", "set this machine's clock"},
					{check.Failed, keys, "40105", "set this machine's clock: it is"},
				}, skipped("refuses the signed call", permissions()...)...)
			}},
		{"untrusted certificate", func(w *world) { w.cfg.CAFile = "" },
			func(w *world) []want {
				return append([]want{{check.Failed, "TLS of " + w.cfg.Account.Hostname, `issued by "CN=Simulated Duo CA"`, "dls_settings.api.ca_filepath"}}, unreached()...)
			}},
		{"certificate of another name", func(w *world) {
			other := sinktest.SelfSigned(w.t, sinktest.CertificateOptions{Names: []string{"proxy.example"}})
			w.host(sinktest.Listen(w.t, sinktest.Options{TLS: other.Server(nil)}).Addr())
			w.write("ca.pem", other.CertPEM())
		}, func(w *world) []want {
			return append([]want{{check.Failed, "TLS of " + w.cfg.Account.Hostname, "issued by", "somebody else"}}, unreached()...)
		}},
		{"certificate is expired", func(w *world) {
			old := sinktest.SelfSigned(w.t, sinktest.CertificateOptions{NotAfter: time.Now().Add(-time.Hour)})
			w.host(sinktest.Listen(w.t, sinktest.Options{TLS: old.Server(nil)}).Addr())
			w.write("ca.pem", old.CertPEM())
		}, func(w *world) []want {
			return append([]want{{check.Failed, "TLS of " + w.cfg.Account.Hostname, "expired", "clock"}}, unreached()...)
		}},
		{"no TLS", func(w *world) { w.host(sinktest.Listen(w.t, sinktest.Options{Behave: sinktest.CloseAtOnce}).Addr()) },
			func(w *world) []want {
				return append([]want{{check.Failed, "TLS of " + w.cfg.Account.Hostname, "call Duo", "account.hostname"}}, unreached()...)
			}},
		{"refused", func(w *world) { w.host(fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(w.t))) },
			func(w *world) []want {
				return append([]want{{check.Failed, "connection to " + w.cfg.Account.Hostname, "connect to " + w.cfg.Account.Hostname, "dls_settings.proxy"}}, unreached("TLS of "+w.cfg.Account.Hostname)...)
			}},
		{"name does not resolve", func(w *world) {
			w.host("api-test.invalid")
			w.options.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api-test.invalid", IsNotFound: true}}
			}}
		}, func(w *world) []want {
			return append([]want{{check.Failed, "connection to " + w.cfg.Account.Hostname, "no such host", "check account.hostname"}}, unreached("TLS of "+w.cfg.Account.Hostname)...)
		}},
		{"proxy", func(w *world) { w.proxy(password, 0) }, func(*world) []want { return nil }},
		{"proxy refuses", func(w *world) { w.proxy(password, http.StatusForbidden) },
			func(w *world) []want {
				return append([]want{{check.Failed, "connection to " + w.cfg.Account.Hostname, "Forbidden", "let this machine through to " + w.cfg.Account.Hostname}}, unreached("TLS of "+w.cfg.Account.Hostname)...)
			}},
		{"proxy wants other credentials", func(w *world) { w.proxy("another", 0) },
			func(w *world) []want {
				return append([]want{{check.Failed, "connection to " + w.cfg.Account.Hostname, "Proxy Authentication Required", "dls_settings.proxy"}}, unreached("TLS of "+w.cfg.Account.Hostname)...)
			}},
		{"no authority", func(w *world) { w.cfg.CAFile = w.path("none.pem") },
			func(w *world) []want {
				return append([]want{{check.Failed, "dls_settings.api.ca_filepath " + w.cfg.CAFile, "", ""}},
					skipped("ca_filepath", append([]string{"connection to " + w.cfg.Account.Hostname, keys}, permissions()...)...)...)
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.do(w)
			w.expect(w.run(), test.want(w)...)
		})
	}
}

// host makes the configuration name another API host.
func (w *world) host(host string) { w.cfg.Account.Hostname = host }

// clock sets Duo's clock off by d.
func (w *world) clock(d time.Duration) { w.sim.Now = func() time.Time { return time.Now().Add(d) } }

// proxy reaches Duo, under a name that only the proxy knows, through a proxy that
// is given the password. It answers with the status where that is not 0.
func (w *world) proxy(given string, status int) {
	w.t.Helper()
	w.sim.Close()
	w.sim = duosim.New(duosim.Account{ID: parent, Host: "api-test0001.duosecurity.com", Ikey: ikey, Skey: skey})
	w.t.Cleanup(w.sim.Close)
	w.write("ca.pem", w.sim.CAPEM())
	proxy, err := w.sim.StartProxy("dls", password)
	if err != nil {
		w.t.Fatal(err)
	}
	proxy.Refuse(status)
	w.host(w.sim.Host(parent))
	host, port := w.hostPort(proxy.Addr())
	w.cfg.Proxy = config.Proxy{Host: host, Port: port, User: "dls", Password: config.NewSecret(given)}
}

func TestMSP(t *testing.T) {
	asked := func(account string, names ...string) []string {
		var list []string
		for _, name := range names {
			list = append(list, "permission for "+name+", asked of "+account+" alone")
		}
		return list
	}
	for _, test := range []struct {
		name string
		do   func(w *world)
		want []want
	}{
		{"all well", func(*world) {}, nil},
		{"wrong skey", func(w *world) { w.cfg.Account.SKey = config.NewSecret(wrong) },
			append([]want{{check.Failed, "account.ikey and account.skey", "40103", "account.skey"}, {check.Failed, "child accounts", "40103", "account.skey"}},
				skipped("not known", "permission for auth", "permission for telephony", "permission for activity", "permission for adminaction")...)},
		{"no Accounts API", func(w *world) { w.sim.Deny(parent, duosim.AccountList) },
			append([]want{{check.Failed, "child accounts", "403", "must be those of an Accounts API application"}},
				skipped("not known", "permission for auth", "permission for telephony", "permission for activity", "permission for adminaction")...)},
		{"a child cannot be reached", func(w *world) {
			w.sim.Inject(duosim.Match{Account: first}, duosim.Reset().Forever())
		}, []want{{check.Failed, `child account ` + first + ` "Child 1": auth`, "call Duo", "firewall"}}},
		{"no child can be reached", func(w *world) {
			w.sim.Inject(duosim.Match{Account: first}, duosim.Reset().Forever())
			w.sim.Inject(duosim.Match{Account: second}, duosim.Reset().Forever())
		}, append([]want{
			{check.Failed, `child account ` + first + ` "Child 1": auth`, "call Duo", "firewall"},
			{check.Failed, `child account ` + second + ` "Child 2": auth`, "call Duo", "firewall"},
		}, skipped("no child account answers", "permission for telephony", "permission for activity", "permission for adminaction")...)},
		{"a child without permission", func(w *world) { w.sim.Deny(first, "auth"); w.sim.Deny(second, "activity") },
			[]want{
				{check.Failed, `child account ` + first + ` "Child 1": auth`, "403", "give the Accounts API application for this child account"},
				{check.Failed, asked(second, "activity")[0], "403", "give the Accounts API application"},
			}},
		{"all but the first endpoint without permission", func(w *world) {
			w.sim.Deny(first, "auth")
			w.sim.Deny(second, "auth")
			w.sim.Deny(first, "activity")
		}, []want{
			{check.Failed, `child account ` + first + ` "Child 1": auth`, "403", ""},
			{check.Failed, `child account ` + second + ` "Child 2": auth`, "403", ""},
			{check.Failed, asked(first, "activity")[0], "403", ""},
		}},
		{"a child without host", func(w *world) {
			w.sim.AddAccount(duosim.Account{ID: "DACHILD3000000000000", Name: "\x1b[31m", Parent: parent})
		}, []want{{check.Failed, `child account DACHILD3000000000000 "\x1b[31m": auth`, "no API host", "block_list"}}},
		{"a child of another domain, which is not called", func(w *world) {
			w.sim.AddAccount(duosim.Account{ID: "DACHILD3000000000000", Name: "Child 3", Host: "169.254.169.254", Parent: parent})
		}, []want{{check.Failed, `child account DACHILD3000000000000 "Child 3": auth`, "lies outside the domain of account.hostname, and is not called", "account.child_domains"}}},
		{"a child without an id", func(w *world) {
			w.sim.Inject(duosim.Match{Endpoint: duosim.AccountList}, duosim.Answer(http.StatusOK, "application/json",
				`{"stat":"OK","response":[{"account_id":"`+first+`","name":"Child 1","api_hostname":"`+w.sim.Host(first)+`"},{"name":"nobody"}]}`))
		}, []want{{check.Failed, "entry 2 of the list of child accounts", "has no account_id", "ask Duo's support"}}},
		{"block_list", func(w *world) { w.cfg.Account.BlockList = []string{first, "DAMISTYPED"} },
			[]want{{check.Warning, "account.block_list", `no child account "DAMISTYPED"`, "correct the id"}}},
		{"Duo is not reached", func(w *world) { w.cfg.Account.Hostname = "127.0.0.1:1" },
			append([]want{{check.Failed, "connection to 127.0.0.1:1", "connect to 127.0.0.1:1", "dls_settings.proxy"}},
				skipped("Duo is not reached", "TLS of 127.0.0.1:1", "clock", "account.ikey and account.skey", "child accounts",
					"permission for auth", "permission for telephony", "permission for activity", "permission for adminaction")...)},
		{"the list is limited", func(w *world) { w.sim.Inject(duosim.Match{Endpoint: duosim.AccountList}, duosim.TooMany()) },
			append([]want{{check.Warning, "account.ikey and account.skey", "not proved", "again"}, {check.Warning, "child accounts", "429", "again"}},
				skipped("not known", "permission for auth", "permission for telephony", "permission for activity", "permission for adminaction")...)},
		{"block_list leaves none", func(w *world) { w.cfg.Account.BlockList = []string{first, second} },
			append([]want{{check.Warning, "child accounts", "Duo lists 2; runs read 0 of them", ""}},
				skipped("no child account answers", "permission for telephony", "permission for activity", "permission for adminaction")...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newMSP(t)
			test.do(w)
			w.expect(w.run(), test.want...)
		})
	}
}

// Of a child one endpoint is asked for, of one child all of them.
func TestSparing(t *testing.T) {
	w := newMSP(t)
	w.expect(w.run())
	calls := map[string]int{}
	for _, call := range w.sim.Calls() {
		calls[call.Account+" "+call.Endpoint]++
	}
	want := map[string]int{
		parent + " /auth/v2/ping": 1, parent + " accountlist": 1,
		first + " auth": 1, first + " telephony": 1, first + " activity": 1, first + " adminaction": 1,
		second + " auth": 1,
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
