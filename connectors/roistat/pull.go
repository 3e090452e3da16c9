package roistat

import (
	"bytes"
	"context"
	"crypto/md5" // the protocol's choice, roistat §2.2
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// retryAfter is what a refused reader is told; Roistat itself comes hourly and
// repeats leads every half an hour (roistat §2.6).
const retryAfter = 10 * time.Minute

// refusal is an answer that is not the wished-for one.
type refusal struct {
	status  int
	cause   model.Cause
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, cause model.Cause, format string, args ...any) *refusal {
	return &refusal{status: status, cause: cause, message: fmt.Sprintf(format, args...)}
}

// call is one authorised request and what is needed to answer it.
type call struct {
	*Connector
	params params
	desk   connectors.Desk
	now    time.Time
}

// Pull answers one request of Roistat. Everything that is not a complete answer
// is an error in Roistat's shape, never a 200 (roistat §2.4).
func (c *Connector) Pull(ctx context.Context, r connectors.PullRequest, desk connectors.Desk) connectors.PullAnswer {
	asXML := false
	value, note, err := func() (any, string, error) {
		p, err := readParams(r)
		asXML = wantsXML(p, r.Accept)
		if err != nil {
			return nil, "", err
		}
		if !c.admits(p, r) {
			return nil, "", refuse(http.StatusUnauthorized, model.CauseAuth,
				"Authorization failed: the user name or the password in the integration's settings is wrong")
		}
		return (&call{Connector: c, params: p, desk: desk, now: c.now()}).dispatch(ctx)
	}()
	if err != nil {
		return c.refused(err, asXML)
	}
	return render(http.StatusOK, value, asXML, note)
}

// dispatch does what the request asks for. One address serves all three fields
// of Roistat's settings, so the action decides (roistat §2.1).
func (c *call) dispatch(ctx context.Context) (value any, note string, err error) {
	switch c.params.text("action") {
	case "":
		return c.legacy(ctx)
	case "import_scheme":
		return c.importScheme(ctx)
	case "export":
		return c.export(ctx)
	case "export_clients":
		return c.exportClients(ctx)
	case "lead":
		return c.lead(ctx)
	case "message":
		return c.message(ctx)
	case "task":
		return c.task(ctx)
	case "call":
		return c.phoneCall(ctx)
	}
	return nil, "", refuse(http.StatusBadRequest, model.CauseUnknownEvent, "No action")
}

// legacy serves set-ups that call without an action and expect scheme and orders
// in one object (roistat §2.4).
func (c *call) legacy(ctx context.Context) (any, string, error) {
	list, note, err := c.orders(ctx)
	if err != nil {
		return nil, "", err
	}
	scheme, err := c.scheme(ctx)
	if err != nil {
		return nil, "", err
	}
	return struct {
		*schemeAnswer
		*ordersAnswer
	}{scheme, list}, "without action: " + note, nil
}

// admits checks who asks: by the token, by Basic, or by both; each that is given
// must be right (roistat §2.2). All comparisons take the same time.
func (c *Connector) admits(p params, r connectors.PullRequest) bool {
	token, given := p["token"]
	if !given && !r.Basic {
		return false
	}
	right := true
	if given {
		sum := md5.Sum([]byte(c.User + c.Password.Reveal()))
		// No short circuit: how far the check came must not show in its time.
		right = same(token, hex.EncodeToString(sum[:])) && right
		right = same(p["user"], c.User) && right
	}
	if r.Basic {
		right = same(r.BasicUser, c.User) && right
		right = same(r.BasicPassword, c.Password.Reveal()) && right
	}
	return right
}

// same compares in a time that tells nothing, not even the lengths.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

type errorAnswer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// refused renders an error. One that nobody made a refusal of means that the
// store or the like failed: the reader comes back later.
func (c *Connector) refused(err error, asXML bool) connectors.PullAnswer {
	var r *refusal
	if !errors.As(err, &r) {
		c.log.Error("pull not answered", zap.String("project", c.deps.Project), zap.String("connection", c.deps.Connection), zap.Error(err))
		r = refuse(http.StatusServiceUnavailable, model.CauseOf(err), "The data cannot be read now, please repeat later")
	}
	answer := render(r.status, errorAnswer{Status: "error", Message: r.message}, asXML, "refused: "+r.message)
	answer.Cause = r.cause
	if r.status == http.StatusServiceUnavailable {
		answer.RetryAfter = retryAfter
	}
	return answer
}

// render writes pure JSON, or the same tree as XML.
func render(status int, value any, asXML bool, note string) connectors.PullAnswer {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil { // can't happen: texts and numbers only
		return connectors.PullAnswer{Status: http.StatusInternalServerError, Cause: model.CauseInternal, Note: err.Error()}
	}
	body, contentType := bytes.TrimSpace(buf.Bytes()), "application/json; charset=utf-8"
	if asXML {
		body, contentType = toXML(body), "application/xml; charset=utf-8"
	}
	return connectors.PullAnswer{Status: status, ContentType: contentType, Body: body, Note: note}
}

func (c *Connector) recall(ctx context.Context, name string) (string, error) {
	if c.deps.Memory == nil {
		return "", nil
	}
	return c.deps.Memory.Recall(ctx, name)
}

func (c *Connector) remember(ctx context.Context, name, value string) error {
	if c.deps.Memory == nil {
		return nil
	}
	return c.deps.Memory.Remember(ctx, name, value)
}
