// Package bitrix24 connects a Bitrix24 portal, in the cloud or self-hosted.
//
// As a source it takes events as pointers and re-reads what they point to in
// batches (Receiver, Fetcher), imports the whole history and then asks for what
// changed (Poller), and lists pipelines, statuses, fields and employees
// (Cataloguer). As a destination it makes leads (Uploader, Settler). A portal is
// connected by an inbound webhook or by OAuth (Authorizer).
//
// Section numbers in comments point into the protocol specification of
// Bitrix24.
package bitrix24

import (
	"context"

	"github.com/svod-hub/svod/connectors"
)

// Connector is one portal.
type Connector struct {
	cfg  config
	deps connectors.Deps
}

func newConnector(s connectors.Settings, d connectors.Deps) (*Connector, error) {
	c := &Connector{deps: d}
	if err := s.Decode(&c.cfg); err != nil {
		return nil, err
	}
	if err := c.cfg.prepare(); err != nil {
		return nil, err
	}
	return c, nil
}

// Check implements connectors.Connector.
func (c *Connector) Check(context.Context) (string, error) { return "", nil }
