package job_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dls/job"
	"dls/job/config"
	"dls/job/duosim"
	"dls/sinks"
	"dls/sinks/sinktest"
)

const (
	// victim is the stream that meets the faults.
	victim = "activity"
	// pageSize is how many records a page holds.
	pageSize = 1000
	// patience is how long a stream of a scene may go without progress: as long
	// as the program's default.
	patience = 5 * time.Minute
	// hecToken is the token of a victim that is a collector.
	hecToken = "not-a-real-token"
	// apiHost is the account's host name.
	apiHost = "api-fault001.duosecurity.com"
)

// bystanders are the streams that must go on.
var bystanders = []string{"telephony", "auth"}

// scene is the world of a fault: a simulated Duo that is reached in memory, a
// receiver for the victim and one for the bystanders.
//
// As a rule a run is in a bubble of testing/synctest: it has the delays and the
// patience of a real one, and takes no time. Sockets lead out of the bubble, and
// its clock stands still while one of them is waited for; what listens at them
// must be started outside, see [scene.outside].
type scene struct {
	*world
	fault *fault

	records map[string][]duosim.Record
	want    map[string][]string // the lines of each stream
	got     [][]byte

	outer     *testing.T           // not that of a bubble
	mu        sync.Mutex           // guards receivers and target
	receivers []*sinktest.Receiver // whose lines count
	siem      *sinktest.Receiver   // the bystanders'
	target    *sinktest.Receiver   // the victim's, once it listens
	port      int                  // the victim's
	network   *sinktest.Network    // in which the victim is reached while a run goes on; nil: by sockets
	listening bool                 // the victim's receiver is there when a run begins, in memory
	hec       *sinktest.HEC        // the victim's, where it is a collector
	behave    atomic.Pointer[sinktest.Behaviour]
	cert      atomic.Pointer[tls.Config]
	ca        *sinktest.Certificate

	// What a case changes of the runs that follow.
	now     time.Time                                 // when the next run begins
	clock   time.Duration                             // how far Duo's clock is ahead of ours
	duo     func(*duosim.Server)                      // of Duo
	wire    func(http.RoundTripper) http.RoundTripper // of what lies before Duo; nil from it: the client's own
	sink    func(*sinks.Options)
	options func(*job.Options)
	cfg     func(*config.Config)

	transport http.RoundTripper // of the run under way
	errands   chan func()
	errand    chan struct{}
}

var stock struct {
	sync.Once
	records map[string][]duosim.Record
	lines   map[string][]string
}

// newScene sets a case up. The records are the same for all.
func newScene(t *testing.T, f *fault) *scene {
	s := &scene{
		world:   &world{t: t, dir: t.TempDir(), text: settings{format: "JSON", enabled: true, skey: skey}},
		fault:   f,
		outer:   t,
		now:     time.Now(),
		errands: make(chan func()), errand: make(chan struct{}),
	}
	stock.Do(func() {
		stock.records, stock.lines = map[string][]duosim.Record{}, map[string][]string{}
		from := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
		s.sim = duosim.New(duosim.Account{ID: parent, Host: apiHost})
		for name, n := range map[string]int{victim: 2*pageSize + 100, "telephony": pageSize + 100, "auth": 60} {
			stock.records[name] = duosim.Generator{Seed: 7, Jitter: true}.Generate(name, n, from, 10*time.Second)
			s.add(parent, name, stock.records[name]...)
			stock.lines[name] = s.lines(parent, name)
		}
	})
	s.records, s.want = stock.records, stock.lines
	if err := os.Mkdir(s.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	go func() {
		for do := range s.errands {
			do()
			s.errand <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(s.errands) })

	s.siem = s.receiver(sinktest.Options{})
	s.behaves(s.good())
	s.port = sinktest.FreePort(t)
	one := server{id: "victim", protocol: "TCP", port: s.port, more: f.server}
	switch {
	case f.tls:
		s.ca = sinktest.NewAuthority(t)
		one.protocol, one.cert = "TCPSSL", sinktest.WriteFile(t, s.ca.CertPEM())
		s.shows(s.ca.Issue(t, sinktest.CertificateOptions{}))
	case f.udp:
		one.protocol = "UDP"
	}
	s.text.servers = []server{one, {id: "siem", protocol: "TCP", port: s.siem.Port()}}
	s.text.endpoints = map[string][]string{"victim": {victim}, "siem": bystanders}
	return s
}

// receiver starts a receiver whose lines count.
func (s *scene) receiver(o sinktest.Options) *sinktest.Receiver {
	s.outer.Helper()
	t := s.outer
	if o.Network != nil {
		t = s.t // it ends with the bubble
	}
	r := sinktest.Listen(t, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receivers = append(s.receivers, r)
	return r
}

// listen starts the victim's receiver.
func (s *scene) listen() {
	s.outer.Helper()
	s.listening = true
	if s.fault.memory && s.network == nil {
		return // a run begins with it
	}
	o := sinktest.Options{Port: s.port, Network: s.network, Behave: func(c *sinktest.Conn) { (*s.behave.Load())(c) }}
	switch {
	case s.fault.udp:
		r := sinktest.ListenUDP(s.outer, o)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.receivers, s.target = append(s.receivers, r), r
		return
	case s.fault.tls:
		o.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.cert.Load(), nil }}
	}
	r := s.receiver(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = r
}

// close stops the victim's receiver.
func (s *scene) close() {
	s.mu.Lock()
	r := s.target
	s.mu.Unlock()
	r.Close()
}

// good is the behaviour of a victim's receiver that is in order.
func (s *scene) good() sinktest.Behaviour {
	switch protocol, _ := s.fault.server["protocol"].(string); {
	case protocol == "HEC":
		if s.hec == nil {
			s.hec = &sinktest.HEC{T: s.outer, Token: hecToken}
		}
		return s.hec.Behave
	case protocol != "":
		return new(sinktest.RELPServer).Behave
	case s.fault.server["framing"] != nil:
		return sinktest.ReadCounted
	}
	return sinktest.ReadAll
}

// behaves tells the victim's receiver how to treat connections from now on.
func (s *scene) behaves(b sinktest.Behaviour) { s.behave.Store(&b) }

// shows tells the victim's receiver which certificate to show.
func (s *scene) shows(c *sinktest.Certificate) { s.cert.Store(c.Server(nil)) }

// outside does something outside of the bubble, and waits for it.
func (s *scene) outside(do func()) {
	s.errands <- do
	<-s.errand
}

// received are all lines received so far.
func (s *scene) received() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.receivers {
		s.got = append(s.got, r.Take()...)
	}
	return s.got
}

