package bitrix24

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/connectors/connectortest"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	now := connectortest.NewClock().Now()
	const page = "<html><body>Bad Gateway</body></html>"
	for _, tt := range []struct {
		name   string
		status int
		body   string
		class  model.Class // "" when it is no fault
		cause  model.Cause
		after  time.Duration
	}{
		{name: "good", status: 200, body: `{"result":true}`},
		{name: "list of commands", status: 200, body: `[]`},
		{name: "empty error code", status: 400, body: `{"error":"","error_description":"Parameter 'fields' must be array."}`, class: model.ClassPermanent, cause: model.CauseRequestRejected},
		{name: "empty code, not found", status: 400, body: `{"error":"","error_description":"Not found"}`, class: model.ClassPermanent, cause: model.CauseNotFound},
		{name: "is not found", status: 400, body: `{"error":"","error_description":"Deal is not found."}`, class: model.ClassPermanent, cause: model.CauseNotFound},
		{name: "error as number", status: 400, body: `{"error":0,"error_description":"x"}`, class: model.ClassPermanent, cause: model.CauseRequestRejected},
		{name: "numeric text", status: 400, body: `{"error":"100","error_description":"Could not find value"}`, class: model.ClassPermanent, cause: model.CauseRequestRejected},
		{name: "sentence as error", status: 400, body: `{"error":"Something went <b>wrong</b> here"}`, class: model.ClassPermanent, cause: model.CauseRequestRejected},
		{name: "error in a 200", status: 200, body: `{"error":"INTERNAL_SERVER_ERROR"}`, class: model.ClassTemporary, cause: model.CauseRemoteFailure},
		{name: "empty error in a 200", status: 200, body: `{"error":""}`, class: model.ClassPermanent, cause: model.CauseRequestRejected},
		{name: "page", status: 502, body: page, class: model.ClassTemporary, cause: model.CauseRemoteFailure},
		{name: "page with 200", status: 200, body: page, class: model.ClassTemporary, cause: model.CauseRemoteFailure},
		{name: "page with 503", status: 503, body: page, class: model.ClassQuota, cause: model.CauseQuota, after: 10 * time.Second},
		{name: "page with 404", status: 404, body: page, class: model.ClassPermanent, cause: model.CauseNotFound},
		{name: "no body", status: 500, class: model.ClassTemporary, cause: model.CauseRemoteFailure},
		{name: "batch too long", status: 400, body: `{"error":"ERROR_BATCH_LENGTH_EXCEEDED"}`, class: model.ClassPermanent, cause: model.CauseRequestRejected},
		{name: "expired", status: 401, body: `{"error":"expired_token"}`, class: model.ClassReauth, cause: model.CauseAuth},
		{name: "no auth", status: 401, body: `{"error":"NO_AUTH_FOUND"}`, class: model.ClassReauth, cause: model.CauseAuth},
		{name: "credentials", status: 403, body: `{"error":"INVALID_CREDENTIALS"}`, class: model.ClassReauth, cause: model.CauseAuth},
		{name: "denied", status: 403, body: `{"error":"ACCESS_DENIED"}`, class: model.ClassPermanent, cause: model.CauseForbidden},
		{name: "denied in words", status: 400, body: `{"error":"","error_description":"Access denied."}`, class: model.ClassPermanent, cause: model.CauseForbidden},
		{name: "scope", status: 403, body: `{"error":"insufficient_scope"}`, class: model.ClassPermanent, cause: model.CauseForbidden},
		{name: "webhook instead of application", status: 403, body: `{"error":"WRONG_AUTH_TYPE"}`, class: model.ClassPermanent, cause: model.CauseForbidden},
		{name: "unknown with 403", status: 403, body: `{"error":"SOMETHING_NEW"}`, class: model.ClassPermanent, cause: model.CauseForbidden},
		{name: "unknown method", status: 404, body: `{"error":"ERROR_METHOD_NOT_FOUND"}`, class: model.ClassPermanent, cause: model.CauseNotFound},
		{name: "nested batch", status: 405, body: `{"error":"ERROR_BATCH_METHOD_NOT_ALLOWED"}`, class: model.ClassPermanent, cause: model.CauseRequestRejected},
		{name: "operating time", status: 429, body: `{"error":"OPERATION_TIME_LIMIT"}`, class: model.ClassQuota, cause: model.CauseQuota, after: time.Minute},
		{name: "portal deleted", status: 500, body: `{"error":"PORTAL_DELETED"}`, class: model.ClassReauth, cause: model.CauseAuth},
		{name: "unexpected", status: 500, body: `{"error":"ERROR_UNEXPECTED_ANSWER"}`, class: model.ClassTemporary, cause: model.CauseRemoteFailure},
		{name: "too many", status: 503, body: `{"error":"QUERY_LIMIT_EXCEEDED","error_description":"Too many requests"}`, class: model.ClassQuota, cause: model.CauseQuota, after: time.Second},
		{name: "overload", status: 503, body: `{"error":"OVERLOAD_LIMIT"}`, class: model.ClassQuota, cause: model.CauseQuota, after: 5 * time.Minute},
		{name: "invalid grant", status: 400, body: `{"error":"invalid_grant"}`, class: model.ClassReauth, cause: model.CauseAuth},
		{name: "wrong client", status: 400, body: `{"error":"wrong_client"}`, class: model.ClassReauth, cause: model.CauseAuth},
		{name: "payment", status: 402, body: `{"error":"PAYMENT_REQUIRED"}`, class: model.ClassQuota, cause: model.CauseQuota, after: 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, bad := readFault(outbound.Response{Status: tt.status, Body: []byte(tt.body)})
			if bad != (tt.class != "") {
				t.Fatalf("fault %v: %+v", bad, f)
			}
			if !bad {
				return
			}
			e := f.classify("crm.deal.get", now)
			if e.Class != tt.class || e.Cause != tt.cause {
				t.Errorf("got %s/%s, want %s/%s", e.Class, e.Cause, tt.class, tt.cause)
			}
			if tt.after > 0 && !e.RetryAt.Equal(now.Add(tt.after)) {
				t.Errorf("retry at %v", e.RetryAt)
			}
			if e.Message == "" || strings.Contains(e.Message, "<") {
				t.Errorf("message %q", e.Message)
			}
		})
	}
}

