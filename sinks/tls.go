package sinks

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"dls/state/safefile"
)

// tlsConfig makes the TLS configuration of o from its PEM files.
func tlsConfig(o Options) (*tls.Config, error) {
	if o.CertFile == "" {
		return nil, errors.New("cert_filepath is required for protocol TCPSSL")
	}
	trusted, err := readPEM("cert_filepath", o.CertFile)
	if err != nil {
		return nil, err
	}
	if len(trusted.certificates) == 0 {
		return nil, fmt.Errorf("cert_filepath %q holds no certificate", o.CertFile)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    x509.NewCertPool(),
		ServerName: o.ServerName,
		// Records of full size from the start: this is bulk, nobody waits for
		// the first byte.
		DynamicRecordSizingDisabled: true,
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = strings.Cut(o.Hostname, "%") // a zone is in no certificate
	}
	// A certificate that is listed itself is trusted even if it is no authority:
	// the verifier of crypto/x509 accepts a leaf that is in the pool.
	for _, c := range trusted.certificates {
		config.RootCAs.AddCert(c)
	}

	own, from := trusted, "cert_filepath"
	if o.KeyFile != "" {
		own, err = readPEM("key_filepath", o.KeyFile)
		if err != nil {
			return nil, err
		}
		if len(own.keys) == 0 {
			return nil, fmt.Errorf("key_filepath %q holds no private key", o.KeyFile)
		}
		own.certificates = append(own.certificates, trusted.certificates...)
		from = "key_filepath"
	}
	if len(own.keys) == 0 {
		return config, nil
	}
	client := own.clientCertificate()
	if client == nil {
		return nil, fmt.Errorf("the private key of %s belongs to none of the certificates", from)
	}
	// Not Certificates: that would keep the certificate back from a receiver
	// whose list of accepted authorities lacks its issuer, and the receiver's
	// log would then speak of a missing certificate.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return client, nil
	}
	return config, nil
}

// pemFile is what a PEM file holds, in its order.
type pemFile struct {
	certificates []*x509.Certificate
	keys         []crypto.Signer
}

// readPEM reads the file that the configuration names under key. Blocks that
// are neither a certificate nor a private key are skipped.
func readPEM(key, path string) (*pemFile, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s %q is a directory: it must name a PEM file", key, path)
	}
	data, _, err := safefile.Read(path, safefile.MaxPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	file := new(pemFile)
	found := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		found = true
		if err := file.add(block); err != nil {
			return nil, fmt.Errorf("%s %q: %w", key, path, err)
		}
	}
	if !found {
		if _, err := x509.ParseCertificate(data); err == nil {
			return nil, &PermanentError{fmt.Errorf("%s %q is a certificate in DER form: it must be PEM", key, path),
				"openssl x509 -inform der -in OLD -out NEW"}
		}
		return nil, fmt.Errorf("%s %q is no PEM file", key, path)
	}
	return file, nil
}

func (f *pemFile) add(block *pem.Block) error {
	switch {
	case block.Type == "CERTIFICATE", block.Type == "X509 CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d: %w", len(f.certificates)+1, err)
		}
		f.certificates = append(f.certificates, c)
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return &PermanentError{errors.New("the private key is encrypted: nobody is there to type its passphrase"),
			"openssl pkey -in OLD -out NEW writes it without; make NEW readable to the job's user only"}
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		k, err := parseKey(block.Bytes)
		if err != nil {
			return err
		}
		f.keys = append(f.keys, k)
	}
	return nil
}

// parseKey parses a private key in any of its three encodings. Its error does
// not quote the key.
func parseKey(der []byte) (crypto.Signer, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
			key, err = x509.ParseECPrivateKey(der)
		}
	}
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("the private key is of no known kind (RSA, ECDSA, Ed25519)")
	}
	return signer, nil
}

// clientCertificate returns the first certificate that a key of the file
// belongs to, with that key and the intermediates that the file has; or nil.
func (f *pemFile) clientCertificate() *tls.Certificate {
	for _, key := range f.keys {
		public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
		if !ok {
			continue
		}
		for _, c := range f.certificates {
			if public.Equal(c.PublicKey) {
				return &tls.Certificate{Certificate: f.chain(c), PrivateKey: key, Leaf: c}
			}
		}
	}
	return nil
}

// chain returns leaf and the intermediates above it. A root is left out, as
// RFC 8446, section 4.4.2, allows: the receiver must have it anyhow.
func (f *pemFile) chain(leaf *x509.Certificate) [][]byte {
	chain := [][]byte{leaf.Raw}
	for range f.certificates { // no longer than the file, should it be a circle
		issuer := f.issuer(leaf)
		if issuer == nil {
			break
		}
		chain = append(chain, issuer.Raw)
		leaf = issuer
	}
	return chain
}

func (f *pemFile) issuer(c *x509.Certificate) *x509.Certificate {
	for _, issuer := range f.certificates {
		if selfIssued := bytes.Equal(issuer.RawSubject, issuer.RawIssuer); selfIssued {
			continue
		}
		if bytes.Equal(c.RawIssuer, issuer.RawSubject) && c.CheckSignatureFrom(issuer) == nil {
			return issuer
		}
	}
	return nil
}

// describe puts the facts of a TLS connection into a report.
func describe(r *Report, state tls.ConnectionState) {
	r.TLSVersion = tls.VersionName(state.Version)
	leaf := state.PeerCertificates[0]
	r.Subject = leaf.Subject.String()
	r.Issuer = leaf.Issuer.String()
	r.NotAfter = leaf.NotAfter
	r.Names = append(r.Names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		r.Names = append(r.Names, ip.String())
	}
}
