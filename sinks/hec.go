package sinks

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// This is a client of Splunk's HTTP Event Collector. Its source is the chapter
// "Get data with HTTP Event Collector" of Splunk's manual "Getting Data In": the
// format of events, the codes of answers ("Troubleshoot HTTP Event Collector") and
// indexer acknowledgement ("About HTTP Event Collector Indexer Acknowledgment").

const (
	defaultHECPath  = "/services/collector/event"
	defaultHECBatch = 1_000_000 // bytes; Splunk Cloud's advice

	hecMaxAnswer  = 64 << 10         // bytes that are read of an answer
	hecMostAsked  = 1000             // acknowledgements that are asked for at a time: hecMaxAnswer holds them
	hecMaxRefused = 100              // records of a batch that a receiver may refuse before the fault is elsewhere
	hecBusyFor    = 2 * time.Minute  // how long a receiver may be busy, or leave a batch unacknowledged
	hecFirstWait  = time.Second      // before a repetition
	hecLongWait   = 30 * time.Second // the longest
	hecFirstPoll  = 250 * time.Millisecond
	hecLongPoll   = 5 * time.Second // between two questions for acknowledgements
)

const hecNeedsTLS = "this port expects TLS: remove plaintext"

const hecOneChannel = "a load balancer before several collectors must keep a channel at one of them"

// HECOptions are what only an HTTP Event Collector needs. TLS is used unless
// Plaintext is set, and trusts Options.CertFile, or the system's roots where that
// is empty.
type HECOptions struct {
	Token     string // required
	Path      string // of events; /services/collector/event when empty
	Plaintext bool   // http in place of https

	Host       string // of each event; this machine's name when empty
	Source     string // of each event; dls when empty
	SourceType string // of each event; duo:ENDPOINT when empty
	Index      string // of each event; the token's own when empty

	MaxBatchBytes int    // the longest body of a request, before gzip; 1,000,000 when 0
	Proxy         string // URL of an HTTP proxy; none when empty, whatever the environment says
}

// hecSink delivers records as the events of HTTP requests.
type hecSink struct {
	opts  Options
	trust *trust   // nil: in the clear
	proxy *url.URL // or nil

	events, acks, health string // URLs

	resting atomic.Pointer[rest] // what the receiver has asked for last, or nil
}

// rest is a time for which a receiver has asked to be left alone.
type rest struct {
	until time.Time
	err   error // what it has said
}

var _ Sink = (*hecSink)(nil)

func newHEC(o Options) (*hecSink, error) {
	h := &o.HEC
	if h.Token == "" {
		return nil, errors.New("protocol HEC needs a token")
	}
	if strings.ContainsFunc(h.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token has a character that no token has, such as a blank or a line break")
	}
	if h.Path == "" {
		h.Path = defaultHECPath
	}
	if !strings.HasPrefix(h.Path, "/") {
		return nil, fmt.Errorf("path %.80q does not begin with /", h.Path)
	}
	switch {
	case h.MaxBatchBytes < 0:
		return nil, fmt.Errorf("max_batch_bytes %d is negative", h.MaxBatchBytes)
	case h.MaxBatchBytes == 0:
		h.MaxBatchBytes = defaultHECBatch
	}
	if h.Host == "" {
		h.Host = hostname()
	}
	if h.Source == "" {
		h.Source = "dls"
	}
	s := &hecSink{opts: o}
	if h.Proxy != "" {
		var err error
		if s.proxy, err = url.Parse(h.Proxy); err != nil || s.proxy.Host == "" {
			return nil, errors.New("the proxy is no URL such as http://proxy.example.com:3128") // it may hold a password
		}
	}
	base := url.URL{Scheme: "https", Host: o.address()}
	if h.Plaintext {
		base.Scheme = "http"
	} else if err := s.setTLS(); err != nil {
		return nil, err
	}
	// The other addresses lie beside that of the events.
	root := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(h.Path, "/"), "/1.0"), "/event")
	at := func(path string) string {
		u := base
		u.Path = path
		return u.String()
	}
	s.events, s.acks, s.health = at(h.Path), at(root+"/ack"), at(root+"/health")
	return s, nil
}

