package endtoend

import (
	"testing"
	"time"
)

// eventually polls until done says "", and fails with what it said last when the
// time is over. It returns how long that took.
func eventually(t testing.TB, within time.Duration, what string, done func() string) time.Duration {
	t.Helper()
	start := time.Now()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		why := done()
		took := time.Since(start)
		switch {
		case why == "":
			return took
		case took > within:
			t.Fatalf("%s: not within %s: %s", what, within, why)
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("%s: the test was stopped: %s", what, why)
		}
	}
}
