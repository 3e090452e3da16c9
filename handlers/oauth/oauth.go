// Package oauth connects accounts whose systems ask the user in a browser: it
// sends the browser there, and takes the code that it comes back with.
package oauth

import (
	"context"
	"crypto/rand"
	"html/template"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/model"
)

// Store keeps what a browser is expected to come back with. *store.DB has it.
type Store interface {
	SaveSnapshot(ctx context.Context, project, connection, name string, data []byte, expires time.Time) error
	Snapshot(ctx context.Context, project, connection, name string) (data []byte, createdAt time.Time, err error)
}

// Target is a connection that is authorised in a browser.
type Target struct {
	Connector connectors.Authorizer
	Secret    string // the last part of the connection's addresses
}

// Options configure the handler.
type Options struct {
	Store  Store
	Lookup func(project, connection string) (Target, bool)
	// Authorized is called when an account was connected.
	Authorized func(ctx context.Context, project, connection string) error
	Log        *zap.Logger
	Now        func() time.Time
}

// Handler answers under /oauth.
type Handler struct{ opts Options }

// stateLife is how long a user may take to say yes.
const stateLife = 15 * time.Minute

const stateName = "oauth_state"

// New makes the handler.
func New(opts Options) *Handler { return &Handler{opts: opts} }

// Register adds the addresses.
func (h *Handler) Register(e *echo.Echo) {
	e.GET("/oauth/:project/:connection/:secret/start", h.start)
	e.GET("/oauth/:project/:connection", h.back)
}

func (h *Handler) start(c echo.Context) error {
	project, connection := c.Param("project"), c.Param("connection")
	target, ok := h.opts.Lookup(project, connection)
	if !credentials.Equal(target.Secret, c.Param("secret")) || !ok {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	state := rand.Text()
	if err := h.opts.Store.SaveSnapshot(c.Request().Context(), project, connection, stateName, []byte(state), h.opts.Now().Add(stateLife)); err != nil {
		return err
	}
	address, err := target.Connector.AuthorizeURL(state)
	if err != nil {
		return h.page(c, http.StatusConflict, "The connection can't be authorised: "+err.Error())
	}
	return c.Redirect(http.StatusFound, address)
}

func (h *Handler) back(c echo.Context) error {
	ctx := c.Request().Context()
	project, connection := c.Param("project"), c.Param("connection")
	target, ok := h.opts.Lookup(project, connection)
	if !ok {
		return echo.NewHTTPError(http.StatusNotFound)
	}
	query := c.QueryParams()
	if !h.expected(ctx, project, connection, query.Get("state")) {
		return h.page(c, http.StatusForbidden, "This answer was not asked for, or came too late. Start again from the address that `svod urls` prints.")
	}
	if err := target.Connector.Exchange(ctx, query); err != nil {
		h.opts.Log.Warn("account not connected", zap.String("project", project), zap.String("connection", connection),
			zap.String("cause", string(model.CauseOf(err))), zap.Error(err))
		return h.page(c, http.StatusBadGateway, "The account was not connected: "+err.Error())
	}
	if err := h.opts.Authorized(ctx, project, connection); err != nil {
		return err
	}
	h.opts.Log.Info("account connected", zap.String("project", project), zap.String("connection", connection))
	return h.page(c, http.StatusOK, "The account is connected. You can close this page.")
}

// expected reports whether we sent a browser away with this state, and lets it
// be used once.
func (h *Handler) expected(ctx context.Context, project, connection, state string) bool {
	want, _, err := h.opts.Store.Snapshot(ctx, project, connection, stateName)
	if err != nil || len(want) == 0 || !credentials.Equal(string(want), state) {
		return false
	}
	return h.opts.Store.SaveSnapshot(ctx, project, connection, stateName, nil, h.opts.Now()) == nil
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Svod</title><meta name="viewport" content="width=device-width"></head>
<body style="font-family:system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em"><h1>Svod</h1><p>{{.}}</p></body></html>
`))

func (h *Handler) page(c echo.Context, status int, text string) error {
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	c.Response().WriteHeader(status)
	return page.Execute(c.Response(), text)
}
