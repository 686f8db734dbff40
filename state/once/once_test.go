package once

import (
	"testing"
	"testing/synctest"
	"time"
)

// Whoever comes while it is being done waits for it, and the time of a test goes on
// meanwhile.
func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o Once
		done := 0
		ended := make(chan int)
		for range 3 {
			go func() {
				o.Do(func() {
					time.Sleep(time.Minute)
					done++
				})
				ended <- done
			}()
		}
		for range 3 {
			if n := <-ended; n != 1 {
				t.Errorf("done %d times, want 1", n)
			}
		}
		o.Do(func() { t.Error("done once more") })
	})
}
