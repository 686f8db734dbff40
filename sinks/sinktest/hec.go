package sinktest

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// HECEvent is an event that a [HEC] has stored.
type HECEvent struct {
	Time       json.Number     `json:"time"`
	Host       string          `json:"host"`
	Source     string          `json:"source"`
	SourceType string          `json:"sourcetype"`
	Index      string          `json:"index"`
	Event      json.RawMessage `json:"event"`
}

// Line returns the record of the event with a newline.
func (e HECEvent) Line() []byte {
	var text string
	if json.Unmarshal(e.Event, &text) == nil {
		return []byte(text + "\n")
	}
	return append(bytes.Clone(e.Event), '\n')
}

// HEC is an HTTP Event Collector that takes nothing but what Splunk's manual has.
// Its fields must not be changed while it is in use.
type HEC struct {
	T     testing.TB // is told what a client does wrong
	Token string     // any when empty

	MaxBytes int   // of a body, unzipped; 1,000,000 when 0
	Acks     bool  // indexer acknowledgement
	FirstAck int64 // the first ackId
	// Indexed tells whether a request is indexed when that is asked for the n-th
	// time, from 0. Nil: it is.
	Indexed func(id int64, n int) bool
	// Asked handles the n-th request for acknowledgements, from 0, if it returns true.
	Asked func(n int, w http.ResponseWriter) bool
	// Refuse tells whether an event is refused as one of invalid data.
	Refuse func(event []byte) bool
	// Unnamed leaves the number of a refused event out of the answer; FromOne counts
	// from 1 there.
	Unnamed, FromOne bool
	// Before handles the n-th request for events, from 0, if it returns true.
	// It is given the events that the request has.
	Before func(n int, w http.ResponseWriter, events []HECEvent) bool
	// Late tells how long the n-th request with a body, from 0, is left to wait.
	Late func(n int) time.Duration
	// Unhealthy makes the health address say so.
	Unhealthy bool

	bodies   atomic.Int64
	mu       sync.Mutex
	requests int // for events, that were not empty
	events   []HECEvent
	channels map[string]bool
	asked    map[int64]int // how often the ackIds were asked for
	polls    int
	next     int64
}

// Events returns what was stored.
func (h *HEC) Events() []HECEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// Requests returns how many requests brought events.
func (h *HEC) Requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests
}

// Channels returns how many channels were used.
func (h *HEC) Channels() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.channels)
}

// Behave is the collector as the behaviour of a [Receiver], whose lines are the
// records of the events.
func (h *HEC) Behave(c *Conn) {
	h.Serve(c.stream, func(e HECEvent) { c.receiver.add([][]byte{e.Line()}) })
}

// BehaveTLS is Behave over TLS, which the server itself speaks: in the clear it
// answers as Go's servers do.
func (h *HEC) BehaveTLS(config *tls.Config) Behaviour {
	return func(c *Conn) {
		h.server(nil).Serve(tls.NewListener(newOneConn(c.TCP), config))
	}
}

// Serve serves one connection to its end. Each event that is stored is given to
// store, if that is not nil.
func (h *HEC) Serve(conn net.Conn, store func(HECEvent)) {
	h.server(store).Serve(newOneConn(conn))
}

