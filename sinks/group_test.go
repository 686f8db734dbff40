package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"dls/sinks"
)

// model is a server of whose sessions the tests say how they go.
type model struct {
	mu       sync.Mutex
	sessions []*modelSession // in the order in which they were opened
	open     int             // at this moment
	most     int             // were open at a time
	checks   int

	deaf   bool // keeps no lines
	settle time.Duration
	check  time.Duration // how long an empty session takes
	// refuses tells what fails a session that carries these lines, or nil.
	refuses func(lines []string) error
	down    error // connecting fails, while it is set
}

func (m *model) ID() string     { return "model" }
func (m *model) MaxRecord() int { return 0 }

func (m *model) Open(context.Context) (sinks.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, m.down
	}
	s := &modelSession{model: m, failed: make(chan struct{})}
	m.sessions = append(m.sessions, s)
	m.open++
	m.most = max(m.most, m.open)
	return s, nil
}

func (m *model) Check(ctx context.Context) (sinks.Report, error) {
	m.mu.Lock()
	m.checks++
	m.mu.Unlock()
	time.Sleep(m.check)
	m.mu.Lock()
	defer m.mu.Unlock()
	return sinks.Report{}, m.down
}

// goes makes the server be down, or up again.
func (m *model) goes(down error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// end has the peer end the newest session.
func (m *model) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.sessions[len(m.sessions)-1].failed)
}

// carried is the lines of each session that counts.
func (m *model) carried() (counts [][]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.counts {
			counts = append(counts, s.lines)
		}
	}
	return counts
}

type modelSession struct {
	model  *model
	lines  []string
	failed chan struct{}
	over   sync.Once
	counts bool
}

func (s *modelSession) Send(_ context.Context, b sinks.Batch) ([]sinks.Refused, error) {
	if s.model.deaf {
		return nil, nil
	}
	for line := range strings.Lines(string(b.Lines)) {
		s.lines = append(s.lines, strings.TrimSuffix(line, "\n"))
	}
	return nil, nil
}

func (s *modelSession) Confirm(ctx context.Context) error {
	defer s.Abort()
	select {
	case <-time.After(s.model.settle):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.model.refuses != nil {
		if err := s.model.refuses(s.lines); err != nil {
			return err
		}
	}
	s.model.mu.Lock()
	s.counts = true
	s.model.mu.Unlock()
	return nil
}

func (s *modelSession) Failed() <-chan struct{} { return s.failed }

func (s *modelSession) Abort() {
	s.over.Do(func() {
		s.model.mu.Lock()
		s.model.open--
		s.model.mu.Unlock()
	})
}

func pageOf(lines ...string) sinks.Batch {
	return sinks.Batch{Endpoint: "auth", Lines: []byte(strings.Join(lines, "\n") + "\n")}
}

// Pages of streams that overlap share a session, which is sealed as soon as none is
// on its way.
func TestGroupShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{settle: 5 * time.Second}
		g := sinks.NewGroup(t.Context(), m)
		began := time.Now()
		var streams sync.WaitGroup
		hold := g.Expect()
		for i := range 800 {
			streams.Go(func() {
				_, r, err := g.Send(t.Context(), pageOf(fmt.Sprint(i)), 0)
				if err != nil {
					t.Error(err)
					return
				}
				<-r.Done()
				if r.Err() != nil {
					t.Error(r.Err())
				}
			})
		}
		synctest.Wait()
		hold()
		streams.Wait()
		g.Close()
		if n := len(m.sessions); n != 1 || len(m.carried()) != 1 || len(m.carried()[0]) != 800 {
			t.Errorf("%d sessions, of which %d count", n, len(m.carried()))
		}
		if took := time.Since(began); took != m.settle {
			t.Errorf("it took %v, want one settle", took)
		}
	})
}

// While sessions settle the next one fills; no more than four are open, and then the
// newest takes pages whatever its age.
func TestGroupBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{settle: time.Minute}
		g := sinks.NewGroup(t.Context(), m)
		hold := g.Expect()
		for i := range 120 { // a page a second
			if _, _, err := g.Send(t.Context(), pageOf(fmt.Sprint(i)), 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		hold()
		g.Close()
		n := 0
		for _, lines := range m.carried() {
			n += len(lines)
		}
		if n != 120 || m.most != 4 || len(m.sessions) > 8 {
			t.Errorf("%d pages count, %d sessions, %d at a time", n, len(m.sessions), m.most)
		}
	})
}

// What sessions carry before they are decided is bounded: the next page waits until one
// of them is.
func TestGroupBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{settle: time.Minute, deaf: true}
		g := sinks.NewGroup(t.Context(), m)
		hold := g.Expect()
		began := time.Now()
		large := sinks.Batch{Endpoint: "auth", Lines: make([]byte, 64<<20)}
		for i, want := range []time.Duration{0, 0, 0, m.settle} {
			if _, _, err := g.Send(t.Context(), large, 0); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("page %d was taken after %v, want %v", i+1, took, want)
			}
		}
		hold()
		g.Close()
	})
}

