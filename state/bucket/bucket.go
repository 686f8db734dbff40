// Package bucket keeps checkpoints in an S3-compatible bucket, so that they outlive the
// machine, the container or the node that runs dls.
//
// Start with [Open]. One object a stream counts. Every write of it is conditional on
// the version that the run has read: of two runs that work on one stream, whatever
// their clocks say, one gets the next version in and the other a [state.FencedError].
// A lease a share (lease.go) only ends a second run early. What a run reads costs few
// requests: a listing tells the versions of all streams, and a snapshot (snapshot.go)
// their content, as far as it is of these versions.
package bucket

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"dls/state"
	"dls/state/once"
)

// parallel is how many checkpoints are written at a time.
const parallel = 32

// Options say where the bucket is.
type Options struct {
	// Bucket and Prefix are its name and where in it the objects are.
	Bucket, Prefix string
	// Region is the bucket's. Endpoint is the host, with its port where that is another
	// than the protocol's; "" is Amazon's of the region.
	Region, Endpoint string
	// Plaintext has no TLS used.
	Plaintext bool
	// CAPEM are the certificates that the store's must come from; nil: the system's.
	CAPEM []byte
	// Version is the program's version, told to the store.
	Version string
	// Warn, when set, is told what the user should know of a run's way with the store.
	Warn func(msg string)
	// Transport, when set, takes the place of the network.
	Transport http.RoundTripper
}

// Store is a bucket as one run meets it. It implements [state.Store].
type Store struct {
	state.Notes
	ctx    context.Context
	client *client
	warn   func(string)

	share   state.Share
	suffix  string
	claimed bool

	mu       sync.Mutex
	streams  map[string]*stream // by the name of the object
	listings map[string]*listing
	snapshot *snapshot
	kept     int // bytes that streams keep for the next snapshot
	notes    map[string]*note
	turns    pending
}

var _ state.Store = (*Store)(nil)

// stream is what is known of a stream's object.
type stream struct {
	etag   string // "" where there is none
	sure   bool   // this run has written that version, or has just seen it
	fenced bool
	data   []byte // its content, kept for the next snapshot, or nil
	loaded bool   // this run works on it
}

// listing is the versions of the streams of an endpoint.
type listing struct {
	once once.Once
	err  error
}

// note is an object of notes as it was last read or written.
type note struct {
	etag string
	data []byte
}

// ErrCredentials is returned by [Open] where nothing gives credentials.
var ErrCredentials = errors.New("no credentials: neither the environment (AWS_ACCESS_KEY_ID), nor ~/.aws/credentials, nor this machine's identity gives any")

// Open opens the store. ctx bounds all that it does but for what lets go of a claim.
// Nothing is asked of the store yet.
func Open(ctx context.Context, o Options) (*Store, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint bucket: %w", err)
	}
	if creds, err := c.core.GetCreds(); err != nil {
		return nil, fmt.Errorf("open checkpoint bucket: %w", err)
	} else if creds.AccessKeyID == "" {
		return nil, fmt.Errorf("open checkpoint bucket: %w", ErrCredentials)
	}
	s := &Store{
		ctx: ctx, client: c, warn: o.Warn,
		streams: map[string]*stream{}, listings: map[string]*listing{}, notes: map[string]*note{},
	}
	if s.warn == nil {
		s.warn = func(string) {}
	}
	s.Notes = state.NewNotes(files{s})
	return s, nil
}

// Close implements [state.Store].
func (s *Store) Close() error { return nil }

// Path implements [state.Store].
func (s *Store) Path(name string) string { return s.client.path(name) }

// probeName is the object by which it is proved that the store minds conditions.
const probeName = "dls_probe"

// ErrUnconditional is a store that ignores conditions: two runs on it would undo each
// other's checkpoints.
var ErrUnconditional = errors.New("the store ignores conditional writes (If-None-Match, If-Match)")

// Probe proves that the store can be written, and that it minds conditions. It leaves
// an object behind.
func (s *Store) Probe() error {
	refused, err := s.refuses(condition{})
	if err == nil && !refused { // it is there from now on
		refused, err = s.refuses(condition{})
	}
	if err == nil && refused {
		refused, err = s.refuses(condition{"0123456789abcdef0123456789abcdef"})
	}
	if status(err) == http.StatusNotImplemented || err == nil && !refused {
		return &Error{Path: s.Path(""), Err: ErrUnconditional}
	}
	return s.client.wrong(probeName, err)
}

// refuses tells whether the probe is refused under a condition.
func (s *Store) refuses(only condition) (refused bool, err error) {
	data := []byte("dls writes this object to see that the store refuses a write whose condition does not hold\n")
	err = s.client.try(s.ctx, func(ctx context.Context) error {
		_, err := s.client.put(ctx, probeName, data, only)
		if refused = status(err) == http.StatusPreconditionFailed; refused {
			return nil
		}
		return err
	})
	return refused, err
}

