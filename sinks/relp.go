package sinks

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// This is a client of RELP, the Reliable Event Logging Protocol: each record is a
// transaction that the receiving program answers. Its source is the specification
// in librelp's doc/relp.md, and librelp itself where all the world follows it
// against the text: the version offered is 0. It is written by hand because Go has
// no client that is kept.
//
//	frame  = txnr SP command SP datalen [SP data] LF
//	answer = txnr SP "rsp" SP datalen SP code [SP text] [LF data] LF

const (
	relpWindow    = 128         // commands that may await their answers, as librelp has it
	relpMaxTxnr   = 999_999_999 // the next one is 1
	relpMaxName   = 32          // letters of a command
	relpMaxAnswer = 16 << 10    // bytes of data that an answer may have
	relpOffers    = "relp_version=0\nrelp_software=dls\ncommands=syslog"
	relpChunk     = 64 << 10 // bytes of frames that are gathered before they are written
)

// relpSink delivers each record as a transaction, over TCP or TLS.
type relpSink struct {
	opts    Options
	trust   *trust // nil: in the clear
	wrapper *wrapper
}

var _ Sink = (*relpSink)(nil)

func newRELP(o Options, w *wrapper) (s *relpSink, err error) {
	s = &relpSink{opts: o, wrapper: w}
	if o.Protocol == RELPSSL {
		s.trust, err = newListedTrust(&o)
	}
	return s, err
}

func (s *relpSink) ID() string { return s.opts.ID }

func (s *relpSink) MaxRecord() int { return s.opts.MaxRecordBytes }

// Open connects and has the receiver accept the session.
func (s *relpSink) Open(ctx context.Context) (Session, error) {
	session, err := s.open(ctx, s.trust.begin(&s.opts))
	if err != nil {
		return nil, s.wrap(ctx, "connect to", err)
	}
	return session, nil
}

func (s *relpSink) open(ctx context.Context, h *handshake) (*relpSession, error) {
	conn, client, err := s.opts.dial(ctx, h)
	if err != nil {
		return nil, err
	}
	stream := conn
	if client != nil {
		stream = client
	}
	session := &relpSession{
		sink:       s,
		handshake:  h,
		tcp:        conn,
		conn:       stream,
		in:         bufio.NewReader(stream),
		slots:      make(chan struct{}, relpWindow),
		unanswered: make(map[int]int, relpWindow),
		ended:      make(chan struct{}),
	}
	release := context.AfterFunc(ctx, session.cut)
	defer release()
	if err := session.greet(); err != nil {
		session.cut()
		return nil, h.classify(err)
	}
	go session.read()
	return session, nil
}

// Check opens a session and closes it.
func (s *relpSink) Check(ctx context.Context) (report Report, err error) {
	report.Proves = "that the receiving program has taken each record; what it then holds in memory is its own"
	h := s.trust.check(&report)
	session, err := s.open(ctx, h)
	if err == nil {
		report.Remote = session.conn.RemoteAddr().String()
		if t, ok := session.conn.(*tls.Conn); ok {
			describe(&report, t.ConnectionState())
		}
		report.Closed, err = session.end(ctx)
	}
	report.ClientCert = h.shown()
	return report, s.wrap(ctx, "check", err)
}

func (s *relpSink) wrap(ctx context.Context, what string, err error) error {
	return s.opts.wrap(ctx, what, err)
}

// relpSession is one connection. The goroutine that uses the session writes to it;
// a reader, which ends with the connection, takes the answers.
type relpSession struct {
	sink      *relpSink
	handshake *handshake // nil: in the clear
	tcp       net.Conn
	conn      net.Conn      // TLS over tcp, or tcp
	in        *bufio.Reader // the reader's

	out  []byte // frames that are not yet written
	txnr int    // of the last command
	sent int    // batches that are wholly written

	slots chan struct{} // holds a token for each command that awaits its answer

	mu         sync.Mutex
	unanswered map[int]int // the commands that await their answers, by txnr: the batch of each
	awaited    []int       // of each batch, how many of its commands do
	closing    int         // the txnr of close, or 0

	over  atomic.Bool   // the session was confirmed or aborted
	ended chan struct{} // closed when the reader has returned
	err   error         // why, once ended is closed; nil: close was answered
}

