package sinks_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dls/sinks"
	"dls/sinks/sinktest"
)

func TestServerCertificate(t *testing.T) {
	ca, other := sinktest.NewAuthority(t), sinktest.NewAuthority(t)
	good := ca.Issue(t, sinktest.CertificateOptions{})
	named := ca.Issue(t, sinktest.CertificateOptions{Names: []string{"siem.example.com"}})
	expired := ca.Issue(t, sinktest.CertificateOptions{NotAfter: time.Now().Add(-time.Hour)})
	forClients := ca.Issue(t, sinktest.CertificateOptions{Client: true, Names: []string{"127.0.0.1"}})
	alone := sinktest.SelfSigned(t, sinktest.CertificateOptions{})
	aloneNamed := sinktest.SelfSigned(t, sinktest.CertificateOptions{Names: []string{"siem.example.com"}})
	aloneExpired := sinktest.SelfSigned(t, sinktest.CertificateOptions{NotAfter: time.Now().Add(-time.Hour)})
	for _, tt := range []struct {
		name    string
		server  *sinktest.Certificate
		trusted []*sinktest.Certificate
		as      string // server_name
		hint    string // part of the hint; empty: accepted
	}{
		{name: "authority", server: good, trusted: []*sinktest.Certificate{ca}},
		{name: "second of two authorities", server: good, trusted: []*sinktest.Certificate{other, ca}},
		{name: "server_name", server: named, trusted: []*sinktest.Certificate{ca}, as: "siem.example.com"},
		{name: "self-signed and listed", server: alone, trusted: []*sinktest.Certificate{alone}},
		{name: "listed, its authority is not", server: good, trusted: []*sinktest.Certificate{good}},
		{name: "unknown authority", server: good, trusted: []*sinktest.Certificate{other}, hint: "cert_filepath"},
		{name: "self-signed and not listed", server: alone, trusted: []*sinktest.Certificate{ca}, hint: "cert_filepath"},
		{name: "wrong name", server: named, trusted: []*sinktest.Certificate{ca}, hint: "server_name"},
		{name: "wrong server_name", server: good, trusted: []*sinktest.Certificate{ca}, as: "other.example.com", hint: "server_name"},
		{name: "listed with the wrong name", server: aloneNamed, trusted: []*sinktest.Certificate{aloneNamed}, hint: "server_name"},
		{name: "expired", server: expired, trusted: []*sinktest.Certificate{ca}, hint: "renew"},
		{name: "listed and expired", server: aloneExpired, trusted: []*sinktest.Certificate{aloneExpired}, hint: "renew"},
		{name: "for clients", server: forClients, trusted: []*sinktest.Certificate{ca}, hint: "fit for a TLS server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var file [][]byte
			for _, c := range tt.trusted {
				file = append(file, c.CertPEM())
			}
			tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: tt.server.Server(nil)}}
			tr.options = sinks.Options{CertFile: sinktest.WriteFile(t, file...), ServerName: tt.as}
			s, r := tr.start(t, nil)
			lines := page("a", 10, 100)
			err := deliver(t.Context(), s, lines)
			if tt.hint == "" {
				if err != nil || !hasAll(r.Lines(), lines) {
					t.Errorf("error %v, %d lines received", err, len(r.Lines()))
				}
				return
			}
			if e, ok := errors.AsType[*sinks.PermanentError](err); !ok || !strings.Contains(e.Hint, tt.hint) {
				t.Errorf("error %v, hint %q, want %q in it", err, sinks.Hint(err), tt.hint)
			}
			if n := len(r.Lines()); n != 0 {
				t.Errorf("%d lines received", n)
			}
		})
	}
}

func TestNoCommonTLSVersion(t *testing.T) {
	ca := sinktest.NewAuthority(t)
	config := ca.Issue(t, sinktest.CertificateOptions{}).Server(nil)
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: config}}
	tr.options.CertFile = sinktest.WriteFile(t, ca.CertPEM())
	s, _ := tr.start(t, nil)
	err := deliver(t.Context(), s, []byte("a\n"))
	if e, ok := errors.AsType[*sinks.PermanentError](err); !ok || !strings.Contains(e.Hint, "TLS 1.2") {
		t.Errorf("error %v, hint %q", err, sinks.Hint(err))
	}
}

func TestTLSToAPlainPort(t *testing.T) {
	tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1"}
	tr.options.CertFile = sinktest.WriteFile(t, sinktest.NewAuthority(t).CertPEM())
	s, _ := tr.start(t, func(c *sinktest.Conn) { c.TCP.Write([]byte("220 ready\r\n")); sinktest.ReadAll(c) })
	err := deliver(t.Context(), s, []byte("a\n"))
	if e, ok := errors.AsType[*sinks.PermanentError](err); !ok || !strings.Contains(e.Hint, "protocol TCP") {
		t.Errorf("error %v, hint %q", err, sinks.Hint(err))
	}
}

