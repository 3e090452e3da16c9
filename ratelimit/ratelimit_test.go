package ratelimit_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnMiniredis(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	suite(t, func(t *testing.T) redis.UniversalClient { return dial(t, server.Addr()) })
}

func dial(t *testing.T, address string) redis.UniversalClient {
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	return client
}

// suite is what holds on every Redis, by the real clock.
func suite(t *testing.T, connect func(*testing.T) redis.UniversalClient) {
	t.Run("workers share a rate", func(t *testing.T) {
		t.Parallel()
		key, limit := rand.Text(), connectors.Limit{Rate: 50, Period: time.Second, Burst: 5}
		started := time.Now()
		var workers sync.WaitGroup
		for range 5 {
			limiter := ratelimit.New(connect(t), ratelimit.Options{})
			for range 2 {
				workers.Go(func() {
					for range 3 {
						if err := limiter.Wait(t.Context(), key, limit); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		workers.Wait()
		// 30 turns: 5 at once, the others 20 ms apart.
		if took := time.Since(started); took < 25*20*time.Millisecond-10*time.Millisecond {
			t.Errorf("30 turns took only %s", took)
		}
	})
	t.Run("a pause stops all workers", func(t *testing.T) {
		t.Parallel()
		key, limit := rand.Text(), connectors.Limit{Rate: 1000, Period: time.Second}
		one, other := ratelimit.New(connect(t), ratelimit.Options{}), ratelimit.New(connect(t), ratelimit.Options{})
		until := time.Now().Add(time.Hour)
		if err := one.Pause(t.Context(), key, until); err != nil {
			t.Fatal(err)
		}
		if err := one.Pause(t.Context(), key, until.Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		wantRetryAt(t, other.Wait(t.Context(), key, limit), until)
		if err := other.Wait(t.Context(), key+"2", limit); err != nil {
			t.Errorf("another key is paused too: %v", err)
		}
		if err := other.Resume(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if err := one.Wait(t.Context(), key, limit); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
	t.Run("no more than n hold a slot", func(t *testing.T) {
		t.Parallel()
		key := rand.Text()
		var holding, most atomic.Int32
		var workers sync.WaitGroup
		for range 12 {
			limiter := ratelimit.New(connect(t), ratelimit.Options{})
			workers.Go(func() {
				release, err := limiter.Acquire(t.Context(), key, 3)
				if err != nil {
					t.Error(err)
					return
				}
				now := holding.Add(1)
				for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
				}
				limiter.Paused(t.Context(), key) // some work
				holding.Add(-1)
				release()
				release()
			})
		}
		workers.Wait()
		if most.Load() > 3 || most.Load() == 0 {
			t.Errorf("%d held one of 3 slots at once", most.Load())
		}
	})
	t.Run("a dead holder's slot comes back", func(t *testing.T) {
		t.Parallel()
		key, limiter := rand.Text(), ratelimit.New(connect(t), ratelimit.Options{Lease: 300 * time.Millisecond})
		dying, die := context.WithCancel(t.Context())
		_, err := limiter.Acquire(dying, key, 1)
		if err != nil {
			t.Fatal(err)
		}
		die()
		release, err := limiter.Acquire(t.Context(), key, 1)
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
	t.Run("a living holder keeps its slot", func(t *testing.T) {
		t.Parallel()
		key := rand.Text()
		holder := ratelimit.New(connect(t), ratelimit.Options{Lease: 600 * time.Millisecond})
		release, err := holder.Acquire(t.Context(), key, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		// Longer than two leases.
		other := ratelimit.New(connect(t), ratelimit.Options{MaxWait: 1500 * time.Millisecond})
		if _, err := other.Acquire(t.Context(), key, 1); model.ClassOf(err) != model.ClassQuota {
			t.Errorf("got the slot of another: %v", err)
		}
	})
	t.Run("keys are ours", func(t *testing.T) {
		t.Parallel()
		key, client := rand.Text(), connect(t)
		limiter := ratelimit.New(client, ratelimit.Options{})
		limiter.Wait(t.Context(), key, connectors.Limit{Rate: 1, Period: time.Hour, Burst: 2})
		limiter.Pause(t.Context(), key, time.Now().Add(time.Minute))
		release, err := limiter.Acquire(t.Context(), key, 1)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := client.Keys(t.Context(), "*"+key+"*").Result()
		if err != nil || len(keys) != 3 {
			t.Fatalf("keys %v, %v", keys, err)
		}
		for _, k := range keys {
			if ttl := client.PTTL(t.Context(), k).Val(); !strings.HasPrefix(k, "svod:") || ttl <= 0 {
				t.Errorf("%s stays for %s", k, ttl)
			}
		}
		release()
	})
}

// clock is a clock that sleeping moves, and Redis' with it. Heartbeats, which
// sleep for longer than a step, only beat when told to.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	redis  *miniredis.Miniredis
	slept  []time.Duration
	beats  chan struct{}
	onStep func()
}

func newClock(server *miniredis.Miniredis) *clock {
	c := &clock{now: time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC), redis: server, beats: make(chan struct{})}
	server.ClockTTL(true)
	server.SetTime(c.now)
	return c
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.redis.SetTime(c.now)
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	if d > time.Second {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.beats:
			return nil
		}
	}
	c.Advance(d)
	c.slept = append(c.slept, d)
	if c.onStep != nil {
		c.onStep()
	}
	return ctx.Err()
}

func fixture(t *testing.T) (*ratelimit.Limiter, *clock, redis.UniversalClient) {
	server := miniredis.RunT(t)
	c, client := newClock(server), dial(t, server.Addr())
	return ratelimit.New(client, ratelimit.Options{Now: c.Now, Sleep: c.Sleep}), c, client
}

var perSecond = connectors.Limit{Rate: 2, Period: time.Second, Burst: 3}

func TestTurns(t *testing.T) {
	t.Parallel()
	limiter, clock, _ := fixture(t)
	started := clock.Now()
	for i, want := range []time.Duration{0, 0, 0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond} {
		if err := limiter.Wait(t.Context(), "amo", perSecond); err != nil {
			t.Fatal(err)
		}
		if at := clock.Now().Sub(started); at < want-time.Millisecond || at > want+5*time.Millisecond {
			t.Errorf("turn %d after %s, not %s", i+1, at, want)
		}
	}
}

func TestLongWaitsAreTakenInSteps(t *testing.T) {
	t.Parallel()
	limiter, clock, _ := fixture(t)
	slow := connectors.Limit{Rate: 1, Period: 5 * time.Second}
	for range 2 {
		if err := limiter.Wait(t.Context(), "slow", slow); err != nil {
			t.Fatal(err)
		}
	}
	if len(clock.slept) < 5 {
		t.Errorf("slept %v", clock.slept)
	}
}

func TestTooLongAWait(t *testing.T) {
	t.Parallel()
	hourly := connectors.Limit{Rate: 1, Period: time.Hour}
	t.Run("more than a minute", func(t *testing.T) {
		t.Parallel()
		limiter, clock, _ := fixture(t)
		if err := limiter.Wait(t.Context(), "k", hourly); err != nil {
			t.Fatal(err)
		}
		wantRetryAt(t, limiter.Wait(t.Context(), "k", hourly), clock.Now().Add(time.Hour))
		if len(clock.slept) != 0 {
			t.Errorf("slept %v in vain", clock.slept)
		}
	})
	t.Run("more than the caller has", func(t *testing.T) {
		t.Parallel()
		limiter, clock, _ := fixture(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		limit := connectors.Limit{Rate: 1, Period: 30 * time.Second}
		if err := limiter.Wait(ctx, "k", limit); err != nil {
			t.Fatal(err)
		}
		wantRetryAt(t, limiter.Wait(ctx, "k", limit), clock.Now().Add(30*time.Second))
	})
}

// A pause that begins while somebody waits is noticed at the next step.
func TestPauseWhileWaiting(t *testing.T) {
	t.Parallel()
	limiter, clock, _ := fixture(t)
	slow := connectors.Limit{Rate: 1, Period: 30 * time.Second}
	if err := limiter.Wait(t.Context(), "k", slow); err != nil {
		t.Fatal(err)
	}
	until := clock.Now().Add(10 * time.Minute)
	clock.onStep = func() { limiter.Pause(t.Context(), "k", until) }
	wantRetryAt(t, limiter.Wait(t.Context(), "k", slow), until)
	clock.onStep = nil
	clock.Advance(10 * time.Minute)
	if err := limiter.Wait(t.Context(), "k", slow); err != nil {
		t.Errorf("after the pause: %v", err)
	}
}

// A pause ends by the workers' clock even if the key stays, as it does in a
// Redis whose clock stands still.
func TestPauseEndsWithoutExpiry(t *testing.T) {
	t.Parallel()
	limiter, clock, client := fixture(t)
	if err := limiter.Pause(t.Context(), "k", clock.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	client.Persist(t.Context(), "svod:pause:k")
	clock.Advance(time.Minute)
	if until, err := limiter.Paused(t.Context(), "k"); err != nil || !until.IsZero() {
		t.Errorf("paused until %s, %v", until, err)
	}
	if err := limiter.Pause(t.Context(), "k", clock.Now().Add(-time.Second)); err != nil {
		t.Errorf("a pause that is over: %v", err)
	}
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	limiter, clock, client := fixture(t)
	release, err := limiter.Acquire(t.Context(), "k", 1)
	if err != nil {
		t.Fatal(err)
	}
	client.FlushAll(t.Context()) // an emptied Redis is told again
	clock.Advance(30 * time.Second)
	clock.beats <- struct{}{}
	clock.beats <- struct{}{} // the first beat is over when the second is taken
	if n := client.ZCard(t.Context(), "svod:slots:k").Val(); n != 1 {
		t.Errorf("%d holders after a beat", n)
	}
	release()
	if n := client.ZCard(t.Context(), "svod:slots:k").Val(); n != 0 {
		t.Errorf("%d holders after release", n)
	}
}

func TestNoFreeSlot(t *testing.T) {
	t.Parallel()
	limiter, clock, client := fixture(t)
	release, err := limiter.Acquire(t.Context(), "k", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	// The holder lives longer than anybody waits.
	client.Persist(t.Context(), "svod:slots:k")
	far := float64(clock.Now().Add(time.Hour).UnixMilli())
	for _, holder := range client.ZRange(t.Context(), "svod:slots:k", 0, -1).Val() {
		client.ZAdd(t.Context(), "svod:slots:k", redis.Z{Score: far, Member: holder})
	}
	started := clock.Now()
	if _, err := limiter.Acquire(t.Context(), "k", 1); model.ClassOf(err) != model.ClassQuota {
		t.Errorf("got %v", err)
	}
	if waited := clock.Now().Sub(started); waited < 55*time.Second || waited > time.Minute {
		t.Errorf("gave up after %s", waited)
	}
}

// A worker that is killed gives its slot back to those who wait, not to those who
// come after them.
func TestSlotOfTheDead(t *testing.T) {
	t.Parallel()
	limiter, clock, _ := fixture(t)
	dead, die := context.WithCancel(t.Context())
	release, err := limiter.Acquire(dead, "k", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	die() // no beat comes any more
	started := clock.Now()
	again, err := limiter.Acquire(t.Context(), "k", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer again()
	if waited := clock.Now().Sub(started); waited > 8*time.Second {
		t.Errorf("the slot was free after %s", waited)
	}
}

func TestRedisIsDown(t *testing.T) {
	t.Parallel()
	server := miniredis.RunT(t)
	limiter := ratelimit.New(dial(t, server.Addr()), ratelimit.Options{})
	server.Close()
	_, acquireErr := limiter.Acquire(t.Context(), "k", 1)
	for name, err := range map[string]error{
		"wait":    limiter.Wait(t.Context(), "k", perSecond),
		"pause":   limiter.Pause(t.Context(), "k", time.Now().Add(time.Hour)),
		"acquire": acquireErr,
	} {
		if err == nil || model.ClassOf(err) != model.ClassTemporary || !strings.HasPrefix(err.Error(), "Redis does not answer") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	limiter, _, _ := fixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := limiter.Wait(ctx, "k", perSecond); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	if _, err := limiter.Acquire(ctx, "k", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("acquire: %v", err)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	limiter, _, _ := fixture(t)
	if err := limiter.Wait(t.Context(), "k", connectors.Limit{}); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("no limit: %v", err)
	}
	if _, err := limiter.Acquire(t.Context(), "k", 0); model.ClassOf(err) != model.ClassPermanent {
		t.Errorf("no slots: %v", err)
	}
}

func wantRetryAt(t *testing.T, err error, want time.Time) {
	t.Helper()
	var e *model.Error
	if !errors.As(err, &e) || e.Class != model.ClassQuota || e.Cause != model.CauseQuota {
		t.Fatalf("want a quota, got %v", err)
	}
	if off := e.RetryAt.Sub(want); off < -10*time.Millisecond || off > 10*time.Millisecond {
		t.Errorf("retry at %s, not %s", e.RetryAt, want)
	}
}
