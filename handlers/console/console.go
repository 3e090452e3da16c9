// Package console is what operators see: pages rendered on the server, in
// Russian and English, that show where every record, row and upload stands and
// let a person send things again. Whoever is not signed in sees the sign-in
// page only. The package reads the store and asks for work through Actions; it
// does no work itself.
package console

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// ProjectView, ConnectionView and FlowView are a project, its connections and
// flows as the configuration has them.
type (
	ProjectView    = view.Project
	ConnectionView = view.Connection
	FlowView       = view.Flow
)

// Store is what the console reads and keeps. *store.DB has it.
type Store interface {
	view.Store

	Deliveries(ctx context.Context, f store.DeliveryFilter) ([]store.Delivery, error)
	JournalEntry(ctx context.Context, project string, id int64) (store.Entry, error)
	Record(ctx context.Context, project string, key model.Key) (model.Record, error)
	Records(ctx context.Context, f store.RecordFilter) ([]model.Record, error)
	Upload(ctx context.Context, project string, id int64) (store.Upload, error)

	AppendAudit(ctx context.Context, a store.Audit) error
	AuditLog(ctx context.Context, limit int) ([]store.Audit, error)
	DeleteSession(ctx context.Context, idHash string) error
	SaveSession(ctx context.Context, s store.Session) error
	Session(ctx context.Context, idHash string) (store.Session, error)
	UserHash(ctx context.Context, name string) (string, error)
}

// Actions are what an operator may ask for. Each only puts work back to where
// it is picked up, and returns at once.
type Actions interface {
	// SendNow lets a flow run at once; SendAll sends everything from the beginning.
	SendNow(ctx context.Context, project, flow string) error
	SendAll(ctx context.Context, project, flow string) error
	// SendStatuses registers the flow's status scheme at its destination.
	SendStatuses(ctx context.Context, project, flow string) error
	// Replay takes journal entries in again, Resend makes rows due again. Both tell
	// how many matched; a dry run only counts.
	Replay(ctx context.Context, f store.JournalFilter, dryRun bool) (int, error)
	Resend(ctx context.Context, f store.DeliveryFilter, dryRun bool) (int, error)
	// ReleaseGuard lets a pull go on that was held back after a sharp drop.
	ReleaseGuard(ctx context.Context, project, connection string) error
}

// Options configure a Console.
type Options struct {
	Store    Store
	Actions  Actions
	Projects []ProjectView
	// Queues is the queue dashboard, mounted under /console/queues/ behind the same
	// sign-in. It gets requests with their whole path. Nil: there is none.
	Queues http.Handler
	// PublicURL is how browsers reach the hub. With https cookies are Secure.
	PublicURL string
	// CheckPassword compares a password with a kept hash; defaults to
	// credentials.CheckPassword.
	CheckPassword func(hash, password string) bool
	// Now defaults to time.Now, Log to none.
	Now func() time.Time
	Log *zap.Logger
}

// Console answers under /console.
type Console struct {
	opts   Options
	secure bool
}

// New makes a console.
func New(opts Options) *Console {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	public, err := url.Parse(opts.PublicURL)
	return &Console{opts: opts, secure: err == nil && public.Scheme == "https"}
}

// Register adds the console's routes.
func (c *Console) Register(e *echo.Echo) {
	panic("not written yet")
}
