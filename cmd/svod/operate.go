package main

import (
	"context"
	"time"

	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/handlers/console"
)

// expirySoon is how long before its end a credential is shown.
const expirySoon = 14 * 24 * time.Hour

// expiries lists credentials that end soon and that nobody renews: a pair with a
// refresh token renews itself.
func (h *hub) expiries(ctx context.Context, project string) ([]console.Expiry, error) {
	p := h.setup.Project(project)
	if p == nil {
		return nil, nil
	}
	var list []console.Expiry
	for _, c := range p.Connections {
		token, err := credentials.Tokens(h.vault, h.store, p.ID, c.ID).Load(ctx)
		if err != nil {
			continue // the connection's own status tells
		}
		if !token.Expires.IsZero() && token.Refresh == "" && token.Expires.Before(h.now().Add(expirySoon)) {
			list = append(list, console.Expiry{Connection: c.ID, At: token.Expires})
		}
	}
	return list, nil
}
