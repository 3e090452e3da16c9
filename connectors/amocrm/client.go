package amocrm

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// requestTime is what the system's own client grants an exchange (amocrm §1).
const requestTime = 20 * time.Second

// query is a query string. Brackets stay as they are: 250 ids with encoded ones
// would not fit into the 8 KB that a front server takes for a request line.
type query struct{ text strings.Builder }

func (q *query) add(name, value string) *query {
	if q.text.Len() > 0 {
		q.text.WriteByte('&')
	}
	q.text.WriteString(name)
	q.text.WriteByte('=')
	q.text.WriteString(url.QueryEscape(value))
	return q
}

// request is one call of the API.
type request struct {
	method string
	path   string // below /api/v4
	query  *query
	body   []byte
	// creates: repeating it would make things twice, so a failure after the
	// request has left is an unknown outcome (amocrm §4.3).
	creates bool
}

// get reads into a value; found is false for 204, which says "an empty list" and
// "no such thing" alike (amocrm §4.2).
func (c *Connector) get(ctx context.Context, path string, q *query, into any) (found bool, err error) {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: path, query: q})
	if err != nil {
		return false, err
	}
	if resp.Status == http.StatusNoContent || len(bytes.TrimSpace(resp.Body)) == 0 {
		return false, nil
	}
	return true, decode(resp.Body, into)
}

func decode(body []byte, into any) error {
	if err := loosejson.Unmarshal(body, into); err != nil {
		return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure,
			"amoCRM answered something else than the expected JSON; it is asked again: %w", err)
	}
	return nil
}

// do makes one call with the account's limits, token and address. It follows the
// account to a new address and renews a token, each at most once.
func (c *Connector) do(ctx context.Context, r request) (outbound.Response, error) {
	token, err := c.token(ctx)
	if err != nil {
		return outbound.Response{}, err
	}
	base, err := c.base(ctx)
	if err != nil {
		return outbound.Response{}, err
	}
	renewed, moved := false, false
	for {
		resp, err := c.exchange(ctx, base, token, r)
		if err != nil {
			return resp, err
		}
		switch {
		case resp.Status == http.StatusUnauthorized && !renewed:
			renewed = true
			if token, err = c.renew(ctx, base, token); err != nil {
				return resp, err
			}
			if base, err = c.base(ctx); err != nil { // a refusal may have shown that the account moved
				return resp, err
			}
			continue
		case resp.Status == http.StatusNotFound && !moved:
			moved = true
			if to := c.movedTo(ctx, base, http.Header{"Authorization": {"Bearer " + token.Access.Reveal()}}, token.Access); to != base {
				base = to
				continue
			}
		}
		return resp, c.judge(ctx, r, resp)
	}
}

func (c *Connector) exchange(ctx context.Context, base string, token connectors.Token, r request) (outbound.Response, error) {
	if err := c.wait(ctx); err != nil {
		return outbound.Response{}, err
	}
	address := base + "/api/v4" + r.path
	if r.query != nil && r.query.text.Len() > 0 {
		address += "?" + r.query.text.String()
	}
	out := outbound.Request{Method: r.method, URL: address, Timeout: requestTime, Header: http.Header{
		"Accept":        {"application/hal+json, application/json"},
		"Authorization": {"Bearer " + token.Access.Reveal()},
	}}
	if r.body != nil {
		out.Header.Set("Content-Type", "application/json")
		out.Body = bytes.NewReader(r.body)
	}
	return c.deps.HTTP.Do(ctx, out)
}

// limiterKey names the account's limit. It keeps the configured address although
// the account may move, so that all workers mean the same.
func (c *Connector) limiterKey() string {
	u, err := parseBase(c.cfg.URL)
	if err != nil {
		return Kind
	}
	return Kind + ":" + strings.ToLower(u.Host)
}

// wait keeps the rate. The burst is what is left between the rate and the
// account's 7 requests in any second (amocrm §4.1): a larger one would break that
// limit in the second after a pause.
func (c *Connector) wait(ctx context.Context) error {
	return c.deps.Limiter.Wait(ctx, c.limiterKey(), connectors.Limit{
		Rate: c.cfg.Rate, Period: time.Second, Burst: max(1, maxRate-c.cfg.Rate),
	})
}

// judge turns an answer into an error, and pauses the account for all workers
// when the system says so.
func (c *Connector) judge(ctx context.Context, r request, resp outbound.Response) error {
	now := c.deps.Now()
	e := classify(resp, now)
	c.mu.Lock()
	if resp.Status == http.StatusTooManyRequests {
		c.limited++
	} else {
		c.limited = 0
	}
	limited := c.limited
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	if resp.Status == http.StatusTooManyRequests {
		if at := now.Add(pauseAfter(limited)); at.After(e.RetryAt) {
			e.RetryAt = at
		}
	}
	if e.Class == model.ClassQuota && resp.Status != http.StatusPaymentRequired {
		if err := c.deps.Limiter.Pause(ctx, c.limiterKey(), e.RetryAt); err != nil {
			c.deps.Log.Warn("pause not stored", logError(err))
		}
	}
	if r.creates && resp.Status >= 500 {
		e.Class = model.ClassUnknown
	}
	return e
}

// pauseAfter is 1, 2, 4 … 60 s (amocrm §4.1).
func pauseAfter(inRow int) time.Duration {
	if inRow > 6 {
		return time.Minute
	}
	return time.Second << max(0, inRow-1)
}

