package check_test

import (
	"fmt"
	"testing"
	"time"

	"dls/job/check"
	"dls/job/config"
	"dls/sinks/sinktest"
)

func TestReceivers(t *testing.T) {
	const server = `server "siem"`
	day := 24 * time.Hour
	for _, test := range []struct {
		name string
		do   func(w *world, ca *sinktest.Certificate)
		want []want
	}{
		{"refused", func(w *world, _ *sinktest.Certificate) { w.cfg.Servers[0].Port = sinktest.FreePort(w.t) },
			[]want{{check.Failed, server, "127.0.0.1:", "receiver is running"}}},
		{"TLS", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{NotAfter: time.Now().Add(40 * day)})
		}, nil},
		{"certificate expires soon", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{NotAfter: time.Now().Add(12*day + time.Hour)})
		}, []want{{check.Warning, server, "certificate expires in 12 days (" + time.Now().Add(12*day+time.Hour).UTC().Format(time.DateOnly) + ")", "renewed"}}},
		{"certificate is expired", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{NotAfter: time.Now().Add(-time.Hour)})
		}, []want{{check.Failed, server, "expired", "renew"}}},
		{"certificate of another name", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{Names: []string{"siem.example"}})
		}, []want{{check.Failed, server, "127.0.0.1", "server_name"}}},
		{"certificate of another authority", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{})
			w.write("siem.pem", sinktest.NewAuthority(w.t).CertPEM())
		}, []want{{check.Failed, server, "unknown authority", "cert_filepath"}}},
		{"certificate files are not in order", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{})
			w.write("siem.pem", []byte("nothing"))
		}, []want{
			{check.Failed, server + ": certificate files", "no PEM file", ""},
			{check.Skipped, server, "certificate files are not in order", ""},
		}},
		{"no TLS", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{})
			w.siem = sinktest.Listen(w.t, sinktest.Options{Behave: func(c *sinktest.Conn) { c.TCP.Write([]byte("220 welcome\r\n")) }})
			w.cfg.Servers[0].Port = w.siem.Port()
		}, []want{{check.Failed, server, "does not look like a TLS handshake", "protocol TCP"}}},
		{"closes early", func(w *world, _ *sinktest.Certificate) {
			w.siem = sinktest.Listen(w.t, sinktest.Options{Behave: sinktest.ResetAtEnd})
			w.cfg.Servers[0].Port = w.siem.Port()
		}, []want{{check.Failed, server, "", "the receiver's log"}}},
		{"never closes", func(w *world, _ *sinktest.Certificate) {
			w.siem = sinktest.Listen(w.t, sinktest.Options{Behave: sinktest.NeverClose})
			w.cfg.Servers[0].Port = w.siem.Port()
		}, []want{{check.Warning, server, "leaves the connection open", "load balancer"}}},
		{"ends the connection while it settles", func(w *world, _ *sinktest.Certificate) {
			w.siem = sinktest.Listen(w.t, sinktest.Options{Behave: sinktest.CloseIdle(0, 10*time.Millisecond)})
			w.cfg.Servers[0].Port, w.cfg.Servers[0].Settle = w.siem.Port(), time.Hour
		}, []want{{check.Failed, server, "within the 1h0m0s for which it must stay open", "a proxy does so when what is behind it is down"}}},
		{"settles", func(w *world, _ *sinktest.Certificate) { w.cfg.Servers[0].Settle = 50 * time.Millisecond }, nil},
		{"RELP", func(w *world, _ *sinktest.Certificate) { w.speaks(config.RELP, new(sinktest.RELPServer).Behave) }, nil},
		{"RELP over TLS", func(w *world, ca *sinktest.Certificate) {
			w.tls(ca, sinktest.CertificateOptions{NotAfter: time.Now().Add(40 * day)})
			w.siem = sinktest.Listen(w.t, sinktest.Options{TLS: ca.Issue(w.t, sinktest.CertificateOptions{NotAfter: time.Now().Add(40 * day)}).Server(nil), Behave: new(sinktest.RELPServer).Behave})
			w.cfg.Servers[0].Port, w.cfg.Servers[0].Protocol = w.siem.Port(), config.RELPTLS
		}, nil},
		{"RELP is refused", func(w *world, _ *sinktest.Certificate) {
			w.speaks(config.RELP, (&sinktest.RELPServer{Code: "500 not today"}).Behave)
		}, []want{{check.Failed, server, "not today", ""}}},
		{"RELP is not spoken", func(w *world, _ *sinktest.Certificate) { w.speaks(config.RELP, sinktest.CloseAtOnce) },
			[]want{{check.Failed, server, "instead of opening a RELP session", "RELP input"}}},
		{"RELP is not closed", func(w *world, _ *sinktest.Certificate) {
			w.speaks(config.RELP, (&sinktest.RELPServer{NoClose: true}).Behave)
		}, []want{{check.Warning, server, "does not answer its close", "counts all the same"}}},
		{"HEC", func(w *world, _ *sinktest.Certificate) { w.collects(new(sinktest.HEC)) }, nil},
		{"HEC is unhealthy", func(w *world, _ *sinktest.Certificate) { w.collects(&sinktest.HEC{Unhealthy: true}) },
			[]want{{check.Failed, server, "queues are full", "the receiver's log"}}},
		{"HEC does not know the token", func(w *world, _ *sinktest.Certificate) { w.collects(&sinktest.HEC{Token: "another"}) },
			[]want{{check.Failed, server, "Invalid token", "copy it from the collector's settings"}}},
		{"HEC at another port", func(w *world, _ *sinktest.Certificate) {
			w.collects(new(sinktest.HEC))
			w.cfg.Servers[0].Port = sinktest.FreePort(w.t)
		}, []want{{check.Failed, server, "127.0.0.1:", "receiver is running"}}},
		{"UDP", func(w *world, _ *sinktest.Certificate) {
			w.siem = sinktest.ListenUDP(w.t, sinktest.Options{})
			w.cfg.Servers[0].Port, w.cfg.Servers[0].Protocol = w.siem.Port(), config.UDP
		}, nil},
		{"not mapped", func(w *world, _ *sinktest.Certificate) {
			spare := w.cfg.Servers[0]
			spare.ID = "spare"
			w.cfg.Servers = append(w.cfg.Servers, spare)
		}, []want{{check.Skipped, `server "spare"`, "no endpoint is mapped to it", ""}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // one of them waits for a close that does not come
			w := newWorld(t)
			test.do(w, sinktest.NewAuthority(t))
			w.expect(w.run(), test.want...)
		})
	}
}

