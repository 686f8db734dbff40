package bucket

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"dls/state"
	"dls/state/bucket/buckettest"
	"dls/state/storetest"
)

// onGateway opens a part of a real server's bucket.
func onGateway(t *testing.T, g *buckettest.Gateway, prefix string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Bucket: g.Bucket, Prefix: prefix, Region: "us-east-1", Endpoint: g.Endpoint, CAPEM: g.CAPEM, Plaintext: g.Plaintext})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Real servers are held to the contract, too, and to what the fence is built on.
func TestGateway(t *testing.T) {
	for _, p := range buckettest.Programs {
		t.Run(p.Name, func(t *testing.T) { testGateway(t, p.Start(t)) })
	}
}

func testGateway(t *testing.T, g *buckettest.Gateway) {
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) func(t *testing.T) state.Store {
		prefix := fmt.Sprintf("tests/%d", n.Add(1))
		return func(t *testing.T) state.Store { return onGateway(t, g, prefix) }
	})
	t.Run("probe", func(t *testing.T) {
		for range 2 {
			if err := onGateway(t, g, "probe").Probe(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("fence", func(t *testing.T) {
		one, two := onGateway(t, g, "fence"), onGateway(t, g, "fence")
		for n := 1; n < 4; n++ {
			if err := storetest.Save(one, storetest.ID(1), storetest.Checkpoint(n)); err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				if _, err := two.Load(storetest.ID(1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := storetest.Save(two, storetest.ID(1), storetest.Checkpoint(9)); !isFenced(err) {
			t.Errorf("%v, want a *FencedError", err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		elsewhere := *g
		elsewhere.Bucket = "no-such-bucket"
		err := onGateway(t, &elsewhere, "x").Probe()
		if wrong, ok := errors.AsType[*Error](err); !ok || wrong.Code != "NoSuchBucket" || !strings.Contains(wrong.Hint(), "create the bucket") {
			t.Errorf("%v", err)
		}
		_, err = onGateway(t, &elsewhere, "x").Load(storetest.ID(1))
		if wrong, ok := errors.AsType[*Error](err); !ok || wrong.Code != "NoSuchBucket" {
			t.Errorf("%v", err)
		}
	})
}