func TestTidyHidesWhatIsPrivate(t *testing.T) {
	t.Parallel()
	got := tidy("Phone <b>+7 (900) 123-45-67</b> of anna@example.ru with be45f0660071849a0058f18a is bad")
	for _, private := range []string{"900", "anna", "be45", "<b>"} {
		if strings.Contains(got, private) {
			t.Errorf("%q shows %q", got, private)
		}
	}
}

func FuzzReadFault(f *testing.F) {
	f.Add(400, []byte(`{"error":"","error_description":"Not found"}`))
	f.Add(200, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if fault, bad := readFault(outbound.Response{Status: status, Body: body}); bad {
			if e := fault.classify("x", connectortest.NewClock().Now()); e.Class == "" || e.Cause == "" {
				t.Errorf("not classified: %+v", e)
			}
		}
	})
}

func TestMovedTo(t *testing.T) {
	t.Parallel()
	const from = "https://old.bitrix24.ru/rest/1/abc/batch"
	for _, tt := range []struct{ name, from, location, want string }{
		{"renamed", from, "https://new.bitrix24.ru/rest/1/abc/batch", "new.bitrix24.ru"},
		{"other zone", from, "https://new.bitrix24.com.br/rest/1/abc/batch", "new.bitrix24.com.br"},
		{"foreign host", from, "https://new.example.com/rest/1/abc/batch", ""},
		{"looks alike", from, "https://bitrix24.ru.example.com/rest/1/abc/batch", ""},
		{"looks alike too", from, "https://x.bitrix24.evil.tk/rest/1/abc/batch", ""},
		{"ends alike", from, "https://evilbitrix24.ru/rest/1/abc/batch", ""},
		{"other path", from, "https://new.bitrix24.ru/login/", ""},
		{"plain HTTP", from, "http://new.bitrix24.ru/rest/1/abc/batch", ""},
		{"the same host", from, from, ""},
		{"user info", from, "https://a:b@new.bitrix24.ru/rest/1/abc/batch", ""},
		{"no location", from, "", ""},
		{"box", "https://crm.example.ru/rest/1/abc/batch", "https://new.bitrix24.ru/rest/1/abc/batch", ""},
	} {
		got, err := movedTo(tt.from, tt.location)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: got %q, %v", tt.name, got, err)
		}
	}
}

