package sinks_test

import (
	"net"
	"strings"
	"testing"

	"dls/sinks"
	"dls/sinks/sinktest"
)

// BenchmarkDeliver delivers pages of 1,000 records of 1.4 kB, and compares that
// with writing them to one long connection, unconfirmed.
func BenchmarkDeliver(b *testing.B) {
	lines := page("a", 1000, 1400)
	discard := func(c *sinktest.Conn) {
		if c.ReadLines(0) { // for the handshake
			c.Discard()
		}
	}
	for _, tr := range streams(b) {
		if strings.Contains(tr.name, "IPv6") {
			continue
		}
		b.Run(tr.name, func(b *testing.B) {
			s, _ := tr.start(b, discard)
			b.SetBytes(int64(len(lines)))
			for b.Loop() {
				if err := deliver(b.Context(), s, lines); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("one long connection, unconfirmed", func(b *testing.B) {
		tr := transport{protocol: sinks.TCP, host: "127.0.0.1"}
		_, r := tr.start(b, discard)
		conn, err := net.Dial("tcp", r.Addr())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		b.SetBytes(int64(len(lines)))
		for b.Loop() {
			if _, err := conn.Write(lines); err != nil {
				b.Fatal(err)
			}
		}
	})
}
