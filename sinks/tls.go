package sinks

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"dls/state/safefile"
)

// trust is how the certificate of a receiver is judged, and what we show it.
type trust struct {
	roots         *x509.CertPool    // nil: the system's
	intermediates *x509.CertPool    // of our client's chain: they help, and prove nothing
	listed        map[[32]byte]bool // digests of the trusted certificates: one of them is accepted whatever its name
	client        *tls.Certificate  // ours; nil: none
	name          string            // that the receiver's certificate must have
	protocol      Protocol          // for hints
	warnings      []string          // about the files
	warned        atomic.Bool       // the user was told of the receiver's certificate
}

// newTrust reads the PEM files of o, and warns about them.
//
// Exactly the certificates of CertFile are trusted, less our client's own and the
// intermediates that only its chain needs: whoever else they vouch for is no
// receiver of ours. One that issued itself stays, as one private authority for
// receiver and client is the usual file. Without CertFile the system's roots are
// trusted.
func newTrust(o *Options) (*trust, error) {
	t := &trust{intermediates: x509.NewCertPool(), listed: make(map[[32]byte]bool), name: o.ServerName, protocol: o.Protocol}
	if t.name == "" {
		t.name, _, _ = strings.Cut(o.Hostname, "%") // a zone is in no certificate
	}
	if o.CertFile == "" {
		return t, nil
	}
	file, err := readPEM("cert_filepath", o.CertFile)
	if err != nil {
		return nil, err
	}
	if len(file.certificates) == 0 {
		return nil, fmt.Errorf("cert_filepath %q holds no certificate", o.CertFile)
	}
	if t.client, err = clientCertificate(o, file); err != nil {
		return nil, err
	}
	trusted := file.certificates
	if t.client != nil {
		if trusted, err = t.receivers(file); err != nil {
			return nil, fmt.Errorf("cert_filepath %q %w", o.CertFile, err)
		}
	}
	t.roots = x509.NewCertPool()
	for _, c := range trusted {
		t.roots.AddCert(c)
		t.listed[sha256.Sum256(c.Raw)] = true
	}
	for _, w := range t.warnings {
		o.warn(w)
	}
	return t, nil
}

// newListedTrust is newTrust for a protocol that does not do without CertFile.
func newListedTrust(o *Options) (*trust, error) {
	if o.CertFile == "" {
		return nil, fmt.Errorf("cert_filepath is required for protocol %s", o.Protocol)
	}
	return newTrust(o)
}

// clientCertificate returns the certificate that we show, or nil.
func clientCertificate(o *Options, file *pemFile) (*tls.Certificate, error) {
	own, from := file, "cert_filepath"
	if o.KeyFile != "" {
		var err error
		if own, err = readPEM("key_filepath", o.KeyFile); err != nil {
			return nil, err
		}
		if len(own.keys) == 0 {
			return nil, fmt.Errorf("key_filepath %q holds no private key", o.KeyFile)
		}
		own.certificates = append(own.certificates, file.certificates...)
		from = "key_filepath"
	}
	if len(own.keys) == 0 {
		return nil, nil
	}
	client := own.clientCertificate()
	if client == nil {
		return nil, fmt.Errorf("the private key of %s belongs to none of the certificates", from)
	}
	return client, nil
}

// receivers returns the certificates of a file that vouch for receivers, and puts
// the others among the intermediates.
func (t *trust) receivers(file *pemFile) ([]*x509.Certificate, error) {
	chain := make(map[string]bool)
	for _, der := range t.client.Certificate {
		chain[string(der)] = true
	}
	var others, intermediates []*x509.Certificate
	for _, c := range file.certificates {
		switch {
		case !chain[string(c.Raw)] || selfIssued(c):
			others = append(others, c)
		case !bytes.Equal(c.Raw, t.client.Leaf.Raw):
			intermediates = append(intermediates, c)
		}
	}
	// An intermediate of ours that issued another listed certificate serves that, too.
	trusted := others
	for _, c := range intermediates {
		if slices.ContainsFunc(others, func(o *x509.Certificate) bool { return !selfIssued(o) && issued(c, o) }) {
			trusted = append(trusted, c)
		} else {
			t.intermediates.AddCert(c)
		}
	}
	if len(trusted) > 0 {
		return trusted, nil
	}
	if len(intermediates) == 0 {
		return nil, &PermanentError{errors.New("holds no certificate but our client's own"),
			"add the certificate of the authority that issued the receiver's certificate, or that certificate itself"}
	}
	t.warnings = append(t.warnings, "cert_filepath holds only our client's certificate and its issuers, so whatever they issue for this name is accepted as the receiver: "+
		"put the certificate of the receiver's authority, or the receiver's own, into cert_filepath, and ours into key_filepath")
	return intermediates, nil
}

