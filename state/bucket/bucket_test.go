package bucket

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dls/state"
	"dls/state/bucket/buckettest"
	"dls/state/storetest"
)

func TestMain(m *testing.M) {
	os.Setenv("AWS_ACCESS_KEY_ID", "not-a-key")
	os.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	os.Exit(m.Run())
}

// open opens the model's bucket as another run.
func open(t *testing.T, server *buckettest.Server) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{
		Bucket: "logs", Prefix: "dls/x", Region: "us-east-1", Endpoint: "model.invalid", Transport: server,
		Warn: func(msg string) { t.Log("warning:", msg) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(t *testing.T) state.Store {
		server := buckettest.New()
		return func(t *testing.T) state.Store { return open(t, server) }
	})
}

// loaded opens the store and loads a stream, as a run does before it moves it.
func loaded(t *testing.T, server *buckettest.Server, want *state.Checkpoint) *Store {
	t.Helper()
	s := open(t, server)
	cp, err := s.Load(storetest.ID(1))
	if err != nil || !storetest.Same(cp, want) {
		t.Fatalf("loaded %+v, %v, want %+v", cp, err, want)
	}
	return s
}

const object = "dls/x/auth_checkpoint_DA000000000000000001.json"

// Of two runs that have read one version, one moves the stream, whoever is first; the
// other moves nothing any more, however often it tries.
func TestFence(t *testing.T) {
	for _, first := range []bool{true, false} { // whether there is no checkpoint yet
		server := buckettest.New()
		var was *state.Checkpoint
		if !first {
			was = storetest.Checkpoint(1)
			if err := storetest.Save(open(t, server), storetest.ID(1), was); err != nil {
				t.Fatal(err)
			}
		}
		one, two := loaded(t, server, was), loaded(t, server, was)
		late, err := two.Stage(storetest.ID(1), storetest.Checkpoint(2))
		if err != nil {
			t.Fatal(err)
		}
		if err := storetest.Save(one, storetest.ID(1), storetest.Checkpoint(5)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			err := two.Commit([]state.Staged{late})[0]
			if fenced, ok := errors.AsType[*state.FencedError](err); !ok || !strings.Contains(fenced.Path, storetest.ID(1).File()) {
				t.Errorf("first %v: commit: %v, want a *FencedError", first, err)
			}
		}
		if _, err := two.Stage(storetest.ID(1), storetest.Checkpoint(9)); err == nil {
			t.Error("who lost the place may stage")
		}
		loaded(t, server, storetest.Checkpoint(5))
		if err := storetest.Save(one, storetest.ID(1), storetest.Checkpoint(6)); err != nil {
			t.Errorf("who has the place: %v", err)
		}
	}
}

// A run whose stream was moved before its first write sees it before it sends.
func TestFenceBeforeFirstWrite(t *testing.T) {
	server := buckettest.New()
	if err := storetest.Save(open(t, server), storetest.ID(1), storetest.Checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"moved": []byte("other"), "removed": nil} {
		s := loaded(t, server, storetest.Checkpoint(1))
		before := server.Objects()[object]
		server.Put(object, data)
		if _, err := s.Stage(storetest.ID(1), storetest.Checkpoint(2)); !isFenced(err) {
			t.Errorf("%s: %v, want a *FencedError", name, err)
		}
		server.Put(object, before)
	}
}

func isFenced(err error) bool { _, ok := errors.AsType[*state.FencedError](err); return ok }

