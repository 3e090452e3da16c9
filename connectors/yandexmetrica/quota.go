package yandexmetrica

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
)

const (
	usageMemory = "requests"
	// usageEvery is how many requests are counted in the process before they are
	// written down with those of others.
	usageEvery = 10
	usageLag   = 30 * time.Second
)

// usage counts the requests of this connection: the limiter keeps the budget, but
// does not tell how much of it is used.
type usage struct {
	mu      sync.Mutex
	day     string // of unwritten
	fresh   int    // not written down yet
	written time.Time
	reports []time.Time
	blocked map[string]time.Time // by quota, as Metrica told
}

func utcDay(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// request counts one request and says how many are to be written down now. The
// day begins at midnight in Greenwich (yandex-metrica §3.2).
func (u *usage) request(now time.Time) (day string, fresh int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if today := utcDay(now); u.day != today {
		u.day, u.fresh = today, 0
	}
	u.fresh++
	if u.fresh < usageEvery && now.Sub(u.written) < usageLag {
		return "", 0
	}
	fresh, u.fresh, u.written = u.fresh, 0, now
	return u.day, fresh
}

// later takes back what could not be written down.
func (u *usage) later(day string, fresh int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.day == day {
		u.fresh += fresh
	}
}

// unwritten are requests of the day that only this process knows.
func (u *usage) unwritten(day string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.day != day {
		return 0
	}
	return u.fresh
}

func (u *usage) report(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reports = append(u.recentReports(now), now)
}

// recentReports drops those that do not count any more. The caller holds u.mu.
func (u *usage) recentReports(now time.Time) []time.Time {
	i := 0
	for i < len(u.reports) && now.Sub(u.reports[i]) >= reportsWindow {
		i++
	}
	return u.reports[i:]
}

func (u *usage) block(quota string, until time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.blocked == nil {
		u.blocked = map[string]time.Time{}
	}
	u.blocked[quota] = until
}

func (u *usage) blockedUntil(now time.Time, quotas ...string) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	var until time.Time
	for _, q := range quotas {
		if at := u.blocked[q]; at.After(now) && at.After(until) {
			until = at
		}
	}
	return until
}

// Quotas that hold everything back.
const (
	quotaDay     = "day"
	quotaCounter = "counter"
)

// countRequest counts a request that is about to leave. Counting must never stop
// one.
func (c *Connector) countRequest(ctx context.Context) {
	day, fresh := c.usage.request(c.now())
	if fresh == 0 || c.memory == nil {
		return
	}
	if c.limiter != nil {
		release, err := c.limiter.Acquire(ctx, "metrica:usage:"+c.project+":"+c.connection, 1)
		if err != nil {
			c.usage.later(day, fresh)
			return
		}
		defer release()
	}
	known, used := c.recallUsage(ctx)
	if known != day {
		used = 0
	}
	if err := c.memory.Remember(ctx, usageMemory, fmt.Sprintf("%s %d", day, used+fresh)); err != nil {
		c.log.Warn("the number of requests is not remembered", zap.Error(err))
	}
}

func (c *Connector) recallUsage(ctx context.Context) (day string, used int) {
	if c.memory == nil {
		return "", 0
	}
	text, err := c.memory.Recall(ctx, usageMemory)
	if err != nil {
		c.log.Warn("the number of requests is not known", zap.Error(err))
		return "", 0
	}
	if _, err := fmt.Sscanf(text, "%10s %d", &day, &used); err != nil {
		return "", 0
	}
	return day, used
}

// Quotas implements connectors.QuotaTeller: the requests of this connection today
// out of what we allow a login, and the reports of this process in the last five
// minutes.
func (c *Connector) Quotas(ctx context.Context) ([]connectors.Quota, error) {
	now := c.now()
	today := utcDay(now)
	day, used := c.recallUsage(ctx)
	if day != today {
		used = 0
	}
	requests := connectors.Quota{
		Name:  "requests_per_day",
		Title: connectors.Text{EN: "Requests of this connection today", RU: "Запросы этого подключения за сутки"},
		Used:  used + c.usage.unwritten(today), Limit: c.dailyLimit(), ResetAt: nextMidnight(now),
		NextAt: c.usage.blockedUntil(now, quotaDay, quotaCounter),
	}
	if requests.Used >= requests.Limit && requests.NextAt.IsZero() {
		requests.NextAt = now.Add(fullDay / time.Duration(c.dailyLimit())) // the budget comes back drop by drop
	}
	c.usage.mu.Lock()
	recent := c.usage.recentReports(now)
	c.usage.mu.Unlock()
	reports := connectors.Quota{
		Name:  "reports_per_5_minutes",
		Title: connectors.Text{EN: "Reports in five minutes", RU: "Отчёты за пять минут"},
		Used:  len(recent), Limit: reportsPerWindow, ResetAt: now,
	}
	if len(recent) > 0 {
		reports.ResetAt = recent[len(recent)-1].Add(reportsWindow)
		if len(recent) >= reportsPerWindow {
			reports.NextAt = recent[0].Add(reportsWindow)
		}
	}
	return []connectors.Quota{requests, reports}, nil
}

// dailyLimit is what we allow ourselves of the login's quota (§14.7).
func (c *Connector) dailyLimit() int { return c.DailyRequests - c.DailyRequests/dailyReserve }
