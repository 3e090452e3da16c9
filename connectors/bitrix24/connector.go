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
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// Connector is one portal.
type Connector struct {
	cfg  config
	deps connectors.Deps
	// do is deps.HTTP.Do; tests of renamed portals put their own name service in.
	do func(context.Context, outbound.Request) (outbound.Response, error)
	// strikes counts refusals for too many requests since the last good answer.
	strikes atomic.Int64
	// narrowed is by how many commands batches are smaller than they may be.
	narrowed atomic.Int64
}

var (
	_ connectors.Authorizer = (*Connector)(nil)
	_ connectors.Cataloguer = (*Connector)(nil)
	_ connectors.Connector  = (*Connector)(nil)
	_ connectors.Fetcher    = (*Connector)(nil)
	_ connectors.Poller     = (*Connector)(nil)
	_ connectors.Receiver   = (*Connector)(nil)
	_ connectors.Settler    = (*Connector)(nil)
	_ connectors.Uploader   = (*Connector)(nil)
)

func newConnector(s connectors.Settings, d connectors.Deps) (*Connector, error) {
	c := &Connector{deps: d}
	if err := s.Decode(&c.cfg); err != nil {
		return nil, err
	}
	c.cfg.PhoneRegion = cmp.Or(c.cfg.PhoneRegion, d.Region, "RU")
	if err := c.cfg.prepare(); err != nil {
		return nil, err
	}
	if d.Log == nil {
		c.deps.Log = zap.NewNop()
	}
	if d.HTTP != nil {
		c.do = d.HTTP.Do
	}
	return c, nil
}

// Check implements connectors.Connector: it asks whose webhook or token this is
// and whether it may read the CRM.
func (c *Connector) Check(ctx context.Context) (string, error) {
	replies, _, err := c.batch(ctx, []command{{method: "profile"}, {method: "scope"}}, reading)
	if err != nil {
		return "", err
	}
	if f := replies[0].fault; f != nil {
		return "", f.classify("profile", c.deps.Now())
	}
	var who struct {
		ID    loosejson.Text `json:"ID"`
		Admin loosejson.Bool `json:"ADMIN"`
	}
	if err := loosejson.Unmarshal(replies[0].result, &who); err != nil {
		return "", err
	}
	var scopes loosejson.List[loosejson.Text]
	if replies[1].fault == nil && loosejson.Unmarshal(replies[1].result, &scopes) == nil && len(scopes) > 0 &&
		!slices.ContainsFunc(scopes, func(s loosejson.Text) bool { return strings.EqualFold(s.String(), "crm") }) {
		return "", model.Errorf(model.ClassPermanent, model.CauseForbidden,
			"the webhook or application may not read the CRM: add the right crm to it in the portal")
	}
	at, err := c.endpoint(ctx)
	if err != nil {
		return "", err
	}
	role := ""
	if who.Admin.Value {
		role = ", administrator"
	}
	return fmt.Sprintf("portal %s, user %s%s", at.host(), who.ID, role), nil
}

func logKey(key string) zap.Field  { return zap.String("key", key) }
func logError(err error) zap.Field { return zap.Error(err) }