// handshake is what the connections of one session come to know of a receiver's
// TLS. A nil one is of a session in the clear.
type handshake struct {
	trust *trust
	warn  func(string) // told about a certificate that is accepted all the same
	asked atomic.Bool  // the receiver asks for a client certificate
}

// begin returns the handshake of a session of o; of no trust, none.
func (t *trust) begin(o *Options) *handshake {
	if t == nil {
		return nil
	}
	return &handshake{trust: t, warn: func(warning string) {
		if t.warned.CompareAndSwap(false, true) {
			o.warn(warning)
		}
	}}
}

// check returns the handshake of a check, whose warnings go to its report.
func (t *trust) check(report *Report) *handshake {
	if t == nil {
		return nil
	}
	report.Warnings = append(report.Warnings, t.warnings...)
	return &handshake{trust: t, warn: func(warning string) { report.Warnings = append(report.Warnings, warning) }}
}

// config returns the configuration of the session's connections.
func (h *handshake) config() *tls.Config {
	if h == nil {
		return nil
	}
	t := h.trust
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ServerName: t.name,
		// The judgement is ours, see judge: crypto/tls knows no Common Names, and
		// not the very certificate.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			warning, err := t.judge(state.PeerCertificates, time.Now())
			if err != nil {
				return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
			}
			if warning != "" {
				h.warn(warning)
			}
			return nil
		},
		// Not Certificates: that would keep the certificate back from a receiver
		// whose list of accepted authorities lacks its issuer, and the receiver's
		// log would then speak of a missing certificate.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.asked.Store(true)
			if t.client == nil {
				return new(tls.Certificate), nil
			}
			return t.client, nil
		},
		// Records of full size from the start: this is bulk, nobody waits for
		// the first byte.
		DynamicRecordSizingDisabled: true,
	}
}

// shown reports whether the receiver has asked for our certificate and was shown it.
func (h *handshake) shown() bool { return h != nil && h.asked.Load() && h.trust.client != nil }

// classify marks the faults of TLS that a repetition does not mend, and names a
// client certificate that is missing.
func (h *handshake) classify(err error) error {
	if err == nil || h == nil {
		return err
	}
	return classify(err, h.trust.protocol, h.asked.Load() && h.trust.client == nil)
}

// judge accepts the certificates that a receiver presents, or says why not. A
// warning comes with one that is accepted by its Common Name.
func (t *trust) judge(presented []*x509.Certificate, now time.Time) (warning string, err error) {
	leaf := presented[0]
	if t.listed[sha256.Sum256(leaf.Raw)] {
		if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			return "", x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired,
				Detail: fmt.Sprintf("valid from %s to %s", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339))}
		}
		return "", nil
	}
	intermediates := t.intermediates.Clone()
	for _, c := range presented[1:] {
		intermediates.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: t.roots, Intermediates: intermediates, CurrentTime: now})
	if err != nil {
		return "", err
	}
	err = leaf.VerifyHostname(t.name)
	if err == nil || len(leaf.DNSNames) > 0 || !slices.ContainsFunc(commonNames(leaf), t.isCommonName) || !slices.ContainsFunc(chains, unconstrained) {
		return "", err
	}
	return fmt.Sprintf("the receiver's certificate has the name %q in its Common Name only, which few programs still accept: "+
		`have it made with a subjectAltName (openssl: -addext "subjectAltName=DNS:%s")`, t.name, t.name), nil
}

// isCommonName reports whether a Common Name is the name that we look for, as
// OpenSSL's X509_check_host has it: a certificate without any DNS name is held to
// its Common Name; * stands for the first label of at least three. An address is
// never found there.
func (t *trust) isCommonName(cn string) bool {
	name := strings.TrimSuffix(t.name, ".")
	if net.ParseIP(name) != nil {
		return false
	}
	if strings.EqualFold(cn, name) {
		return true
	}
	domain, ok := strings.CutPrefix(cn, "*.")
	if !ok || !strings.Contains(domain, ".") || strings.Contains(domain, "*") {
		return false
	}
	label, rest, _ := strings.Cut(name, ".")
	return label != "" && strings.EqualFold(domain, rest)
}

func commonNames(c *x509.Certificate) (names []string) {
	for _, a := range c.Subject.Names {
		if name, ok := a.Value.(string); ok && a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			names = append(names, name)
		}
	}
	return names
}

