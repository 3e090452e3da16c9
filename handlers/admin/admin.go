// Package admin is the JSON interface of the hub for scripts: /api/v1, with
// bearer tokens that are scoped to projects and errors after RFC 9457. It shows
// what the console shows and asks for the same work.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed" // the OpenAPI document
	"net/http"
	"slices"
	"strings"
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

// opens reports whether the token may see the project.
func (t *Token) opens(project string) bool {
	return slices.Contains(t.Projects, project) || slices.Contains(t.Projects, "*")
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
	opts   Options
	tokens []knownToken
}

// knownToken holds a hash, so that comparing takes the same time whatever the
// lengths.
type knownToken struct {
	hash  [sha256.Size]byte
	token *Token
}

//go:embed openapi.yaml
var document []byte

// New makes the interface.
func New(opts Options) *API {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	a := &API{opts: opts}
	for i := range opts.Tokens {
		t := &opts.Tokens[i]
		if t.Token != "" {
			a.tokens = append(a.tokens, knownToken{hash: sha256.Sum256([]byte(t.Token.Reveal())), token: t})
		}
	}
	return a
}

// Register adds the routes.
func (a *API) Register(e *echo.Echo) {
	e.GET("/api/openapi.yaml", func(c echo.Context) error {
		return c.Blob(http.StatusOK, "application/yaml; charset=utf-8", document)
	})
	e.GET("/api/v1/status", a.answer(a.status))
	project := func(method, path string, h handler) {
		e.Add(method, "/api/v1/projects/:project"+path, a.answer(a.inProject(h)))
	}
	project(http.MethodGet, "/deliveries", a.deliveries)
	project(http.MethodPost, "/flows/:flow/send", a.send)
	project(http.MethodPost, "/flows/:flow/statuses", a.statuses)
	project(http.MethodGet, "/journal", a.journal)
	project(http.MethodGet, "/journal/:id", a.journalEntry)
	project(http.MethodGet, "/records", a.records)
	project(http.MethodPost, "/replay", a.replay)
	project(http.MethodPost, "/resend", a.resend)
	project(http.MethodGet, "/uploads", a.uploads)
	project(http.MethodGet, "/uploads/:id", a.upload)
	e.RouteNotFound("/api/v1/*", a.answer(func(*request) (any, error) { return nil, store.ErrNotFound }))
}

// request is one request with what the handlers need to know about it.
type request struct {
	echo.Context
	api     *API
	token   *Token
	project *view.Project
}

// handler gives what is answered as JSON.
type handler func(*request) (any, error)

// answer lets bearers of a token in and turns results and errors into JSON.
func (a *API) answer(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := &request{Context: c, api: a}
		c.Response().Header().Set("Cache-Control", "no-store")
		c.Response().Header().Set("X-Content-Type-Options", "nosniff")
		if r.token = a.find(c.Request().Header.Get("Authorization")); r.token == nil {
			c.Response().Header().Set("WWW-Authenticate", `Bearer realm="svod"`)
			return r.fail(&Problem{Status: http.StatusUnauthorized,
				Detail: "Send the header Authorization: Bearer TOKEN with a token of console.tokens in svod.yaml."})
		}
		result, err := h(r)
		if err != nil {
			return r.fail(err)
		}
		return c.JSON(http.StatusOK, result)
	}
}

// find compares with every token, so that the time taken tells nothing.
func (a *API) find(header string) *Token {
	scheme, text, _ := strings.Cut(header, " ")
	hash := sha256.Sum256([]byte(strings.TrimSpace(text)))
	var found *Token
	for _, known := range a.tokens {
		if subtle.ConstantTimeCompare(hash[:], known.hash[:]) == 1 {
			found = known.token
		}
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	return found
}

// inProject finds the project of the path. One that the token does not open
// is not there.
func (a *API) inProject(h handler) handler {
	return func(r *request) (any, error) {
		id := r.Param("project")
		for i := range a.opts.Projects {
			if a.opts.Projects[i].ID == id && r.token.opens(id) {
				r.project = &a.opts.Projects[i]
				return h(r)
			}
		}
		return nil, &Problem{Status: http.StatusNotFound, Detail: "There is no such project, or the token does not open it."}
	}
}

// note keeps what a script did. That it could not be kept does not undo it.
func (r *request) note(action, subject string) {
	err := r.api.opts.Store.AppendAudit(r.Request().Context(), store.Audit{
		At: r.api.opts.Now().UTC(), User: "token:" + r.token.Name, Action: action, Project: r.project.ID,
		Subject: subject, Remote: r.remote(),
	})
	if err != nil {
		r.api.opts.Log.Error("cannot write the audit log", zap.String("action", action), zap.Error(err))
	}
}
