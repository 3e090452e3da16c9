package yandexmetrica

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

func errorBody(status int, kind string) []byte {
	return []byte(fmt.Sprintf(`{"errors":[{"error_type":%q,"message":"text of no use"}],"code":%d,"message":"text"}`, kind, status))
}

// The table of §3.1.
func TestClassify(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status int
		kind   string
		class  model.Class
		cause  model.Cause
	}{
		{400, "invalid_parameter", model.ClassPermanent, model.CauseRequestRejected},
		{400, "invalid_uploading", model.ClassPermanent, model.CauseRequestRejected},
		{401, "unauthorized", model.ClassReauth, model.CauseAuth},
		{403, "access_denied", model.ClassReauth, model.CauseForbidden},
		{403, "invalid_token", model.ClassReauth, model.CauseAuth},
		{403, "counter_in_connect", model.ClassReauth, model.CauseForbidden},
		{403, "quota_requests_by_uid", model.ClassQuota, model.CauseQuota}, // oldest documents
		{404, "not_found", model.ClassPermanent, model.CauseNotFound},
		{406, "not_acceptable", model.ClassPermanent, model.CauseRequestRejected},
		{409, "conflict", model.ClassPermanent, model.CauseRequestRejected},
		{420, "", model.ClassQuota, model.CauseQuota},
		{420, "quota_requests_by_uid", model.ClassQuota, model.CauseQuota},
		{429, "quota_grants_requests", model.ClassQuota, model.CauseQuota},
		{500, "", model.ClassTemporary, model.CauseRemoteFailure},
		{502, "", model.ClassTemporary, model.CauseRemoteFailure},
		{503, "backend_error", model.ClassTemporary, model.CauseRemoteFailure},
		{504, "timeout", model.ClassTemporary, model.CauseRemoteFailure},
		{302, "", model.ClassPermanent, model.CauseRequestRejected},
	}
	c := &Connector{now: func() time.Time { return testStart }}
	for _, tt := range tests {
		resp := outbound.Response{Status: tt.status, Header: http.Header{}, Body: []byte("<html>502</html>")}
		if tt.kind != "" {
			resp.Body = errorBody(tt.status, tt.kind)
		}
		e := c.classify(resp, "try")
		if e == nil || e.Class != tt.class || e.Cause != tt.cause {
			t.Errorf("%d %s: %+v", tt.status, tt.kind, e)
		}
		if e.Class == model.ClassQuota && !e.RetryAt.After(testStart) {
			t.Errorf("%d %s: repeated at %s", tt.status, tt.kind, e.RetryAt)
		}
	}
}

// Every status has a class, and no status panics.
func TestEveryStatusIsClassified(t *testing.T) {
	t.Parallel()
	c := &Connector{now: func() time.Time { return testStart }}
	for status := 100; status < 600; status++ {
		e := c.classify(outbound.Response{Status: status, Header: http.Header{}}, "try")
		if (e == nil) != (status >= 200 && status < 300) {
			t.Errorf("%d: %v", status, e)
		}
	}
}

func TestWhenAQuotaIsFree(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name, quota, retryAfter string
		from, to                time.Time
	}{
		{"the login's day", "quota_requests_by_uid", "", midnight, midnight.Add(10 * time.Minute)},
		{"the counter's day", "quota_requests_by_counter_id", "", midnight, midnight.Add(10 * time.Minute)},
		{"requests of the address", "quota_requests_by_ip", "", testStart.Add(time.Second), testStart.Add(3 * time.Second)},
		{"at a time", "quota_parallel_requests_by_uid", "", testStart.Add(time.Second), testStart.Add(5 * time.Second)},
		{"another", "quota_delegate_requests", "", testStart.Add(10 * time.Second), testStart.Add(6 * time.Minute)},
		{"the header is honoured", "quota_requests_by_uid", "17", testStart.Add(17 * time.Second), testStart.Add(17 * time.Second)},
		{"a date in the header", "", "Sat, 21 Nov 2026 10:00:00 GMT", testStart.Add(time.Hour), testStart.Add(time.Hour)},
		{"nonsense in the header", "quota_requests_by_ip", "-5", testStart.Add(time.Second), testStart.Add(3 * time.Second)},
	}
	c := &Connector{now: func() time.Time { return testStart }}
	for _, tt := range tests {
		resp := outbound.Response{Status: 429, Header: http.Header{}, Body: errorBody(429, tt.quota)}
		if tt.retryAfter != "" {
			resp.Header.Set("Retry-After", tt.retryAfter)
		}
		if got := c.quotaUntil(tt.quota, resp); got.Before(tt.from) || got.After(tt.to) {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
	var last time.Time
	for range 20 { // grows, but not beyond five minutes
		last = c.quotaUntil("quota_unheard_of", outbound.Response{Status: 429, Header: http.Header{}})
	}
	if wait := last.Sub(testStart); wait < 5*time.Minute || wait > 5*time.Minute+5*time.Second {
		t.Errorf("the twentieth wait is %s", wait)
	}
}
