package alerts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/svod-hub/svod/outbound"
)

// Channel takes messages somewhere. Errors are *model.Error and name neither
// addresses nor secrets.
type Channel interface {
	// Name tells the channel from others of its kind; it holds no secret.
	Name() string
	Send(ctx context.Context, m Message) error
}

// Caller makes HTTP calls; *outbound.Client is one.
type Caller interface {
	Do(ctx context.Context, r outbound.Request) (outbound.Response, error)
}

// Memory keeps small facts of the whole installation; *store.DB has it.
type Memory interface {
	Recall(ctx context.Context, project, connection, name string) (string, error)
	Remember(ctx context.Context, project, connection, name, value string) error
}

// short makes a name of a text that must not be shown.
func short(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))[:8]
}