// greet opens the session: it sends our offers and reads the receiver's.
func (s *relpSession) greet() error {
	timeout := s.sink.opts.DialTimeout
	if err := s.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	var f relpFrame
	_, err := s.conn.Write(appendRELPFrame(nil, s.next(), "open", []byte(relpOffers)))
	if err == nil {
		if head, early := s.in.Peek(foreignLen); early == nil { // no answer is shorter
			err = foreign(head)
		}
	}
	if err == nil {
		f, err = readRELPFrame(s.in)
	}
	switch {
	case isTimeout(err):
		return timeoutError("the receiver did not answer RELP's open", timeout)
	case errors.Is(err, io.EOF):
		hint := "check that the receiver's RELP input listens on this port; a proxy does so when what is behind it is down"
		if s.handshake == nil {
			hint += "; a port that expects TLS needs protocol RELPSSL"
		}
		return &hintedError{errors.New("the receiver ended the connection instead of opening a RELP session"), hint}
	case err != nil:
		return err
	case f.command != "rsp" || f.txnr != s.txnr:
		return fmt.Errorf("%w: %q %d answers open", errNotRELP, f.command, f.txnr)
	}
	code, offers, _ := bytes.Cut(f.data, []byte{'\n'})
	if !relpOK(code) {
		return fmt.Errorf("the receiver refused RELP's open: %.80q", f.data)
	}
	version, syslog := false, false
	for offer := range bytes.Lines(offers) {
		name, values, _ := bytes.Cut(bytes.TrimSpace(offer), []byte{'='})
		switch string(name) {
		case "relp_version":
			version = true
		case "commands":
			for value := range bytes.SplitSeq(values, []byte{','}) {
				syslog = syslog || string(value) == "syslog"
			}
		}
	}
	if !version || !syslog {
		return &PermanentError{fmt.Errorf("the receiver's RELP does not offer to take messages of syslog: %.80q", offers),
			"enable the command syslog in the receiver's RELP input"}
	}
	return s.conn.SetDeadline(time.Time{})
}

// Send sends each record as a transaction, and goes on while at most a window of
// them is unanswered. The last answers are Confirm's to wait for.
func (s *relpSession) Send(ctx context.Context, b Batch) ([]Refused, error) {
	release := context.AfterFunc(ctx, s.cut)
	defer release()
	refused, err := s.send(b)
	if err != nil {
		s.Abort()
		return nil, s.sink.wrap(ctx, "deliver to", s.handshake.classify(err))
	}
	return refused, nil
}

func (s *relpSession) send(b Batch) (refused []Refused, err error) {
	if s.over.Load() {
		return nil, errOver
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.awaited = append(s.awaited, 0)
	s.mu.Unlock()
	for _, message := range s.sink.wrapper.messages(b, s.sink.MaxRecord(), &refused) {
		if err := s.awaitSlot(); err != nil {
			return nil, err
		}
		txnr := s.next()
		s.expect(txnr)
		s.out = appendRELPFrame(s.out, txnr, "syslog", message)
		if len(s.out) >= relpChunk {
			if err := s.flush(); err != nil {
				return nil, err
			}
		}
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	s.sent++
	return refused, nil
}

// answered is how many batches, from the first on, have all their answers.
func (s *relpSession) answered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < s.sent && s.awaited[n] == 0 {
		n++
	}
	return n
}

// awaitSlot waits until fewer commands than the window are unanswered.
func (s *relpSession) awaitSlot() error {
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
	}
	if err := s.flush(); err != nil {
		return err
	}
	select {
	case s.slots <- struct{}{}:
		return nil
	case <-s.ended:
		return s.reason()
	}
}

// flush writes what was gathered.
func (s *relpSession) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(s.sink.opts.StallTimeout))
	if err == nil {
		_, err = s.conn.Write(s.out)
	}
	s.out = s.out[:0]
	if err == nil {
		return nil
	}
	stalled := isTimeout(err)
	// What the receiver has said last is worth more than the broken pipe.
	s.cut()
	<-s.ended
	switch why := s.reason(); {
	case why != errOver:
		return why
	case stalled:
		return timeoutError("the receiver took no data", s.sink.opts.StallTimeout)
	}
	return s.because(err)
}

