// Package outbound is the only way in which the hub calls other systems over
// HTTP. It guards the addresses that may be dialled, bounds time and size, never
// follows a redirect by itself, and classifies what went wrong.
package outbound

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/svod-hub/svod/model"
)

// Options configure a Client.
type Options struct {
	// Allow lists networks that may be dialled although they are private: on-premise
	// CRMs, sandboxes. Everything public is allowed anyway.
	Allow []netip.Prefix
	// UserAgent defaults to "Svod".
	UserAgent string
	// Timeout bounds a whole exchange unless the request says otherwise. Defaults
	// to 65 s.
	Timeout time.Duration
	// MaxAnswer bounds the size of an answer's body in bytes. Defaults to 64 MiB.
	MaxAnswer int64
	// Observe, when set, is told about every exchange; for metrics.
	Observe func(Exchange)
}

// Exchange is what Observe learns. It holds no path and no query: these may
// carry secrets.
type Exchange struct {
	Host   string
	Method string
	Status int // 0 when there was no answer
	Took   time.Duration
	Err    error
}

// Client calls other systems.
type Client struct {
	opts Options
	http *http.Client
}

// Request is one call.
type Request struct {
	Method string // defaults to GET
	URL    string
	Header http.Header
	// Body may be nil. ContentLength must be given with it unless it is a
	// *bytes.Reader, *bytes.Buffer or *strings.Reader.
	Body          io.Reader
	ContentLength int64
	Timeout       time.Duration // defaults to the client's
	MaxAnswer     int64         // defaults to the client's
}

// Response is a whole answer. A redirect is an answer like any other.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// New makes a client.
func New(opts Options) *Client {
	panic("not written yet")
}

// Do performs one exchange. Without an answer the error is a *model.Error:
// ClassTemporary when the request surely did not reach the other side,
// ClassUnknown when it may have (for GET and HEAD always ClassTemporary),
// ClassPermanent with CauseAddressForbidden when the guard refused. No error
// text holds the URL's path, query or user info. An answer of any status is not
// an error here; see Classify.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	panic("not written yet")
}

// Classify turns an answer's status into an error by the common table: nil for
// 2xx, ClassReauth for 401, ClassPermanent for other 4xx (403 with
// CauseForbidden, 404 with CauseNotFound), ClassQuota with RetryAt for 420 and
// 429 and for 503 with Retry-After, ClassTemporary for 408, 425 and 5xx. A
// connector asks its own table first.
func Classify(resp Response, now time.Time) *model.Error {
	panic("not written yet")
}