func (s *hecSink) setTLS() (err error) {
	if s.opts.CertFile == "" && s.opts.KeyFile != "" {
		return errors.New("key_filepath needs cert_filepath, with the certificate of that key")
	}
	s.trust, err = newTrust(&s.opts)
	return err
}

func (s *hecSink) ID() string { return s.opts.ID }

func (s *hecSink) MaxRecord() int { return s.opts.MaxRecordBytes }

// Open has the receiver accept the token.
func (s *hecSink) Open(ctx context.Context) (Session, error) {
	if err := s.rests(); err != nil {
		return nil, s.wrap(ctx, "connect to", err)
	}
	session := s.newSession(s.trust.begin(&s.opts))
	if err := session.greet(ctx); err != nil {
		session.Abort()
		return nil, s.wrap(ctx, "connect to", session.handshake.classify(err))
	}
	return session, nil
}

// Check asks the receiver for its health and has it accept the token.
func (s *hecSink) Check(ctx context.Context) (report Report, err error) {
	report.Proves = "that the collector has taken each record, or, where the token has indexer acknowledgement, that the indexer has stored it"
	if err := s.rests(); err != nil {
		return report, s.wrap(ctx, "check", err)
	}
	session := s.newSession(s.trust.check(&report))
	defer session.Abort()
	session.report = &report
	session.trace = &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		report.Remote = info.Conn.RemoteAddr().String()
	}}
	if err = session.healthy(ctx); err == nil {
		err = session.greet(ctx)
	}
	report.ClientCert = session.handshake.shown()
	return report, s.wrap(ctx, "check", session.handshake.classify(err))
}

func (s *hecSink) wrap(ctx context.Context, what string, err error) error {
	return s.opts.wrap(ctx, what, err)
}

// rests returns why the receiver must be left alone for now, or nil.
func (s *hecSink) rests() error {
	if r := s.resting.Load(); r != nil && time.Now().Before(r.until) {
		return r.err
	}
	return nil
}

// busy returns what the answer of a receiver that is busy means. No session begins
// before the time that it tells.
func (s *hecSink) busy(a hecAnswer) error {
	err := a.error()
	if a.retryAfter > 0 {
		err = &hintedError{fmt.Errorf("%w, and asks to be left alone for %v", err, a.retryAfter), Hint(err)}
		s.resting.Store(&rest{time.Now().Add(a.retryAfter), err})
	}
	return err
}

func (s *hecSink) newSession(h *handshake) *hecSession {
	transport := &http.Transport{
		DialContext:         s.opts.connect,
		TLSClientConfig:     h.config(),
		TLSHandshakeTimeout: s.opts.DialTimeout,
		MaxConnsPerHost:     1,
		DisableCompression:  true, // of answers, which are small and foreign
	}
	if s.proxy != nil {
		transport.Proxy = http.ProxyURL(s.proxy)
	}
	jar, _ := cookiejar.New(nil) // never fails; a load balancer's cookie keeps a channel at its indexer
	session := &hecSession{
		sink:      s,
		handshake: h,
		transport: transport,
		client: &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the token is for nobody else
		}},
		trace:   new(httptrace.ClientTrace),
		channel: newGUID(),
		limit:   s.opts.HEC.MaxBatchBytes,
		pending: make(map[int64]int),
		failed:  make(chan struct{}),
	}
	session.alive, session.kill = context.WithCancel(context.Background())
	return session
}

// newGUID returns a random UUID (RFC 9562, section 5.4), the form of a channel.
func newGUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// hecSession is some requests, one after the other, with a channel of their own.
type hecSession struct {
	sink      *hecSink
	handshake *handshake // nil: in the clear
	transport *http.Transport
	client    *http.Client
	channel   string
	report    *Report                // of Check, or nil
	trace     *httptrace.ClientTrace // of each request

	limit   int           // the longest body of a request, as far as is known
	pending map[int64]int // the ackIds that are not yet true: the batch of each
	sent    int           // batches whose requests are all answered

	alive  context.Context // ends with the session
	kill   context.CancelFunc
	over   atomic.Bool
	failed chan struct{} // never closed: between requests there is nothing to fail
}

