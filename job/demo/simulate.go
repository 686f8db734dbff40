package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"dls/job/config"
	"dls/job/duo"
	"dls/job/duosim"
	"dls/state"
)

// Simulation is what a simulated Duo is told.
type Simulation struct {
	// Config is a configuration of one's own, whose servers and mappings are used; or
	// empty for a receiver that counts lines.
	Config string
	// Directory gets the configuration for the simulation, in the place of that of an
	// earlier one that has ended; empty: a temporary one, which is taken away at the end.
	Directory string
	// Accounts is the number of an MSP's child accounts; 0: one account.
	Accounts int
	// Backlog is how many records each endpoint of each account has at the start, over
	// the time of Over.
	Backlog int
	Over    time.Duration
	// PerMinute is how many new records come a minute, for each endpoint and account.
	PerMinute float64
	// Late is how many of 100 new records are shown late, by up to five minutes.
	Late int
	// Limit is how many calls a minute are answered, for each endpoint and account; 0:
	// any number.
	Limit int
	// Latency is how long each answer takes.
	Latency time.Duration
	// Faults are the names of what goes wrong, in turn, at each call of FaultEvery.
	Faults     []string
	FaultEvery int
	// Calls, when set, gets a line for each call.
	Calls io.Writer
}

// faults are what may go wrong.
var faults = map[string]duosim.Fault{
	"429":      duosim.TooMany(),
	"500":      duosim.Error(50000, "Internal server error", ""),
	"502":      duosim.HTML(502),
	"cut":      duosim.CutBody(),
	"reset":    duosim.Reset(),
	"hang":     duosim.Hang(),
	"not-json": duosim.NotJSON(),
}

// tick is the time between additions of new records.
const tick = time.Second

// Simulate starts the simulated Duo, says on w how to use it, shows on line how far
// it is, and goes on until ctx ends, which is no error.
func Simulate(ctx context.Context, w io.Writer, line func(func() string) (stop func()), o Simulation) (err error) {
	own := &borrowed{}
	if o.Config != "" {
		if own, err = borrow(o.Config); err != nil {
			return err
		}
		if own.Account.MSP && o.Accounts == 0 {
			o.Accounts = 3
		}
	}
	dir := o.Directory
	if dir == "" {
		if dir, err = os.MkdirTemp("", "dls-simulate-"); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	release, err := claim(dir)
	if err != nil {
		return fmt.Errorf("--directory %q: %w", dir, err)
	}
	defer release()

	var calls, refused atomic.Int64
	sim := duosim.New(duosim.Account{ID: account, Name: "Simulation", Ikey: ikey, Skey: skey, MSP: o.Accounts > 0})
	sim.ForgetCalls, sim.Latency = true, o.Latency
	sim.Rate = duosim.Rate{Calls: o.Limit, Window: time.Minute}
	sim.Watch = func(c duosim.Call) {
		calls.Add(1)
		if c.Status != 200 {
			refused.Add(1)
		}
		if o.Calls != nil {
			fmt.Fprintf(o.Calls, "%s %s %s: %d, %d records\n", c.At.UTC().Format(time.RFC3339), c.Account, c.Endpoint, c.Status, c.Records)
		}
	}
	accounts := []string{account}
	if o.Accounts > 0 {
		accounts = nil
		for i := range o.Accounts {
			id := fmt.Sprintf("DASIM%015d", i)
			accounts = append(accounts, id)
			sim.AddAccount(duosim.Account{ID: id, Name: fmt.Sprintf("Customer %d", i+1), Parent: account})
		}
	}
	if err := sim.Start(); err != nil {
		return fmt.Errorf("start the simulated Duo: %w", err)
	}
	defer sim.Close()
	var wrong []duosim.Fault
	for _, name := range o.Faults {
		wrong = append(wrong, faults[name])
	}
	if len(wrong) > 0 {
		sim.InjectEvery(o.FaultEvery, wrong...)
	}

	endpoints := slices.DeleteFunc(duo.Names(), func(name string) bool { return o.Accounts > 0 && !duo.Named(name).MSP })
	source := &source{sim: sim, accounts: accounts, endpoints: endpoints, o: o, random: rand.New(rand.NewPCG(1, 2))}
	source.backlog(time.Now())

	s := settings{host: sim.Host(account), ca: sim.CAPEM(), format: "JSON", offset: 180, msp: o.Accounts > 0, directory: "checkpoints"}
	var siem *receiver
	if o.Config != "" {
		s.format, s.servers, s.mappings = own.Settings.Format, &own.Servers, &own.Account.Mappings
	} else {
		if siem, err = listen(ctx, false); err != nil {
			return fmt.Errorf("start the receiver: %w", err)
		}
		defer siem.close()
		s.servers, s.mappings = local(siem.addr), mapped(endpoints, "siem")
	}
	path, err := s.write(dir)
	if err != nil {
		return err
	}
	if _, err := config.LoadForReceivers(path, config.SystemEnv()); err != nil {
		return fmt.Errorf("the configuration for the simulation: %w", err)
	}
	introduce(w, sim, siem, path, o)

	stop := line(func() string {
		text := fmt.Sprintf("%d records at Duo, %d calls", atomic.LoadInt64(&source.added), calls.Load())
		if n := refused.Load(); n > 0 {
			text += fmt.Sprintf(" (%d not answered)", n)
		}
		if siem != nil {
			text += fmt.Sprintf(", %d lines at the receiver", siem.count())
		}
		return text
	})
	source.flow(ctx)
	stop()
	return nil
}

// claim takes a directory for one simulation until release is called, and refuses one in
// which another runs.
func claim(dir string) (release func(), err error) {
	d, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	unlock, err := d.Lock("dls-simulate.lock")
	if errors.Is(err, state.ErrLocked) {
		err = errors.New("another simulation runs there; name another directory")
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return func() { unlock(); d.Close() }, nil
}

// introduce says how to use the simulation.
func introduce(w io.Writer, sim *duosim.Server, siem *receiver, path string, o Simulation) {
	what := "one account"
	if o.Accounts > 0 {
		what = fmt.Sprintf("%d child accounts", o.Accounts)
	}
	fmt.Fprintln(w, screen(w).Wrap(fmt.Sprintf("A simulated Duo of %s answers at https://%s.", what, sim.Host(account)), 0, 0))
	if siem != nil {
		text := fmt.Sprintf("A receiver counts lines at tcp://%s: give the configuration your own in its place, or name a configuration that has them: dls simulate CONFIG.", siem.addr)
		fmt.Fprintln(w, screen(w).Wrap(text, 0, 0))
	} else {
		fmt.Fprintf(w, "Receivers are those of %s.\n", o.Config)
	}
	fmt.Fprintf(w, "In another terminal:\n\n")
	for _, command := range []string{"check", "sync -v", "status"} {
		fmt.Fprintf(w, "    dls %s %s\n", command, path)
	}
	end := "Ctrl-C ends it."
	if o.Directory == "" {
		end = "Ctrl-C ends it and takes the directory away."
	}
	fmt.Fprintf(w, "\n%s\n", end)
}

// source makes the records of a simulation.
type source struct {
	sim       *duosim.Server
	accounts  []string
	endpoints []string
	o         Simulation
	random    *rand.Rand
	owed      float64 // of new records for each stream, less than one
	seed      uint64
	added     int64
}

// backlog adds the records that are there at the start.
func (s *source) backlog(now time.Time) {
	if s.o.Backlog <= 0 {
		return
	}
	s.add(s.o.Backlog, now.Add(-s.o.Over-duosim.Delay), s.o.Over/time.Duration(s.o.Backlog), false)
}

// flow adds new records until ctx ends.
func (s *source) flow(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			s.owed += s.o.PerMinute * tick.Minutes()
			if n := int(s.owed); n > 0 {
				s.owed -= float64(n)
				s.add(n, now.Add(-duosim.Delay-tick), tick/time.Duration(n), true)
			}
		}
	}
}

