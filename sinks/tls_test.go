package sinks_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	common := func(ca *sinktest.Certificate, cn string, names ...string) *sinktest.Certificate {
		return ca.Issue(t, sinktest.CertificateOptions{CommonName: cn, Names: append([]string{}, names...)})
	}
	constrained := issueConstrained(t)
	for _, tt := range []struct {
		name    string
		server  *sinktest.Certificate
		trusted []*sinktest.Certificate
		as      string // server_name
		hint    string // part of the hint; empty: accepted
		warns   string // part of the warning
	}{
		{name: "Common Name", server: common(ca, "siem.example.com"), trusted: []*sinktest.Certificate{ca}, as: "SIEM.example.com", warns: "subjectAltName=DNS:SIEM.example.com"},
		{name: "Common Name that is none of a host", server: common(ca, "our collector"), trusted: []*sinktest.Certificate{ca}, as: "our collector", warns: "Common Name only"},
		{name: "Common Name and an address", server: common(ca, "siem.example.com", "192.0.2.1"), trusted: []*sinktest.Certificate{ca}, as: "siem.example.com", warns: "Common Name only"},
		{name: "wildcard in the Common Name", server: common(ca, "*.example.com"), trusted: []*sinktest.Certificate{ca}, as: "siem.example.com", warns: "Common Name only"},
		{name: "wildcard for two labels", server: common(ca, "*.example.com"), trusted: []*sinktest.Certificate{ca}, as: "a.b.example.com", hint: "server_name"},
		{name: "wildcard for a whole domain", server: common(ca, "*.com"), trusted: []*sinktest.Certificate{ca}, as: "example.com", hint: "server_name"},
		{name: "Common Name beside DNS names", server: common(ca, "siem.example.com", "other.example.com"), trusted: []*sinktest.Certificate{ca}, as: "siem.example.com", hint: "server_name"},
		{name: "other Common Name", server: common(ca, "other.example.com"), trusted: []*sinktest.Certificate{ca}, as: "siem.example.com", hint: "server_name"},
		{name: "address as Common Name", server: common(ca, "127.0.0.1"), trusted: []*sinktest.Certificate{ca}, hint: "server_name"},
		{name: "Common Name of an authority for other domains", server: common(constrained, "siem.example.com"), trusted: []*sinktest.Certificate{constrained}, as: "siem.example.com", hint: "server_name"},
		{name: "Common Name of an unknown authority", server: common(other, "siem.example.com"), trusted: []*sinktest.Certificate{ca}, as: "siem.example.com", hint: "cert_filepath"},

		{name: "authority", server: good, trusted: []*sinktest.Certificate{ca}},
		{name: "second of two authorities", server: good, trusted: []*sinktest.Certificate{other, ca}},
		{name: "server_name", server: named, trusted: []*sinktest.Certificate{ca}, as: "siem.example.com"},
		{name: "self-signed and listed", server: alone, trusted: []*sinktest.Certificate{alone}},
		{name: "listed, its authority is not", server: good, trusted: []*sinktest.Certificate{good}},
		{name: "unknown authority", server: good, trusted: []*sinktest.Certificate{other}, hint: "cert_filepath"},
		{name: "self-signed and not listed", server: alone, trusted: []*sinktest.Certificate{ca}, hint: "cert_filepath"},
		{name: "wrong name", server: named, trusted: []*sinktest.Certificate{ca}, hint: "server_name"},
		{name: "wrong server_name", server: good, trusted: []*sinktest.Certificate{ca}, as: "other.example.com", hint: "server_name"},
		{name: "listed with another name", server: aloneNamed, trusted: []*sinktest.Certificate{aloneNamed}},
		{name: "listed beside its authority with another name", server: named, trusted: []*sinktest.Certificate{ca, named}},
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
			var warnings []string
			s, r := tr.start(t, nil, func(o *sinks.Options) { o.Warn = func(msg string) { warnings = append(warnings, msg) } })
			lines := page("a", 10, 100)
			err := deliver(t.Context(), s, lines)
			if got := strings.Join(warnings, "\n"); !strings.Contains(got, tt.warns) || tt.warns == "" && got != "" {
				t.Errorf("warning %q, want %q", got, tt.warns)
			}
			if tt.warns != "" {
				if report, err := s.Check(t.Context()); err != nil || len(report.Warnings) != 1 || len(warnings) != 1 {
					t.Errorf("check: warnings %q, error %v; %d warnings before", report.Warnings, err, len(warnings))
				}
			}
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

func issueConstrained(t *testing.T) *sinktest.Certificate {
	t.Helper()
	return sinktest.SelfSigned(t, sinktest.CertificateOptions{CA: true, Only: []string{"other.example"}})
}

// What our own certificate needs in cert_filepath vouches for no receiver.
func TestOwnChainIsNoAuthority(t *testing.T) {
	ca := sinktest.NewAuthority(t)                                 // the receiver's
	root := sinktest.NewAuthority(t)                               // ours
	middle := root.Issue(t, sinktest.CertificateOptions{CA: true}) // below it
	client := middle.Issue(t, sinktest.CertificateOptions{Client: true})
	below := middle.Issue(t, sinktest.CertificateOptions{})
	self := sinktest.SelfSigned(t, sinktest.CertificateOptions{})
	key := func(c *sinktest.Certificate) []byte { return c.KeyPEM(t) }
	for _, tt := range []struct {
		name    string
		cert    [][]byte
		key     [][]byte
		server  *sinktest.Certificate
		refused bool
		warns   string
	}{
		{name: "receiver below its own authority", cert: [][]byte{ca.CertPEM(), middle.CertPEM(), client.CertPEM(), key(client)},
			server: ca.Issue(t, sinktest.CertificateOptions{})},
		{name: "receiver below our intermediate", cert: [][]byte{ca.CertPEM(), middle.CertPEM(), client.CertPEM(), key(client)},
			server: below, refused: true},
		{name: "the same, key apart", cert: [][]byte{ca.CertPEM(), middle.CertPEM(), client.CertPEM()}, key: [][]byte{key(client)},
			server: below, refused: true},
		{name: "receiver shows our certificate", cert: [][]byte{ca.CertPEM(), middle.CertPEM(), client.CertPEM(), key(client)},
			server: client, refused: true},
		{name: "one private authority for both", cert: [][]byte{root.CertPEM(), middle.CertPEM(), client.CertPEM(), key(client)},
			server: below},
		{name: "one intermediate authority for both", cert: [][]byte{middle.CertPEM(), client.CertPEM(), key(client)},
			server: below, warns: "accepted as the receiver"},
		{name: "our intermediate issued a listed receiver", cert: [][]byte{middle.CertPEM(), below.CertPEM(), client.CertPEM(), key(client)},
			server: below},
		{name: "one self-signed certificate for both", cert: [][]byte{self.CertPEM(), key(self)}, server: self},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: tt.server.Server(nil)}}
			tr.options.CertFile = sinktest.WriteFile(t, tt.cert...)
			if tt.key != nil {
				tr.options.KeyFile = sinktest.WriteFile(t, tt.key...)
			}
			warned := ""
			s, _ := tr.start(t, nil, func(o *sinks.Options) { o.Warn = func(msg string) { warned += msg } })
			err := deliver(t.Context(), s, []byte("a\n"))
			if tt.refused != (err != nil) {
				t.Errorf("error %v", err)
			}
			if _, ok := errors.AsType[*sinks.PermanentError](err); tt.refused && !ok {
				t.Errorf("not permanent: %v", err)
			}
			if !strings.Contains(warned, tt.warns) || tt.warns == "" && warned != "" {
				t.Errorf("warning %q, want %q", warned, tt.warns)
			}
		})
	}
}

