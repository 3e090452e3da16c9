// Package callkeeper takes calls from CallKeeper (call-backs) and its sister
// CallTracking at ckct.ru (calls to substituted numbers).
//
// It takes the webhooks of both services and forms that are forwarded to the
// hub (Receiver), imports the list of calls and then reads what is new or has
// changed in it (Poller). The list knows no modification time: a version's time
// is when it was first seen, and it is always newer than what hooks told.
//
// Section numbers in comments point into the protocol specification of
// CallKeeper.
package callkeeper

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
)

// Connector is one account.
type Connector struct {
	cfg  config
	deps connectors.Deps
}

var (
	_ connectors.Connector = (*Connector)(nil)
	_ connectors.Poller    = (*Connector)(nil)
	_ connectors.Receiver  = (*Connector)(nil)
)

func newConnector(s connectors.Settings, d connectors.Deps) (*Connector, error) {
	c := &Connector{deps: d}
	if err := s.Decode(&c.cfg); err != nil {
		return nil, err
	}
	c.cfg.PhoneRegion = cmp.Or(c.cfg.PhoneRegion, d.Region)
	if err := c.cfg.prepare(); err != nil {
		return nil, err
	}
	if d.Log == nil {
		c.deps.Log = zap.NewNop()
	}
	return c, nil
}

// Check implements connectors.Connector: it asks for the first page of the last
// hour. The list does not say whose key it is.
func (c *Connector) Check(ctx context.Context) (string, error) {
	if c.cfg.Key == "" {
		return "takes hooks; without a key there is nothing to ask", nil
	}
	now := c.deps.Now()
	rows, _, err := c.list(ctx, 0, now.Add(-time.Hour), now)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the list of calls is open to the key, %d calls in the last hour", len(rows)), nil
}