// A write whose answer is lost is looked after: done or not, it is this run's own.
func TestLostAnswers(t *testing.T) {
	for name, fault := range map[string]buckettest.Fault{
		"lost": {Lost: true}, "late": {Late: true}, "503": {Status: 503}, "409": {Status: 409}, "500": {Status: 500}, "429": {Status: 429},
		"stalled": {Stall: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := buckettest.New()
				if err := storetest.Save(open(t, server), storetest.ID(1), storetest.Checkpoint(1)); err != nil {
					t.Fatal(err)
				}
				s := loaded(t, server, storetest.Checkpoint(1))
				broken := true
				server.Fault = func(r buckettest.Request) buckettest.Fault {
					if broken && r.Method == "PUT" {
						broken = false
						return fault
					}
					return buckettest.Fault{}
				}
				for n := 2; n < 5; n++ {
					broken = true
					if err := storetest.Save(s, storetest.ID(1), storetest.Checkpoint(n)); err != nil {
						t.Fatalf("%d: %v", n, err)
					}
					server.Land() // what was late changes nothing any more
					loaded(t, server, storetest.Checkpoint(n))
				}
			})
		})
	}
}

// While the bucket is away for longer than a run waits, a write fails; when it is back,
// the run finds what became of it.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fault := range []buckettest.Fault{{Lost: true}, {Status: 503}, {Stall: true}} {
			server := buckettest.New()
			if err := storetest.Save(open(t, server), storetest.ID(1), storetest.Checkpoint(1)); err != nil {
				t.Fatal(err)
			}
			s := loaded(t, server, storetest.Checkpoint(1))
			away := true
			server.Fault = func(buckettest.Request) buckettest.Fault {
				if away {
					return fault
				}
				return buckettest.Fault{}
			}
			begin := time.Now()
			err := storetest.Save(s, storetest.ID(1), storetest.Checkpoint(2))
			if _, ok := errors.AsType[*Error](err); !ok || isFenced(err) {
				t.Errorf("%+v: %v, want an *Error", fault, err)
			}
			if took := time.Since(begin); took > patience+attempt {
				t.Errorf("%+v: it took %v", fault, took)
			}
			away = false
			if err := storetest.Save(s, storetest.ID(1), storetest.Checkpoint(2)); err != nil {
				t.Errorf("%+v: when it is back: %v", fault, err)
			}
			loaded(t, server, storetest.Checkpoint(2))
		}
	})
}

// Two runs that each move a stream as far as they get, through all kinds of faults,
// never move it backwards, and each of the versions was based on the one before.
func TestTwoWriters(t *testing.T) {
	for seed := range 30 {
		synctest.Test(t, func(t *testing.T) {
			server := buckettest.New()
			server.Fault = func(r buckettest.Request) buckettest.Fault {
				switch h := (uint32(r.N)*2654435761 + uint32(seed)*40503) >> 3 % 16; {
				case h == 0:
					return buckettest.Fault{Lost: r.Method == "PUT", Status: 0}
				case h == 1:
					return buckettest.Fault{Late: r.Method == "PUT"}
				case h == 2:
					return buckettest.Fault{Status: 503}
				case h == 3 && r.N%5 == 0:
					return buckettest.Fault{Stall: true}
				}
				return buckettest.Fault{}
			}
			newest := 0
			server.Written = func(key string, data []byte) {
				cp := new(state.Checkpoint)
				if err := cp.Decode(data, storetest.ID(1)); err != nil {
					t.Fatal(err)
				}
				if n := cp.Delivered.Len(); n < newest {
					t.Errorf("seed %d: moved back from %d to %d", seed, newest, n)
				} else {
					newest = n
				}
			}
			var writers sync.WaitGroup
			for w := range 2 {
				writers.Go(func() {
					for range 3 { // runs
						s := open(t, server)
						cp, err := s.Load(storetest.ID(1))
						if err != nil {
							continue
						}
						n := 0
						if cp != nil {
							n = cp.Delivered.Len()
						}
						for range 4 {
							n += 1 + w
							if err := storetest.Save(s, storetest.ID(1), storetest.Checkpoint(n)); err != nil {
								if !isFenced(err) {
									t.Logf("seed %d: %v", seed, err)
								}
								break
							}
							server.Land()
						}
					}
				})
			}
			writers.Wait()
			if newest < 4 {
				t.Errorf("seed %d: only %d", seed, newest)
			}
		})
	}
}

