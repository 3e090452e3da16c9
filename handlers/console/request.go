package console

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/svod-hub/svod/handlers/view"
	"github.com/svod-hub/svod/store"
)

// maxForm bounds the body of a posted form.
const maxForm = 64 << 10

// request is one request with what the handlers need to know about it.
type request struct {
	echo.Context
	console  *Console
	language *language
	session  store.Session // zero when nobody is signed in
	project  *view.Project // of the path, if it names one
}

type handler func(*request) error

// refusal ends a request with a page that explains itself.
type refusal struct {
	status int
	key    string // of the catalogue
	retry  time.Duration
}

func (r *refusal) Error() string { return r.key }

// open serves pages that need no sign-in.
func (c *Console) open(h handler) echo.HandlerFunc {
	return func(ctx echo.Context) error {
		r := &request{Context: ctx, console: c, language: c.languages.choose(ctx.Request())}
		c.headers(ctx.Response().Header())
		if err := c.guard(r); err != nil {
			return r.fail(err)
		}
		if err := h(r); err != nil {
			return r.fail(err)
		}
		return nil
	}
}

// signedIn serves pages for operators; others are sent to the sign-in page.
func (c *Console) signedIn(h handler) echo.HandlerFunc {
	return c.open(func(r *request) error {
		session, err := c.currentSession(r)
		if errors.Is(err, store.ErrNotFound) {
			return r.toSignIn()
		}
		if err != nil {
			return err
		}
		r.session = session
		if unsafeMethod(r.Request().Method) && !r.underQueues() && !equal(r.FormValue("csrf"), session.CSRF) {
			return &refusal{status: http.StatusForbidden, key: "error.csrf"}
		}
		return h(r)
	})
}

// inProject finds the project of the path.
func (c *Console) inProject(h handler) handler {
	return func(r *request) error {
		id := r.Param("project")
		for i := range c.opts.Projects {
			if c.opts.Projects[i].ID == id {
				r.project = &c.opts.Projects[i]
				return h(r)
			}
		}
		return store.ErrNotFound
	}
}

// guard refuses posts from other sites and large forms before anything is read.
func (c *Console) guard(r *request) error {
	if !unsafeMethod(r.Request().Method) {
		return nil
	}
	if err := c.origins.Check(r.Request()); err != nil {
		return &refusal{status: http.StatusForbidden, key: "error.csrf"}
	}
	if r.underQueues() {
		return nil
	}
	r.Request().Body = http.MaxBytesReader(r.Response(), r.Request().Body, maxForm)
	if err := r.Request().ParseForm(); err != nil {
		return &refusal{status: http.StatusBadRequest, key: "error.form"}
	}
	return nil
}

func (r *request) underQueues() bool {
	return strings.HasPrefix(r.Request().URL.Path, "/console/queues/")
}

func unsafeMethod(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// policy lets a page load its own style, script and pictures and nothing else.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (c *Console) headers(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not "no-referrer": browsers would then send "Origin: null" with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
	h.Set("Cache-Control", "no-store")
}

// at gives an address inside the request's project.
func (r *request) at(path string) string { return "/console/p/" + r.project.ID + path }

// done leads back to a page after a post, with a notice.
func (r *request) done(path, notice string, args ...string) error {
	q := url.Values{"done": {notice}}
	if len(args) > 0 {
		q["n"] = args
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return r.Redirect(http.StatusSeeOther, path+separator+q.Encode())
}

// toSignIn sends a browser to the sign-in page and lets it come back.
func (r *request) toSignIn() error {
	req := r.Request()
	if req.Method != http.MethodGet || strings.HasPrefix(req.URL.Path, "/console/queues/api/") {
		return &refusal{status: http.StatusUnauthorized, key: "error.signed_out"}
	}
	return r.Redirect(http.StatusSeeOther, "/console/sign-in?"+url.Values{"next": {req.URL.RequestURI()}}.Encode())
}

// localPath lets only addresses inside the console through.
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || strings.ContainsAny(path, "\\\r\n\t") ||
		!strings.HasPrefix(u.Path, "/console/") || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "..") {
		return "/console/"
	}
	return u.RequestURI()
}

// remote is the address that a request came from: the one that the server's
// extractor trusts, else the connection's own. Forwarding headers alone prove
// nothing.
func (r *request) remote() string {
	if extract := r.Echo().IPExtractor; extract != nil {
		return extract(r.Request())
	}
	host, _, err := net.SplitHostPort(r.Request().RemoteAddr)
	if err != nil {
		return r.Request().RemoteAddr
	}
	return host
}

// remoteNetwork is what sign-ins are counted by: an IPv6 customer has a whole
// /64 to himself.
func (r *request) remoteNetwork() string {
	addr, err := netip.ParseAddr(r.remote())
	if err != nil {
		return r.remote()
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}

// note keeps what an operator did. That it could not be kept does not undo it.
func (r *request) note(action, subject string) {
	a := store.Audit{
		At: r.console.opts.Now().UTC(), User: r.session.User, Action: action, Subject: subject, Remote: r.remote(),
	}
	if r.project != nil {
		a.Project = r.project.ID
	}
	if err := r.console.opts.Store.AppendAudit(r.Request().Context(), a); err != nil {
		r.console.opts.Log.Error("cannot write the audit log", zap.String("action", action), zap.Error(err))
	}
}

// fail answers with a page that says what went wrong.
func (r *request) fail(err error) error {
	why := &refusal{}
	switch {
	case errors.As(err, &why):
	case errors.Is(err, store.ErrNotFound):
		why = &refusal{status: http.StatusNotFound, key: "error.not_found"}
	case r.Request().Context().Err() != nil:
		return nil // the browser has gone
	default:
		r.console.opts.Log.Error("console request failed",
			zap.String("method", r.Request().Method), zap.String("route", r.Path()), zap.Error(err))
		why = &refusal{status: http.StatusInternalServerError, key: "error.internal"}
	}
	if r.Response().Committed {
		return nil
	}
	if why.retry > 0 {
		r.Response().Header().Set("Retry-After", seconds(why.retry))
	}
	return r.render(why.status, "error", "error.title", why.key)
}
