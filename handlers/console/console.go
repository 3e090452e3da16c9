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

	"github.com/svod-hub/svod/connectors"
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
	view.StoryStore

	AcceptedPerMinute(ctx context.Context, project string, since time.Time) ([]store.Minute, error)
	ReceivedPerMinute(ctx context.Context, project string, since time.Time) ([]store.Minute, error)
	Errand(ctx context.Context, project string, id int64) (store.Errand, error)
	Errands(ctx context.Context, project string, limit int) ([]store.Errand, error)
	ErrorMarks(ctx context.Context, project string) ([]store.ErrorMark, error)
	FindUploads(ctx context.Context, project, text string, limit int) ([]store.Upload, error)
	MarkErrors(ctx context.Context, m store.ErrorMark) error
	RecordsByKeys(ctx context.Context, project string, keys []model.Key) (map[model.Key]model.Record, error)
	RelatedIDs(ctx context.Context, project, connection string, kind model.Kind, link, id string) ([]string, error)
	Troubles(ctx context.Context, project string) ([]store.Trouble, error)
	JournalEntry(ctx context.Context, project string, id int64) (store.Entry, error)
	Records(ctx context.Context, f store.RecordFilter) ([]model.Record, error)

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
	// CompareStatuses tells what SendStatuses would change; nil when the destination
	// cannot tell.
	CompareStatuses(ctx context.Context, project, flow string) (*connectors.SchemeDifference, error)
	// Begin keeps an errand and lets it begin; it fills in the ID.
	Begin(ctx context.Context, e *store.Errand) error
	StopErrand(ctx context.Context, project string, id int64) error
	// Pause pauses a source, a flow or a queue, or lets it go on.
	Pause(ctx context.Context, x store.Switch, paused bool) error
}

// QueueDepth is how much work waits in one queue.
type QueueDepth struct {
	Name    string
	Waiting int // to be taken up, now or later
	Active  int
	Paused  bool // filled in by the console
}

// Quota is how much of a daily quota a connection has used today (in UTC).
type Quota struct {
	Connection string
	Used       int
	Limit      int
}

// Percent is the used part.
func (q Quota) Percent() int { return min(100, q.Used*100/max(q.Limit, 1)) }

// Expiry is a credential that ends.
type Expiry struct {
	Connection string
	At         time.Time
}

// Options configure a Console.
type Options struct {
	Store    Store
	Actions  Actions
	Projects []ProjectView
	// Queues is the queue dashboard, mounted under /console/queues/ behind the same
	// sign-in. It gets requests with their whole path. Nil: there is none.
	Queues http.Handler
	// Depths tells how much work waits in the queues. Nil: not known.
	Depths func(ctx context.Context) ([]QueueDepth, error)
	// Audience tells today's visitors of a connection; ok is false when it cannot.
	// Nil: none can.
	Audience func(ctx context.Context, project, connection string) (a connectors.Audience, ok bool, err error)
	// Expiries lists a project's credentials that end and that the hub cannot renew
	// by itself. Nil: not known.
	Expiries func(ctx context.Context, project string) ([]Expiry, error)
	// Quotas tells how much of their daily quotas a project's connections have used.
	// Nil: not known.
	Quotas func(ctx context.Context, project string) ([]Quota, error)
	// PublicURL is how browsers reach the hub. With https cookies are Secure.
	PublicURL string
	// Now defaults to time.Now, Log to none.
	Now func() time.Time
	Log *zap.Logger
}

// Console answers under /console.
type Console struct {
	opts      Options
	secure    bool
	languages languages
	pages     pages
	assets    assets
	origins   *http.CrossOriginProtection
	signIns   signInLimits
	causes    causeTexts
	activity  activity
	paces     paces
}