// reason returns why the connection has ended, once it has; errOver where nobody
// but this side ended it.
func (s *relpSession) reason() error {
	if s.err == nil || errors.Is(s.err, net.ErrClosed) || errors.Is(s.err, io.ErrClosedPipe) {
		return errOver
	}
	return s.err
}

// next returns the number of the next command.
func (s *relpSession) next() int {
	s.txnr = s.txnr%relpMaxTxnr + 1
	return s.txnr
}

// expect notes that a command awaits its answer. The first one starts the clock.
func (s *relpSession) expect(txnr int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unanswered) == 0 {
		s.conn.SetReadDeadline(time.Now().Add(s.sink.opts.StallTimeout)) // its only fault is a closed connection
	}
	s.unanswered[txnr] = len(s.awaited) - 1
	s.awaited[len(s.awaited)-1]++
}

// read takes the answers until the connection ends.
func (s *relpSession) read() {
	defer close(s.ended)
	defer s.conn.Close()
	for {
		f, err := readRELPFrame(s.in)
		if err == nil {
			var last bool
			if last, err = s.answer(f); last && err == nil {
				return
			}
		}
		if err != nil {
			s.err = s.because(err)
			return
		}
	}
}

// answer handles one frame of the receiver. It reports whether that is the last.
func (s *relpSession) answer(f relpFrame) (last bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch, awaited := s.unanswered[f.txnr]
	switch {
	case f.txnr == 0: // a hint, which nobody answers
		if f.command == "serverclose" && s.closing == 0 {
			return true, io.EOF
		}
		return false, nil
	case f.command != "rsp":
		return true, fmt.Errorf("%w: command %q", errNotRELP, f.command)
	case f.txnr == s.closing: // librelp answers it with nothing
		return true, nil
	case !awaited:
		return true, fmt.Errorf("%w: an answer to %d, which awaits none", errNotRELP, f.txnr)
	case !relpOK(f.data):
		return true, &hintedError{fmt.Errorf("the receiver refused record %d of the session: %.80q", f.txnr-1, f.data), "the receiver's log may say why"}
	}
	delete(s.unanswered, f.txnr)
	s.awaited[batch]--
	<-s.slots
	var deadline time.Time
	if len(s.unanswered) > 0 {
		deadline = time.Now().Add(s.sink.opts.StallTimeout)
	}
	s.conn.SetReadDeadline(deadline)
	return false, nil
}

// because returns what an error of the connection means.
func (s *relpSession) because(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case isTimeout(err):
		return timeoutError(fmt.Sprintf("the receiver answered none of %d records", len(s.unanswered)), s.sink.opts.StallTimeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errReset), errors.Is(err, errPipe):
		return &hintedError{fmt.Errorf("the receiver ended the connection with %d records unanswered", len(s.unanswered)),
			"the receiver's log may say why; it does so when it stops, and for a record above its size limit (rsyslog: maxDataSize)"}
	}
	return err
}

// Confirm waits for all answers and closes the session. Once each record is
// answered they count, whatever becomes of the close.
func (s *relpSession) Confirm(ctx context.Context) error {
	_, err := s.end(ctx)
	return s.sink.wrap(ctx, "deliver to", s.handshake.classify(err))
}

// end reports whether the receiver answered the close.
func (s *relpSession) end(ctx context.Context) (closed bool, err error) {
	release := context.AfterFunc(ctx, s.cut)
	defer release()
	defer s.Abort()
	if s.over.Load() {
		return false, errOver
	}
	for range relpWindow { // all slots are free when all is answered
		select {
		case s.slots <- struct{}{}:
			continue
		case <-s.ended:
		}
		switch {
		case s.over.Load():
			return false, errOver
		case len(s.unanswered) > 0:
			return false, s.reason()
		}
		return false, nil
	}
	txnr := s.next()
	s.mu.Lock()
	s.closing = txnr
	s.conn.SetDeadline(time.Now().Add(s.sink.opts.CloseTimeout))
	s.mu.Unlock()
	s.conn.Write(appendRELPFrame(nil, txnr, "close", nil)) // where it fails the reader ends
	<-s.ended
	return s.err == nil, nil
}