// Waits that the system does not name itself (amocrm §4.1, §4.3).
const (
	blockedFor = 15 * time.Minute
	unpaidFor  = time.Hour
)

// classify is the table of amocrm §4.3.
func classify(resp outbound.Response, now time.Time) *model.Error {
	fail := func(class model.Class, cause model.Cause, retryAt time.Time, message string) *model.Error {
		return &model.Error{Class: class, Cause: cause, Message: message, RetryAt: retryAt}
	}
	never := time.Time{}
	switch status := resp.Status; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusBadRequest:
		return fail(model.ClassPermanent, model.CauseRequestRejected, never, "amoCRM refused the request"+explain(resp.Body))
	case status == http.StatusUnauthorized:
		return fail(model.ClassReauth, model.CauseAuth, never,
			"amoCRM does not accept the token: connect the account again, or put a new long-lived token into the configuration")
	case status == http.StatusPaymentRequired:
		return fail(model.ClassQuota, model.CauseQuota, now.Add(unpaidFor),
			"the amoCRM account is not paid; it is tried again every hour")
	case status == http.StatusForbidden && !isJSON(resp):
		return fail(model.ClassQuota, model.CauseQuota, now.Add(blockedFor),
			"amoCRM blocks all requests of this address because of too many requests; nothing is sent for 15 minutes. If it goes on, write to amoCRM's support")
	case status == http.StatusForbidden:
		return fail(model.ClassPermanent, model.CauseForbidden, never,
			"the token lacks a right: the integration must be connected by an administrator and have access to the account's data")
	case status == http.StatusNotFound:
		return fail(model.ClassPermanent, model.CauseNotFound, never,
			"amoCRM does not know the address: check url, and whether the account still exists")
	case status == http.StatusUnprocessableEntity:
		return fail(model.ClassPermanent, model.CauseRequestRejected, never,
			"amoCRM cannot do this in the account's present state: a function is switched off, or a limit of the plan is reached"+explain(resp.Body))
	case status == http.StatusTooManyRequests:
		return fail(model.ClassQuota, model.CauseQuota, retryAfter(resp, now), "amoCRM asks to slow down")
	case status >= 300 && status < 400:
		return fail(model.ClassTemporary, model.CauseRemoteFailure, never,
			"amoCRM answered with a redirect: check that url is the account's own host")
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500, status < 200:
		return fail(model.ClassTemporary, model.CauseRemoteFailure, retryAfter(resp, now), "amoCRM has a failure of its own")
	}
	return fail(model.ClassPermanent, model.CauseRequestRejected, never, "amoCRM refused the request"+explain(resp.Body))
}

func isJSON(resp outbound.Response) bool {
	body := bytes.TrimSpace(resp.Body)
	return len(body) > 0 && (body[0] == '{' || body[0] == '[') && json.Valid(body)
}

// retryAfter reads the header, or the member of the body that Kommo shows in its
// examples; neither is sure (amocrm §11.10).
func retryAfter(resp outbound.Response, now time.Time) time.Time {
	seconds := loosejson.Int{}
	if text := resp.Header.Get("Retry-After"); text != "" {
		if at, err := http.ParseTime(text); err == nil {
			return at
		}
		_ = json.Unmarshal([]byte(`"`+strings.Trim(text, `" \`)+`"`), &seconds)
	} else if isJSON(resp) {
		var body struct {
			RetryAfter loosejson.Int `json:"retry_after"`
		}
		_ = json.Unmarshal(resp.Body, &body)
		seconds = body.RetryAfter
	}
	if seconds.Value <= 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(min(seconds.Value, 3600)) * time.Second)
}

// problem is a body of application/problem+json (amocrm §4.3).
type problem struct {
	Errors loosejson.List[struct {
		RequestID loosejson.Text `json:"request_id"`
		Errors    loosejson.List[struct {
			Code loosejson.Text `json:"code"`
			Path loosejson.Text `json:"path"`
		}] `json:"errors"`
	}] `json:"validation-errors"`
}

// refusals gives per request_id what was wrong with the element.
func refusals(body []byte) map[string]string {
	var p problem
	if loosejson.Unmarshal(body, &p) != nil {
		// One element's errors may come as an object instead of a list.
		var single struct {
			Errors struct {
				RequestID loosejson.Text  `json:"request_id"`
				Errors    json.RawMessage `json:"errors"`
			} `json:"validation-errors"`
		}
		if loosejson.Unmarshal(body, &single) != nil || len(single.Errors.Errors) == 0 {
			return nil
		}
		wrapped := []byte(`{"validation-errors":[{"request_id":"","errors":` + string(single.Errors.Errors) + `}]}`)
		if loosejson.Unmarshal(wrapped, &p) != nil || len(p.Errors) == 0 {
			return nil
		}
		p.Errors[0].RequestID = single.Errors.RequestID
	}
	out := make(map[string]string, len(p.Errors))
	for _, one := range p.Errors {
		var parts []string
		for _, e := range one.Errors {
			parts = append(parts, plain(string(e.Code))+" at "+plain(string(e.Path)))
		}
		out[string(one.RequestID)] = strings.Join(parts, ", ")
	}
	return out
}

func explain(body []byte) string {
	for _, reason := range refusals(body) {
		if reason != "" {
			return ": " + reason
		}
	}
	return ""
}

// plain lets names of codes and paths through and nothing that could be data.
func plain(text string) string {
	if len(text) > 80 {
		return "?"
	}
	letters := strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
	for _, r := range text {
		if !letters && (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("._-[]", r) {
			return "?"
		}
	}
	return text
}