// A receiver that asks for a certificate, and ends the connection without an alert
// because there is none, is understood.
func TestMissingClientCertificateIsNamed(t *testing.T) {
	ca := sinktest.NewAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range []string{"reset", "alert"} {
			t.Run(tls.VersionName(version)+" "+protocol, func(t *testing.T) {
				config := ca.Issue(t, sinktest.CertificateOptions{}).Server(ca)
				config.MaxVersion = version
				behave := sinktest.Behaviour(sinktest.ReadAll)
				if protocol == "reset" {
					config.ClientAuth, behave = tls.RequestClientCert, sinktest.ResetAfter(0)
				}
				tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: config}}
				tr.options.CertFile = sinktest.WriteFile(t, ca.CertPEM())
				s, _ := tr.start(t, behave)
				err := deliver(t.Context(), s, page("a", 1000, 1000))
				if err == nil || !strings.Contains(sinks.Hint(err), "asked for a client certificate, and there is none") {
					t.Errorf("error %v, hint %q", err, sinks.Hint(err))
				}
				_, final := errors.AsType[*sinks.PermanentError](err)
				if final != (protocol == "alert") {
					t.Errorf("permanent: %t: %v", final, err)
				}
			})
		}
	}
}

// The forms in which certificates are passed around are read, or the command that
// converts them is told.
func TestCertificateForms(t *testing.T) {
	ca := sinktest.NewAuthority(t)
	server := ca.Issue(t, sinktest.CertificateOptions{})
	der := ca.X509.Raw
	trusted := pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: append(bytes.Clone(der), 0x30, 0x0a, 0x30, 0x08, 0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07)})
	negative := bytes.Clone(der)
	serial := ca.X509.SerialNumber.Bytes()
	i := bytes.Index(negative, serial)
	negative[i] |= 0x80
	if negative[i-1] == 0 { // the padding of a positive number
		negative[i-1] = 0x80
	}
	key, _ := pem.Decode(server.KeyPEM(t))
	keyDER := key.Bytes
	utf16 := []byte{0xff, 0xfe}
	for _, b := range ca.CertPEM() {
		utf16 = append(utf16, b, 0)
	}
	for _, tt := range []struct {
		name      string
		file      []byte
		err, hint string // parts of them; none: it is read
	}{
		{name: "BOM", file: append([]byte("\ufeff"), ca.CertPEM()...)},
		{name: "BOM in the middle", file: slices.Concat([]byte("\ufeff"), sinktest.NewAuthority(t).CertPEM(), []byte("\ufeff"), ca.CertPEM())},
		{name: "line ends of Windows", file: bytes.ReplaceAll(ca.CertPEM(), []byte("\n"), []byte("\r\n"))},
		{name: "TRUSTED CERTIFICATE", file: trusted},
		{name: "DER", file: der, err: "DER", hint: "openssl x509 -inform der"},
		{name: "private key, DER", file: keyDER, err: "a private key in DER", hint: "openssl pkey -inform der"},
		{name: "UTF-16", file: utf16, err: "UTF-16", hint: "iconv"},
		{name: "PKCS #7", file: pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: []byte("x")}), err: "PKCS #7", hint: "openssl pkcs7 -in"},
		{name: "PKCS #7, DER", file: []byte("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x00"), err: "PKCS #7 in DER", hint: "openssl pkcs7 -inform der"},
		{name: "PKCS #12", file: []byte("\x30\x05\x02\x01\x03\x30\x00"), err: "PKCS #12", hint: "openssl pkcs12"},
		{name: "negative serial number", file: slices.Concat(sinktest.NewAuthority(t).CertPEM(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: negative})),
			err: "certificate 2, of \"" + ca.X509.Subject.String(), hint: "remove this certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := sinktest.WriteFile(t, tt.file)
			if tt.err != "" {
				_, err := sinks.New(sinks.Options{ID: "siem", Protocol: sinks.TCPSSL, Hostname: "h", Port: 1, CertFile: path})
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(sinks.Hint(err), tt.hint) {
					t.Errorf("error %v, hint %q", err, sinks.Hint(err))
				}
				return
			}
			tr := transport{protocol: sinks.TCPSSL, host: "127.0.0.1", receiver: sinktest.Options{TLS: server.Server(nil)}}
			tr.options.CertFile = path
			s, _ := tr.start(t, nil)
			if err := deliver(t.Context(), s, []byte("a\n")); err != nil {
				t.Error(err)
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
	for protocol, clear := range map[sinks.Protocol]string{sinks.TCPSSL: "protocol TCP", sinks.RELPSSL: "protocol RELP"} {
		tr := transport{protocol: protocol, host: "127.0.0.1"}
		tr.options.CertFile = sinktest.WriteFile(t, sinktest.NewAuthority(t).CertPEM())
		s, _ := tr.start(t, func(c *sinktest.Conn) { c.TCP.Write([]byte("220 ready\r\n")); sinktest.ReadAll(c) })
		err := deliver(t.Context(), s, []byte("a\n"))
		if e, ok := errors.AsType[*sinks.PermanentError](err); !ok || !strings.HasSuffix(e.Hint, "or "+clear) {
			t.Errorf("%s: error %v, hint %q", protocol, err, sinks.Hint(err))
		}
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
