// Package outbound is the only way in which the hub calls other systems over
// HTTP. It guards the addresses that may be dialled, bounds time and size, never
// follows a redirect by itself, and classifies what went wrong.
package outbound

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"time"

	"github.com/svod-hub/svod/model"
)

// Options configure a Client.
type Options struct {
	// Allow lists networks that may be dialled although they are private: on-premise
	// CRMs, sandboxes. Everything public is allowed anyway. Loopback is opened only by
	// networks inside 127.0.0.0/8 or by ::1/128, and link-local addresses, where
	// clouds keep their metadata, only one by one: a wide network such as 0.0.0.0/0
	// opens neither.
	Allow []netip.Prefix
	// Proxy, when set, is used for every call; the environment is never asked. The
	// guard sees the proxy only, so the proxy must refuse private addresses itself.
	Proxy *url.URL
	// RootCAs are the trusted authorities. Defaults to the system's.
	RootCAs *x509.CertPool
	// UserAgent defaults to "Svod".
	UserAgent string
	// Timeout bounds a whole exchange unless the request says otherwise. Defaults
	// to 65 s.
	Timeout time.Duration
	// MaxAnswer bounds the size of an answer's body in bytes, after decompression.
	// Defaults to 64 MiB.
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
	opts   Options
	http   *http.Client
	dialer *dialer
}

// Request is one call.
type Request struct {
	Method string // defaults to GET
	URL    string
	Header http.Header
	// Body may be nil. ContentLength must be given with it unless it is a
	// *bytes.Reader, *bytes.Buffer, *strings.Reader or *io.SectionReader.
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

const (
	connectTimeout = 10 * time.Second // for all addresses of a host together
	tlsTimeout     = 10 * time.Second
)

// New makes a client.
func New(opts Options) *Client {
	opts.MaxAnswer = cmp.Or(opts.MaxAnswer, 64<<20)
	opts.Timeout = cmp.Or(opts.Timeout, 65*time.Second)
	opts.UserAgent = cmp.Or(opts.UserAgent, "Svod")
	d := newDialer(opts)
	transport := &http.Transport{
		DialContext:            d.dial,
		ForceAttemptHTTP2:      true, // a dialer of our own would switch it off
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: 256 << 10,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opts.RootCAs},
		TLSHandshakeTimeout:    tlsTimeout,
	}
	if opts.Proxy != nil {
		transport.Proxy = http.ProxyURL(opts.Proxy)
	}
	return &Client{
		opts:   opts,
		dialer: d,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// CloseIdle closes the connections that are kept for later calls.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// Do performs one exchange. Without an answer the error is a *model.Error:
// ClassTemporary when the request surely did not reach the other side as a whole,
// ClassUnknown when it may have (for GET and HEAD always ClassTemporary),
// ClassPermanent with CauseAddressForbidden when the guard refused. No error
// text holds the URL's path, query or user info. An answer of any status is not
// an error here; see Classify.
//
// An answer that breaks off or is longer than the limit is no answer
// (CauseRemoteFailure), unless its status tells of a failure anyway: then it is
// returned with as much of its body as there was.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	r.Method = cmp.Or(r.Method, http.MethodGet)
	r.MaxAnswer = cmp.Or(r.MaxAnswer, c.opts.MaxAnswer)
	r.Timeout = cmp.Or(r.Timeout, c.opts.Timeout)
	target, err := parseTarget(r.URL)
	if err != nil {
		return Response{}, err
	}
	started := time.Now()
	resp, err := c.exchange(ctx, r, target)
	if c.opts.Observe != nil {
		c.opts.Observe(Exchange{Host: target.Host, Method: r.Method, Status: resp.Status, Took: time.Since(started), Err: err})
	}
	if err != nil {
		return Response{}, err
	}
	return resp, nil
}

func parseTarget(raw string) (*url.URL, error) {
	// url.Parse's error holds the URL.
	target, err := url.Parse(raw)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue,
			"the address to call is not a URL that begins with https:// or http:// and a host")
	}
	return target, nil
}

// exchange returns the status also together with an error, for Observe.
func (c *Client) exchange(caller context.Context, r Request, target *url.URL) (Response, error) {
	ctx, cancel := context.WithTimeoutCause(caller, r.Timeout, errTimeout)
	defer cancel()
	sent := &progress{}
	defer sent.detach()
	req, err := c.request(httptrace.WithClientTrace(ctx, sent.trace()), r, target, sent)
	if err != nil {
		return Response{}, err
	}
	failed := func(err error) error {
		return failure{caller: caller, ctx: ctx, request: r, host: target.Host, sent: sent}.classify(err)
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return Response{}, failed(err)
	}
	defer answer.Body.Close()
	resp := Response{Status: answer.StatusCode, Header: answer.Header}
	resp.Body, err = readAnswer(answer, r.MaxAnswer)
	if err != nil && resp.Status < 400 {
		return resp, failed(err)
	}
	return resp, nil
}

func (c *Client) request(ctx context.Context, r Request, target *url.URL, sent *progress) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, "", nil)
	if err != nil {
		return nil, model.Errorf(model.ClassPermanent, model.CauseBadValue, "%q is not an HTTP method", r.Method)
	}
	if c.opts.Proxy != nil {
		// The proxy hides literal addresses from the dialer.
		if addr, err := netip.ParseAddr(target.Hostname()); err == nil {
			if err := c.dialer.guard.check(target.Host, addr); err != nil {
				return nil, err
			}
		}
	}
	req.URL, req.Host = target, target.Host
	req.Header = r.Header.Clone()
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.opts.UserAgent)
	}
	if r.Body == nil {
		return req, nil
	}
	open, size, err := openBody(r.Body, r.ContentLength)
	if err != nil {
		return nil, err
	}
	if req.ContentLength = size; size == 0 {
		req.Body = http.NoBody
		return req, nil
	}
	sent.size = size
	req.Body = sent.body(r.Body)
	if open != nil {
		req.GetBody = func() (io.ReadCloser, error) { return sent.body(open()), nil }
	}
	return req, nil
}

// readAnswer reads at most limit bytes, and all of them even when there are more.
func readAnswer(answer *http.Response, limit int64) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(int(min(max(answer.ContentLength, 0), limit, 1<<20)) + bytes.MinRead)
	_, err := buf.ReadFrom(io.LimitReader(answer.Body, limit+1))
	if int64(buf.Len()) > limit {
		return buf.Bytes()[:limit], errTooLong
	}
	return buf.Bytes(), err
}