// Failed is closed once the connection has ended.
func (s *relpSession) Failed() <-chan struct{} { return s.ended }

// Abort ends the connection and waits for the reader.
func (s *relpSession) Abort() {
	s.over.Store(true)
	s.cut()
	<-s.ended
}

// cut ends the connection, and so whatever waits for it; TLS might wait itself,
// to say goodbye. A frame that is cut is no message: that the system may still
// send what it holds does no harm.
func (s *relpSession) cut() { s.tcp.Close() }

// errNotRELP: what came is no answer of a RELP server.
var errNotRELP error = &hintedError{errors.New("the receiver does not speak RELP as it should"), "check that the receiver's RELP input listens on this port"}

// relpFrame is one frame of the receiver.
type relpFrame struct {
	txnr    int
	command string
	data    []byte
}

// relpOK reports whether the data of an answer begin with code 200.
func relpOK(data []byte) bool {
	rest, ok := bytes.CutPrefix(data, []byte("200"))
	return ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\n')
}

// appendRELPFrame appends a frame of ours.
func appendRELPFrame(dst []byte, txnr int, command string, data []byte) []byte {
	dst = append(strconv.AppendInt(dst, int64(txnr), 10), ' ')
	dst = append(append(dst, command...), ' ')
	dst = strconv.AppendInt(dst, int64(len(data)), 10)
	if len(data) > 0 {
		dst = append(append(dst, ' '), data...)
	}
	return append(dst, '\n')
}

// readRELPFrame reads one frame. It takes nothing that the specification does not
// have, and no data longer than relpMaxAnswer. The end of the stream between two
// frames is io.EOF.
func readRELPFrame(in *bufio.Reader) (f relpFrame, err error) {
	if _, err := in.Peek(1); err != nil {
		return f, err
	}
	defer func() {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}()
	if f.txnr, err = readRELPNumber(in); err != nil {
		return f, err
	}
	if err := readRELPByte(in, ' '); err != nil {
		return f, err
	}
	if f.command, err = readRELPCommand(in); err != nil {
		return f, err
	}
	size, err := readRELPNumber(in)
	if err != nil {
		return f, err
	}
	if size > relpMaxAnswer {
		return f, fmt.Errorf("%w: an answer of %d bytes", errNotRELP, size)
	}
	if size > 0 {
		if err := readRELPByte(in, ' '); err != nil {
			return f, err
		}
		f.data = make([]byte, size)
		if _, err := io.ReadFull(in, f.data); err != nil {
			return f, err
		}
	}
	return f, readRELPByte(in, '\n')
}

// readRELPNumber reads one to nine digits, up to what is none.
func readRELPNumber(in *bufio.Reader) (n int, err error) {
	for digits := 0; ; digits++ {
		c, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if c < '0' || c > '9' {
			if digits == 0 {
				return 0, fmt.Errorf("%w: %q where a number begins", errNotRELP, c)
			}
			return n, in.UnreadByte()
		}
		if digits == 9 {
			return 0, fmt.Errorf("%w: a number of more than nine digits", errNotRELP)
		}
		n = n*10 + int(c-'0')
	}
}

// readRELPCommand reads letters and the space behind them.
func readRELPCommand(in *bufio.Reader) (string, error) {
	var name []byte
	for {
		c, err := in.ReadByte()
		switch letter := c | 0x20; {
		case err != nil:
			return "", err
		case c == ' ' && len(name) > 0:
			return string(name), nil
		case letter < 'a' || letter > 'z' || len(name) == relpMaxName:
			return "", fmt.Errorf("%w: %q in the command %q", errNotRELP, c, name)
		}
		name = append(name, c)
	}
}

func readRELPByte(in *bufio.Reader, want byte) error {
	c, err := in.ReadByte()
	if err == nil && c != want {
		err = fmt.Errorf("%w: %q in place of %q", errNotRELP, c, want)
	}
	return err
}
