package yandexmetrica

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

const (
	audienceMemory = "audience"
	audienceLasts  = time.Minute // yandex-metrica §12: 60 to 300 s
	// audienceStale is how old numbers may be that stand in while Metrica does not
	// answer.
	audienceStale = 30 * time.Minute
)

// audienceCache lets the viewers of one process wait for one question.
type audienceCache struct {
	mu    sync.Mutex
	known connectors.Audience
	again time.Time // after a failure: not to be asked before
}

// Audience implements connectors.Informer. The numbers are kept in Memory, so
// that many viewers of many processes cost one request a minute.
func (c *Connector) Audience(ctx context.Context) (connectors.Audience, error) {
	c.audience.mu.Lock()
	defer c.audience.mu.Unlock()
	zone, err := c.location(ctx)
	if err != nil {
		return connectors.Audience{}, err
	}
	if a, ok := c.recentAudience(ctx, zone, audienceLasts); ok {
		return a, nil
	}
	if c.now().Before(c.audience.again) {
		if a, ok := c.recentAudience(ctx, zone, audienceStale); ok {
			return a, nil
		}
	}
	a, err := c.askAudience(ctx, zone)
	if err == nil {
		c.audience.again = time.Time{}
		return a, nil
	}
	c.audience.again = c.now().Add(audienceLasts)
	if model.ClassOf(err) != model.ClassReauth {
		if a, ok := c.recentAudience(ctx, zone, audienceStale); ok {
			return a, nil
		}
	}
	return connectors.Audience{}, err
}

// recentAudience gives what was read at most so long ago, on the same day of the
// counter.
func (c *Connector) recentAudience(ctx context.Context, zone *time.Location, atMost time.Duration) (connectors.Audience, bool) {
	fits := func(a connectors.Audience) bool {
		age := c.now().Sub(a.ReadAt)
		return age >= 0 && age < atMost && a.Date == c.today(zone)
	}
	if fits(c.audience.known) {
		return c.audience.known, true
	}
	if c.memory == nil {
		return connectors.Audience{}, false
	}
	text, err := c.memory.Recall(ctx, audienceMemory)
	var a connectors.Audience
	if err != nil || text == "" || json.Unmarshal([]byte(text), &a) != nil || !fits(a) {
		return connectors.Audience{}, false
	}
	c.audience.known = a
	return a, true
}

func (c *Connector) today(zone *time.Location) model.Date {
	return model.Date(c.now().In(zone).Format(time.DateOnly))
}

// askAudience asks Metrica. Processes do so one at a time; those that waited find
// the answer in Memory.
func (c *Connector) askAudience(ctx context.Context, zone *time.Location) (connectors.Audience, error) {
	if c.limiter != nil {
		release, err := c.limiter.Acquire(ctx, "metrica:audience:"+c.Counter, 1)
		if err != nil {
			return connectors.Audience{}, err
		}
		defer release()
		if a, ok := c.recentAudience(ctx, zone, audienceLasts); ok {
			return a, nil
		}
	}
	got, err := c.readReport(ctx, "read today's audience", []string{"ym:s:users", "ym:s:visits", "ym:s:pageviews"}, "", "today", "today")
	if err != nil {
		return connectors.Audience{}, err
	}
	a := connectors.Audience{
		Visitors: number(got.Totals, 0), Visits: number(got.Totals, 1), PageViews: number(got.Totals, 2),
		Date: c.today(zone), ReadAt: c.now().UTC(),
	}
	if day, err := model.ParseDate(string(got.Query.Date1)); err == nil && day != "" {
		a.Date = day // the day that Metrica took for today
	}
	c.audience.known = a
	if c.memory != nil {
		data, err := json.Marshal(a)
		if err == nil {
			err = c.memory.Remember(ctx, audienceMemory, string(data))
		}
		if err != nil {
			c.log.Warn("today's audience is not remembered", zap.Error(err))
		}
	}
	return a, nil
}