// What is said of receivers in order is what an operator wants to see.
func TestReceiverDetails(t *testing.T) {
	w := newWorld(t)
	ca := sinktest.NewAuthority(t)
	until := time.Now().Add(90 * 24 * time.Hour).UTC()
	leaf := ca.Issue(t, sinktest.CertificateOptions{NotAfter: until})
	w.siem = sinktest.Listen(t, sinktest.Options{TLS: leaf.Server(ca)})
	client := ca.Issue(t, sinktest.CertificateOptions{Client: true})
	w.write("siem.pem", ca.CertPEM())
	w.write("key.pem", append(client.KeyPEM(t), client.CertPEM()...))
	udp, tcp := sinktest.ListenUDP(t, sinktest.Options{}), sinktest.Listen(t, sinktest.Options{})
	relp := sinktest.Listen(t, sinktest.Options{Behave: new(sinktest.RELPServer).Behave})
	hec := sinktest.Listen(t, sinktest.Options{Behave: (&sinktest.HEC{T: t}).Behave})
	w.cfg.Servers = []config.Server{
		{ID: "tls", Hostname: "127.0.0.1", Port: w.siem.Port(), Protocol: config.TLS, CertFile: w.path("siem.pem"), KeyFile: w.path("key.pem")},
		{ID: "udp", Hostname: "127.0.0.1", Port: udp.Port(), Protocol: config.UDP},
		{ID: "tcp", Hostname: "127.0.0.1", Port: tcp.Port(), Protocol: config.TCP, Settle: 20 * time.Millisecond},
		{ID: "relp", Hostname: "127.0.0.1", Port: relp.Port(), Protocol: config.RELP, Syslog: config.Syslog{Envelope: config.RFC5424}},
		{ID: "hec", Hostname: "127.0.0.1", Port: hec.Port(), Protocol: config.EventCollector, HEC: config.HEC{Token: config.NewSecret(skey), Plaintext: true}},
	}
	for i := range w.cfg.Routes {
		w.cfg.Routes[i].Servers = []int{0, 1, 2, 3, 4}
	}
	findings := w.run()
	w.expect(findings)
	got := findings[len(findings)-5:]
	want := []check.Finding{
		{Name: `server "tls"`, Detail: fmt.Sprintf("TCPSSL %s; TLS 1.3, certificate of %q issued by %q; expires %s; our certificate was asked for and shown; "+
			"a confirmed delivery proves that the nearest peer's system took every byte; a proxy with nothing behind it looks the same as a receiver",
			w.siem.Addr(), leaf.X509.Subject.String(), ca.X509.Subject.String(), until.Format(time.DateOnly))},
		{Name: `server "udp"`, Detail: fmt.Sprintf("UDP %s: the name resolves; whether anybody listens cannot be known; "+
			"a confirmed delivery proves nothing: a datagram that nobody takes is lost without a word; only a port that refuses may be noticed", udp.Addr())},
		{Name: `server "tcp"`, Detail: fmt.Sprintf("TCP %s stayed open for 20ms; a confirmed delivery proves that the nearest peer took every byte and did not end the connection within 20ms; "+
			"a proxy that goes on trying to reach what is behind it for longer looks the same as a receiver", tcp.Addr())},
		{Name: `server "relp"`, Detail: fmt.Sprintf("RELP %s opened a session; a confirmed delivery proves that the receiving program has taken each record; what it then holds in memory is its own", relp.Addr())},
		{Name: `server "hec"`, Detail: fmt.Sprintf("HEC %s is healthy and knows the token; a confirmed delivery proves that the collector has taken each record, or, "+
			"where the token has indexer acknowledgement, that the indexer has stored it", hec.Addr())},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("finding = %+v, want %+v", got[i], want[i])
		}
	}
	if n := len(udp.Lines()); n > 0 {
		t.Errorf("%d records reached the receiver", n)
	}
}