// add adds n records to each stream, those of fresh ones that are late to be shown
// later than the others.
func (s *source) add(n int, from time.Time, step time.Duration, fresh bool) {
	for _, account := range s.accounts {
		for _, name := range s.endpoints {
			s.seed++
			records := duosim.Generator{Seed: s.seed, Jitter: true}.Generate(name, n, from, step)
			for i := range records {
				if fresh && s.random.IntN(100) < s.o.Late {
					records[i].VisibleAt = records[i].At.Add(duosim.Delay + time.Duration(s.random.Int64N(int64(5*time.Minute))))
				}
			}
			s.sim.Add(account, name, records...)
			atomic.AddInt64(&s.added, int64(n))
		}
	}
}

// Check says what is wrong with the numbers.
func (o Simulation) Check() error {
	switch {
	case o.Accounts < 0 || o.Accounts > 2000:
		return fmt.Errorf("--accounts=%d: from 0 to 2000", o.Accounts)
	case o.Backlog < 0 || o.Backlog > 1_000_000:
		return fmt.Errorf("--backlog=%d: from 0 to 1000000", o.Backlog)
	case o.PerMinute < 0 || o.PerMinute > 60_000:
		return fmt.Errorf("--records=%v: from 0 to 60000 a minute", o.PerMinute)
	case o.Late < 0 || o.Late > 100:
		return fmt.Errorf("--late=%d: from 0 to 100", o.Late)
	case o.Limit < 0:
		return fmt.Errorf("--limit=%d: 0 or more", o.Limit)
	case o.FaultEvery < 1:
		return fmt.Errorf("--fault-every=%d: at least 1", o.FaultEvery)
	case o.Over > 179*24*time.Hour:
		return errors.New("--over: Duo keeps no more than 180 days")
	}
	return nil
}