// A renamed portal is followed with a POST, and its address is remembered.
func TestRenamedPortal(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: map[string]any{"url": "http://old.bitrix24.ru/rest/1/" + sandbox.Secret + "/"}})
	// The test's name service: every portal is the sandbox.
	direct := r.do
	var mu sync.Mutex
	var hosts []string
	r.do = func(ctx context.Context, q outbound.Request) (outbound.Response, error) {
		u, err := url.Parse(q.URL)
		if err != nil {
			return outbound.Response{}, err
		}
		mu.Lock()
		hosts = append(hosts, u.Host)
		mu.Unlock()
		if u.Host != "new.bitrix24.ru" {
			return outbound.Response{Status: http.StatusFound, Header: http.Header{"Location": {strings.Replace(q.URL, u.Host, "new.bitrix24.ru", 1)}}}, nil
		}
		u.Host = strings.TrimPrefix(r.server.URL, "http://")
		q.URL = u.String()
		return direct(ctx, q)
	}
	deal := r.portal.AddDeal(nil)
	for range 2 {
		if got, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal)); err != nil || len(got.Records) != 1 {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if got := strings.Join(hosts, " "); got != "old.bitrix24.ru new.bitrix24.ru new.bitrix24.ru new.bitrix24.ru" {
		t.Errorf("called %s", got)
	}
	if got := r.memory.Fact(memoryMoved); got != "old.bitrix24.ru new.bitrix24.ru" {
		t.Errorf("remembered %q", got)
	}
	r.wantNoViolations(t)
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	deal := r.portal.AddDeal(nil)
	r.portal.FillBucket(0)
	_, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal))
	if model.ClassOf(err) != model.ClassQuota {
		t.Fatalf("got %v", err)
	}
	if !r.limiter.IsPaused("bitrix24:" + strings.TrimPrefix(r.server.URL, "http://")) {
		t.Error("other workers are not held back")
	}
	r.clock.Add(3 * time.Second)
	if _, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal)); err != nil {
		t.Errorf("after the pause: %v", err)
	}
	if a, b := backoff(1), backoff(100); a < time.Second || a > 2*time.Second || b < 64*time.Second || b > 96*time.Second {
		t.Errorf("backoff of %v and %v", a, b)
	}
}

// Faults of the portal on a read are waited out; nothing is taken as gone.
func TestFaultsOnReads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault sandbox.Fault
		class model.Class // "": none
	}{
		{"page", sandbox.Fault{HTML: true}, model.ClassTemporary},
		{"cut before", sandbox.Fault{DropBefore: true}, model.ClassTemporary},
		{"cut after", sandbox.Fault{DropAfter: true}, model.ClassTemporary},
		{"empty error", sandbox.Fault{Status: 500}, model.ClassTemporary},
		{"overload", sandbox.Fault{Status: 503, Code: "OVERLOAD_LIMIT"}, model.ClassQuota},
		{"no time", sandbox.Fault{NoTime: true}, ""},
		{"no operating", sandbox.Fault{NoOperating: true}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{})
			deal := r.portal.AddDeal(nil)
			if _, err := r.trackingFields(t.Context()); err != nil {
				t.Fatal(err)
			}
			tt.fault.Method, tt.fault.Times = "batch", 1
			r.portal.Inject(tt.fault)
			got, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal))
			if len(got.Missing) != 0 {
				t.Errorf("taken as gone: %v", got.Missing)
			}
			if tt.class == "" {
				if err != nil || len(got.Records) != 1 {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err == nil || model.ClassOf(err) != tt.class {
				t.Errorf("got %v, want class %s", err, tt.class)
			}
			if strings.Contains(err.Error(), sandbox.Secret) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, yaml string
		wrong      []string // keys that the error names; none: it is right
	}{
		{"webhook", webhookSettings, nil},
		{"webhook without a slash", "url: https://example.bitrix24.ru/rest/1/abcdef", nil},
		{"box with a path", "url: https://crm.example.ru/b24/rest/15/abcdef/", nil},
		{"oauth", "oauth: {client_id: a, client_secret: b, portal: example.bitrix24.ru}", nil},
		{"nothing", "{}", []string{"url"}},
		{"both", webhookSettings + "oauth: {client_id: a, client_secret: b}", []string{"oauth"}},
		{"not a webhook", "url: https://example.bitrix24.ru/", []string{"url"}},
		{"method in it", "url: https://example.bitrix24.ru/rest/1/abc/crm.deal.list", []string{"url"}},
		{"empty oauth", "oauth: {portal: 'https://'}", []string{"oauth.client_id", "oauth.client_secret", "oauth.portal"}},
		{"family", webhookSettings + "read_with: rest", []string{"read_with"}},
		{"tracking", webhookSettings + "tracking: {client_id: UF_CRM_1, visit: UF_CRM_2, yclid: ''}", []string{"tracking.visit", "tracking.yclid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var c config
			if err := connectortest.YAML(tt.yaml).Decode(&c); err != nil {
				t.Fatal(err)
			}
			err := c.prepare()
			if (err != nil) != (tt.wrong != nil) {
				t.Fatalf("got %v", err)
			}
			for _, key := range tt.wrong {
				if !strings.Contains(err.Error(), key+":") {
					t.Errorf("%s is not named: %v", key, err)
				}
			}
		})
	}
}
