package yandexmetrica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// exchanger is the part of outbound.Client that is used here.
type exchanger interface {
	Do(context.Context, outbound.Request) (outbound.Response, error)
}

// request is one call of the API.
type request struct {
	what        string // for errors: "read the counter"
	method      string
	path        string
	query       url.Values
	contentType string
	body        func() io.Reader // nil: no body; called once per attempt
	size        int64
	timeout     time.Duration
}

// do performs one call within the quotas. Answers other than 2xx are errors; the
// answer is given with them, so that a caller may know better.
func (c *Connector) do(ctx context.Context, r request) (outbound.Response, error) {
	token, err := c.token(ctx, "")
	if err != nil {
		return outbound.Response{}, err
	}
	resp, err := c.exchange(ctx, r, token)
	if err != nil {
		return resp, err
	}
	// An application's token may have been revoked or renewed elsewhere. A pasted
	// one cannot be renewed.
	if resp.Status == http.StatusUnauthorized && c.OAuth != nil {
		if token, err = c.token(ctx, token); err != nil {
			return resp, err
		}
		if resp, err = c.exchange(ctx, r, token); err != nil {
			return resp, err
		}
	}
	if e := c.classify(resp, r.what); e != nil {
		if e.Class == model.ClassQuota && strings.HasPrefix(r.path, reportsPath) {
			return resp, c.pauseReports(ctx, resp, e)
		}
		if err := c.pause(ctx, resp, e.RetryAt); err != nil {
			return resp, err
		}
		return resp, e
	}
	return resp, nil
}

func (c *Connector) exchange(ctx context.Context, r request, token model.Secret) (outbound.Response, error) {
	release, err := c.admit(ctx)
	if err != nil {
		return outbound.Response{}, err
	}
	defer release()
	c.countRequest(ctx)

	query := url.Values{}
	for k, v := range r.query {
		query[k] = v
	}
	if c.ULogin != "" {
		query.Set("ulogin", c.ULogin)
	}
	address := c.URL + r.path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	out := outbound.Request{
		Method:  r.method,
		URL:     address,
		Header:  http.Header{"Authorization": {"OAuth " + token.Reveal()}, "Accept": {"application/json"}},
		Timeout: r.timeout,
	}
	if r.body != nil {
		out.Body, out.ContentLength = r.body(), r.size
		out.Header.Set("Content-Type", r.contentType)
	}
	resp, err := c.http.Do(ctx, out)
	if err != nil {
		return resp, fmt.Errorf("%s: %w", r.what, err)
	}
	resp.Body = without(resp.Body, token)
	return resp, nil
}

// without takes secrets out of an answer that repeats the request: parts of
// answers are shown.
func without(body []byte, secrets ...model.Secret) []byte {
	for _, secret := range secrets {
		if text := []byte(secret.Reveal()); len(text) > 0 && bytes.Contains(body, text) {
			body = bytes.ReplaceAll(body, text, []byte("…"))
		}
	}
	return body
}

// The names of limits. The process-wide one is the address's (§3.2), which all
// our connections share.
const (
	addressKey      = "metrica:address"
	perSecond       = 8 // of 30 (§3.3)
	parallel        = 2 // of 3: one slot is left to other software of the login
	dailyReserve    = 5 // a fifth of the day's budget is left (§14.7)
	dailyBurst      = 300
	answerTimeout   = 65 * time.Second
	fullDay         = 24 * time.Hour
	parallelKeyName = "metrica:parallel:"
)

func (c *Connector) dayKey() string     { return "metrica:day:" + c.login }
func (c *Connector) counterKey() string { return "metrica:counter:" + c.Counter }

// admit waits until the quotas of §3.2 have room for one more call.
func (c *Connector) admit(ctx context.Context) (release func(), err error) {
	if c.limiter == nil {
		return func() {}, nil
	}
	rate := c.dailyLimit()
	day := connectors.Limit{Rate: rate, Period: fullDay, Burst: min(dailyBurst, rate)}
	if err := c.limiter.Wait(ctx, c.counterKey(), day); err != nil {
		return nil, err
	}
	if err := c.limiter.Wait(ctx, c.dayKey(), day); err != nil {
		return nil, err
	}
	release, err = c.limiter.Acquire(ctx, parallelKeyName+c.login, parallel)
	if err != nil {
		return nil, err
	}
	if err := c.limiter.Wait(ctx, addressKey, connectors.Limit{Rate: perSecond, Period: time.Second, Burst: perSecond}); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

// pause holds back all workers when a quota that they share is used up.
func (c *Connector) pause(ctx context.Context, resp outbound.Response, until time.Time) error {
	if until.IsZero() {
		return nil
	}
	quota := readAnswer(resp.Body).quota()
	switch {
	case strings.HasPrefix(quota, "quota_requests_by_uid"):
		c.usage.block(quotaDay, until)
	case strings.HasPrefix(quota, "quota_requests_by_counter_id"):
		c.usage.block(quotaCounter, until)
	}
	if c.limiter == nil {
		return nil
	}
	switch {
	case strings.HasPrefix(quota, "quota_requests_by_uid"):
		return c.limiter.Pause(ctx, c.dayKey(), until)
	case strings.HasPrefix(quota, "quota_requests_by_counter_id"):
		return c.limiter.Pause(ctx, c.counterKey(), until)
	case quota == "quota_requests_by_ip":
		return c.limiter.Pause(ctx, addressKey, until)
	}
	return nil
}

// get reads a JSON answer.
func (c *Connector) get(ctx context.Context, what, path string, query url.Values, into any) error {
	resp, err := c.do(ctx, request{what: what, method: http.MethodGet, path: path, query: query, timeout: answerTimeout})
	if err != nil {
		return err
	}
	// A list that is missing from an error would read as an empty one.
	if bytes.Contains(resp.Body, []byte(`"errors"`)) {
		if a := readAnswer(resp.Body); len(a.Errors) > 0 {
			return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "%s: Metrica answered %d with an error: %s", what, resp.Status, said(a, resp.Body))
		}
	}
	if err := json.Unmarshal(resp.Body, into); err != nil {
		return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "%s: Metrica's answer of %d bytes is not the JSON that was expected", what, len(resp.Body))
	}
	return nil
}

// post sends JSON to a call that may be repeated without harm; so a lost answer
// is a temporary failure. A 409 is tried once more (§3.1).
func (c *Connector) post(ctx context.Context, what, path string, query url.Values, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	r := request{
		what: what, method: http.MethodPost, path: path, query: query,
		contentType: "application/json", body: func() io.Reader { return strings.NewReader(string(data)) }, size: int64(len(data)),
		timeout: answerTimeout,
	}
	resp, err := c.do(ctx, r)
	if err != nil && resp.Status == http.StatusConflict {
		_, err = c.do(ctx, r)
	}
	var e *model.Error
	if errors.As(err, &e) && e.Class == model.ClassUnknown {
		return model.Errorf(model.ClassTemporary, model.CauseNetwork, "%s: no answer: %w", what, err)
	}
	return err
}

func (c *Connector) cdpPath(rest string) string {
	return "/cdp/api/v1/counter/" + c.Counter + rest
}