// Failed is never closed: a request fails while it is made.
func (s *hecSession) Failed() <-chan struct{} { return s.failed }

// Abort ends the request that is under way.
func (s *hecSession) Abort() {
	s.over.Store(true)
	s.kill()
	s.transport.CloseIdleConnections()
}

// healthy asks the receiver whether it is ready. Receivers other than Splunk's may
// not know that address.
func (s *hecSession) healthy(ctx context.Context) error {
	a, err := s.request(ctx, http.MethodGet, s.sink.health, nil, false)
	if err != nil {
		return err
	}
	switch {
	case a.busy():
		return s.sink.busy(a)
	case a.status >= 500:
		return a.error()
	}
	return nil
}

// greet has the receiver accept the token without an event: what a collector says
// to an empty request comes after its judgement of the token.
func (s *hecSession) greet(ctx context.Context) error {
	a, err := s.request(ctx, http.MethodPost, s.sink.events, nil, false)
	if err != nil {
		return err
	}
	noPayload := bytes.Contains(a.raw, []byte("no payload")) // in Fluent Bit's words
	if a.status == http.StatusBadRequest && (a.is(hecNoData, hecBadFormat) || noPayload) {
		return nil
	}
	if a.busy() {
		return s.sink.busy(a)
	}
	return a.error()
}

// hecEvent is a record to be sent.
type hecEvent struct {
	index  int
	record []byte // without its newline
	ms     int64  // its time, or less than 0
}

// Send sends the records in requests, each of which the collector has answered.
func (s *hecSession) Send(ctx context.Context, b Batch) ([]Refused, error) {
	refused, err := s.sendBatch(ctx, b)
	if err != nil {
		s.Abort()
		return nil, s.sink.wrap(ctx, "deliver to", s.handshake.classify(err))
	}
	return refused, nil
}

