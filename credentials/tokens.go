package credentials

import (
	"context"
	"time"

	"github.com/svod-hub/svod/connectors"
)

// Store is what the package needs of the database; *store.DB has it. Lease is
// the database's own type.
type Store[Lease any] interface {
	Recall(ctx context.Context, project, connection, name string) (string, error)
	Remember(ctx context.Context, project, connection, name, value string) error
	TakeLease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, bool, error)
	RenewLease(ctx context.Context, lease Lease, ttl time.Duration) (bool, error)
	ReleaseLease(ctx context.Context, lease Lease) (wanted bool, err error)
}

// Tokens keeps a connection's OAuth tokens, encrypted, in the store.
func Tokens[Lease any](vault *Vault, db Store[Lease], project, connection string) connectors.TokenStore {
	panic("not written yet")
}
