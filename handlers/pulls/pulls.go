// Package pulls answers systems that read from us: it checks the address's
// secret, bounds what it reads, and lets the connection's connector answer from
// what the store has.
package pulls

import (
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/store"
)

// Target is a connection of a project.
type Target struct {
	Connector   connectors.Connector
	Secret      string
	RecordsFrom []string
	// Polled: the hub polls the connection; its poll is not switched off.
	Polled bool
}

// Options configure the handler.
type Options struct {
	Store *store.DB
	// Lookup finds a connection: one that is read through us, or a source of it.
	Lookup func(project, connection string) (Target, bool)
	// Wake is called when a pull stored records under a connection.
	Wake func(project, connection string)
	// MaxURL bounds the request line in bytes. Defaults to 1 MiB and a bit.
	MaxURL int
	// MaxBody bounds a body in bytes. Defaults to 4 MiB.
	MaxBody int64
	Log     *zap.Logger
	Now     func() time.Time
}

// Handler answers pulls.
type Handler struct{ opts Options }

// New makes the handler.
func New(opts Options) *Handler { return &Handler{opts: opts} }

// Register adds the address to the server.
func (h *Handler) Register(e *echo.Echo) {}
