package sinks

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Envelope is the header of syslog that stands before a record, in the words of
// the configuration.
type Envelope string

// The envelopes of the configuration.
const (
	NoEnvelope Envelope = "none"    // the record alone, as duologsync sends it
	RFC5424    Envelope = "rfc5424" // The Syslog Protocol
	RFC3164    Envelope = "rfc3164" // The BSD syslog Protocol
)

// Framing is how a receiver finds the end of a record in a stream, in the words
// of the configuration.
type Framing string

// The framings of the configuration, which are those of RFC 6587, section 3.4.
const (
	NewlineFraming Framing = "newline"       // non-transparent framing with LF as its trailer
	OctetCounted   Framing = "octet-counted" // the length before each record
)

// SyslogOptions say how records are put into messages of syslog. The zero value
// is duologsync's way: a record a line, without a header; for RELP it is RFC 5424.
//
// The message is the record byte for byte, without its '\n'. RFC 5424 wants a
// byte order mark before a message that is known to be UTF-8, so a record of
// UTF-8 that is not ASCII gets one; JSON lines are ASCII and never do. The time in
// the header is the record's own where the batch tells it, else that of sending:
// with RFC 5424 in UTC to the millisecond, with RFC 3164 in this machine's zone,
// as receivers take it to be.
type SyslogOptions struct {
	Envelope Envelope
	Framing  Framing // TCP and TCPSSL
	Facility string  // name or number of RFC 5424, section 6.2.1; local0 when empty
}

// facilities are the usual names, by their number.
var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
	"audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

const (
	severityInfo = 6
	maxHostname  = 255 // RFC 5424, section 6
	maxMsgID     = 32
)

// OwnPrefix reports whether a record travels in an envelope of its protocol,
// which takes the place of the prefix that duologsync puts before CEF.
func (o *Options) OwnPrefix() bool {
	switch o.Protocol {
	case RELP, RELPSSL, HEC:
		return true
	}
	return o.Syslog.Envelope == RFC5424 || o.Syslog.Envelope == RFC3164
}

// wrapper puts records into messages and frames. It is safe for concurrent use.
type wrapper struct {
	envelope Envelope
	counted  bool
	start    string // before the time
	host     string
	procID   string
}

// newWrapper returns what o asks for, or nil where records travel as they are.
func newWrapper(o Options) (*wrapper, error) {
	w := &wrapper{envelope: o.Syslog.Envelope, procID: strconv.Itoa(os.Getpid())}
	relp := o.Protocol == RELP || o.Protocol == RELPSSL
	switch w.envelope {
	case "":
		w.envelope = NoEnvelope
		if relp {
			w.envelope = RFC5424
		}
	case NoEnvelope:
		if relp {
			return nil, fmt.Errorf("envelope none does not go with protocol %s, whose records are messages of syslog", o.Protocol)
		}
	case RFC5424, RFC3164:
	default:
		return nil, fmt.Errorf("envelope %.80q is not one of none, rfc5424, rfc3164", string(w.envelope))
	}
	switch o.Syslog.Framing {
	case "", NewlineFraming:
	case OctetCounted:
		if o.Protocol != TCP && o.Protocol != TCPSSL {
			return nil, fmt.Errorf("framing octet-counted is for protocols TCP and TCPSSL, not %s", o.Protocol)
		}
		w.counted = true
	default:
		return nil, fmt.Errorf("framing %.80q is not one of newline, octet-counted", string(o.Syslog.Framing))
	}
	facility, err := parseFacility(o.Syslog.Facility)
	if err != nil {
		return nil, err
	}
	if w.envelope == NoEnvelope && !w.counted {
		return nil, nil
	}
	w.start = fmt.Sprintf("<%d>", facility*8+severityInfo)
	if w.envelope == RFC5424 {
		w.start += "1 "
	}
	w.host = hostname()
	return w, nil
}

func parseFacility(s string) (int, error) {
	if s == "" {
		s = "local0"
	}
	if n := slices.Index(facilities, s); n >= 0 {
		return n, nil
	}
	if n, err := strconv.ParseUint(s, 10, 8); err == nil && n < uint64(len(facilities)) {
		return int(n), nil
	}
	return 0, fmt.Errorf("facility %.80q is neither a name, such as local0 or authpriv, nor a number in 0–23", s)
}

// hostname returns this machine's name for a header.
func hostname() string {
	host, _ := os.Hostname() // a host without a name is no reason to withhold records
	return headerField(host, maxHostname)
}

// headerField makes s fit for a field of a header: what is not a letter, a digit,
// a dot, a hyphen or an underscore of ASCII becomes a hyphen, the NILVALUE of RFC
// 5424 stands for nothing, and what is too long is cut.
func headerField(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}

