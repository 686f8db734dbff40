package state_test

import (
	"testing"

	"dls/state"
	"dls/state/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(t *testing.T) state.Store {
		path := t.TempDir()
		return func(t *testing.T) state.Store {
			dir, err := state.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dir.Close() })
			return dir
		}
	})
}
