package job_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duosim"
	"dls/sinks"
	"dls/state"
)

// sink is a server in memory that does as a test says.
type sink struct {
	id      string
	open    func() error               // nil: it opens
	send    func(lines []string) error // of a page; nil: takes it
	confirm func(lines []string) error // of a session; nil: it counts

	mu       sync.Mutex
	sessions int
	lines    []string // of sessions that count
	last     time.Time
}

func (s *sink) ID() string     { return s.id }
func (s *sink) MaxRecord() int { return 0 }

func (s *sink) Check(context.Context) (sinks.Report, error) { return sinks.Report{}, nil }

func (s *sink) Open(context.Context) (sinks.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	if s.open != nil {
		if err := s.open(); err != nil {
			return nil, err
		}
	}
	return &sinkSession{sink: s}, nil
}

// got is the lines of sessions that count.
func (s *sink) got() (lines [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lines {
		lines = append(lines, []byte(l))
	}
	return lines
}

type sinkSession struct {
	sink  *sink
	lines []string
}

func (s *sinkSession) Send(_ context.Context, b sinks.Batch) ([]sinks.Refused, error) {
	lines := slices.Collect(strings.Lines(string(b.Lines)))
	if s.sink.send != nil {
		if err := s.sink.send(lines); err != nil {
			return nil, err
		}
	}
	s.lines = append(s.lines, lines...)
	return nil, nil
}

func (s *sinkSession) Confirm(context.Context) error {
	if s.sink.confirm != nil {
		if err := s.sink.confirm(s.lines); err != nil {
			return err
		}
	}
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.lines = append(s.sink.lines, s.lines...)
	s.sink.last = time.Now()
	return nil
}

func (s *sinkSession) Failed() <-chan struct{} { return nil }
func (s *sinkSession) Abort()                  {}

// memoryStore is a directory whose checkpoints are in memory.
type memoryStore struct {
	*state.Dir
	mu          sync.Mutex
	checkpoints map[string]*state.Checkpoint
	written     int // checkpoints that were made to count
}

func (m *memoryStore) Load(id state.ID) (*state.Checkpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cp := m.checkpoints[id.File()]; cp != nil {
		return copied(id, cp), nil
	}
	return nil, nil
}

func (m *memoryStore) Stage(id state.ID, cp *state.Checkpoint) (state.Staged, error) {
	return simStaged{id, copied(id, cp)}, nil
}

func (m *memoryStore) Commit(staged []state.Staged) []error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range staged {
		one := s.(simStaged)
		m.checkpoints[one.id.File()] = one.cp
		m.written++
	}
	return make([]error, len(staged))
}

// family makes the account of a scene an MSP's, of n children with three records of
// each endpoint, and puts sinks in the place of its servers, by their ids.
func (s *scene) family(n int, servers ...*sink) (children []string, store *memoryStore) {
	for i := range n {
		children = append(children, fmt.Sprintf("DACHILD%013d", i))
	}
	from := s.now.Add(-time.Hour)
	s.text.msp = true
	s.duo = func(d *duosim.Server) {
		for i, id := range children {
			d.AddAccount(duosim.Account{ID: id, Name: "Child", Host: fmt.Sprintf("api-c%07d.duosecurity.com", i), Parent: parent})
			for _, name := range append(slices.Clone(bystanders), victim) {
				d.Add(id, name, duosim.Generator{Seed: uint64(i)}.Generate(name, 3, from, time.Second)...)
			}
		}
	}
	store = &memoryStore{checkpoints: map[string]*state.Checkpoint{}}
	options := s.options
	s.options = func(o *job.Options) {
		if options != nil {
			options(o)
		}
		o.SetReceiver(func(server config.Server) (sinks.Sink, error) {
			i := slices.IndexFunc(servers, func(s *sink) bool { return s.id == server.ID })
			return servers[i], nil
		})
		o.SetStore(func(cfg *config.Config) (_ state.Store, err error) {
			store.Dir, err = state.Open(cfg.Directory)
			return store, err
		})
	}
	return children, store
}

// A server that takes nothing holds up its own streams alone: those of another one go
// on, though there are more of its streams than slots.
func TestServerStalls(t *testing.T) {
	t.Parallel()
	const stall = 10 * time.Minute
	s := newScene(t, &fault{})
	stuck, other := &sink{id: "victim"}, &sink{id: "siem"}
	stuck.send = func([]string) error {
		time.Sleep(stall)
		return errors.New("the receiver took no data")
	}
	s.options = func(o *job.Options) { o.Parallel, o.RetryFor = 4, 0 }
	const n = 20
	s.family(n, stuck, other)
	s.run(func() {
		began := time.Now()
		for _, r := range s.sync().Results {
			if (r.Err != nil) != (r.Endpoint == victim) {
				t.Errorf("%s: %v", r.Name(), r.Err)
			}
		}
		if took := other.last.Sub(began); len(other.lines) != 2*3*n || took >= stall {
			t.Errorf("the other server's %d lines took %v, want %d before the stall of %v ends", len(other.lines), took, 2*3*n, stall)
		}
	})
}