// unconstrained reports whether no authority of a chain may only vouch for certain
// names: package x509 does not hold a Common Name to that.
func unconstrained(chain []*x509.Certificate) bool {
	return !slices.ContainsFunc(chain, func(c *x509.Certificate) bool {
		return len(c.PermittedDNSDomains)+len(c.ExcludedDNSDomains) > 0
	})
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
	// Editors of Windows begin a file so, and files are joined.
	data = bytes.ReplaceAll(data, []byte("\ufeff-----BEGIN"), []byte("-----BEGIN"))
	file := new(pemFile)
	found := false
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		found = true
		if err := file.add(block); err != nil {
			return nil, fmt.Errorf("%s %q: %w", key, path, err)
		}
	}
	if !found {
		what, hint := otherForm(data)
		if hint == "" {
			return nil, fmt.Errorf("%s %q is no PEM file", key, path)
		}
		return nil, &PermanentError{fmt.Errorf("%s %q is %s: it must be PEM", key, path, what), hint}
	}
	return file, nil
}

// otherForm recognizes forms in which certificates are passed around, and tells
// the command that turns them into PEM.
func otherForm(data []byte) (what, command string) {
	if _, err := x509.ParseCertificate(data); err == nil {
		return "a certificate in DER form", "openssl x509 -inform der -in OLD -out NEW"
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.Contains(data, []byte("-\x00-\x00-\x00")) {
		return "text in UTF-16", "iconv -f UTF-16 -t UTF-8 OLD >NEW; in PowerShell: Get-Content OLD | Set-Content -Encoding ascii NEW"
	}
	if _, err := parseKey(data); err == nil {
		return "a private key in DER form", "openssl pkey -inform der -in OLD -out NEW; make NEW readable to the job's user only"
	}
	var whole, first asn1.RawValue
	if _, err := asn1.Unmarshal(data, &whole); err != nil || whole.Tag != asn1.TagSequence {
		return "", ""
	}
	if _, err := asn1.Unmarshal(whole.Bytes, &first); err != nil {
		return "", ""
	}
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(first.FullBytes, &oid); err == nil && oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}) {
		return "PKCS #7 in DER form", "openssl pkcs7 -inform der -in OLD -print_certs -out NEW"
	}
	if bytes.Equal(first.FullBytes, []byte{asn1.TagInteger, 1, 3}) { // version 3: RFC 7292, section 4
		return "PKCS #12", "openssl pkcs12 -in OLD -nodes -out NEW; make NEW readable to the job's user only"
	}
	return "", ""
}

func (f *pemFile) add(block *pem.Block) error {
	switch {
	case block.Type == "CERTIFICATE", block.Type == "X509 CERTIFICATE", block.Type == "TRUSTED CERTIFICATE":
		der := block.Bytes
		if block.Type == "TRUSTED CERTIFICATE" { // OpenSSL's own: what it is trusted for follows
			var first asn1.RawValue
			if _, err := asn1.Unmarshal(der, &first); err == nil {
				der = first.FullBytes
			}
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return unreadable(len(f.certificates)+1, der, err)
		}
		f.certificates = append(f.certificates, c)
	case block.Type == "PKCS7", block.Type == "CMS":
		return &PermanentError{errors.New("it holds PKCS #7: it must hold certificates"), "openssl pkcs7 -in OLD -print_certs -out NEW"}
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

// unreadable names a certificate of a file that package x509 does not take, such
// as one with a negative serial number (RFC 5280, section 4.1.2.2, forbids it).
func unreadable(n int, der []byte, err error) error {
	var cert struct {
		TBS struct {
			Version    int `asn1:"optional,explicit,default:0,tag:0"`
			Serial     *big.Int
			Algorithm  asn1.RawValue
			Issuer     asn1.RawValue
			Validity   asn1.RawValue
			Subject    pkix.RDNSequence
			Key        asn1.RawValue
			Extensions asn1.RawValue `asn1:"optional"`
		}
		Algorithm asn1.RawValue
		Signature asn1.RawValue
	}
	if _, malformed := asn1.Unmarshal(der, &cert); malformed != nil {
		return fmt.Errorf("certificate %d: %w", n, err)
	}
	return &PermanentError{fmt.Errorf("certificate %d, of %q: %w", n, cert.TBS.Subject.String(), err),
		"remove this certificate from the file unless the receiver's chain needs it; else have it issued again"}
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
		if !selfIssued(issuer) && issued(issuer, c) {
			return issuer
		}
	}
	return nil
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func issued(issuer, c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, issuer.RawSubject) && c.CheckSignatureFrom(issuer) == nil
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