// overhead is the most by which a message is longer than its record, the frame
// not counted.
func (w *wrapper) overhead() int {
	if w.envelope == NoEnvelope {
		return 0
	}
	return len(w.start) + len("2006-01-02T15:04:05.000Z") + len(" dls[]: -  ") + len(w.host) + len(w.procID) + maxMsgID + len(bom)
}

// header is what stands before each record of a batch but for its time.
type header struct {
	*wrapper
	times []int64
	now   time.Time
	rest  string // behind the time
}

func (w *wrapper) header(b Batch) *header {
	h := &header{wrapper: w, times: b.Times, now: time.Now(), rest: " " + w.host + " dls"}
	if w.envelope == RFC3164 {
		h.rest += "[" + w.procID + "]: "
	} else {
		h.rest += " " + w.procID + " " + headerField(b.Endpoint, maxMsgID) + " - "
	}
	return h
}

// appendMessage appends record i of the batch as a message without a frame.
func (h *header) appendMessage(dst []byte, i int, record []byte) []byte {
	record = bytes.TrimSuffix(record, []byte{'\n'})
	if h.envelope == NoEnvelope {
		return append(dst, record...)
	}
	dst = append(h.appendTime(append(dst, h.start...), i), h.rest...)
	if h.envelope == RFC5424 && wantsBOM(record) {
		dst = append(dst, bom...)
	}
	return append(dst, record...)
}

// appendFrame appends record i of the batch as it travels in a stream.
func (h *header) appendFrame(dst []byte, i int, record []byte) []byte {
	start := len(dst)
	dst = h.appendMessage(dst, i, record)
	if !h.counted {
		return append(dst, '\n')
	}
	var digits [20]byte
	count := append(strconv.AppendInt(digits[:0], int64(len(dst)-start), 10), ' ')
	return slices.Insert(dst, start, count...)
}

// appendTime appends the time of record i, or of sending where the record's own is
// not known or no header could hold it.
func (h *header) appendTime(dst []byte, i int) []byte {
	at := h.now
	if i < len(h.times) && h.times[i] >= 0 {
		if own := time.UnixMilli(h.times[i]); own.Year() <= 9999 {
			at = own
		}
	}
	if h.envelope == RFC3164 {
		return at.Local().AppendFormat(dst, "Jan _2 15:04:05")
	}
	return at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

// fitting yields the records of b that are no longer than limit, with their
// indices, and adds the others to refused. A limit of 0 is none.
func (b Batch) fitting(limit int, refused *[]Refused) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for i, record := range b.records() {
			if n := len(record) - 1; limit > 0 && n > limit {
				*refused = append(*refused, Refused{i, fmt.Sprintf("its %d bytes are more than the %d that the server takes", n, limit)})
			} else if !yield(i, record) {
				return
			}
		}
	}
}

// chunks yields the records of b as they travel in a stream, some at a time, those
// that are longer than limit left out and added to refused. What it yields holds
// until the next is asked for.
func (w *wrapper) chunks(b Batch, limit int, refused *[]Refused) iter.Seq[[]byte] {
	if w == nil {
		lines, long := b.within(limit)
		*refused = long
		return slices.Chunk(lines, chunkSize)
	}
	return func(yield func([]byte) bool) {
		var buf []byte
		h := w.header(b)
		for i, record := range b.fitting(limit, refused) {
			buf = h.appendFrame(buf, i, record)
			if len(buf) >= chunkSize {
				if !yield(buf) {
					return
				}
				buf = buf[:0]
			}
		}
		if len(buf) > 0 {
			yield(buf)
		}
	}
}

// messages yields each record of b as it travels alone, with its index, those
// that are longer than limit left out and added to refused. What it yields holds
// until the next is asked for.
func (w *wrapper) messages(b Batch, limit int, refused *[]Refused) iter.Seq2[int, []byte] {
	if w == nil {
		return b.fitting(limit, refused)
	}
	return func(yield func(int, []byte) bool) {
		var buf []byte
		h := w.header(b)
		for i, record := range b.fitting(limit, refused) {
			buf = h.appendMessage(buf[:0], i, record)
			if !yield(i, buf) {
				return
			}
		}
	}
}

const bom = "\xEF\xBB\xBF"

// wantsBOM reports whether RFC 5424, section 6.4, wants a byte order mark before
// the message.
func wantsBOM(record []byte) bool {
	for _, c := range record {
		if c >= utf8.RuneSelf {
			return utf8.Valid(record)
		}
	}
	return false
}