func (s *hecSession) sendBatch(ctx context.Context, b Batch) (refused []Refused, err error) {
	if s.over.Load() {
		return nil, errOver
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	var events []hecEvent
	for i, record := range b.fitting(s.sink.MaxRecord(), &refused) {
		e := hecEvent{i, record[:len(record)-1], -1}
		if i < len(b.Times) {
			e.ms = b.Times[i]
		}
		events = append(events, e)
	}
	more, err := s.sendEvents(ctx, events, s.sink.metadata(b.Endpoint))
	refused = append(refused, more...)
	slices.SortFunc(refused, func(a, b Refused) int { return a.Index - b.Index })
	if err == nil {
		s.sent++
	}
	return refused, err
}

// answered is how many batches, from the first on, await no acknowledgement.
func (s *hecSession) answered() int {
	n := s.sent
	for _, batch := range s.pending {
		n = min(n, batch)
	}
	return n
}

// sendEvents sends all events but those that the collector refuses one by one. An
// event counts as refused only when it was alone in its request: what a collector
// says of an event among others may count from 0 or from 1, and whether it has
// stored those before is not promised, so they go again. One that names an event
// and takes it alone names none: halves find the one that it refuses.
func (s *hecSession) sendEvents(ctx context.Context, events []hecEvent, metadata string) (refused []Refused, err error) {
	var body []byte
	most := len(events) // events in a request
	var named, misled bool
	refuse := func(why string) error {
		refused = append(refused, Refused{events[0].index, why})
		events, most, named = events[1:], len(events), false
		if len(refused) > hecMaxRefused {
			return fmt.Errorf("the receiver refuses one record after the other: %d so far: %s", len(refused), why)
		}
		return nil
	}
	for len(events) > 0 {
		var n int
		body, n = appendEvents(body[:0], events[:min(most, len(events))], metadata, s.limit)
		a, err := s.post(ctx, body)
		if err != nil {
			return nil, err
		}
		switch {
		case a.status == http.StatusRequestEntityTooLarge && n > 1:
			s.limit = len(body) / 2
		case a.status == http.StatusRequestEntityTooLarge:
			err = refuse(fmt.Sprintf("the receiver does not take a request of its %d bytes", len(body)))
		case a.refusesEvent() && n > 1:
			if i := a.invalid(n); i >= 0 && !misled {
				events[0], events[i], most, named = events[i], events[0], 1, true
			} else {
				most = n / 2
			}
		case a.refusesEvent():
			err = refuse(fmt.Sprintf("the receiver refuses it: %.80q", a.Text))
		default:
			if err = a.error(); err == nil {
				if id := a.AckID.value; id != nil {
					if _, twice := s.pending[*id]; twice { // that it is true would prove one of the requests
						return nil, &hintedError{fmt.Errorf("the receiver gave the ackId %d to two requests", *id), hecOneChannel}
					}
					s.pending[*id] = s.sent
				}
				misled = misled || named
				events, most, named = events[n:], len(events), false
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return refused, nil
}

// metadata returns what stands in each event of an endpoint between its time and
// the record.
func (s *hecSink) metadata(endpoint string) string {
	h := &s.opts.HEC
	sourceType := h.SourceType
	if sourceType == "" {
		sourceType = "duo:" + endpoint
	}
	b, _ := json.Marshal(struct { // strings only: it never fails
		Host       string `json:"host"`
		Source     string `json:"source"`
		SourceType string `json:"sourcetype"`
		Index      string `json:"index,omitempty"`
	}{h.Host, h.Source, sourceType, h.Index})
	return string(b[1:len(b)-1]) + `,"event":`
}

// appendEvents appends as many events as limit bytes hold, but one at least, and
// returns how many. A record that is a JSON object is the event byte for byte; any
// other, such as one of CEF, is its text.
func appendEvents(dst []byte, events []hecEvent, metadata string, limit int) ([]byte, int) {
	for i, e := range events {
		before := len(dst)
		dst = append(dst, '{')
		if e.ms >= 0 {
			dst = fmt.Appendf(dst, `"time":%d.%03d,`, e.ms/1000, e.ms%1000)
		}
		dst = append(dst, metadata...)
		if bytes.HasPrefix(e.record, []byte{'{'}) {
			dst = append(dst, e.record...)
		} else {
			text, _ := json.Marshal(string(e.record)) // of a string it never fails
			dst = append(dst, text...)
		}
		dst = append(dst, '}', '\n')
		if i > 0 && len(dst) > limit {
			return dst[:before], i
		}
	}
	return dst, len(events)
}

// post sends events, again and again while the receiver says that it is busy.
func (s *hecSession) post(ctx context.Context, body []byte) (hecAnswer, error) {
	end, wait := time.Now().Add(hecBusyFor), hecFirstWait
	body = zipped(body)
	for {
		a, err := s.request(ctx, http.MethodPost, s.sink.events, body, true)
		if err != nil || !a.busy() {
			return a, err
		}
		pause := a.retryAfter
		if pause <= 0 {
			pause = wait/2 + mathrand.N(wait/2)
			wait = min(2*wait, hecLongWait)
		}
		if time.Now().Add(pause).After(end) {
			return a, s.sink.busy(a)
		}
		if err := s.sleep(ctx, pause); err != nil {
			return a, err
		}
	}
}

// sleep waits unless the context or the session ends before.
func (s *hecSession) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.alive.Done():
		return errOver
	}
}

// Confirm asks for acknowledgements until each request that has an ackId is
// acknowledged. Requests without one count already.
func (s *hecSession) Confirm(ctx context.Context) error {
	err := s.acknowledged(ctx)
	s.Abort()
	return s.sink.wrap(ctx, "deliver to", s.handshake.classify(err))
}

func (s *hecSession) acknowledged(ctx context.Context) error {
	if s.over.Load() {
		return errOver
	}
	end, wait := time.Now().Add(hecBusyFor), hecFirstPoll
	for len(s.pending) > 0 {
		before := len(s.pending)
		asked, err := s.poll(ctx)
		next := max(wait, asked)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.over.Load():
			return errOver
		case isPermanent(err):
			return err
		case len(s.pending) < before:
			end, wait = time.Now().Add(hecBusyFor), hecFirstPoll
			continue
		case time.Now().Add(next).After(end) && err != nil:
			return fmt.Errorf("ask for acknowledgements: %w", err)
		case time.Now().Add(next).After(end):
			return &hintedError{fmt.Errorf("the receiver took the records but did not acknowledge within %v that they are indexed (requests that are not acknowledged: %d)", hecBusyFor, len(s.pending)),
				"see whether the indexers are behind or down; " + hecOneChannel}
		}
		if err := s.sleep(ctx, next); err != nil {
			return err
		}
		wait = min(2*wait, hecLongPoll)
	}
	return nil
}

// poll asks once which requests are acknowledged, the first ones where they are many, and
// returns for how long the receiver then asks to be left alone.
func (s *hecSession) poll(ctx context.Context) (asked time.Duration, err error) {
	ids := slices.Sorted(maps.Keys(s.pending))
	body, err := json.Marshal(map[string][]int64{"acks": ids[:min(len(ids), hecMostAsked)]})
	if err != nil {
		return 0, err
	}
	a, err := s.request(ctx, http.MethodPost, s.sink.acks+"?channel="+s.channel, body, false)
	if err != nil {
		return 0, err
	}
	if a.status != http.StatusOK || a.Acks == nil {
		return a.retryAfter, a.error()
	}
	for id, stored := range a.Acks {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil && stored {
			delete(s.pending, n)
		}
	}
	return 0, nil
}

// request makes one request and reads its answer. The body must not be changed
// afterwards: an answer may come before the whole of it is read.
func (s *hecSession) request(ctx context.Context, method, address string, body []byte, gzipped bool) (a hecAnswer, err error) {
	if s.over.Load() {
		return a, errOver
	}
	timeout := s.sink.opts.DialTimeout + s.sink.opts.StallTimeout
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer context.AfterFunc(s.alive, cancel)()

	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(limited, s.trace), method, address, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	r.Header.Set("Authorization", "Splunk "+s.sink.opts.HEC.Token)
	r.Header.Set("X-Splunk-Request-Channel", s.channel)
	r.Header.Set("User-Agent", "dls")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if gzipped {
		r.Header.Set("Content-Encoding", "gzip")
	}
	response, err := s.client.Do(r)
	if err == nil {
		defer response.Body.Close()
		if s.report != nil && response.TLS != nil && s.report.TLSVersion == "" {
			describe(s.report, *response.TLS)
		}
		a.status, a.retryAfter = response.StatusCode, retryAfter(response.Header)
		a.raw, err = io.ReadAll(io.LimitReader(response.Body, hecMaxAnswer))
		var read hecAnswer
		if json.Unmarshal(a.raw, &read) == nil { // else it has no code
			a.Text, a.Code, a.Invalid, a.AckID, a.Acks = read.Text, read.Code, read.Invalid, read.AckID, read.Acks
		}
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // the address is in every message of ours
	}
	_, told := errors.AsType[*timedOut](err)
	switch {
	case err == nil || ctx.Err() != nil || told:
		return a, err // of the end of ctx the caller tells the cause
	case s.over.Load():
		return a, errOver
	case strings.HasSuffix(err.Error(), "TLS handshake timeout"): // net/http's, of no exported type
		return a, timeoutError("no TLS handshake", s.sink.opts.DialTimeout)
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // an alert
		return a, &PermanentError{errors.New("the receiver answers in TLS"), hecNeedsTLS}
	case errors.Is(err, http.ErrSchemeMismatch):
		return a, &PermanentError{errors.New("the receiver does not speak TLS on this port"), "use its TLS port, or set plaintext: true"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		err.Error() == "http: server closed idle connection", // net/http's, of no exported type
		s.handshake == nil && (errors.Is(err, errReset) || errors.Is(err, errPipe)):
		hint := "the receiver's log may say why; a proxy does so when what is behind it is down"
		if s.handshake == nil {
			hint += "; a port that expects TLS does so always: then remove plaintext"
		}
		return a, &hintedError{errors.New("the receiver ended the connection without an answer"), hint}
	case isTimeout(err) || limited.Err() != nil:
		return a, timeoutError("the receiver gave no answer", timeout)
	}
	return a, err
}

// zipped returns body as gzip has it.
func zipped(body []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed) // a level that exists; a buffer takes everything
	w.Write(body)
	w.Close()
	return out.Bytes()
}

// retryAfter returns how long the receiver asks to be left alone, or 0. A date, the
// header's other form, is not read: it needs two clocks that agree.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.ParseUint(h.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// hecAnswer is what a collector answers.
type hecAnswer struct {
	Text    string          `json:"text"`
	Code    once[int]       `json:"code"`
	Invalid *int            `json:"invalid-event-number"`
	AckID   once[int64]     `json:"ackId"`
	Acks    map[string]bool `json:"acks"`

	status     int
	retryAfter time.Duration
	raw        []byte
}

// once is a number that stands in an answer once: of two nobody knows which is meant.
type once[T any] struct {
	value *T // nil: it has none
	seen  bool
}

// UnmarshalJSON refuses a second number.
func (o *once[T]) UnmarshalJSON(text []byte) error {
	if o.seen {
		return errors.New("it stands there twice")
	}
	o.seen = true
	return json.Unmarshal(text, &o.value)
}

// The codes of answers that are told apart, in the words of Splunk's manual.
const (
	hecSuccess       = 0
	hecDisabled      = 1  // Token disabled
	hecNoData        = 5  // No data
	hecBadFormat     = 6  // Invalid data format
	hecBadIndex      = 7  // Incorrect index
	hecNoChannel     = 10 // Data channel is missing
	hecBadChannel    = 11 // Invalid data channel
	hecNoEvent       = 12 // Event field is required
	hecBlankEvent    = 13 // Event field cannot be blank
	hecIndexedFields = 15 // Error in handling indexed fields
)

func (a *hecAnswer) is(codes ...int) bool {
	return a.Code.value != nil && slices.Contains(codes, *a.Code.value)
}

func (a *hecAnswer) busy() bool {
	return a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
}

// refusesEvent reports whether the collector has refused some event, not the request.
func (a *hecAnswer) refusesEvent() bool {
	return a.status == http.StatusBadRequest && a.is(hecBadFormat, hecNoEvent, hecBlankEvent, hecIndexedFields)
}

// invalid returns which of n events the collector names, or -1.
func (a *hecAnswer) invalid(n int) int {
	if a.Invalid == nil || *a.Invalid < 0 || *a.Invalid >= n {
		return -1
	}
	return *a.Invalid
}

// error returns what the answer means, or nil for that of success.
func (a *hecAnswer) error() error {
	said := fmt.Sprintf("%d %.120q", a.status, strings.TrimSpace(string(a.raw)))
	if a.Text != "" {
		said = fmt.Sprintf("%d %.120q", a.status, a.Text)
	}
	final := func(hint string) error {
		return &PermanentError{fmt.Errorf("the receiver answered %s", said), hint}
	}
	switch {
	case a.status == http.StatusOK && a.is(hecSuccess):
		return nil
	case a.status == http.StatusOK:
		return &hintedError{fmt.Errorf("the receiver answered without the code of success: %s", said),
			"this may be no HTTP Event Collector: check the port and the path, and what stands in between"}
	case a.is(hecDisabled):
		return final("enable the token in the collector's settings")
	case a.is(hecBadIndex):
		return final("allow the index in the settings of the token, or correct servers[].index")
	case a.is(hecNoChannel, hecBadChannel):
		return final("something between here and the collector removes the header X-Splunk-Request-Channel")
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return final("the collector does not know the token: copy it from the collector's settings")
	case a.status == http.StatusProxyAuthRequired:
		return final("the proxy wants a user and a password in its URL")
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed:
		return final("check servers[].path: Splunk's is " + defaultHECPath)
	case a.status >= 300 && a.status < 400:
		return final("the receiver sends us elsewhere, where the token must not follow: configure the address that takes events")
	case a.status == http.StatusBadRequest && bytes.Contains(a.raw, []byte("HTTP request")) && bytes.Contains(a.raw, []byte("HTTPS")):
		return final(hecNeedsTLS)
	}
	return &hintedError{fmt.Errorf("the receiver answered %s", said), "the receiver's log may say why"}
}

func isPermanent(err error) bool {
	_, ok := errors.AsType[*PermanentError](err)
	return ok
}