// New makes a console.
func New(opts Options) *Console {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	c := &Console{
		opts:      opts,
		languages: loadLanguages(),
		assets:    loadAssets(),
		origins:   http.NewCrossOriginProtection(),
		signIns:   newSignInLimits(opts.Now),
		causes:    loadCauses(),
	}
	c.pages = loadPages(c.assets)
	if public, err := url.Parse(opts.PublicURL); err == nil && public.Host != "" {
		c.secure = public.Scheme == "https"
		// Behind a proxy the Host header may differ from what the browser sees.
		if err := c.origins.AddTrustedOrigin(public.Scheme + "://" + public.Host); err != nil {
			opts.Log.Warn("public_url is no usable origin", zap.Error(err))
		}
	}
	return c
}

// Register adds the console's routes.
func (c *Console) Register(e *echo.Echo) {
	e.GET("/console", func(ctx echo.Context) error { return ctx.Redirect(http.StatusSeeOther, "/console/") })
	e.GET("/console/static/:version/:name", c.serveAsset)
	e.GET("/console/language/:language", c.open(c.setLanguage))
	e.GET("/console/sign-in", c.open(c.signInPage))
	e.POST("/console/sign-in", c.open(c.signIn))
	e.POST("/console/sign-out", c.signedIn(c.signOut))

	e.GET("/console/", c.signedIn(c.overview))
	e.GET("/console/audit", c.signedIn(c.audit))
	e.GET("/console/causes", c.signedIn(c.causesPage))
	e.POST("/console/queue/:queue/pause", c.signedIn(c.switchQueue(true)))
	e.POST("/console/queue/:queue/resume", c.signedIn(c.switchQueue(false)))
	if c.opts.Queues != nil {
		e.GET("/console/queues", func(ctx echo.Context) error { return ctx.Redirect(http.StatusSeeOther, "/console/queues/") })
		e.Any("/console/queues/*", c.signedIn(c.queues))
	}

	project := func(method, path string, h handler) {
		e.Add(method, "/console/p/:project"+path, c.signedIn(c.inProject(h)))
	}
	project(http.MethodGet, "", func(r *request) error { return r.Redirect(http.StatusSeeOther, r.at("/")) })
	project(http.MethodGet, "/", c.project)
	project(http.MethodGet, "/connections/:connection", c.connection)
	project(http.MethodPost, "/connections/:connection/release", c.releaseGuard)
	project(http.MethodPost, "/connections/:connection/pause", c.switchSource(true))
	project(http.MethodPost, "/connections/:connection/resume", c.switchSource(false))
	project(http.MethodGet, "/deliveries", c.deliveries)
	project(http.MethodPost, "/deliveries/picked", c.resendPicked)
	project(http.MethodPost, "/deliveries/resend", c.resend)
	project(http.MethodGet, "/errands", c.errands)
	project(http.MethodGet, "/errands/:id", c.errand)
	project(http.MethodPost, "/errands/:id/stop", c.stopErrand)
	project(http.MethodGet, "/errors", c.errors)
	project(http.MethodPost, "/errors/mark", c.markErrors)
	project(http.MethodGet, "/flows/:flow", c.flow)
	project(http.MethodPost, "/flows/:flow/pause", c.switchFlow(true))
	project(http.MethodPost, "/flows/:flow/resume", c.switchFlow(false))
	project(http.MethodPost, "/flows/:flow/send", c.sendFlow)
	project(http.MethodPost, "/flows/:flow/send-all", c.sendFlowAll)
	project(http.MethodPost, "/flows/:flow/statuses", c.sendStatuses)
	project(http.MethodGet, "/journal", c.journal)
	project(http.MethodGet, "/journal/:id", c.journalEntry)
	project(http.MethodPost, "/journal/replay", c.replay)
	project(http.MethodGet, "/record", c.record)
	project(http.MethodGet, "/records", c.records)
	project(http.MethodGet, "/search", c.search)
	project(http.MethodGet, "/uploads", c.uploads)
	project(http.MethodGet, "/uploads/:id", c.upload)
	e.RouteNotFound("/console/*", c.signedIn(func(*request) error { return store.ErrNotFound }))
}