// run calls do, which runs the job, while Duo is up.
func (s *scene) run(do func()) {
	s.t.Helper()
	if s.fault.real {
		s.now = time.Now()
		s.up(do)
		return
	}
	t := s.t
	synctest.Test(t, func(inner *testing.T) {
		s.t = inner
		defer func() { s.t = t }()
		time.Sleep(time.Until(s.now))
		s.up(do)
		s.now = time.Now().Add(time.Hour)
	})
}

func (s *scene) up(do func()) {
	s.t.Helper()
	s.sim = duosim.New(duosim.Account{ID: parent, Name: "Parent", Host: apiHost, Ikey: ikey, Skey: skey, MSP: true})
	defer s.sim.Close()
	ahead := s.clock
	s.sim.Now = func() time.Time { return time.Now().Add(ahead) }
	for name, records := range s.records {
		s.add(parent, name, records...)
	}
	if s.duo != nil {
		s.duo(s.sim)
	}
	if err := os.WriteFile(s.path("ca.pem"), s.sim.CAPEM(), 0o600); err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.sim.CAPEM())
	network := &http.Transport{DialContext: s.sim.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}}
	s.transport = network
	if s.wire != nil {
		s.transport = s.wire(network)
	}
	if s.fault.memory {
		s.network = new(sinktest.Network)
		if s.listening {
			s.listen()
		}
	}
	do()
	if s.fault.memory {
		if s.listening {
			s.close()
		}
		s.network = nil
	}
	// Both ends of a pipe must not take leave at once: each would wait for the
	// other to read, with a bubble's clock standing still.
	network.CloseIdleConnections()
	if !s.fault.real {
		synctest.Wait()
	}
}

// try runs the job.
func (s *scene) try() (*job.Summary, error) {
	s.t.Helper()
	o := s.world.options()
	o.SetTransport(s.transport)
	o.SetSink(func(o *sinks.Options) {
		if s.fault.memory && o.ID == "victim" {
			o.Dial = s.network.Dial
		}
		if s.sink != nil {
			s.sink(o)
		}
	})
	if !s.fault.real {
		o.RetryFor = patience
	}
	if s.options != nil {
		s.options(&o)
	}
	cfg := s.config()
	if s.cfg != nil {
		s.cfg(cfg)
	}
	return job.Sync(context.Background(), cfg, o)
}

// sync runs the job, which must come to a summary.
func (s *scene) sync() *job.Summary {
	s.t.Helper()
	sum, err := s.try()
	if err != nil {
		s.t.Fatal(err)
	}
	return sum
}
