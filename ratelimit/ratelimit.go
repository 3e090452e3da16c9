// Package ratelimit keeps the limits of foreign systems for all workers together,
// in Redis.
package ratelimit

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/svod-hub/svod/connectors"
)

// Options configure a Limiter.
type Options struct {
	// Now defaults to time.Now.
	Now func() time.Time
	// Sleep waits for d or until ctx ends, and says then why. Defaults to a timer.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Limiter implements connectors.Limiter.
type Limiter struct {
	redis redis.UniversalClient
	opts  Options
}

var _ connectors.Limiter = (*Limiter)(nil)

// New makes a limiter on a Redis client, which stays the caller's.
func New(client redis.UniversalClient, opts Options) *Limiter {
	return &Limiter{redis: client, opts: opts}
}

// Wait implements connectors.Limiter.
func (l *Limiter) Wait(ctx context.Context, key string, limit connectors.Limit) error {
	panic("not written yet")
}

// Pause implements connectors.Limiter.
func (l *Limiter) Pause(ctx context.Context, key string, until time.Time) error {
	panic("not written yet")
}

// Acquire implements connectors.Limiter.
func (l *Limiter) Acquire(ctx context.Context, key string, n int) (release func(), err error) {
	panic("not written yet")
}