// Load implements [state.Store]. The version is that of the listing, which was made
// after the run had its lease: [Store.Stage] looks whether it is still the one.
func (s *Store) Load(id state.ID) (*state.Checkpoint, error) {
	known, err := s.stream(id)
	if err != nil || known.etag == "" {
		return nil, err
	}
	name := id.File()
	data := s.cached(name, known.etag)
	if data == nil {
		var etag string
		data, etag, err = s.client.get(s.ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if known.sure && etag != known.etag {
			known.fenced = true
			return nil, &state.FencedError{Path: s.Path(name)}
		}
		sure := known.sure
		s.note(known, etag, data)
		known.sure = sure // else it is some time until the first write
	}
	cp := new(state.Checkpoint)
	if err := cp.Decode(data, id); err != nil {
		return nil, &state.UntrustedError{Path: s.Path(name), Err: err}
	}
	return cp, nil
}

// stream returns what is known of a stream's object, from the listing.
func (s *Store) stream(id state.ID) (*stream, error) {
	s.mu.Lock()
	l := s.listings[id.Endpoint]
	if l == nil {
		l = new(listing)
		s.listings[id.Endpoint] = l
	}
	s.mu.Unlock()
	l.once.Do(func() {
		all, err := s.client.list(s.ctx, id.Endpoint+"_checkpoint")
		l.err = err
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range all {
			s.streams[e.name] = &stream{etag: e.etag}
		}
	})
	if l.err != nil {
		return nil, l.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.streams[id.File()]
	if known == nil {
		known = new(stream)
		s.streams[id.File()] = known
	}
	known.loaded = true
	return known, nil
}

// maxEntry is the size of the largest checkpoint that a snapshot has, and maxKept that
// of all which are kept in memory for the next one.
const maxEntry, maxKept = 64 << 10, 32 << 20

// note notes the version that this run has read or written.
func (s *Store) note(known *stream, etag string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known.etag, known.sure = etag, true
	s.kept -= len(known.data)
	known.data = nil
	if s.claimed && len(data) <= maxEntry && s.kept+len(data) <= maxKept {
		known.data = data
		s.kept += len(data)
	}
}

// staged is a checkpoint that is to be written.
type staged struct {
	id    state.ID
	known *stream
	data  []byte
}

// Discard implements [state.Staged].
func (*staged) Discard() {}

// Stage implements [state.Store]: it makes sure that no other run has moved the stream
// since this one read it. A bucket has no place beside the one that counts; what
// would be too large, or may not be written, shows with the first checkpoint that a
// run writes. The error is a *state.FencedError where another has.
func (s *Store) Stage(id state.ID, cp *state.Checkpoint) (state.Staged, error) {
	data, err := cp.Encode(id)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint %q: %w", s.Path(id.File()), err)
	}
	known, err := s.stream(id)
	if err != nil {
		return nil, err
	}
	if !known.sure && !known.fenced && known.etag != "" {
		etag, err := s.client.version(s.ctx, id.File())
		if err != nil {
			return nil, err
		}
		known.sure, known.fenced = etag == known.etag, etag != known.etag
	}
	if known.fenced {
		return nil, &state.FencedError{Path: s.Path(id.File())}
	}
	return &staged{id, known, data}, nil
}

// Commit implements [state.Store]: each object is written if it has the version that
// the run knows. Where the error is another than a *state.FencedError, the checkpoint
// is the old one or the new one, whole, and the next write tells which.
func (s *Store) Commit(all []state.Staged) []error {
	errs := make([]error, len(all))
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, one := range all {
		g.Go(func() error {
			errs[i] = s.commit(one.(*staged))
			return nil
		})
	}
	_ = g.Wait()
	return errs
}

func (s *Store) commit(one *staged) error {
	name := one.id.File()
	if one.known.fenced {
		return &state.FencedError{Path: s.Path(name)}
	}
	etag, err := s.client.write(s.ctx, name, one.data, condition{one.known.etag})
	switch {
	case errors.Is(err, errMoved):
		one.known.fenced = true
		return &state.FencedError{Path: s.Path(name)}
	case err != nil:
		return fmt.Errorf("write checkpoint: %w", err)
	}
	s.note(one.known, etag, one.data)
	return nil
}

// Times implements [state.Store].
func (s *Store) Times() (map[string]time.Time, error) {
	all, err := s.client.list(s.ctx, "")
	times := make(map[string]time.Time, len(all))
	for _, e := range all {
		times[e.name] = e.modified
	}
	return times, err
}

// Append implements [state.Store]: the data is an object of its own, whose name begins
// with that of the file.
func (s *Store) Append(name string, data []byte) error {
	own := fmt.Sprintf("%s.%s-%s", name, time.Now().UTC().Format("20060102T150405Z"), rand.Text()[:8])
	if _, err := s.client.write(s.ctx, own, data, condition{}); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

// files are the objects of a store's notes.
type files struct{ *Store }

// notePrefix is how their names begin.
const notePrefix = "dls_"

// Names implements [state.Files].
func (f files) Names() ([]string, error) {
	all, err := f.client.list(f.ctx, notePrefix)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = e.name
		if n := f.notes[e.name]; n != nil && n.etag != e.etag {
			delete(f.notes, e.name)
		}
	}
	return names, nil
}

// ReadFile implements [state.Files].
func (f files) ReadFile(name string) ([]byte, error) {
	f.mu.Lock()
	n := f.notes[name]
	f.mu.Unlock()
	if n == nil {
		data, etag, err := f.client.get(f.ctx, name)
		if err != nil {
			return nil, err
		}
		n = &note{etag, data}
		f.mu.Lock()
		f.notes[name] = n
		f.mu.Unlock()
	}
	return unpack(n.data)
}

// Replace implements [state.Files].
func (f files) Replace(name string, data []byte) error {
	f.mu.Lock()
	n := f.notes[name]
	f.mu.Unlock()
	only := condition{}
	if n != nil {
		only.etag = n.etag
	} else {
		etag, err := f.client.version(f.ctx, name)
		if err != nil {
			return err
		}
		only.etag = etag
	}
	data = pack(data)
	etag, err := f.client.write(f.ctx, name, data, only)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		delete(f.notes, name)
		return err
	}
	f.notes[name] = &note{etag, data}
	return nil
}

