package duosim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"
)

// network is how the simulation is reached.
type network struct {
	done    chan struct{} // closed by Close
	once    sync.Once
	http    *http.Server
	tls     *tls.Config
	ca      []byte
	handoff *handoff // connections that come from elsewhere than a listener
	proxies []*Proxy
	running sync.WaitGroup
}

// Start opens a TLS listener on 127.0.0.1 for each account without a host name,
// and gives the account the listener's address as its host; it may be called
// again after AddAccount. Accounts with a host name are reached by
// [Server.StartProxy] or [Server.DialContext].
func (s *Server) Start() error {
	s.up()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.order {
		if a.Host != "" {
			continue
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listen for account %q: %w", a.ID, err)
		}
		s.setHost(a, l.Addr().String())
		s.serve(s.network.http, tls.NewListener(l, s.network.tls))
	}
	return nil
}

// Close closes all listeners, proxies and connections, and waits for the
// goroutines that accept. Calls that hang end.
func (s *Server) Close() {
	s.up()
	n := &s.network
	s.mu.Lock()
	select {
	case <-n.done:
	default:
		close(n.done)
	}
	proxies := n.proxies
	s.mu.Unlock()
	for _, p := range proxies {
		p.http.Close()
	}
	n.http.Close() // of listeners that are gone anyway an error says nothing
	n.running.Wait()
}

// CAPEM returns the certificate of the authority that signs the simulation's
// certificate, which is good for 127.0.0.1, ::1, localhost and
// *.duosecurity.com. Each Server has an authority of its own.
func (s *Server) CAPEM() []byte {
	s.up()
	return bytes.Clone(s.network.ca)
}

// DialContext connects to the simulation in memory, whatever the address: it is
// for [http.Transport.DialContext]. TLS is spoken as on a real connection. It
// works inside a testing/synctest bubble, if the Server is made there. A bubble
// begins in the year 2000, when milliseconds had 12 digits and not the 13 that
// Duo asks for: sleep first until a later date.
func (s *Server) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	s.up()
	client, server := net.Pipe()
	select {
	case s.network.handoff.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.network.done:
		return nil, &net.OpError{Op: "dial", Net: network, Err: net.ErrClosed}
	}
}

// up makes what all ways of reaching the simulation share.
func (s *Server) up() {
	n := &s.network
	n.once.Do(func() {
		ca, leaf, err := certificates()
		if err != nil {
			panic(fmt.Sprintf("duosim: %v", err)) // the system has no randomness
		}
		n.ca = ca
		n.tls = &tls.Config{Certificates: []tls.Certificate{leaf}}
		n.http = &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
		n.handoff = &handoff{conns: make(chan net.Conn), done: n.done}
		s.serve(n.http, tls.NewListener(n.handoff, n.tls))
	})
}

func (s *Server) serve(h *http.Server, l net.Listener) {
	s.network.running.Go(func() { h.Serve(l) }) // returns when the server is closed
}

// handoff is a listener for connections made elsewhere.
type handoff struct {
	conns chan net.Conn
	done  chan struct{}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handoff) Close() error   { return nil }
func (h *handoff) Addr() net.Addr { return &net.UnixAddr{Name: "duosim", Net: "memory"} }

// certificates makes an authority and a certificate signed by it. They are valid
// at any time that a test may set its clock to.
func certificates() (caPEM []byte, leaf tls.Certificate, err error) {
	from, until := time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, leaf, fmt.Errorf("make key: %w", err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Simulated Duo CA"},
		NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, leaf, fmt.Errorf("make CA certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, leaf, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Simulated Duo"},
		NotBefore: from, NotAfter: until,
		DNSNames:    []string{"localhost", "*.duosecurity.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, key.Public(), caKey)
	if err != nil {
		return nil, leaf, fmt.Errorf("make certificate: %w", err)
	}
	caPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return caPEM, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
