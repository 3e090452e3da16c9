package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/handlers/console"
	"github.com/svod-hub/svod/store"
)

// quotas counts the calls that count against daily quotas, for people to see.
// Whether a call may be made is decided by the limiter alone.
type quotas struct {
	store *store.DB
	log   *zap.Logger
	now   func() time.Time

	mu      sync.Mutex
	pending map[string]int // not yet in the database, by name
	written time.Time
}

func newQuotas(db *store.DB, log *zap.Logger, now func() time.Time) *quotas {
	return &quotas{store: db, log: log, now: now, pending: map[string]int{}}
}

// quotaEvery is how often counts are written: one small write for many calls.
const quotaEvery = 5 * time.Second

// limiter is the limiter with its daily limits counted for a connection.
func (q *quotas) limiter(inner connectors.Limiter, project, connection string) connectors.Limiter {
	return &countedLimiter{Limiter: inner, quotas: q, prefix: quotaPrefix(project) + connection + "/"}
}

func quotaPrefix(project string) string { return "quota/" + project + "/" }

type countedLimiter struct {
	connectors.Limiter
	quotas *quotas
	prefix string
}

// Wait implements connectors.Limiter.
func (l *countedLimiter) Wait(ctx context.Context, key string, limit connectors.Limit) error {
	err := l.Limiter.Wait(ctx, key, limit)
	if err == nil && limit.Period >= 24*time.Hour {
		// Keys may name an account, so they are kept as hashes.
		sum := sha256.Sum256([]byte(key))
		l.quotas.add(ctx, l.prefix+hex.EncodeToString(sum[:6])+"/"+strconv.Itoa(limit.Rate))
	}
	return err
}

func (q *quotas) add(ctx context.Context, name string) {
	now := q.now()
	q.mu.Lock()
	q.pending[name]++
	if now.Sub(q.written) < quotaEvery {
		q.mu.Unlock()
		return
	}
	batch := q.pending
	q.pending, q.written = map[string]int{}, now
	q.mu.Unlock()
	day := now.UTC().Format(time.DateOnly)
	for name, n := range batch {
		if _, err := q.store.AddUsage(ctx, name, day, n); err != nil && ctx.Err() == nil {
			q.log.Warn("the use of a quota was not counted", zap.Error(err))
		}
	}
}

// used tells how much of their daily quotas a project's connections have used:
// for each the quota that is used most.
func (q *quotas) used(ctx context.Context, project string) ([]console.Quota, error) {
	prefix := quotaPrefix(project)
	counts, err := q.store.UsageOf(ctx, prefix, q.now().UTC().Format(time.DateOnly))
	if err != nil {
		return nil, fmt.Errorf("read the use of quotas: %w", err)
	}
	q.mu.Lock()
	for name, n := range q.pending {
		if strings.HasPrefix(name, prefix) {
			counts[name] += n
		}
	}
	q.mu.Unlock()
	most := map[string]console.Quota{}
	for name, n := range counts {
		parts := strings.Split(strings.TrimPrefix(name, prefix), "/")
		limit, err := strconv.Atoi(parts[len(parts)-1])
		if len(parts) != 3 || err != nil || limit <= 0 {
			continue
		}
		if known, ok := most[parts[0]]; !ok || n*known.Limit > known.Used*limit {
			most[parts[0]] = console.Quota{Connection: parts[0], Used: n, Limit: limit}
		}
	}
	return slices.SortedFunc(maps.Values(most), func(a, b console.Quota) int {
		return strings.Compare(a.Connection, b.Connection)
	}), nil
}
