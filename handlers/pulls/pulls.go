// Package pulls answers systems that read from us: it checks the address's
// secret, bounds what it reads, and lets the connection's connector answer from
// what the store has.
package pulls

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/metrics"
)

const (
	// Request lines of 1 MiB are taken (roistat §9), and a bit more for the address
	// before the query.
	defaultMaxURL  = 1<<20 + 8<<10
	defaultMaxBody = 4 << 20
	maxPairs       = 1000 // form keys, webhook-security §4.3
)

// Target is a connection of a project.
type Target struct {
	Connector connectors.Connector
	// Secret is the last part of the address.
	Secret string
	// RecordsFrom are the connections whose records it may read.
	RecordsFrom []string
	// Polled: the hub polls the connection again and again; its poll is not
	// switched off.
	Polled bool
}

// Options configure the handler.
type Options struct {
	Store Store // *store.DB is one
	// Lookup finds a connection: one that reads from us, or a source of it.
	Lookup func(project, connection string) (Target, bool)
	// Wake is called when a pull stored records under a connection. May be nil.
	Wake func(project, connection string)
	// MaxURL bounds the request line in bytes. Defaults to a bit more than 1 MiB;
	// the server's MaxHeaderBytes must be larger.
	MaxURL int
	// MaxBody bounds a body in bytes. Defaults to 4 MiB.
	MaxBody int64
	Log     *zap.Logger      // defaults to none
	Metrics *metrics.Set     // nil: not counted
	Now     func() time.Time // defaults to time.Now
}

// Handler answers pulls.
type Handler struct{ opts Options }

// New makes the handler.
func New(opts Options) *Handler {
	if opts.MaxURL == 0 {
		opts.MaxURL = defaultMaxURL
	}
	if opts.MaxBody == 0 {
		opts.MaxBody = defaultMaxBody
	}
	if opts.Wake == nil {
		opts.Wake = func(string, string) {}
	}
	if opts.Log == nil {
		opts.Log = zap.NewNop()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Handler{opts: opts}
}

// Register adds the address to the server.
func (h *Handler) Register(e *echo.Echo) {
	e.GET("/pull/:project/:connection/:secret", h.answer)
	e.POST("/pull/:project/:connection/:secret", h.answer)
}

func (h *Handler) answer(c echo.Context) error {
	start := h.opts.Now()
	project, connection := c.Param("project"), c.Param("connection")
	target, ok := h.opts.Lookup(project, connection)
	puller, pulls := target.Connector.(connectors.Puller)
	// The comparison comes first and always: neither its time nor the answer tells
	// which part of the address was wrong.
	if !same(target.Secret, c.Param("secret")) || target.Secret == "" || !ok || !pulls {
		return echo.ErrNotFound
	}
	if len(c.Request().RequestURI) > h.opts.MaxURL {
		return echo.NewHTTPError(http.StatusRequestURITooLong)
	}
	request, err := h.read(c.Response(), c.Request())
	if err != nil {
		return err
	}
	request.ReceivedAt = start.UTC()
	answer := puller.Pull(c.Request().Context(), request, &desk{opts: &h.opts, project: project, connection: connection, sources: target.RecordsFrom})
	h.log(project, connection, request, answer, start)
	if h.opts.Metrics != nil {
		h.opts.Metrics.Pulls.WithLabelValues(project, connection, strconv.Itoa(answer.Status)).Inc()
	}
	header := c.Response().Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer") // the address is a secret
	if answer.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(answer.RetryAfter.Seconds())))
	}
	header.Set("Content-Length", strconv.Itoa(len(answer.Body))) // a reader can tell a body that was cut short
	return c.Blob(answer.Status, answer.ContentType, answer.Body)
}

// log never writes the address or the query: both hold secrets.
func (h *Handler) log(project, connection string, r connectors.PullRequest, a connectors.PullAnswer, start time.Time) {
	write := h.opts.Log.Info
	if a.Status >= http.StatusBadRequest {
		write = h.opts.Log.Warn
	}
	write("pull", zap.String("project", project), zap.String("connection", connection), zap.String("method", r.Method),
		zap.Int("status", a.Status), zap.Int("bytes", len(a.Body)), zap.String("cause", string(a.Cause)),
		zap.String("note", a.Note), zap.Duration("took", h.opts.Now().Sub(start)))
}

// read takes the request apart without interpreting it.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (connectors.PullRequest, error) {
	out := connectors.PullRequest{Method: r.Method, ContentType: r.Header.Get("Content-Type"), Accept: r.Header.Get("Accept")}
	out.BasicUser, out.BasicPassword, out.Basic = r.BasicAuth()
	complete := false
	if out.Query, complete = connectors.ParseQuery(r.URL.RawQuery, maxPairs); !complete {
		return out, echo.NewHTTPError(http.StatusRequestURITooLong, "more than "+strconv.Itoa(maxPairs)+" parameters")
	}
	kind, parameters, _ := mime.ParseMediaType(out.ContentType)
	r.Body = http.MaxBytesReader(w, r.Body, h.opts.MaxBody)
	if kind == "multipart/form-data" {
		return out, h.readMultipart(r, parameters["boundary"], &out)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return out, unreadable(err)
	}
	if kind != "application/x-www-form-urlencoded" {
		out.Body = body
		return out, nil
	}
	if out.Form, complete = connectors.ParseQuery(string(body), maxPairs); !complete {
		return out, echo.NewHTTPError(http.StatusRequestEntityTooLarge, "more than "+strconv.Itoa(maxPairs)+" parameters")
	}
	return out, nil
}

func (h *Handler) readMultipart(r *http.Request, boundary string, out *connectors.PullRequest) error {
	if boundary == "" {
		return echo.NewHTTPError(http.StatusBadRequest, "a form without a boundary")
	}
	// No part goes to a file: the whole body fits into the limit.
	if err := r.ParseMultipartForm(h.opts.MaxBody); err != nil {
		return unreadable(err)
	}
	out.Form = r.MultipartForm.Value
	return nil
}

func unreadable(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return echo.NewHTTPError(http.StatusRequestEntityTooLarge)
	}
	return echo.NewHTTPError(http.StatusBadRequest, "the body could not be read to its end")
}

// same compares in a time that tells nothing, not even the lengths.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
