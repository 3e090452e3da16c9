// Package admin is the JSON interface of the hub for scripts: /api/v1, with
// bearer tokens that are scoped to projects and errors after RFC 9457. It shows
// what the console shows and asks for the same work.
package admin

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Store is what the interface reads. *store.DB has it.
type Store interface {
	view.Store

	AppendAudit(ctx context.Context, a store.Audit) error
	Deliveries(ctx context.Context, f store.DeliveryFilter) ([]store.Delivery, error)
	JournalEntry(ctx context.Context, project string, id int64) (store.Entry, error)
	Records(ctx context.Context, f store.RecordFilter) ([]model.Record, error)
	Upload(ctx context.Context, project string, id int64) (store.Upload, error)
}

// Actions are what a script may ask for. Each only puts work back to where it
// is picked up, and returns at once.
type Actions interface {
	SendNow(ctx context.Context, project, flow string) error
	SendAll(ctx context.Context, project, flow string) error
	SendStatuses(ctx context.Context, project, flow string) error
	Replay(ctx context.Context, f store.JournalFilter, dryRun bool) (int, error)
	Resend(ctx context.Context, f store.DeliveryFilter, dryRun bool) (int, error)
}

// Token is a bearer token and what it may see.
type Token struct {
	Name  string
	Token model.Secret
	// Projects are the ids of the projects that it opens; "*" opens all, an empty
	// list none.
	Projects []string
}

// Options configure the interface.
type Options struct {
	Store    Store
	Actions  Actions
	Projects []view.Project
	Tokens   []Token
	// Now defaults to time.Now, Log to none.
	Now func() time.Time
	Log *zap.Logger
}

// API answers under /api.
type API struct {
	opts Options
}

// New makes the interface.
func New(opts Options) *API {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	return &API{opts: opts}
}

// Register adds the routes.
func (a *API) Register(e *echo.Echo) {
	panic("not written yet")
}
