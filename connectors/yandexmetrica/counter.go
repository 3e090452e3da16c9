package yandexmetrica

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/model"
)

// counter holds the members that we need (yandex-metrica §4.1). Name may be
// missing; booleans may come as numbers, so that none is read.
type counter struct {
	ID         json.Number `json:"id"`
	Name       string      `json:"name"`
	Status     string      `json:"status"`
	Permission string      `json:"permission"`
	Owner      string      `json:"owner_login"`
	Zone       string      `json:"time_zone_name"`
	Site       string      `json:"site"`
	Site2      struct {
		Site string `json:"site"`
	} `json:"site2"`
}

func (c *Connector) readCounter(ctx context.Context) (counter, error) {
	var got struct {
		Counter counter `json:"counter"`
	}
	if err := c.get(ctx, "read counter "+c.Counter, "/management/v1/counter/"+c.Counter, nil, &got); err != nil {
		return counter{}, err
	}
	return got.Counter, nil
}

// Check implements connectors.Connector. Reading proves nothing about writing,
// the counter's permission does (§2.3).
func (c *Connector) Check(ctx context.Context) (string, error) {
	got, err := c.readCounter(ctx)
	if err != nil {
		return "", err
	}
	switch got.Permission {
	case "own", "edit":
	default:
		return "", model.Errorf(model.ClassReauth, model.CauseForbidden,
			"the token's owner has permission %q on counter %s; uploads need edit: grant it in the counter's settings, Access", got.Permission, c.Counter)
	}
	if got.Status != "" && got.Status != "Active" {
		return "", model.Errorf(model.ClassPermanent, model.CauseNotFound, "counter %s is %s; restore it or give another number", c.Counter, got.Status)
	}
	zone := got.Zone
	if c.TimeZone != "" {
		zone = c.TimeZone + " (set here, the counter's is " + got.Zone + ")"
	} else if loc, err := time.LoadLocation(got.Zone); err == nil {
		c.keepZone(ctx, &zoneFact{location: loc, readAt: c.now()})
	}
	name := strings.TrimSpace(strings.TrimSpace(got.Name) + " " + firstFilled(got.Site2.Site, got.Site))
	return fmt.Sprintf("counter %s %s, owner %s, permission %s, time zone %s", c.Counter, name, got.Owner, got.Permission, zone), nil
}

func firstFilled(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// zoneFact is the counter's zone and when it was read.
type zoneFact struct {
	location *time.Location
	readAt   time.Time
}

const (
	zoneMemory  = "time_zone"
	zoneLasts   = 24 * time.Hour
	zoneRetries = 10 * time.Minute
)

// location gives the zone in which Metrica reads every time of an upload (§5.9).
// It is read daily; an older reading serves while Metrica does not answer.
func (c *Connector) location(ctx context.Context) (*time.Location, error) {
	if c.TimeZone != "" {
		return time.LoadLocation(c.TimeZone)
	}
	now := c.now()
	known := c.zone.Load()
	if known == nil {
		known = c.recallZone(ctx)
	}
	if known != nil && now.Sub(known.readAt) < zoneLasts {
		c.zone.Store(known)
		return known.location, nil
	}
	got, err := c.readCounter(ctx)
	if err == nil {
		var loc *time.Location
		if loc, err = time.LoadLocation(got.Zone); err == nil && got.Zone != "" {
			c.keepZone(ctx, &zoneFact{location: loc, readAt: now})
			return loc, nil
		}
		err = model.Errorf(model.ClassPermanent, model.CauseBadValue,
			"the time zone %q of counter %s is not known here; set time_zone of the connection", got.Zone, c.Counter)
	}
	if known == nil {
		return nil, err
	}
	c.log.Warn("using an older time zone of the counter", zap.String("counter", c.Counter), zap.Error(err))
	c.zone.Store(&zoneFact{location: known.location, readAt: now.Add(zoneRetries - zoneLasts)})
	return known.location, nil
}

func (c *Connector) recallZone(ctx context.Context) *zoneFact {
	if c.memory == nil {
		return nil
	}
	text, err := c.memory.Recall(ctx, zoneMemory)
	if err != nil || text == "" {
		return nil
	}
	name, at, _ := strings.Cut(text, " ")
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	readAt, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return nil
	}
	return &zoneFact{location: loc, readAt: readAt}
}

func (c *Connector) keepZone(ctx context.Context, z *zoneFact) {
	c.zone.Store(z)
	if c.memory == nil {
		return
	}
	text := z.location.String() + " " + z.readAt.UTC().Format(time.RFC3339)
	if err := c.memory.Remember(ctx, zoneMemory, text); err != nil {
		c.log.Warn("the counter's time zone is not remembered", zap.String("counter", c.Counter), zap.Error(err))
	}
}
