package sinks

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
)

// dial connects over TCP, and shakes hands where config is not nil; then what it
// returns is a [*tls.Conn].
func (o *Options) dial(ctx context.Context, config *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	conn, err := o.Dial(ctx, "tcp", o.address())
	if err != nil {
		if isTimeout(err) {
			err = timeoutError("no connection", o.DialTimeout)
		}
		return nil, err
	}
	if config == nil {
		return conn, nil
	}
	client := tls.Client(conn, config)
	if err := client.HandshakeContext(ctx); err != nil {
		conn.Close()
		if isTimeout(err) {
			err = timeoutError("no TLS handshake", o.DialTimeout)
		}
		return nil, err
	}
	return client, nil
}

// noteClientCert returns config, or a copy of it that notes whether the receiver
// has asked for our certificate, and what tells that. Both work where config is nil.
func noteClientCert(config *tls.Config) (noting *tls.Config, asked func() bool) {
	if config == nil || config.GetClientCertificate == nil {
		return config, func() bool { return false }
	}
	var seen atomic.Bool
	noting = config.Clone()
	noting.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		seen.Store(true)
		return config.GetClientCertificate(r)
	}
	return noting, seen.Load
}
