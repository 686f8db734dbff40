package sinks

import (
	"context"
	"crypto/tls"
	"net"
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