func (h *HEC) server(store func(HECEvent)) *http.Server {
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if h.Late != nil && r.ContentLength > 0 {
				time.Sleep(h.Late(int(h.bodies.Add(1)) - 1))
			}
			h.serve(w, r, store)
		}),
		ErrorLog: log.New(io.Discard, "", 0), // of handshakes that fail on purpose
	}
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (h *HEC) serve(w http.ResponseWriter, r *http.Request, store func(HECEvent)) {
	// A body that never ends keeps nobody else waiting.
	body, err := io.ReadAll(r.Body)
	rest := io.Reader(bytes.NewReader(body))
	if err != nil {
		rest = io.MultiReader(rest, iotest.ErrReader(err))
	}
	r.Body = io.NopCloser(rest)

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.channels == nil {
		h.channels, h.asked = make(map[string]bool), make(map[int64]int)
	}
	channel := r.Header.Get("X-Splunk-Request-Channel")
	switch scheme, token, _ := bytes.Cut([]byte(r.Header.Get("Authorization")), []byte{' '}); {
	case string(scheme) != "Splunk":
		HECSay(w, 401, 3, "Invalid authorization")
		return
	case h.Token != "" && string(token) != h.Token:
		HECSay(w, 403, 4, "Invalid token")
		return
	case !guid.MatchString(channel):
		HECSay(w, 400, 11, "Invalid data channel")
		return
	}
	h.channels[channel] = true
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/services/collector/health":
		if h.Unhealthy {
			HECSay(w, 503, 18, "HEC is unhealthy, queues are full")
			return
		}
		HECSay(w, 200, 17, "HEC is healthy")
	case r.Method == http.MethodPost && r.URL.Path == "/services/collector/event":
		h.collect(w, r, store)
	case r.Method == http.MethodPost && r.URL.Path == "/services/collector/ack" && r.URL.Query().Get("channel") == channel:
		h.acknowledge(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (h *HEC) collect(w http.ResponseWriter, r *http.Request, store func(HECEvent)) {
	most := h.MaxBytes
	if most == 0 {
		most = 1_000_000
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if errors.Is(err, gzip.ErrHeader) {
			h.T.Errorf("HEC: gzip: %v", err)
		}
		if err != nil { // else a client that gives up, or whose connection was cut
			return
		}
		body = z
	}
	raw, err := io.ReadAll(body)
	switch {
	case err != nil: // a client that gives up
		return
	case len(raw) == 0:
		HECSay(w, 400, 5, "No data")
		return
	case len(raw) > most:
		h.requests++
		HECSay(w, 413, 27, "Request entity too large")
		return
	}
	var events []HECEvent
	for d := json.NewDecoder(bytes.NewReader(raw)); ; {
		var e HECEvent
		d.DisallowUnknownFields()
		err := d.Decode(&e)
		if err == io.EOF {
			break
		}
		if err != nil || len(e.Event) == 0 {
			h.T.Errorf("HEC: event %d: %v", len(events), err)
			HECSay(w, 400, 6, "Invalid data format")
			return
		}
		events = append(events, e)
	}
	n := h.requests
	h.requests++
	if h.Before != nil && h.Before(n, w, events) {
		return
	}
	for i, e := range events {
		if h.Refuse != nil && h.Refuse(e.Event) {
			if h.Unnamed {
				HECSay(w, 400, 6, "Invalid data format")
				return
			}
			if h.FromOne {
				i++
			}
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"text":"Invalid data format","code":6,"invalid-event-number":%d}`, i)
			return
		}
		h.events = append(h.events, e) // as Splunk does it: those before a refused one are stored
		if store != nil {
			store(e)
		}
	}
	if h.Acks {
		fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, h.FirstAck+h.next)
		h.next++
		return
	}
	HECSay(w, 200, 0, "Success")
}

func (h *HEC) acknowledge(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Acks []int64 `json:"acks"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		h.T.Errorf("HEC: ack: %v", err)
	}
	h.polls++
	if h.Asked != nil && h.Asked(h.polls-1, w) {
		return
	}
	acks := make(map[string]bool)
	for _, id := range q.Acks {
		acks[strconv.FormatInt(id, 10)] = id < h.FirstAck+h.next && (h.Indexed == nil || h.Indexed(id, h.asked[id]))
		h.asked[id]++
	}
	json.NewEncoder(w).Encode(map[string]any{"acks": acks})
}

// HECSay gives an answer with a code.
func HECSay(w http.ResponseWriter, status, code int, text string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"text":%q,"code":%d}`, text, code)
}

// oneConn is a listener that accepts one connection, and is closed when that is.
type oneConn struct {
	net.Conn
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newOneConn(c net.Conn) *oneConn {
	l := &oneConn{Conn: c, conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- l
	return l
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Conn.Close()
}

func (l *oneConn) Addr() net.Addr { return l.LocalAddr() }
