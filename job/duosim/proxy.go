package duosim

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
)

// Proxy is an HTTP CONNECT proxy that leads to the simulation whatever host is
// asked for, so that a client can be configured with real host names. The
// [Server] that started it closes it. Its methods are safe for concurrent use.
type Proxy struct {
	address     string
	credentials string // the header that is wanted, or empty
	sim         *Server
	http        *http.Server
	refused     atomic.Int32
	tunnels     atomic.Int64
}

// StartProxy starts a proxy on 127.0.0.1. With a user it asks for basic
// credentials.
func (s *Server) StartProxy(user, password string) (*Proxy, error) {
	s.up()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the proxy: %w", err)
	}
	p := &Proxy{address: l.Addr().String(), sim: s}
	if user != "" {
		p.credentials = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	p.http = &http.Server{Handler: http.HandlerFunc(p.tunnel), ErrorLog: log.New(io.Discard, "", 0)}
	s.mu.Lock()
	s.network.proxies = append(s.network.proxies, p)
	s.mu.Unlock()
	s.serve(p.http, l)
	return p, nil
}

// Addr returns the proxy's address, host:port.
func (p *Proxy) Addr() string { return p.address }

// Refuse makes the proxy answer with a status instead of opening tunnels. Zero
// ends that. Tunnels that are open stay so.
func (p *Proxy) Refuse(status int) { p.refused.Store(int32(status)) }

// Tunnels returns how many tunnels were opened.
func (p *Proxy) Tunnels() int { return int(p.tunnels.Load()) }

// tunnel hands the client's own connection to the simulation: no second
// connection is needed.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	status := int(p.refused.Load())
	switch {
	case status != 0:
	case r.Method != http.MethodConnect:
		status = http.StatusMethodNotAllowed
	case p.credentials != "" && r.Header.Get("Proxy-Authorization") != p.credentials:
		w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
		status = http.StatusProxyAuthRequired
	}
	if status != 0 {
		http.Error(w, http.StatusText(status), status)
		return
	}
	conn, client, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if client.Reader.Buffered() > 0 { // bytes sent before the tunnel was open
		conn.Close()
		return
	}
	p.tunnels.Add(1)
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		conn.Close()
		return
	}
	select {
	case p.sim.network.handoff.conns <- conn:
	case <-p.sim.network.done:
		conn.Close()
	}
}
