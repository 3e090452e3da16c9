package roistat

import (
	"cmp"
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
)

// Connector is one Roistat project that reads from us.
type Connector struct {
	settings
	deps connectors.Deps
	now  func() time.Time
	log  *zap.Logger

	// lists serialises the making of snapshots, whose index is read, changed and
	// written.
	lists sync.Mutex
}

// New makes a connector. It needs Deps.Memory.
func New(s connectors.Settings, d connectors.Deps) (*Connector, error) {
	c := &Connector{deps: d, now: d.Now, log: d.Log}
	if err := s.Decode(&c.settings); err != nil {
		return nil, err
	}
	c.PhoneRegion = cmp.Or(c.PhoneRegion, d.Region)
	if err := c.complete(); err != nil {
		return nil, err
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.log == nil {
		c.log = zap.NewNop()
	}
	return c, nil
}

// Check has nobody to ask: Roistat calls us, not the other way round.
func (c *Connector) Check(context.Context) (string, error) {
	return "Roistat reads from us; nothing to ask", nil
}

var (
	_ connectors.Puller   = (*Connector)(nil)
	_ connectors.Releaser = (*Connector)(nil)
)
