package duo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dls/sinks/sinktest"

	"github.com/google/go-cmp/cmp"
)

func TestProxyAddress(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"proxy:3128", "http://proxy:3128"},
		{"http://proxy", "http://proxy"},
		{"HTTPS://proxy.example:443/", "https://proxy.example:443"},
		{"socks5h://10.0.0.1:1080", "socks5h://10.0.0.1:1080"},
		{"http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128"},
		{"http://user:p%40ss@proxy:1", "http://user:p%40ss@proxy:1"},
		{"http://user:p@ss:w/o?r#d@proxy:1", "http://user:p%40ss%3Aw%2Fo%3Fr%23d@proxy:1"},
		{"user:100%@proxy:1", "http://user:100%25@proxy:1"},
		{"http://dom\\user:p@proxy:1", "http://dom%5Cuser:p@proxy:1"},
		{"http://user@proxy:1", "http://user@proxy:1"},

		{"http://proxy:3128\r", "! it holds a line break"},
		{"http://proxy :3128", "! it holds a blank or a control character"},
		{"ftp://proxy:3128", "! its scheme is none of http, https, socks5, socks5h"},
		{"http://", "! its host is missing"},
		{"http://:3128", "! its host is missing"},
		{"http://proxy:", "! its port is missing"},
		{"http://proxy:99999", "! its port is not between 1 and 65535"},
		{"http://proxy:port", "! its host is neither a name nor an address (IPv6 in brackets)"},
		{"http://2001:db8::1", "! its host is neither a name nor an address (IPv6 in brackets)"},
		{"http://[proxy]:1", "! what it has in brackets is no address"},
		{"http://proxy:1/x", "! it has a path"},
		{"http://pro\"xy", "! its host is neither a name nor an address (IPv6 in brackets)"},
	} {
		u, err := proxyAddress(tt.text)
		got := ""
		if err != nil {
			got = "! " + err.Error()
		} else {
			got = u.String()
			if back, err := url.Parse(got); err != nil || back.User.String() != u.User.String() {
				t.Errorf("%q: %q does not come back: %v", tt.text, got, err)
			}
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestProxyEnvironment(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(name, "")
	}
	choice := func(host string) string {
		t.Helper()
		c, err := New(Options{})
		if err != nil {
			return "! " + err.Error()
		}
		if c.proxy == nil {
			return ""
		}
		req, err := http.NewRequest(http.MethodGet, "https://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := c.proxy(req)
		if err != nil || u == nil {
			return fmt.Sprint("none ", err)
		}
		return u.String()
	}
	check := func(want, got string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("proxy (-want +got):\n%s", diff)
		}
	}
	check("", choice("api.duo.test"))
	t.Setenv("NO_PROXY", "other.test")
	t.Setenv("HTTPS_PROXY", "proxy.test:3128\r")
	check("! $HTTPS_PROXY is no address of a proxy: it holds a line break", choice("api.duo.test"))
	t.Setenv("HTTPS_PROXY", "")
	t.Setenv("https_proxy", "proxy.test:3128")
	check("http://proxy.test:3128", choice("api.duo.test"))
	t.Setenv("HTTPS_PROXY", "http://u:p@ss@proxy.test:3128")
	check("http://u:p%40ss@proxy.test:3128", choice("api.duo.test"))
	t.Setenv("NO_PROXY", ".duo.test")
	check("none <nil>", choice("api.duo.test"))
	t.Setenv("HTTPS_PROXY", "http://secret-password@\x01")
	got := choice("api.duo.test")
	check("! $HTTPS_PROXY is no address of a proxy: it holds a blank or a control character", got)

	given := &url.URL{Scheme: "http", Host: "given.test:1"}
	if c, err := New(Options{Proxy: given}); err != nil {
		t.Errorf("the environment counts beside the configuration's proxy: %v", err)
	} else if u, _ := c.proxy(nil); u.String() != given.String() {
		t.Errorf("proxy %v, want the configuration's", u)
	}
}

// server is an API host over TLS, and the PEM of its certificate.
func server(t *testing.T) (host string, certificate []byte) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"stat":"OK","response":[]}`)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func client(t *testing.T, proxy string, ca []byte) *Client {
	t.Helper()
	u, err := proxyAddress(proxy)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options{Proxy: u, CAPEM: ca, IKey: "DI", SKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func get(c *Client, host string) error {
	_, err := c.Get(context.Background(), host, "/admin/v2/logs/authentication", url.Values{}, nil, nil)
	return err
}

// refusing is a proxy that answers every CONNECT with a text, and counts them.
func refusing(t *testing.T, answer string) (address string, asked *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked = new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					asked.Add(1)
					io.WriteString(conn, answer)
				}
			}()
		}
	}()
	return l.Addr().String(), asked
}

func TestProxyRefuses(t *testing.T) {
	const host = "api-test.example"
	for _, tt := range []struct {
		name, credentials, answer string
		want                      ProxyError
		temporary                 bool
		hint                      string // a part of it
	}{
		{"wants a login", "", "407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\nProxy-Authenticate: NTLM", ProxyError{Schemes: []string{"Basic", "NTLM"}}, false, "the proxy wants a user and a password: give them in dls_settings.proxy.proxy_server (user:password@host) or HTTPS_PROXY"},
		{"wants another login", "u:p@", "407 No\r\nProxy-Authenticate: basic", ProxyError{Schemes: []string{"basic"}, Credentials: true}, false, "check the proxy's user and password"},
		{"says not what it wants", "u:p@", "407 No", ProxyError{Credentials: true}, false, "check the proxy's user and password"},
		{"wants NTLM", "u:p@", "407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM", ProxyError{Schemes: []string{"Negotiate", "NTLM"}, Credentials: true}, false, "the proxy offers Negotiate and NTLM only, and dls knows Basic: have it let this machine through to api-test.example:443 without a login"},
		{"refuses the password", "u:p@", "401 Unauthorized", ProxyError{Credentials: true}, false, "check the proxy's user and password"},
		{"forbids", "", "403 Not by me", ProxyError{}, false, "have the proxy let this machine through to api-test.example:443 (CONNECT)"},
		{"does not get there", "", "503 Service Unavailable", ProxyError{}, true, "the proxy does not get to api-test.example:443"},
		{"is busy", "", "429 Slow", ProxyError{}, true, "have the proxy let this machine through"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			address, asked := refusing(t, "HTTP/1.1 "+tt.answer+"\r\nContent-Length: 0\r\n\r\n")
			c := client(t, tt.credentials+address, nil)
			err := get(c, host)
			got, ok := errors.AsType[*ProxyError](err)
			if !ok {
				t.Fatalf("error %v, want one of the proxy", err)
			}
			line, _, _ := strings.Cut(tt.answer, "\r\n")
			tt.want.Proxy, tt.want.Host, tt.want.Line, tt.want.Status = address, host+":443", line, got.Status
			if diff := cmp.Diff(&tt.want, got); diff != "" || !strings.HasPrefix(line, fmt.Sprint(got.Status)) {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if want := fmt.Sprintf("call Duo: the proxy %s refused a connection to %s:443: %q", address, host, line); err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
			if Temporary(err) != tt.temporary {
				t.Errorf("temporary: %v", !tt.temporary)
			}
			if !strings.Contains(got.Hint(), tt.hint) {
				t.Errorf("hint %q, want %q", got.Hint(), tt.hint)
			}
			// Who has refused the credentials is not asked again, whoever calls.
			var calls sync.WaitGroup
			for range 8 {
				calls.Go(func() { get(c, host) })
			}
			calls.Wait()
			want := int32(9)
			if got.login() {
				want = 1
			}
			if n := asked.Load(); n != want {
				t.Errorf("asked %d times, want %d", n, want)
			}
		})
	}
}

// Calls that begin together show the credentials once.
func TestProxyRefusesOnce(t *testing.T) {
	address, asked := refusing(t, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
	c := client(t, "u:p@"+address, nil)
	var calls sync.WaitGroup
	for range 32 {
		calls.Go(func() {
			if proxy, ok := errors.AsType[*ProxyError](get(c, "api-test.example")); !ok || proxy.Status != http.StatusProxyAuthRequired {
				t.Error("a call does not say why it failed")
			}
		})
	}
	calls.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestProxyAway(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(t))
	for _, scheme := range []string{"http", "socks5"} {
		err := get(client(t, scheme+"://"+address, nil), "api-test.example")
		proxy, ok := errors.AsType[*ProxyError](err)
		if !ok || !Temporary(err) {
			t.Errorf("%s: error %v, want a temporary one of the proxy", scheme, err)
			continue
		}
		if diff := cmp.Diff("check dls_settings.proxy or HTTPS_PROXY, and that the proxy is up", proxy.Hint()); diff != "" {
			t.Errorf("%s: hint (-want +got):\n%s", scheme, diff)
		}
	}
}

// A SOCKS proxy that refuses the login.
func TestProxySOCKS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			greeting := make([]byte, 4)
			io.ReadFull(conn, greeting)
			conn.Write([]byte{5, 2})
			conn.Read(make([]byte, 64))
			conn.Write([]byte{1, 1})
			conn.Close()
		}
	}()
	err = get(client(t, "socks5://u:p@"+l.Addr().String(), nil), "api-test.example")
	proxy, ok := errors.AsType[*ProxyError](err)
	if !ok || Temporary(err) || !strings.Contains(proxy.Hint(), "check the proxy's user and password") {
		t.Errorf("error %v, want a final one of the proxy", err)
	}
}

// daemon is a proxy of the system, started with a configuration file for a port.
type daemon struct {
	name, path string
	args       func(file string) []string
	config     func(t *testing.T, dir string, port int, login bool) string
}

const proxyUser, proxyPassword = "dls", "p:a@s/s%1"

var daemons = []daemon{
	{"tinyproxy", "tinyproxy", func(file string) []string { return []string{"-d", "-c", file} }, func(t *testing.T, dir string, port int, login bool) string {
		text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nPidFile \"%s/pid\"\n", port, dir)
		if login {
			// Its configuration knows no @ and no % in a password.
			text += "BasicAuth dls secret\n"
		}
		return text
	}},
	{"squid", "/usr/sbin/squid", func(file string) []string { return []string{"-N", "-f", file} }, func(t *testing.T, dir string, port int, login bool) string {
		text := fmt.Sprintf("http_port 127.0.0.1:%d\npid_filename none\naccess_log none\ncache_log /dev/null\ncache deny all\ncoredump_dir %s\nshutdown_lifetime 0 seconds\n", port, dir)
		if !login {
			return text + "http_access allow all\n"
		}
		helper := "/usr/lib/squid/basic_ncsa_auth"
		if _, err := os.Stat(helper); err != nil {
			t.Skip(err)
		}
		hash, err := exec.Command("openssl", "passwd", "-apr1", proxyPassword).Output()
		if err != nil {
			t.Skipf("openssl passwd: %v", err)
		}
		file := filepath.Join(dir, "passwords")
		if err := os.WriteFile(file, []byte(proxyUser+":"+string(hash)), 0o644); err != nil {
			t.Fatal(err)
		}
		return text + fmt.Sprintf("auth_param basic program %s %s\nauth_param basic children 1\nacl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n", helper, file)
	}},
}

// start starts the daemon and returns its address.
func (d daemon) start(t *testing.T, login bool) string {
	t.Helper()
	path, err := exec.LookPath(d.path)
	if err != nil {
		t.Skipf("%s is not installed", d.name)
	}
	port := sinktest.FreePort(t)
	dir, err := os.MkdirTemp("", "proxy") // one that another user can enter: squid gives root up
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(d.config(t, dir, port, login)), 0o644); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command(path, d.args(file)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		<-ended
		kill.Stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", d.name, output.String())
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return address
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Skipf("%s cannot do this:\n%s", d.name, output.String())
		case <-deadline:
			t.Fatalf("%s does not listen", d.name)
		}
	}
}

func TestProxyDaemons(t *testing.T) {
	for _, d := range daemons {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			host, ca := server(t)
			t.Run("open", func(t *testing.T) {
				address := d.start(t, false)
				if err := get(client(t, address, ca), host); err != nil {
					t.Error(err)
				}
				// A port where nobody listens: the proxy's answer is told.
				nobody := fmt.Sprintf("127.0.0.1:%d", sinktest.FreePort(t))
				err := get(client(t, address, ca), nobody)
				if proxy, ok := errors.AsType[*ProxyError](err); !ok || proxy.Status < 500 || proxy.Host != nobody || !Temporary(err) {
					t.Errorf("error %v, want a temporary refusal by the proxy", err)
				}
			})
			t.Run("login", func(t *testing.T) {
				address := d.start(t, true)
				credentials := []string{"dls:secret"}
				if d.name == "squid" {
					credentials = []string{proxyUser + ":" + proxyPassword, proxyUser + ":" + url.PathEscape(proxyPassword)}
				}
				for _, right := range credentials {
					if err := get(client(t, "http://"+right+"@"+address, ca), host); err != nil {
						t.Errorf("%s: %v", right, err)
					}
				}
				for _, wrong := range []string{"", "dls:wrong@"} {
					err := get(client(t, "http://"+wrong+address, ca), host)
					proxy, ok := errors.AsType[*ProxyError](err)
					if !ok || !proxy.login() || Temporary(err) {
						t.Errorf("%q: error %v, want a final one about the login", wrong, err)
						continue
					}
					if proxy.Status == http.StatusUnauthorized {
						continue // tinyproxy, of a wrong password: it names no scheme
					}
					if diff := cmp.Diff([]string{"Basic"}, proxy.Schemes); diff != "" {
						t.Errorf("schemes (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

// A proxy that inspects TLS shows a certificate of its own, which ca_filepath makes
// trusted, and nothing else does.
func TestProxyInspects(t *testing.T) {
	host, roots := server(t)
	upstream := x509.NewCertPool()
	upstream.AppendCertsFromPEM(roots)
	own := sinktest.NewAuthority(t)
	config := own.Issue(t, sinktest.CertificateOptions{}).Server(nil)
	var seen atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		clear := tls.Server(conn, config)
		defer clear.Close()
		inner, err := http.ReadRequest(bufio.NewReader(clear))
		if err != nil {
			return
		}
		inner.URL.Scheme, inner.URL.Host, inner.RequestURI = "https", r.Host, ""
		inner.Close = true
		through := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: upstream}}
		defer through.CloseIdleConnections()
		resp, err := through.RoundTrip(inner)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		seen.Add(1)
		resp.Write(clear)
	}))
	defer proxy.Close()
	address := proxy.Listener.Addr().String()

	if err := get(client(t, address, nil), host); !Untrusted(err) || Temporary(err) {
		t.Errorf("without ca_filepath: error %v, want an untrusted certificate", err)
	}
	if err := get(client(t, address, roots), host); !Untrusted(err) {
		t.Errorf("with another ca_filepath: error %v, want an untrusted certificate", err)
	}
	c := client(t, address, own.CertPEM())
	if err := get(c, host); err != nil {
		t.Error(err)
	}
	contact, err := c.Probe(context.Background(), host)
	if err != nil || !contact.Added || contact.Proxy != address {
		t.Errorf("contact %+v, %v; want the proxy and its certificate", contact, err)
	}
	if n := seen.Load(); n != 2 {
		t.Errorf("%d calls went through, want 2", n)
	}
}
