package sinktest

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certificate is a certificate made for a test, with its private key.
type Certificate struct {
	X509 *x509.Certificate
	Key  crypto.Signer
}

// CertificateOptions describe a certificate. The zero value is one of a server
// called localhost, 127.0.0.1 and ::1, valid now.
type CertificateOptions struct {
	Names      []string  // DNS names and IP addresses; empty but not nil: none
	CommonName string    // a random one when empty
	NotAfter   time.Time // tomorrow when zero
	CA         bool      // a certificate authority
	Only       []string  // of an authority: the DNS domains that it may vouch for
	Client     bool      // for TLS clients, not servers
}

// NewAuthority makes a certificate authority.
func NewAuthority(t testing.TB) *Certificate {
	t.Helper()
	return issue(t, nil, CertificateOptions{CA: true})
}

// SelfSigned makes a certificate that no authority signed.
func SelfSigned(t testing.TB, o CertificateOptions) *Certificate {
	t.Helper()
	return issue(t, nil, o)
}

// Issue makes a certificate signed by ca.
func (ca *Certificate) Issue(t testing.TB, o CertificateOptions) *Certificate {
	t.Helper()
	return issue(t, ca, o)
}

func issue(t testing.TB, ca *Certificate, o CertificateOptions) *Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: cmp.Or(o.CommonName, "sinktest "+serial.Text(36))},
		NotBefore:             time.Now().Add(-48 * time.Hour),
		NotAfter:              o.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	switch {
	case o.CA:
		template.IsCA = true
		template.KeyUsage = x509.KeyUsageCertSign
		template.PermittedDNSDomains = o.Only
	case o.Client:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	default:
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if o.Names == nil {
			o.Names = []string{"localhost", "127.0.0.1", "::1"}
		}
	}
	for _, name := range o.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	parent, signer := template, crypto.Signer(key)
	if ca != nil {
		parent, signer = ca.X509, ca.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Certificate{X509: cert, Key: key}
}

// Server returns the configuration of a TLS server with this certificate. If
// clients is not nil, it asks for a client certificate signed by that authority.
func (c *Certificate) Server(clients *Certificate) *tls.Config {
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{c.X509.Raw}, PrivateKey: c.Key, Leaf: c.X509}},
	}
	if clients != nil {
		config.ClientAuth = tls.RequireAndVerifyClientCert
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AddCert(clients.X509)
	}
	return config
}

// CertPEM returns the certificate as a PEM block.
func (c *Certificate) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.X509.Raw})
}

// KeyPEM returns the private key as a PEM block, in PKCS #8.
func (c *Certificate) KeyPEM(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// WriteFile writes the parts, one after the other, to a file of the test and
// returns its path.
func WriteFile(t testing.TB, parts ...[]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.pem")
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