func TestClientCertificateFiles(t *testing.T) {
	ca := sinktest.NewAuthority(t)
	server := ca.Issue(t, sinktest.CertificateOptions{})
	client := ca.Issue(t, sinktest.CertificateOptions{Client: true})
	middle := ca.Issue(t, sinktest.CertificateOptions{CA: true})
	below := middle.Issue(t, sinktest.CertificateOptions{Client: true})
	for _, tt := range []struct {
		name      string
		cert, key [][]byte
	}{
		{"all in cert_filepath", [][]byte{ca.CertPEM(), client.CertPEM(), client.KeyPEM(t)}, nil},
		{"key first", [][]byte{client.KeyPEM(t), client.CertPEM(), ca.CertPEM()}, nil},
		{"key in key_filepath", [][]byte{ca.CertPEM(), client.CertPEM()}, [][]byte{client.KeyPEM(t)}},
		{"key and certificate in key_filepath", [][]byte{ca.CertPEM()}, [][]byte{client.KeyPEM(t), client.CertPEM()}},
		{"with its intermediate", [][]byte{ca.CertPEM()}, [][]byte{below.CertPEM(), middle.CertPEM(), below.KeyPEM(t)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: server.Server(ca)}}
			tr.options.CertFile = sinktest.WriteFile(t, tt.cert...)
			if tt.key != nil {
				tr.options.KeyFile = sinktest.WriteFile(t, tt.key...)
			}
			s, r := tr.start(t, nil)
			lines := page("a", 10, 100)
			if err := deliver(t.Context(), s, lines); err != nil {
				t.Fatal(err)
			}
			if !hasAll(r.Lines(), lines) {
				t.Error("not everything was received")
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	ca := sinktest.NewAuthority(t)
	stranger := sinktest.SelfSigned(t, sinktest.CertificateOptions{Client: true})
	key := stranger.KeyPEM(t)
	block, _ := pem.Decode(key)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes})
	oldEncrypted := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: block.Bytes,
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}})
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	brokenKey := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	file := func(parts ...[]byte) string { return sinktest.WriteFile(t, parts...) }

	tcpssl := func(cert, key string) sinks.Options {
		return sinks.Options{Protocol: sinks.TCPSSL, Hostname: "h", Port: 6514, CertFile: cert, KeyFile: key}
	}
	for _, tt := range []struct {
		name string
		o    sinks.Options
		want string
	}{
		{"no hostname", sinks.Options{Protocol: sinks.TCP, Port: 514}, "hostname is empty"},
		{"no port", sinks.Options{Protocol: sinks.TCP, Hostname: "h"}, "port 0 is not"},
		{"high port", sinks.Options{Protocol: sinks.UDP, Hostname: "h", Port: 65536}, "port 65536 is not"},
		{"protocol", sinks.Options{Protocol: "tcp", Hostname: "h", Port: 514}, `protocol "tcp"`},
		{"no cert_filepath", tcpssl("", ""), "cert_filepath is required"},
		{"missing", tcpssl(filepath.Join(t.TempDir(), "none.pem"), ""), "cert_filepath: open"},
		{"directory", tcpssl(t.TempDir(), ""), "is a directory"},
		{"empty", tcpssl(file(), ""), "is no PEM file"},
		{"garbage", tcpssl(file([]byte("hello")), ""), "is no PEM file"},
		{"DER", tcpssl(file(ca.X509.Raw), ""), "DER"},
		{"broken certificate", tcpssl(file(ca.CertPEM(), broken), ""), "certificate 2"},
		{"only a key", tcpssl(file(key), ""), "holds no certificate"},
		{"encrypted key", tcpssl(file(ca.CertPEM(), encrypted), ""), "encrypted"},
		{"encrypted key, old form", tcpssl(file(ca.CertPEM()), file(oldEncrypted)), "encrypted"},
		{"broken key", tcpssl(file(ca.CertPEM(), brokenKey), ""), "no known kind"},
		{"mismatched key", tcpssl(file(ca.CertPEM(), key), ""), "belongs to none"},
		{"mismatched key_filepath", tcpssl(file(ca.CertPEM()), file(key)), "key_filepath belongs to none"},
		{"key_filepath without key", tcpssl(file(ca.CertPEM()), file(ca.CertPEM())), "holds no private key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.ID = "siem"
			_, err := sinks.New(tt.o)
			if err == nil || !strings.HasPrefix(err.Error(), `server "siem": `) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func FuzzPEM(f *testing.F) {
	ca := sinktest.NewAuthority(f)
	f.Add(ca.CertPEM())
	f.Add(append(ca.CertPEM(), ca.KeyPEM(f)...))
	f.Add(ca.X509.Raw)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := sinktest.WriteFile(t, data)
		s, err := sinks.New(sinks.Options{ID: "a", Protocol: sinks.TCPSSL, Hostname: "h", Port: 1, CertFile: path})
		if (s == nil) == (err == nil) {
			t.Errorf("sink %v, error %v", s, err)
		}
	})
}

func TestHint(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ""},
		{"unknown", errors.New("x"), ""},
		{"permanent", &sinks.PermanentError{Err: x509.HostnameError{}, Hint: "do this"}, "do this"},
		{"name", &net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, "check the hostname"},
		{"timeout", os.ErrDeadlineExceeded, "stuck"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := sinks.Hint(tt.err); !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("got %q, want %q in it", got, tt.want)
			}
		})
	}
}