// A store that ignores conditions is refused by every run.
func TestUnconditional(t *testing.T) {
	server := buckettest.New()
	server.Unconditional = true
	s := open(t, server)
	for range 2 {
		if err := s.Probe(); !errors.Is(err, ErrUnconditional) {
			t.Errorf("probe: %v, want %v", err, ErrUnconditional)
		}
		if _, err := s.Claim(t.Context(), state.Share{}); !errors.Is(err, ErrUnconditional) {
			t.Errorf("claim: %v, want %v", err, ErrUnconditional)
		}
	}
	server.Unconditional = false
	for range 2 {
		if err := s.Probe(); err != nil {
			t.Error(err)
		}
	}
	server.Fault = func(r buckettest.Request) buckettest.Fault { return buckettest.Fault{Status: 501} }
	if err := s.Probe(); !errors.Is(err, ErrUnconditional) {
		t.Errorf("501: %v, want %v", err, ErrUnconditional)
	}
}

// A run that was killed keeps others out for a minute; one that goes on does so for as
// long as it does.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := buckettest.New()
		going, err := open(t, server).Claim(t.Context(), state.Share{K: 0, N: 2})
		if err != nil {
			t.Fatal(err)
		}
		killed := open(t, server)
		if _, err := killed.lease(state.Share{K: 1, N: 2}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		for _, share := range []state.Share{{K: 0, N: 2}, {}, {K: 1, N: 3}} {
			if _, err := open(t, server).Claim(t.Context(), share); !errors.Is(err, state.ErrLocked) {
				t.Errorf("share %v: %v, want %v", share, err, state.ErrLocked)
			}
		}
		going()
	})
	synctest.Test(t, func(t *testing.T) {
		server := buckettest.New()
		name := "dls/x/" + leaseName(state.Share{})
		server.Put(name, []byte("killed"))
		for _, wait := range []time.Duration{time.Second, 30 * time.Second, 28 * time.Second} {
			time.Sleep(wait)
			if _, err := open(t, server).Claim(t.Context(), state.Share{}); !errors.Is(err, state.ErrLocked) {
				t.Errorf("%v: %v, want %v", wait, err, state.ErrLocked)
			}
		}
		time.Sleep(2 * time.Second)
		release, err := open(t, server).Claim(t.Context(), state.Share{})
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
}

// Runs that claim at once: never two that exclude each other.
func TestLeaseAtOnce(t *testing.T) {
	for seed := range 20 {
		synctest.Test(t, func(t *testing.T) {
			server := buckettest.New()
			var mu sync.Mutex
			held := map[state.Share]int{}
			var all sync.WaitGroup
			claims := []state.Share{{}, {K: seed % 2, N: 2}, {K: 1, N: 3}, {K: 1, N: 2}, {}}
			for _, share := range claims {
				all.Go(func() {
					release, err := open(t, server).Claim(t.Context(), share)
					if err != nil {
						if !errors.Is(err, state.ErrLocked) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					for other, n := range held {
						if n > 0 && other.Excludes(share) {
							t.Errorf("share %v and share %v are claimed", other, share)
						}
					}
					held[share]++
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					held[share]--
					mu.Unlock()
					release()
				})
			}
			all.Wait()
		})
	}
}

// An idle run of many streams costs few requests; one in which some have news, one
// write a stream beside that, and the next is idle again.
func TestFewRequests(t *testing.T) {
	const n = 4000
	server := buckettest.New()
	run := func(share state.Share, news int) map[string]int {
		t.Helper()
		server.Counts()
		s := open(t, server)
		release, err := s.Claim(t.Context(), share)
		if err != nil {
			t.Fatal(err)
		}
		var staged []state.Staged
		for i := range n {
			cp, err := s.Load(storetest.ID(i))
			if err != nil {
				t.Fatal(err)
			}
			if i >= news {
				continue
			}
			marks := 0
			if cp != nil {
				marks = cp.Delivered.Len()
			}
			one, err := s.Stage(storetest.ID(i), storetest.Checkpoint(marks+1))
			if err != nil {
				t.Fatal(err)
			}
			staged = append(staged, one)
		}
		if err := errors.Join(s.Commit(staged)...); err != nil {
			t.Fatal(err)
		}
		release()
		return server.Counts()
	}
	sum := func(counts map[string]int) (all int) {
		for _, n := range counts {
			all += n
		}
		return all
	}
	t.Log("first run:", run(state.Share{}, n))
	if idle := run(state.Share{}, 0); sum(idle) > 20 {
		t.Errorf("an idle run of %d streams made these requests: %v", n, idle)
	}
	const news = 200
	if busy := run(state.Share{}, news); busy["PUT"] > news+10 || sum(busy) > 2*news+30 {
		t.Errorf("a run with news in %d streams made these requests: %v", news, busy)
	}
	if idle := run(state.Share{}, 0); sum(idle) > 20 {
		t.Errorf("an idle run after it made these requests: %v", idle)
	}
	if other := run(state.Share{K: 0, N: 2}, 0); sum(other) > 20 {
		t.Errorf("the first run of another N made these requests: %v", other)
	}
	// A snapshot that is damaged, or of other versions, is no more than one that is not there.
	server.Put("dls/x/dls_snapshot.gz", []byte("\x1f\x8btorn"))
	if first := run(state.Share{}, 0); first["GET"] < n {
		t.Errorf("without a snapshot: %v", first)
	}
}

// No message shows a credential, and each names what failed.
func TestErrors(t *testing.T) {
	server := buckettest.New()
	server.Fault = func(buckettest.Request) buckettest.Fault { return buckettest.Fault{Status: 403} }
	_, err := open(t, server).Load(storetest.ID(1))
	text := fmt.Sprint(err)
	if !strings.Contains(text, "s3://logs/dls/x/auth_checkpoint") || strings.Contains(text, "not-a-") || strings.Contains(text, "\n") {
		t.Errorf("error %q", text)
	}
}

// A run that loads again what it has written does not take another's version for its own.
func TestLoadFence(t *testing.T) {
	server := buckettest.New()
	one := open(t, server)
	if err := storetest.Save(one, storetest.ID(1), storetest.Checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	if cp, err := one.Load(storetest.ID(1)); err != nil || !storetest.Same(cp, storetest.Checkpoint(1)) {
		t.Fatalf("%+v, %v", cp, err)
	}
	two := loaded(t, server, storetest.Checkpoint(1))
	if err := storetest.Save(two, storetest.ID(1), storetest.Checkpoint(2)); err != nil {
		t.Fatal(err)
	}
	if cp, err := one.Load(storetest.ID(1)); !isFenced(err) {
		t.Errorf("%+v, %v, want a *FencedError", cp, err)
	}
	if err := storetest.Save(one, storetest.ID(1), storetest.Checkpoint(3)); !isFenced(err) {
		t.Errorf("%v, want a *FencedError", err)
	}
	loaded(t, server, storetest.Checkpoint(2))
}

// A run that lost its place leaves the ledger of the one that has it alone.
func TestLedgerFence(t *testing.T) {
	server := buckettest.New()
	first := open(t, server)
	if err := storetest.Save(first, storetest.ID(1), storetest.Checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	lost := loaded(t, server, storetest.Checkpoint(1))
	if err := first.AppendLedger(storetest.ID(1), 0, []byte("entry")); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Save(first, storetest.ID(1), storetest.Checkpoint(2)); err != nil {
		t.Fatal(err)
	}
	before := server.Objects()
	if err := lost.AppendLedger(storetest.ID(1), 0, []byte("other")); !isFenced(err) {
		t.Errorf("%v, want a *FencedError", err)
	}
	for key, data := range server.Objects() {
		if string(before[key]) != string(data) {
			t.Errorf("%s has changed", key)
		}
	}
}