// unpacked is the size up to which notes are written as they are.
const unpacked = 16 << 10

// pack compresses notes that are large.
func pack(data []byte) []byte {
	if len(data) <= unpacked {
		return data
	}
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is one
	_, _ = w.Write(data)                            // a buffer takes all
	_ = w.Close()
	return b.Bytes()
}

func unpack(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	return data, err
}

// pending are the turns that were saved last and are not written yet.
type pending struct {
	suffix, ikey string
	turns        map[string]time.Time
	written      time.Time
}

// turnsEvery is how often turns are written: at each call a bucket would be asked often
// for what only the order of streams depends on.
const turnsEvery = time.Minute

// SaveTurns implements [state.Store]. What is saved within a minute of the last write
// is written when the claim is let go of.
func (s *Store) SaveTurns(suffix, ikey string, turns map[string]time.Time) error {
	s.mu.Lock()
	early := s.claimed && time.Since(s.turns.written) < turnsEvery
	if early {
		s.turns.suffix, s.turns.ikey, s.turns.turns = suffix, ikey, turns
	} else {
		s.turns = pending{written: time.Now()}
	}
	s.mu.Unlock()
	if early {
		return nil
	}
	return s.Notes.SaveTurns(suffix, ikey, turns)
}

// flush writes the turns that wait.
func (s *Store) flush() error {
	s.mu.Lock()
	p := s.turns
	s.turns.turns = nil
	s.mu.Unlock()
	if p.turns == nil {
		return nil
	}
	return s.Notes.SaveTurns(p.suffix, p.ikey, p.turns)
}

// historyMost is how much is kept of the history, and historyLine the longest run that
// gets into it: with thousands of streams it would cost more than it shows.
const historyMost, historyLine = 1 << 20, 64 << 10

func historyName(suffix string) string { return "dls_history" + suffix + ".ndjson" }

// AppendHistory implements [state.Store]. A run of more than about a thousand streams
// is left out.
func (s *Store) AppendHistory(suffix, ikey string, at time.Time, runs []state.StreamRun) error {
	line, err := state.HistoryLine(ikey, at, runs)
	if err != nil || len(line) > historyLine {
		return err
	}
	f := files{s}
	before, err := f.ReadFile(historyName(suffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if over := len(before) + len(line) - historyMost; over > 0 {
		before = before[min(over, len(before)):]
		before = before[bytes.IndexByte(before, '\n')+1:]
	}
	return f.Replace(historyName(suffix), slices.Concat(before, line))
}

// History implements [state.Store].
func (s *Store) History(ikey string) ([]state.RunPoint, error) {
	all, err := s.client.list(s.ctx, "dls_history")
	if err != nil {
		return nil, err
	}
	var points []state.RunPoint
	for _, e := range all {
		data, err := files{s}.ReadFile(e.name)
		if err != nil {
			return nil, err
		}
		points = append(points, state.ParseHistory(data, ikey)...)
	}
	state.SortHistory(points)
	return points, nil
}
