package job_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"dls/job/config"
	"dls/sinks"
)

// simServer is a server in memory, as one run meets it.
type simServer struct {
	sim      *simulation
	plan     *simServerPlan
	index    int
	trouble  simServerTrouble
	began    time.Time
	sessions int
}

// simSession is one session of a server.
type simSession struct {
	server    *simServer
	fate      simFate
	sends     int
	carries   map[*simStream]bool
	failed    chan struct{}
	fail      func()
	confirmed time.Time // zero: not
	over      bool
}

// simFate is what becomes of a session.
type simFate struct {
	kind  string // "": nothing; "refuse", "reset", "stall", "close", "deny"
	nth   int    // the page at which it does
	after time.Duration
	late  time.Duration // how long its confirmation takes beside settling
}

// simDelivery is a line that a server has taken, or a file.
type simDelivery struct {
	run     int
	session *simSession // nil for a file
	page    int
	version int    // of the stream's checkpoint that makes sure of it, or 0
	excused string // the fault by which it may not count, so that the line may come again
}

// receiver makes the servers of a run.
func (sim *simulation) receiver(server config.Server) (sinks.Sink, error) {
	for i, plan := range sim.scenario.servers {
		if plan.id == server.ID {
			s := &simServer{sim: sim, plan: plan, index: i, began: time.Now()}
			if sim.plan.servers != nil {
				s.trouble = sim.plan.servers[i]
			}
			return s, nil
		}
	}
	return nil, fmt.Errorf("no server %q", server.ID)
}

func (s *simServer) ID() string     { return s.plan.id }
func (s *simServer) MaxRecord() int { return s.plan.most }

// Check implements [sinks.Sink].
func (s *simServer) Check(ctx context.Context) (sinks.Report, error) {
	session, err := s.Open(ctx)
	if err == nil {
		err = session.Confirm(ctx)
	}
	return sinks.Report{}, err
}

// Open implements [sinks.Sink].
func (s *simServer) Open(ctx context.Context) (sinks.Session, error) {
	sim := s.sim
	if err := sim.step("open"); err != nil {
		return nil, err
	}
	sim.mu.Lock()
	s.sessions++
	dice := dicing(sim.seed, "session", sim.run, s.plan.id, s.sessions)
	sim.mu.Unlock()
	one := &simSession{server: s, failed: make(chan struct{}), carries: map[*simStream]bool{}, fate: s.draw(dice)}
	one.fail = sync.OnceFunc(func() { close(one.failed) })
	if err := pause(ctx, dice.time(0, 50*time.Millisecond)); err != nil {
		return nil, err
	}
	if one.fate.kind == "refuse" {
		sim.mu.Lock()
		for _, stream := range sim.streams {
			if slices.Contains(stream.servers, s.index) {
				sim.waiting(stream, s.index, s.plan.id+" refused a connection")
			}
		}
		sim.trouble[s.index].add()
		sim.note("%s refuses a connection", s.plan.id)
		sim.mu.Unlock()
		return nil, fmt.Errorf("%s: connection refused", s.plan.id)
	}
	if one.fate.kind == "close" {
		time.AfterFunc(one.fate.after, one.fail)
	}
	return one, nil
}

// draw draws what becomes of a session.
func (s *simServer) draw(d dice) (f simFate) {
	if s.trouble.late {
		f.late = d.time(0, time.Minute)
	}
	if time.Since(s.began) < s.trouble.down {
		f.kind = "refuse"
	} else if d.permille(s.trouble.sessions) {
		f.kind = pick(d, "refuse", "reset", "stall", "close", "deny")
		f.nth, f.after = d.between(1, 3), d.time(0, 20*time.Second)
	}
	return f
}

// Send implements [sinks.Session].
func (one *simSession) Send(ctx context.Context, b sinks.Batch) (refused []sinks.Refused, err error) {
	s, sim := one.server, one.server.sim
	if err := sim.step("send"); err != nil {
		return nil, err
	}
	one.sends++
	lines := bytes.SplitAfter(b.Lines, []byte("\n"))
	lines = lines[:len(lines)-1]
	page := sim.carried(one, b.Endpoint, lines)
	broken := one.fate.nth == one.sends && (one.fate.kind == "reset" || one.fate.kind == "stall")
	if broken {
		lines = lines[:len(lines)/2]
	}
	for i, line := range lines {
		if s.plan.refuses && marked(string(line), 7) {
			refused = append(refused, sinks.Refused{Index: i, Reason: "it is not to its liking"})
			continue
		}
		if !sim.taken(one, b.Endpoint, string(line), page) {
			break
		}
		if s.trouble.poison && marked(string(line), 5) {
			broken = true
			break
		}
	}
	if one.fate.kind == "stall" && broken {
		if err := pause(ctx, 30*time.Second); err != nil {
			return nil, one.lost(err)
		}
	}
	if broken {
		return nil, one.lost(fmt.Errorf("%s: connection reset", s.plan.id))
	}
	if err := sim.step("sent"); err != nil {
		return nil, err
	}
	return refused, nil
}

// lost notes that the session failed.
func (one *simSession) lost(err error) error {
	sim := one.server.sim
	sim.mu.Lock()
	defer sim.mu.Unlock()
	one.over = true
	sim.trouble[one.server.index].add()
	for _, s := range sim.streams {
		why := "a session of " + one.server.plan.id + " failed"
		switch {
		case one.carries[s]:
			sim.fault(s, why)
			sim.turnOf(s).sessions++
		case slices.Contains(s.servers, one.server.index):
			sim.waiting(s, one.server.index, why)
		}
	}
	sim.note("a session of %s fails: %v", one.server.plan.id, err)
	return err
}

// Confirm implements [sinks.Session].
func (one *simSession) Confirm(ctx context.Context) error {
	s, sim := one.server, one.server.sim
	if err := sim.step("confirm"); err != nil {
		return err
	}
	t := time.NewTimer(s.plan.settle + one.fate.late)
	defer t.Stop()
	select {
	case <-t.C:
	case <-one.failed:
	case <-ctx.Done():
		return one.lost(context.Cause(ctx))
	}
	select {
	case <-one.failed:
		return one.lost(fmt.Errorf("%s: it closed the connection", s.plan.id))
	default:
	}
	if one.fate.kind == "deny" {
		return one.lost(errors.New(s.plan.id + ": it answered nothing")) // though it has all
	}
	if err := sim.step("confirmed"); err != nil {
		return err
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	one.confirmed, one.over = time.Now(), true
	if one.sends > 0 {
		sim.note("%s confirms a session of %d pages", s.plan.id, one.sends)
	}
	return nil
}

// Failed implements [sinks.Session].
func (one *simSession) Failed() <-chan struct{} { return one.failed }

// Abort implements [sinks.Session].
func (one *simSession) Abort() {
	if !one.over {
		one.lost(errors.New("given up"))
	}
}
