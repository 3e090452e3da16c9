// Package ratelimit keeps the limits of foreign systems for all workers together,
// in Redis: rates by GCRA, pauses that a system asked for, and slots for work that
// may not run more than n times at once.
//
// Redis is only the dispatcher: when it forgets everything, some calls come too
// early and the other system says so. Rates and slots go by Redis' own clock,
// pauses by that of the workers. Nothing relies on keys expiring by themselves, so
// that an embedded Redis whose clock stands still will do.
package ratelimit

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// Options configure a Limiter.
type Options struct {
	// Lease is how long a slot outlives a holder that died. It is renewed four times
	// as often. Defaults to 6 seconds, as the leases of work do: who takes
	// over a dead worker's work needs its slots.
	Lease time.Duration
	// MaxWait is how long a call waits for its turn before it gives up with
	// model.ClassQuota. Defaults to a minute.
	MaxWait time.Duration
	// Now defaults to time.Now.
	Now func() time.Time
	// Sleep waits for d or until ctx ends, and gives ctx's error then. Defaults to a
	// timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Limiter implements connectors.Limiter. Keys are part of error messages, so they
// must not hold secrets.
type Limiter struct {
	opts  Options
	rate  *redis_rate.Limiter
	redis redis.UniversalClient
}

var _ connectors.Limiter = (*Limiter)(nil)

const (
	prefix = "svod:"
	// step bounds one sleep, so that a pause set meanwhile is noticed.
	step = time.Second
)

// New makes a limiter on a Redis client, which stays the caller's.
func New(client redis.UniversalClient, opts Options) *Limiter {
	opts.Lease = cmp.Or(opts.Lease, 6*time.Second)
	opts.MaxWait = cmp.Or(opts.MaxWait, time.Minute)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Sleep == nil {
		opts.Sleep = sleep
	}
	return &Limiter{opts: opts, rate: redis_rate.NewLimiter(prefixed{client}), redis: client}
}

// Wait implements connectors.Limiter. A Burst of 0 means 1.
func (l *Limiter) Wait(ctx context.Context, key string, limit connectors.Limit) error {
	if limit.Rate <= 0 || limit.Period <= 0 {
		return model.Errorf(model.ClassPermanent, model.CauseInternal, "the limit for %s has no rate; this is a mistake in the program", key)
	}
	gcra := redis_rate.Limit{Rate: limit.Rate, Period: limit.Period, Burst: max(limit.Burst, 1)}
	patience := l.patience(ctx)
	for {
		until, err := l.Paused(ctx, key)
		if err != nil {
			return err
		}
		if !until.IsZero() {
			return wait(until, "%s is paused because the other system asked for it", key)
		}
		turn, err := l.rate.Allow(ctx, key, gcra)
		if err != nil {
			return unavailable(ctx, key, err)
		}
		if turn.Allowed > 0 {
			return nil
		}
		// Redis' times have microseconds at best; a zero would spin.
		ahead := max(turn.RetryAfter, time.Millisecond)
		if !patience.has(ahead) {
			return wait(l.opts.Now().Add(ahead), "too many calls wait for their turn at %s", key)
		}
		if err := l.opts.Sleep(ctx, min(ahead, step)); err != nil {
			return fmt.Errorf("wait for a turn at %s: %w", key, err)
		}
	}
}

// Pause implements connectors.Limiter. Of several pauses the longest one holds;
// one that is over already changes nothing.
func (l *Limiter) Pause(ctx context.Context, key string, until time.Time) error {
	left := until.Sub(l.opts.Now())
	if left <= 0 {
		return nil
	}
	// A pause is rounded up to whole milliseconds.
	args := []any{until.Add(time.Millisecond - 1).UnixMilli(), left.Milliseconds() + 1}
	if err := pauseScript.Run(ctx, l.redis, []string{prefix + "pause:" + key}, args...).Err(); err != nil {
		return unavailable(ctx, key, err)
	}
	return nil
}

var pauseScript = redis.NewScript(`
local now = tonumber(redis.call('GET', KEYS[1]) or '0')
if now < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
`)

// Paused tells until when key is paused; the zero time when it is not.
func (l *Limiter) Paused(ctx context.Context, key string) (time.Time, error) {
	millis, err := l.redis.Get(ctx, prefix+"pause:"+key).Int64()
	switch {
	case err == redis.Nil:
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, unavailable(ctx, key, err)
	}
	until := time.UnixMilli(millis).UTC()
	if !l.opts.Now().Before(until) {
		return time.Time{}, nil
	}
	return until, nil
}

// Resume ends a pause; for operators.
func (l *Limiter) Resume(ctx context.Context, key string) error {
	if err := l.redis.Del(ctx, prefix+"pause:"+key).Err(); err != nil {
		return unavailable(ctx, key, err)
	}
	return nil
}

// patience is how long a call may still wait.
type patience struct {
	limiter *Limiter
	ctx     context.Context
	end     time.Time
}

func (l *Limiter) patience(ctx context.Context) patience {
	return patience{limiter: l, ctx: ctx, end: l.opts.Now().Add(l.opts.MaxWait)}
}

// has reports whether d more fits into MaxWait and before the caller's deadline.
func (p patience) has(d time.Duration) bool {
	if deadline, ok := p.ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	return !p.limiter.opts.Now().Add(d).After(p.end)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func wait(until time.Time, format string, args ...any) error {
	e := model.Errorf(model.ClassQuota, model.CauseQuota, format, args...)
	e.RetryAt = until
	return e
}

func unavailable(ctx context.Context, key string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask Redis about %s: %w", key, context.Cause(ctx))
	}
	return model.Errorf(model.ClassTemporary, model.CauseInternal,
		"Redis does not answer as it should; check that it runs and that its address is right: %w", err)
}

// prefixed puts redis_rate's keys ("rate:…") under ours.
type prefixed struct{ redis.UniversalClient }

func (p prefixed) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return p.UniversalClient.Eval(ctx, script, under(keys), args...)
}

func (p prefixed) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return p.UniversalClient.EvalSha(ctx, sha, under(keys), args...)
}

func under(keys []string) []string {
	ours := make([]string, len(keys))
	for i, key := range keys {
		ours[i] = prefix + key
	}
	return ours
}
