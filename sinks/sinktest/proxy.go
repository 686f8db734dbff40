package sinktest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Proxy is real software that stands before a receiver, as its distribution
// configures it but for ports and certificates.
type Proxy struct {
	Name string
	TLS  bool // it takes TLS, and passes records on in the clear
	// Start starts it at a port, before a backend, both of 127.0.0.1; cert is the path
	// of its certificate and key in one file. It skips the test, by name, where the
	// program is not installed.
	Start func(t testing.TB, port, backend int, cert string)
}

// Proxies are those that the tests run.
var Proxies = []Proxy{
	{Name: "haproxy", Start: HAProxy("", "timeout connect 5s", "")},
	{Name: "haproxy with check", Start: HAProxy("", "timeout connect 5s", "check")},
	{Name: "haproxy ends TLS", TLS: true, Start: HAProxy("ssl crt", "timeout connect 5s", "")},
	{Name: "nginx", Start: Nginx(false)},
	{Name: "nginx ends TLS", TLS: true, Start: Nginx(true)},
	{Name: "socat", Start: func(t testing.TB, port, backend int, _ string) {
		Start(t, port, "socat", fmt.Sprintf("TCP-LISTEN:%d,bind=127.0.0.1,fork,reuseaddr", port), fmt.Sprintf("TCP:127.0.0.1:%d", backend))
	}},
	{Name: "stunnel ends TLS", TLS: true, Start: func(t testing.TB, port, backend int, cert string) {
		Start(t, port, "stunnel4", Configuration(t, fmt.Sprintf("foreground = yes\npid =\n[in]\naccept = 127.0.0.1:%d\nconnect = 127.0.0.1:%d\ncert = %s\n", port, backend, cert)))
	}},
}

// Configuration writes a file that lasts as long as the test, and returns its path.
func Configuration(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "configuration")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Documented returns the configuration that a document has under a name.
func Documented(t testing.TB, document, name string) string {
	t.Helper()
	doc, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "<!-- test: "+name+" -->\n")
	block := regexp.MustCompile("(?s)^\n*```[a-z]*\n(.*?)```\n").FindStringSubmatch(rest)
	if !ok || block == nil {
		t.Fatalf("%s has no configuration %q", document, name)
	}
	return block[1]
}

// HAProxy returns how haproxy is started: bind, where it is not empty, stands before
// the certificate, connect is its time-out, and server is said of the backend.
func HAProxy(bind, connect, server string) func(t testing.TB, port, backend int, cert string) {
	return func(t testing.TB, port, backend int, cert string) {
		if bind == "" {
			cert = ""
		}
		Start(t, port, "haproxy", "-db", "-f", Configuration(t, fmt.Sprintf(`
defaults
  mode tcp
  %s
  timeout client 1m
  timeout server 1m
listen collector
  bind 127.0.0.1:%d %s %s
  server one 127.0.0.1:%d %s
`, connect, port, bind, cert, backend, server)))
	}
}

// Nginx returns how nginx's stream module is started.
func Nginx(tls bool) func(t testing.TB, port, backend int, cert string) {
	return func(t testing.TB, port, backend int, cert string) {
		const module = "/usr/lib/nginx/modules/ngx_stream_module.so"
		if _, err := os.Stat(module); err != nil {
			t.Skip("nginx has no stream module here")
		}
		listen := ";"
		if tls {
			listen = fmt.Sprintf(" ssl; ssl_certificate %s; ssl_certificate_key %s;", cert, cert)
		}
		Start(t, port, "nginx", "-e", "stderr", "-c", Configuration(t, fmt.Sprintf(`
load_module %s;
daemon off;
master_process off;
pid %s/pid;
error_log stderr;
events {}
stream { server { listen 127.0.0.1:%d%s proxy_pass 127.0.0.1:%d; } }
`, module, t.TempDir(), port, listen, backend)))
	}
}