// repeatedly sends a stream's page until it counts, as streams do: with ever fewer others
// where a session failed though the server stands.
func repeatedly(t *testing.T, g *sinks.Group, line string) (tries int, err error) {
	limit := 0
	for {
		tries++
		_, r, err := g.Send(t.Context(), pageOf(line), limit)
		if err == nil {
			<-r.Done()
			if r.Err() == nil {
				return tries, nil
			}
			err = r.Err()
		}
		failed, ok := errors.AsType[*sinks.SessionError](err)
		if !ok || failed.Pages == 1 {
			return tries, err
		}
		limit = max(failed.Pages/2, 1)
	}
}

// A page that the receiver refuses is found in a number of tries that grows with the
// logarithm of the session's pages, and fails alone.
func TestGroupPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poisoned := errors.New("refused")
		m := &model{settle: time.Second, refuses: func(lines []string) error {
			if slices.Contains(lines, "poison") {
				return poisoned
			}
			return nil
		}}
		g := sinks.NewGroup(t.Context(), m)
		hold := g.Expect()
		var streams sync.WaitGroup
		var mu sync.Mutex
		failed := map[string]error{}
		for i := range 64 {
			line := fmt.Sprint(i)
			if i == 17 {
				line = "poison"
			}
			streams.Go(func() {
				tries, err := repeatedly(t, g, line)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed[line] = err
				}
				if tries > 8 {
					t.Errorf("%s: %d tries", line, tries)
				}
			})
		}
		synctest.Wait()
		hold()
		streams.Wait()
		g.Close()
		if len(failed) != 1 || !errors.Is(failed["poison"], poisoned) {
			t.Errorf("failed: %v", failed)
		}
		seen := map[string]int{}
		for _, lines := range m.carried() {
			for _, l := range lines {
				seen[l]++
			}
		}
		for i := range 64 {
			if i != 17 && seen[fmt.Sprint(i)] != 1 {
				t.Errorf("page %d counts %d times", i, seen[fmt.Sprint(i)])
			}
		}
	})
}

// A server that is down blames no page, is asked by one at a time, and is taken for
// down until it answers.
func TestGroupDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("connection refused")
		m := &model{down: refused}
		g := sinks.NewGroup(t.Context(), m)
		_, _, err := g.Send(t.Context(), pageOf("a"), 0)
		failed, ok := errors.AsType[*sinks.SessionError](err)
		if !ok || !failed.Down || !errors.Is(err, refused) {
			t.Fatalf("error %v", err)
		}
		time.Sleep(10 * time.Second)
		before := m.checks
		var asking sync.WaitGroup
		for range 100 {
			asking.Go(func() {
				if err := g.Ready(t.Context()); !errors.Is(err, refused) {
					t.Errorf("ready: %v", err)
				}
			})
		}
		asking.Wait()
		if n := m.checks - before; n != 1 {
			t.Errorf("%d probes for 100 streams", n)
		}
		m.goes(nil)
		time.Sleep(10 * time.Second)
		if err := g.Ready(t.Context()); err != nil {
			t.Errorf("ready: %v", err)
		}
		g.Close()
	})
}

// When the run ends, what has not settled does not count.
func TestGroupEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		m := &model{settle: time.Hour}
		g := sinks.NewGroup(ctx, m)
		_, r, err := g.Send(ctx, pageOf("a"), 0)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel(why)
		<-r.Done()
		if failed := r.Err(); failed == nil || !errors.Is(failed, why) {
			t.Errorf("error %v, want %v", failed, why)
		}
		g.Close()
		if diff := cmp.Diff(0, len(m.carried())); diff != "" {
			t.Errorf("sessions that count (-want +got):\n%s", diff)
		}
	})
}

// Sessions with different bounds do not keep each other open: where four take pages,
// and a page comes that none of them takes, one of them settles.
func TestGroupBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{settle: time.Second}
		g := sinks.NewGroup(t.Context(), m)
		hold := g.Expect() // other streams have pages on their way
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for _, limit := range []int{0, 32, 16, 8, 4, 2} {
			if _, _, err := g.Send(ctx, pageOf(fmt.Sprint(limit)), limit); err != nil {
				t.Fatalf("a session of at most %d pages: %v", limit, err)
			}
		}
		hold()
		g.Close()
		if n := len(m.carried()); n != 6 {
			t.Errorf("%d sessions count", n)
		}
	})
}

