// Package api is the HTTP server as a whole: its routes, what all answers have
// in common, health, and a graceful stop.
package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.uber.org/zap"
)

// Routes is a set of addresses.
type Routes interface {
	Register(*echo.Echo)
}

// Part is one part of the hub and how it is.
type Part struct {
	Name  string `json:"name"`
	State string `json:"state"` // ok or failing
	Error string `json:"error,omitempty"`
}

// Options configure a Server.
type Options struct {
	Listen string
	// MaxLine bounds the request line in bytes, the headers coming on top. Defaults
	// to 1 MiB: pollers put whole letters into a GET (roistat §2.10).
	MaxLine int
	Routes  []Routes
	// Health looks at every part of the hub; Ready at those without which it must
	// not get traffic.
	Health  func(context.Context) []Part
	Ready   func(context.Context) []Part
	Metrics http.Handler
	Log     *zap.Logger
}

// Server is the HTTP server.
type Server struct {
	echo   *echo.Echo
	server *http.Server
	log    *zap.Logger
	addr   net.Addr
	failed chan error
}

// New makes a Server.
func New(opts Options) *Server {
	if opts.MaxLine == 0 {
		opts.MaxLine = 1 << 20
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = problems(opts.Log)
	// Addresses of senders behind a proxy are taken from its header only when the
	// proxy stands in a private network.
	e.IPExtractor = echo.ExtractIPFromXFFHeader()
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableStackAll: true,
		LogErrorFunc: func(c echo.Context, err error, stack []byte) error {
			opts.Log.Error("a handler failed", zap.String("route", c.Path()), zap.Error(err), zap.ByteString("stack", stack))
			return err
		},
	}))
	for _, r := range opts.Routes {
		r.Register(e)
	}
	// Alive is not ready: a process that can still take webhooks is not to be
	// killed because Redis is away.
	e.GET("/healthz", func(c echo.Context) error { return health(c, opts.Health(c.Request().Context()), http.StatusOK) })
	e.GET("/readyz", func(c echo.Context) error {
		return health(c, opts.Ready(c.Request().Context()), http.StatusServiceUnavailable)
	})
	e.GET("/metrics", echo.WrapHandler(opts.Metrics))
	if len(opts.Routes) == 0 {
		return finish(e, opts)
	}
	e.GET("/", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/console/") })
	return finish(e, opts)
}

func finish(e *echo.Echo, opts Options) *Server {
	s := &Server{echo: e, log: opts.Log, failed: make(chan error, 1)}
	s.server = &http.Server{
		Addr: opts.Listen, Handler: e, MaxHeaderBytes: opts.MaxLine + 256<<10,
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second,
		ErrorLog: zap.NewStdLog(opts.Log.Named("http").WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	return s
}

// health answers with the state of each part; failing is the status when one
// of them does.
func health(c echo.Context, parts []Part, failing int) error {
	status, state := http.StatusOK, "ok"
	for _, p := range parts {
		if p.State != "ok" {
			status, state = failing, "failing"
		}
	}
	return c.JSON(status, map[string]any{"status": state, "parts": parts})
}

// Start listens. It returns once connections are accepted.
func (s *Server) Start() error {
	listener, err := net.Listen("tcp", s.server.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.server.Addr, err)
	}
	s.addr = listener.Addr()
	go func() {
		if err := s.server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.addr }

// Failed gives an error when the server ended by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop takes no new requests and waits for those under way.
func (s *Server) Stop(ctx context.Context) error { return s.server.Shutdown(ctx) }

// Handler is the server's handler, for tests.
func (s *Server) Handler() http.Handler { return s.echo }

// Problem is the shape of our own errors (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// problems renders errors that no handler rendered itself.
func problems(log *zap.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		p := Problem{Type: "about:blank", Status: http.StatusInternalServerError}
		var known *echo.HTTPError
		if errors.As(err, &known) {
			p.Status = known.Code
			if text, ok := known.Message.(string); ok && text != http.StatusText(known.Code) {
				p.Detail = text
			}
		} else {
			// Its text is for the operator, not for whoever asked.
			log.Error("request failed", zap.String("route", c.Path()), zap.Error(err))
			p.Detail = "The hub could not do this; its log says why."
		}
		p.Title = http.StatusText(p.Status)
		c.Response().Header().Set(echo.HeaderContentType, "application/problem+json")
		if c.Request().Method == http.MethodHead {
			_ = c.NoContent(p.Status)
			return
		}
		if strings.HasPrefix(c.Path(), "/hooks/") && p.Status == http.StatusNotFound {
			_ = c.NoContent(p.Status)
			return
		}
		c.Response().WriteHeader(p.Status)
		_ = c.Echo().JSONSerializer.Serialize(c, p, "")
	}
}
