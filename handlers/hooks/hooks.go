// Package hooks answers webhooks: it checks the address's secret, bounds what
// it reads, writes the raw delivery to the journal and answers. What the
// delivery means is worked out later; Redis and the other system are not asked.
package hooks

import (
	"bytes"
	"compress/gzip"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/journal"
	"github.com/svod-hub/svod/metrics"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/store"
)

// Target is a connection that takes webhooks.
type Target struct {
	Connector connectors.Connector
	Secret    string
}

// Options configure the handler.
type Options struct {
	Journal *journal.Journal
	// Lookup finds a connection that takes webhooks.
	Lookup func(project, connection string) (Target, bool)
	// MaxBody bounds a body in bytes, after decompression. Defaults to 4 MiB.
	MaxBody int64
	// Rate is how many webhooks a second one connection may send; 0: any number.
	Rate    int
	Log     *zap.Logger
	Metrics *metrics.Set
	Now     func() time.Time
}

// Handler takes webhooks.
type Handler struct {
	opts Options

	mu    sync.Mutex
	rates map[string]*rate.Limiter // by project and connection
}

// keptOfRefused is how much of a refused body stays in the journal, for the
// operator to recognise it by.
const keptOfRefused = 4 << 10

// drained is how much of a body over the limit is still read: a sender that is
// cut off while it writes sees a broken connection in place of the answer.
const drained = 32 << 20

// New makes the handler.
func New(opts Options) *Handler {
	if opts.MaxBody == 0 {
		opts.MaxBody = 4 << 20
	}
	return &Handler{opts: opts, rates: map[string]*rate.Limiter{}}
}

// Register adds the address to the server.
func (h *Handler) Register(e *echo.Echo) {
	e.POST("/hooks/:project/:connection/:secret", h.take)
	e.GET("/hooks/:project/:connection/:secret", h.take)
}

func (h *Handler) take(c echo.Context) error {
	start := h.opts.Now()
	project, connection := c.Param("project"), c.Param("connection")
	target, ok := h.opts.Lookup(project, connection)
	if subtle.ConstantTimeCompare([]byte(target.Secret), []byte(c.Param("secret"))) != 1 || !ok || target.Secret == "" {
		// Which of the two was wrong is not for the caller to know.
		return echo.NewHTTPError(http.StatusNotFound)
	}
	if !h.allowed(project + "/" + connection) {
		c.Response().Header().Set("Retry-After", "1")
		return echo.NewHTTPError(http.StatusTooManyRequests, "this connection sends more webhooks a second than server.limits.hook_rate allows")
	}
	entry := &store.Entry{
		Project:    project,
		Connection: connection,
		ReceivedAt: start.UTC(),
		Method:     c.Request().Method,
		Query:      c.Request().URL.RawQuery,
		Header:     keptHeader(c.Request().Header),
		Remote:     c.RealIP(),
	}
	status, contentType, body := h.journal(c.Request(), entry, target.Connector)
	if status == http.StatusServiceUnavailable {
		c.Response().Header().Set("Retry-After", "5")
	}
	if m := h.opts.Metrics; m != nil {
		m.HooksAnswered.WithLabelValues(project, connection, strconv.Itoa(status)).Inc()
		m.HookSeconds.Observe(metrics.Since(h.opts.Now, start))
	}
	if len(body) == 0 {
		return c.NoContent(status)
	}
	return c.Blob(status, contentType, body)
}

// allowed keeps the configured rate of one connection, with bursts of a second.
func (h *Handler) allowed(name string) bool {
	if h.opts.Rate == 0 {
		return true
	}
	h.mu.Lock()
	limiter := h.rates[name]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Limit(h.opts.Rate), h.opts.Rate)
		h.rates[name] = limiter
	}
	h.mu.Unlock()
	return limiter.AllowN(h.opts.Now(), 1)
}

// journal makes the delivery durable and says what to answer.
func (h *Handler) journal(r *http.Request, entry *store.Entry, connector connectors.Connector) (int, string, []byte) {
	refusal := h.readBody(r, entry)
	if refusal != nil {
		entry.State, entry.Cause, entry.Error = store.EntryRefused, refusal.Cause, refusal.Message
		entry.SettledAt = entry.ReceivedAt
	}
	if err := h.opts.Journal.Append(entry); err != nil {
		h.opts.Log.Warn("webhook not journalled", zap.String("project", entry.Project), zap.String("connection", entry.Connection), zap.Error(err))
		return http.StatusServiceUnavailable, "text/plain; charset=utf-8", []byte("Not taken, please repeat: " + reason(err) + ".\n")
	}
	if refusal != nil {
		if refusal.Cause == model.CauseTooLarge {
			return http.StatusRequestEntityTooLarge, "text/plain; charset=utf-8", []byte(refusal.Message + "\n")
		}
		return http.StatusBadRequest, "text/plain; charset=utf-8", []byte(refusal.Message + "\n")
	}
	if responder, ok := connector.(connectors.Responder); ok {
		return responder.Respond(journal.Delivery(entry))
	}
	return http.StatusOK, "", nil
}

func reason(err error) string {
	if errors.Is(err, journal.ErrFull) || errors.Is(err, journal.ErrStopped) {
		return err.Error()
	}
	return "the database does not take writes now"
}

// readBody fills the entry's body, or says why it can't; a part is kept then.
func (h *Handler) readBody(r *http.Request, entry *store.Entry) *model.Error {
	var source io.Reader = r.Body
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return model.Errorf(model.ClassPermanent, model.CauseBadEncoding, "the body says that it is gzip and is not")
		}
		source = unzipped
	}
	if n := r.ContentLength; n > 0 && n <= h.opts.MaxBody && source == r.Body {
		entry.Body = make([]byte, n) // exactly: most of what a webhook costs in memory
		got, err := io.ReadFull(source, entry.Body)
		if err == nil {
			return nil
		}
		return broken(entry, entry.Body[:got])
	}
	var buf bytes.Buffer
	n, err := buf.ReadFrom(io.LimitReader(source, h.opts.MaxBody+1))
	entry.Body = buf.Bytes()
	switch {
	case n > h.opts.MaxBody:
		entry.Body = bytes.Clone(entry.Body[:min(len(entry.Body), keptOfRefused)])
		_, _ = io.CopyN(io.Discard, r.Body, drained)
		return model.Errorf(model.ClassPermanent, model.CauseTooLarge, "the body is larger than the limit of %d bytes", h.opts.MaxBody)
	case err != nil:
		return broken(entry, entry.Body)
	}
	return nil
}

// broken keeps a part of a body that ended too early.
func broken(entry *store.Entry, got []byte) *model.Error {
	entry.Body = bytes.Clone(got[:min(len(got), keptOfRefused)])
	return model.Errorf(model.ClassPermanent, model.CauseBadEncoding, "the body could not be read to its end")
}