// A page that comes while it is found out why a session failed goes into another one:
// it is not to blame.
func TestGroupFailedTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{refuses: func(lines []string) error {
			if slices.Contains(lines, "poison") {
				return errors.New("refused")
			}
			return nil
		}, check: 10 * time.Second}
		g := sinks.NewGroup(t.Context(), m)
		hold := g.Expect()
		_, bad, err := g.Send(t.Context(), pageOf("poison"), 0)
		if err != nil {
			t.Fatal(err)
		}
		m.end()
		synctest.Wait() // an empty session is under way
		_, good, err := g.Send(t.Context(), pageOf("good"), 0)
		if err != nil {
			t.Fatalf("the page of another stream: %v", err)
		}
		hold()
		<-good.Done()
		<-bad.Done()
		if good.Err() != nil || bad.Err() == nil {
			t.Errorf("good: %v, bad: %v", good.Err(), bad.Err())
		}
		g.Close()
	})
}

// A receiver that answers each record may end a session in order: what it carried
// counts, and a page that comes too late for it goes into another one.
func TestGroupEndedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{settle: time.Second}
		g := sinks.NewGroup(t.Context(), m)
		hold := g.Expect()
		_, first, err := g.Send(t.Context(), pageOf("first"), 0)
		if err != nil {
			t.Fatal(err)
		}
		m.end()
		synctest.Wait() // the session is being confirmed
		_, second, err := g.Send(t.Context(), pageOf("second"), 0)
		if err != nil {
			t.Fatal(err)
		}
		hold()
		<-first.Done()
		<-second.Done()
		if first.Err() != nil || second.Err() != nil || len(m.sessions) != 2 {
			t.Errorf("first: %v, second: %v, %d sessions", first.Err(), second.Err(), len(m.sessions))
		}
		g.Close()
	})
}

// Why a session failed is found out afresh: that the server stood a moment before says
// nothing.
func TestGroupDiagnosesAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &model{settle: 100 * time.Millisecond, refuses: func([]string) error { return errors.New("reset") }}
		g := sinks.NewGroup(t.Context(), m)
		if err := g.Prove(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, r, err := g.Send(t.Context(), pageOf("a"), 0)
		if err != nil {
			t.Fatal(err)
		}
		m.goes(errors.New("connection refused"))
		<-r.Done()
		if failed := r.Err(); failed == nil || !failed.Down {
			t.Errorf("error %v, want one that knows the server to be down", failed)
		}
		g.Close()
	})
}

// Who waits for the empty session of another does so no longer than its own context.
func TestGroupProbeWaits(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait func(*sinks.Group, context.Context) error
	}{
		{"prove", (*sinks.Group).Prove},
		{"ready", (*sinks.Group).Ready},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{down: errors.New("connection refused"), check: time.Hour}
				g := sinks.NewGroup(t.Context(), m)
				first := make(chan error)
				go func() { first <- g.Prove(t.Context()) }()
				synctest.Wait() // its empty session is under way

				why, began := errors.New("enough"), time.Now()
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
				defer cancel()
				err := tt.wait(g, ctx)
				if took := time.Since(began); !errors.Is(err, why) || took != time.Second {
					t.Errorf("after %v: %v, want %v after 1s", took, err, why)
				}
				if failed, ok := errors.AsType[*sinks.SessionError](<-first); !ok || !failed.Down || m.checks != 1 {
					t.Errorf("the first one: %v after %d empty sessions", failed, m.checks)
				}
				g.Close()
			})
		})
	}
}

// brittle is a server that stands whenever it is tried, and breaks down over the first page.
type brittle struct{ *model }

type brittleSession struct{ sinks.Session }

func (b brittle) Open(ctx context.Context) (sinks.Session, error) {
	s, err := b.model.Open(ctx)
	if err == nil {
		time.Sleep(time.Second) // meanwhile pages wait for it
	}
	return brittleSession{s}, err
}

func (brittleSession) Send(context.Context, sinks.Batch) ([]sinks.Refused, error) {
	return nil, errBroken
}

var errBroken = errors.New("connection reset")

// Only a page that a session has carried can be why it failed: not one that waited for it.
func TestGroupCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := sinks.NewGroup(t.Context(), brittle{new(model)})
		var streams sync.WaitGroup
		var mu sync.Mutex
		var pages []int
		for range 3 {
			streams.Go(func() {
				_, _, err := g.Send(t.Context(), pageOf("a"), 0)
				mu.Lock()
				defer mu.Unlock()
				failed, ok := errors.AsType[*sinks.SessionError](err)
				if !ok || !errors.Is(err, errBroken) || failed.Down {
					t.Errorf("%v, want a session that failed though the server stands", err)
					return
				}
				pages = append(pages, failed.Pages)
			})
		}
		streams.Wait()
		slices.Sort(pages)
		if diff := cmp.Diff([]int{0, 0, 1}, pages); diff != "" {
			t.Errorf("pages that the session carried (-want +got):\n%s", diff)
		}
		g.Close()
	})
}
