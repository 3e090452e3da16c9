package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/model"
)

const (
	// quotaPause is how long we wait when a system asks for it without saying how
	// long.
	quotaPause = time.Minute
	// maxPause bounds what Retry-After may ask for; a wrong clock on the other side
	// must not stop a connection for good.
	maxPause = 24 * time.Hour
	// statusEnhanceYourCalm is what Yandex Metrica answers over its quota
	// (yandex-metrica).
	statusEnhanceYourCalm = 420
)

// Classify turns an answer's status into an error by the common table: nil for
// 2xx, ClassReauth for 401, ClassPermanent for other 4xx (403 with
// CauseForbidden, 404 and 410 with CauseNotFound) and for redirects, ClassQuota
// with RetryAt for 420 and 429 and for 503 with Retry-After, ClassTemporary for
// 408, 425 and 5xx. A connector asks its own table first.
func Classify(resp Response, now time.Time) *model.Error {
	retryAt, asked := RetryAfter(resp.Header, now)
	e := &model.Error{Class: model.ClassPermanent, Cause: model.CauseRequestRejected, Message: "the answer is " + statusText(resp.Status)}
	switch s := resp.Status; {
	case s >= 200 && s < 300:
		return nil
	case s >= 300 && s < 400:
		e.Message += ": it sends us elsewhere; edit the address"
	case s == http.StatusUnauthorized:
		e.Class, e.Cause = model.ClassReauth, model.CauseAuth
		e.Message += ": the credentials are refused; give new ones or connect the account again"
	case s == http.StatusForbidden:
		e.Cause = model.CauseForbidden
		e.Message += ": the credentials lack a right"
	case s == http.StatusNotFound, s == http.StatusGone:
		e.Cause = model.CauseNotFound
	case s == statusEnhanceYourCalm, s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable && asked:
		e.Class, e.Cause, e.RetryAt = model.ClassQuota, model.CauseQuota, retryAt
		if !asked {
			e.RetryAt = now.Add(quotaPause)
		}
		e.Message += ": it asks us to wait"
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s >= 500, s < 200:
		e.Class, e.Cause, e.RetryAt = model.ClassTemporary, model.CauseRemoteFailure, retryAt
	}
	return e
}

// RetryAfter reads the Retry-After header, seconds or a date, as a moment of our
// clock: not before now, and at most a day later. ok is false when there is none
// that can be read.
func RetryAfter(header http.Header, now time.Time) (at time.Time, ok bool) {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return time.Time{}, false
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		// Compared so that NaN and infinities end up inside of the bounds.
		if !(seconds > 0) {
			return now, true
		}
		if !(seconds < maxPause.Seconds()) {
			return now.Add(maxPause), true
		}
		return now.Add(time.Duration(seconds * float64(time.Second))), true
	}
	date, err := http.ParseTime(text)
	if err != nil {
		return time.Time{}, false
	}
	// The date is by the other side's clock, which Date tells.
	wait := date.Sub(now)
	if there, err := http.ParseTime(header.Get("Date")); err == nil {
		wait = date.Sub(there)
	}
	return now.Add(min(max(wait, 0), maxPause)), true
}

func statusText(status int) string {
	text := strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	return text
}
