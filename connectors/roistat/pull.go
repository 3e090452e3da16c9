package roistat

import (
	"context"

	"github.com/svod-hub/svod/connectors"
)

// Pull answers one request of Roistat.
func (c *Connector) Pull(ctx context.Context, r connectors.PullRequest, desk connectors.Desk) connectors.PullAnswer {
	panic("not written yet")
}

// Held says what is held back and why.
func (c *Connector) Held(ctx context.Context) (string, error) { panic("not written yet") }

// Release lets the next answer go once.
func (c *Connector) Release(ctx context.Context) error { panic("not written yet") }
