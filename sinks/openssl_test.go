package sinks_test

import (
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"
)

// openssl runs commands of OpenSSL in a directory, a line each.
func openssl(t *testing.T, dir, commands string) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	for line := range strings.Lines(strings.TrimSpace(commands)) {
		cmd := exec.Command(path, strings.Fields(line)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", line, err, out)
		}
	}
}

const (
	authority = `req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=lab` + "\n"
	request   = `req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=siem.lab` + "\n"
)

// Certificates made as people make them, with OpenSSL.
func TestOpenSSLCertificates(t *testing.T) {
	for _, tt := range []struct {
		name     string
		commands string // make cert.pem and key.pem
		trusted  string
		as       string // server_name
		warns    string
	}{
		{name: "self-signed, Common Name only, another host's",
			commands: `req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=siem.lab`, trusted: "cert.pem"},
		{name: "self-signed, version 1", commands: request + `x509 -req -in request.pem -signkey key.pem -out cert.pem -days 30`, trusted: "cert.pem"},
		{name: "signed, version 1, Common Name only",
			commands: authority + request + `x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 30`,
			trusted:  "ca.pem", as: "siem.lab", warns: "Common Name only"},
		{name: "authority of version 1", commands: `req -newkey rsa:2048 -nodes -keyout ca.key -out ca.req -subj /CN=lab
x509 -req -in ca.req -signkey ca.key -out ca.pem -days 30
` + request + `x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 30`,
			trusted: "ca.pem", as: "siem.lab", warns: "Common Name only"},
		{name: "address", commands: `req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=siem -addext subjectAltName=IP:127.0.0.1`,
			trusted: "cert.pem"},
		{name: "elliptic curve, trusted form", commands: `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=siem
x509 -in cert.pem -trustout -addtrust serverAuth -out trusted.pem`,
			trusted: "trusted.pem"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			openssl(t, dir, tt.commands)
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
			if err != nil {
				t.Fatal(err)
			}
			tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}}
			tr.options = sinks.Options{CertFile: filepath.Join(dir, tt.trusted), ServerName: tt.as}
			warned := ""
			s, r := tr.start(t, nil, func(o *sinks.Options) { o.Warn = func(msg string) { warned += msg } })
			lines := page("a", 10, 100)
			if err := deliver(t.Context(), s, lines); err != nil || !hasAll(r.Lines(), lines) {
				t.Errorf("error %v, hint %q", err, sinks.Hint(err))
			}
			if !strings.Contains(warned, tt.warns) || tt.warns == "" && warned != "" {
				t.Errorf("warning %q, want %q", warned, tt.warns)
			}
		})
	}
}

// The command that a hint tells turns the file into one that is read.
func TestOpenSSLConversions(t *testing.T) {
	for _, tt := range []struct{ name, commands string }{
		{"DER", authority + `x509 -in ca.pem -outform der -out OLD`},
		{"PKCS #7", authority + `crl2pkcs7 -nocrl -certfile ca.pem -out OLD`},
		{"PKCS #7, DER", authority + `crl2pkcs7 -nocrl -certfile ca.pem -outform der -out OLD`},
		{"PKCS #12", authority + `pkcs12 -export -in ca.pem -inkey ca.key -passout pass: -out OLD`},
		{"encrypted key", `req -x509 -newkey rsa:2048 -passout pass:x -keyout OLD -out ca.pem -days 30 -subj /CN=lab`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			openssl(t, dir, tt.commands)
			o := sinks.Options{ID: "siem", Protocol: sinks.TCPSSL, Hostname: "h", Port: 1, CertFile: filepath.Join(dir, "OLD")}
			if strings.Contains(tt.name, "key") {
				o.CertFile, o.KeyFile = filepath.Join(dir, "ca.pem"), o.CertFile
			}
			_, err := sinks.New(o)
			command, _, _ := strings.Cut(sinks.Hint(err), ";")
			command, _, _ = strings.Cut(command, " writes")
			command, ok := strings.CutPrefix(command, "openssl ")
			if !ok {
				t.Fatalf("error %v, hint %q", err, sinks.Hint(err))
			}
			switch tt.name { // what the user is asked for
			case "PKCS #12":
				command += " -passin pass:"
			case "encrypted key":
				command += " -passin pass:x"
			}
			openssl(t, dir, command)
			if o.KeyFile != "" {
				o.KeyFile = filepath.Join(dir, "NEW")
			} else {
				o.CertFile = filepath.Join(dir, "NEW")
			}
			if _, err := sinks.New(o); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenSSLNegativeSerialNumber(t *testing.T) {
	dir := t.TempDir()
	openssl(t, dir, `req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=old.lab -set_serial -5`)
	_, err := sinks.New(sinks.Options{ID: "siem", Protocol: sinks.TCPSSL, Hostname: "h", Port: 1, CertFile: filepath.Join(dir, "ca.pem")})
	if err == nil || !strings.Contains(err.Error(), `certificate 1, of "CN=old.lab"`) || sinks.Hint(err) == "" {
		t.Errorf("error %v, hint %q", err, sinks.Hint(err))
	}
}

// A receiver of OpenSSL's, to which the wrong protocol is spoken, or no client
// certificate shown.
func TestOpenSSLServer(t *testing.T) {
	dir := t.TempDir()
	openssl(t, dir, `req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 30 -subj /CN=siem -addext subjectAltName=IP:127.0.0.1`)
	server := func(t *testing.T, args ...string) int {
		port := sinktest.FreePort(t)
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		if _, err := os.Stat(cert); err != nil {
			t.Fatal(err)
		}
		addr := []string{"s_server", "-accept", "127.0.0.1:" + strconv.Itoa(port), "-cert", cert, "-key", key, "-quiet"}
		sinktest.Start(t, port, "openssl", append(addr, args...)...)
		return port
	}
	t.Run("TCP to its TLS port", func(t *testing.T) {
		t.Parallel()
		s := transport{protocol: sinks.TCP, host: "127.0.0.1"}.sink(t, server(t), func(o *sinks.Options) { o.Settle = time.Minute })
		err := deliver(t.Context(), s, page("a", 3, 100))
		if err == nil || !strings.Contains(sinks.Hint(err), "TCPSSL") {
			t.Errorf("error %v, hint %q", err, sinks.Hint(err))
		}
	})
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		t.Run("no client certificate "+version, func(t *testing.T) {
			t.Parallel()
			tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", options: sinks.Options{CertFile: filepath.Join(dir, "cert.pem")}}
			err := deliver(t.Context(), tr.sink(t, server(t, "-Verify", "1", version)), page("a", 3, 100))
			if e, ok := errors.AsType[*sinks.PermanentError](err); !ok || !strings.Contains(e.Hint, "asked for a client certificate, and there is none") {
				t.Errorf("error %v, hint %q", err, sinks.Hint(err))
			}
		})
	}
}
