package ratelimit

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/svod-hub/svod/model"
)

// busyPause is what a caller who got no slot in time is told to wait: nobody
// knows when one becomes free.
const busyPause = 10 * time.Second

// Acquire implements connectors.Limiter. The slot is kept by a heartbeat until
// release or until ctx ends; a slot that is not released is free again after
// Options.Lease. release may be called more than once.
func (l *Limiter) Acquire(ctx context.Context, key string, n int) (release func(), err error) {
	if n <= 0 {
		return nil, model.Errorf(model.ClassPermanent, model.CauseInternal, "%s has no slots; this is a mistake in the program", key)
	}
	slots, holder := []string{prefix + "slots:" + key}, rand.Text()
	patience, pause := l.patience(ctx), 20*time.Millisecond
	for {
		got, err := takeScript.Run(ctx, l.redis, slots, holder, n, l.opts.Lease.Milliseconds()).Bool()
		if err != nil && err != redis.Nil {
			return nil, unavailable(ctx, key, err)
		}
		if got {
			return l.hold(ctx, slots, holder), nil
		}
		if !patience.has(pause) {
			return nil, wait(l.opts.Now().Add(busyPause), "all %d slots of %s are taken", n, key)
		}
		if err := l.opts.Sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("wait for a slot of %s: %w", key, err)
		}
		pause = min(2*pause, step)
	}
}

// hold renews a slot in the background.
func (l *Limiter) hold(ctx context.Context, slots []string, holder string) (release func()) {
	beating, stop := context.WithCancel(ctx)
	var beat sync.WaitGroup
	beat.Go(func() {
		for l.opts.Sleep(beating, l.opts.Lease/4) == nil {
			// An error is not the end: the lease lasts for three more beats, and when
			// Redis has forgotten the slot meanwhile, it is told again.
			renewScript.Run(beating, l.redis, slots, holder, l.opts.Lease.Milliseconds())
		}
	})
	return sync.OnceFunc(func() {
		stop()
		beat.Wait()
		// The work may have ended because its context did. If Redis does not answer,
		// the lease runs out by itself.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		l.redis.ZRem(ctx, slots[0], holder)
	})
}

// Slots are a sorted set of holders with the ends of their leases, in
// milliseconds of Redis' clock.
var (
	takeScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3] * 2)
return 1
`)
	renewScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2)
return 1
`)
)
