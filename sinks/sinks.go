// Package sinks delivers records to receivers over TCP, TLS, UDP and RELP, to an
// HTTP Event Collector, or to a writer such as the standard output.
//
// Start at [New], which makes a [Sink] of one entry of the configuration's
// servers; [NewWriter] makes one of a writer. [Sink.Open] begins a [Session],
// which carries records and is confirmed as a whole.
//
// What is promised: Session.Confirm returns nil only when everything sent counts
// as far as the protocol can tell.
//
//   - TCP and TLS have no acknowledgement by the receiving program, and a write
//     that succeeds proves nothing. So the peer's system must acknowledge every
//     byte, the connection must then stay open and in order for
//     [Options.Settle], and our half-close must be answered by the end of the
//     peer's stream. That proves that the nearest peer had the bytes and did not
//     fall over at once. A proxy that has what is behind it in order, or that
//     goes on trying to reach it for longer than Settle, looks the same as a
//     receiver.
//   - With RELP the receiving program must answer each record.
//   - With HEC the collector must answer each request and, where it acknowledges
//     what is indexed, each of those must be acknowledged.
//   - UDP confirms nothing: only a refusal within Settle is noticed.
package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"strconv"
	"strings"
	"time"
)

// Protocol is how records travel, in the words of the configuration.
type Protocol string

// The protocols of the configuration.
const (
	TCP     Protocol = "TCP"     // a record a line, in the clear
	TCPSSL  Protocol = "TCPSSL"  // the same over TLS
	UDP     Protocol = "UDP"     // a record a datagram, in the clear
	RELP    Protocol = "RELP"    // a record a transaction that the receiver answers, in the clear
	RELPSSL Protocol = "RELPSSL" // the same over TLS
	HEC     Protocol = "HEC"     // Splunk's HTTP Event Collector
)

// Options describe one receiver. The zero value of each time-out means its default.
type Options struct {
	ID       string   // servers[].id, for messages
	Protocol Protocol // required
	Hostname string   // required: name, IPv4 or IPv6 address, the latter with or without brackets
	Port     int      // required

	// CertFile is a PEM file with the only certificates that TLS trusts:
	// certificate authorities, or the receiver's own certificate, which is then
	// accepted whatever its name. If it also holds a private key, that key's
	// certificate is presented to the receiver; neither it nor the intermediates
	// that only its chain needs are trusted.
	CertFile string
	// KeyFile is a PEM file with that private key instead, and perhaps its certificate.
	KeyFile string
	// ServerName is the name that the receiver's certificate must have, instead of
	// Hostname: a DNS name or address in it or, where it has no DNS name at all,
	// its Common Name.
	ServerName string

	DialTimeout  time.Duration // name look-up, connection and TLS handshake together; 30 s
	StallTimeout time.Duration // the longest time in which a receiver takes nothing; 30 s
	CloseTimeout time.Duration // the longest wait for the receiver's end of stream; 10 s

	// Settle is how long a session must stay in order after its last byte
	// before it counts: servers[].settle. Zero or less: not at all. The
	// configuration, not this package, makes it 5 s where it is not set.
	Settle time.Duration
	// MaxRecordBytes is the longest record, without its newline, that the
	// receiver takes: servers[].max_record_bytes. Zero: as the protocol has it.
	MaxRecordBytes int

	// Syslog says in what envelope and frame a record travels with TCP, TCPSSL,
	// UDP, RELP and RELPSSL.
	Syslog SyslogOptions
	// HEC has what only protocol HEC needs.
	HEC HECOptions

	// Warn is told, at most once per kind of warning, what the user should
	// know about a delivery that counts all the same. It may be nil, and is
	// called from whichever goroutine uses the sink.
	Warn func(msg string)

	// Dial connects in place of the net package: to a simulated network, whose
	// connections of TCP have the methods of [Link]. It may be nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Sink is one server, or another place where records go. All methods are safe
// for concurrent use.
//
// The errors of a sink and of its sessions name the server. One is a
// [*PermanentError] where a repetition would not mend it. If the context ended,
// it wraps [context.Cause] of that context; a time-out of the sink's own never
// matches a context error. [Hint] may say what to do about it.
type Sink interface {
	// ID names the sink in messages: the configuration's servers[].id.
	ID() string

	// MaxRecord is the length in bytes, without its newline, of the longest
	// record that the sink takes, or 0 where there is no limit.
	MaxRecord() int

	// Open connects and shakes hands. The end of ctx afterwards does not end
	// the session. Who opens a session ends it, by Confirm or Abort.
	Open(ctx context.Context) (Session, error)

	// Check opens a session, sends nothing, and confirms it. With an error the
	// report holds what was found out before.
	Check(ctx context.Context) (Report, error)
}

// Session is one connection to a server, or one transaction where the protocol
// has them. One goroutine uses it; Failed and Abort may be called by any.
type Session interface {
	// Send hands over whole records. A nil error means written, not that they
	// count. refused names, in order, the records of the batch that the
	// receiver, or this system, does not take and never will; all others were
	// sent. After an error, or the end of ctx, the session is over: the receiver
	// may have none, some or all of what was sent in it. Send neither changes
	// nor keeps the batch.
	Send(ctx context.Context, b Batch) (refused []Refused, err error)

	// Confirm ends the session in order. nil: everything sent counts. The end
	// of ctx ends the session at once.
	Confirm(ctx context.Context) error

	// Failed is closed once the peer has ended the session on its own, even
	// while nothing is sent. Send or Confirm then say why.
	Failed() <-chan struct{}

	// Abort ends the session at once: nothing counts but what the receiver itself has
	// answered. A call of Send or Confirm that is under way fails. It does nothing to a
	// session that is over.
	Abort()
}

// answered is a session whose receiver itself answers for what it takes.
type answered interface {
	// answered is how many batches, from the first on, the receiver has taken for good,
	// whatever becomes of the session. It is called once the session is over.
	answered() int
}

// Batch is some records of one endpoint.
type Batch struct {
	Endpoint string  // such as "auth"
	Lines    []byte  // whole records, each ending in '\n'
	Times    []int64 // of each record, in ms since the epoch, -1: unknown; nil: not told
}

// Refused is a record that a sink does not take and never will.
type Refused struct {
	Index  int    // of the record in its batch
	Reason string // in words, for messages
}

// records yields the records of b, '\n' included, with their indices.
func (b Batch) records() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		i := 0
		for record := range bytes.Lines(b.Lines) {
			if !yield(i, record) {
				return
			}
			i++
		}
	}
}

