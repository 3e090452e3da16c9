// Package webhook takes hooks of systems that have no connector of their own.
// The connection's settings say, in expressions over the payload, which records
// it holds; so a CRM that nobody wrote a connector for works on day one.
package webhook

import (
	"context"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// Kind is the kind of connection in svod.yaml.
const Kind = "webhook"

// Type describes the kind.
func Type() connectors.Type {
	return connectors.Type{
		Kind:     Kind,
		Title:    connectors.Text{EN: "Any system with webhooks", RU: "Любая система с вебхуками"},
		Records:  []model.Kind{},
		Receives: true,
		New: func(s connectors.Settings, d connectors.Deps) (connectors.Connector, error) {
			return New(s, d)
		},
	}
}

// Connector takes the hooks of one system.
type Connector struct{}

// New makes a connector; it checks all expressions.
func New(s connectors.Settings, d connectors.Deps) (*Connector, error) { panic("not written yet") }

// Check has nobody to ask.
func (c *Connector) Check(context.Context) (string, error) { return "takes hooks; nothing to ask", nil }
