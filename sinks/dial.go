package sinks

import (
	"context"
	"crypto/tls"
	"net"
)

// dial connects over TCP, and shakes hands where h is not nil; then client is over
// conn.
func (o *Options) dial(ctx context.Context, h *handshake) (conn net.Conn, client *tls.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	if conn, err = o.connect(ctx, "tcp", o.address()); err != nil {
		return nil, nil, err
	}
	if h == nil {
		return conn, nil, nil
	}
	client = tls.Client(conn, h.config())
	if err := client.HandshakeContext(ctx); err != nil {
		conn.Close()
		if isTimeout(err) {
			err = timeoutError("no TLS handshake", o.DialTimeout)
		}
		return nil, nil, h.classify(err)
	}
	return conn, client, nil
}

// connect connects within DialTimeout.
func (o *Options) connect(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	conn, err := o.Dial(ctx, network, address)
	if isTimeout(err) {
		err = timeoutError("no connection", o.DialTimeout)
	}
	return conn, err
}