// check holds b to the contract of Send: the next record would be joined to one
// without its newline.
func (b Batch) check() error {
	if n := len(b.Lines); n > 0 && b.Lines[n-1] != '\n' {
		return errors.New("the last record does not end in a newline")
	}
	return nil
}

// within returns b less the records that are longer than limit bytes without their
// newline, which it names; a limit of 0 is none. The remaining lines are those of b
// itself where all fit.
func (b Batch) within(limit int) (lines []byte, refused []Refused) {
	if limit <= 0 {
		return b.Lines, nil
	}
	for i, record := range b.records() {
		if n := len(record) - 1; n > limit {
			refused = append(refused, Refused{i, fmt.Sprintf("its %d bytes are more than the %d that the server takes", n, limit)})
		}
	}
	if len(refused) == 0 {
		return b.Lines, nil
	}
	lines = make([]byte, 0, len(b.Lines))
	for _, record := range b.records() {
		if len(record)-1 <= limit {
			lines = append(lines, record...)
		}
	}
	return lines, refused
}

// Report is what [Sink.Check] found. Fields that do not apply are zero.
type Report struct {
	Remote     string    // address and port of the receiver, after name look-up
	TLSVersion string    // such as "TLS 1.3"
	Subject    string    // of the receiver's certificate
	Issuer     string    // of the receiver's certificate
	Names      []string  // DNS names and addresses in the receiver's certificate
	NotAfter   time.Time // when the receiver's certificate expires
	ClientCert bool      // the receiver asked for our certificate and was shown one
	Closed     bool      // TCP, TCPSSL: the receiver answered the half-close; RELP, RELPSSL: the close
	Warnings   []string  // what the user should know although nothing failed
	Proves     string    // in words, what a confirmed session proves with this protocol
}

const (
	defaultDialTimeout  = 30 * time.Second
	defaultStallTimeout = 30 * time.Second
	defaultCloseTimeout = 10 * time.Second
)

// New returns the sink that o describes. It reads the PEM files and does not
// touch the network. Its errors name the key of the configuration.
func New(o Options) (Sink, error) {
	s, err := newSink(o)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", o.ID, err)
	}
	return s, nil
}

func newSink(o Options) (Sink, error) {
	o.Hostname = unbracket(o.Hostname)
	if o.Hostname == "" {
		return nil, errors.New("hostname is empty")
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("port %d is not in 1–65535", o.Port)
	}
	setDefault(&o.DialTimeout, defaultDialTimeout)
	setDefault(&o.StallTimeout, defaultStallTimeout)
	setDefault(&o.CloseTimeout, defaultCloseTimeout)
	o.Settle = max(o.Settle, 0)
	if o.MaxRecordBytes < 0 {
		return nil, fmt.Errorf("max_record_bytes %d is negative", o.MaxRecordBytes)
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	w, err := newWrapper(o)
	if err != nil {
		return nil, err
	}
	switch o.Protocol {
	case TCP:
		return newTCP(o, nil, w), nil
	case TCPSSL:
		trust, err := newListedTrust(&o)
		if err != nil {
			return nil, err
		}
		return newTCP(o, trust, w), nil
	case UDP:
		return newUDP(o, w), nil
	case RELP, RELPSSL:
		return newRELP(o, w)
	case HEC:
		return newHEC(o)
	}
	return nil, fmt.Errorf("protocol %q is not one of TCP, TCPSSL, UDP, RELP, RELPSSL, HEC", string(o.Protocol))
}

// address is the host and port as a dialer wants them.
func (o *Options) address() string {
	return net.JoinHostPort(o.Hostname, strconv.Itoa(o.Port))
}

// warn says what the user should know about the server.
func (o *Options) warn(msg string) {
	o.Warn(fmt.Sprintf("server %q (%s): %s", o.ID, o.address(), msg))
}

func unbracket(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok := strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return host
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}
