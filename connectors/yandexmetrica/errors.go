package yandexmetrica

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// answer is Metrica's error body (yandex-metrica §3.1). Texts are localised and
// unstable: decisions go by errors[].error_type and the HTTP status only.
type answer struct {
	Errors []struct {
		Type     string `json:"error_type"`
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
	Message string `json:"message"`
}

func (a answer) has(types ...string) bool {
	for _, e := range a.Errors {
		for _, t := range types {
			if e.Type == t {
				return true
			}
		}
	}
	return false
}

// quota gives the first quota_* type, or "".
func (a answer) quota() string {
	for _, e := range a.Errors {
		if strings.HasPrefix(e.Type, "quota_") {
			return e.Type
		}
	}
	return ""
}

// texts are the reasons in Metrica's words, fit to be shown.
func (a answer) texts() []string {
	var out []string
	for _, e := range a.Errors {
		text := e.Type
		if e.Message != "" {
			text += ": " + e.Message
		}
		if e.Location != "" {
			text += " (" + e.Location + ")"
		}
		out = append(out, redact(text))
	}
	if len(out) == 0 && a.Message != "" {
		out = append(out, redact(a.Message))
	}
	return out
}

// readAnswer reads an error body. Gateways answer HTML: then nothing is known
// but the status.
func readAnswer(body []byte) answer {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}
	}
	return a
}

var (
	mailLike   = regexp.MustCompile(`[^\s"'<>,;:=]+@[^\s"'<>,;]+`)
	numberLike = regexp.MustCompile(`\+?\d[\d() -]{8,}\d`)
)

const maxReason = 300

// redact takes personal data out of a text that the other side wrote: it quotes
// cells.
func redact(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = mailLike.ReplaceAllString(text, "<e-mail>")
	text = numberLike.ReplaceAllString(text, "<number>")
	if r := []rune(text); len(r) > maxReason {
		text = string(r[:maxReason]) + "…"
	}
	return text
}

func said(a answer, body []byte) string {
	if t := a.texts(); len(t) > 0 {
		return strings.Join(t, "; ")
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return "a page instead of an answer"
	}
	return "no reason given"
}

// classify turns an answer into an error by the tables of §3.1 and §3.3, or into
// nil. what names the attempt: "read the counter".
func (c *Connector) classify(resp outbound.Response, what string) *model.Error {
	if resp.Status >= 200 && resp.Status < 300 {
		c.streak.Store(0)
		return nil
	}
	a := readAnswer(resp.Body)
	text := said(a, resp.Body)
	fail := func(class model.Class, cause model.Cause, advice string) *model.Error {
		return model.Errorf(class, cause, "%s: Metrica answered %d: %s%s", what, resp.Status, text, advice)
	}
	if q := a.quota(); q != "" || resp.Status == 420 || resp.Status == http.StatusTooManyRequests {
		e := fail(model.ClassQuota, model.CauseQuota, "; the work goes on by itself later")
		e.RetryAt = c.quotaUntil(q, resp)
		return e
	}
	switch {
	case a.has("invalid_token", "unauthorized") || resp.Status == http.StatusUnauthorized:
		return fail(model.ClassReauth, model.CauseAuth, "; issue a new token for counter "+c.Counter)
	case a.has("access_denied", "counter_in_connect") || resp.Status == http.StatusForbidden:
		return fail(model.ClassReauth, model.CauseForbidden,
			"; give the token's owner edit rights on counter "+c.Counter+" and the token the scope metrika:write")
	case a.has("backend_error", "timeout"):
		return fail(model.ClassTemporary, model.CauseRemoteFailure, "")
	case resp.Status == http.StatusNotFound:
		return fail(model.ClassPermanent, model.CauseNotFound, "; check the number of counter "+c.Counter)
	case resp.Status < 200, resp.Status == http.StatusServiceUnavailable, resp.Status >= 500,
		resp.Status == http.StatusRequestTimeout, resp.Status == http.StatusTooEarly:
		e := fail(model.ClassTemporary, model.CauseRemoteFailure, "")
		e.RetryAt = retryAfter(resp.Header, c.now())
		return e
	case resp.Status >= 300 && resp.Status < 400:
		return fail(model.ClassPermanent, model.CauseRequestRejected, "; a redirect: check the url of the connection")
	}
	return fail(model.ClassPermanent, model.CauseRequestRejected, "")
}

// quotaUntil says when a quota is free again (§3.2, §3.3).
func (c *Connector) quotaUntil(quota string, resp outbound.Response) time.Time {
	now := c.now()
	if at := retryAfter(resp.Header, now); !at.IsZero() {
		return at
	}
	switch {
	case dayQuota(quota):
		return nextMidnight(now).Add(rand.N(10 * time.Minute))
	case quota == "quota_requests_by_ip":
		return now.Add(time.Second + rand.N(2*time.Second))
	case strings.HasPrefix(quota, "quota_parallel"):
		return now.Add(time.Second + rand.N(4*time.Second))
	}
	n := min(c.streak.Add(1), 6)
	return now.Add(min(5*time.Minute, 5*time.Second<<n) + rand.N(5*time.Second))
}

func dayQuota(quota string) bool {
	return strings.HasPrefix(quota, "quota_requests_by_uid") || strings.HasPrefix(quota, "quota_requests_by_counter_id")
}

func nextMidnight(now time.Time) time.Time {
	y, m, d := now.UTC().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
}

// retryAfter honours a header that no document promises.
func retryAfter(h http.Header, now time.Time) time.Time {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return time.Time{}
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n <= 7*24*3600 {
		return now.Add(time.Duration(n) * time.Second)
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at
	}
	return time.Time{}
}
