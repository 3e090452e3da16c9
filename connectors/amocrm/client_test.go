package amocrm

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	const js, html = "application/problem+json", "text/html"
	for _, tc := range []struct {
		name    string
		status  int
		kind    string
		body    string
		class   model.Class // "" means success
		cause   model.Cause
		wait    time.Duration
		message string
	}{
		{"ok", 200, js, "{}", "", "", 0, ""},
		{"created", 201, js, "{}", "", "", 0, ""},
		{"nothing", 204, js, "", "", "", 0, ""},
		{"moved", 302, html, "", model.ClassTemporary, model.CauseRemoteFailure, 0, "redirect"},
		{"validation", 400, js, string(sample(t, "api-error-400-validation.json")), model.ClassPermanent, model.CauseRequestRejected, 0, "NotSupportedChoice at enums.0.id"},
		{"validation as object", 400, js, `{"validation-errors":{"request_id":"0","errors":{"0":{"code":"InvalidType","path":"price"}}}}`, model.ClassPermanent, model.CauseRequestRejected, 0, "InvalidType at price"},
		{"validation without title", 400, js, `{}`, model.ClassPermanent, model.CauseRequestRejected, 0, ""},
		{"token", 401, js, "{}", model.ClassReauth, model.CauseAuth, 0, ""},
		{"unpaid", 402, js, "{}", model.ClassQuota, model.CauseQuota, time.Hour, "not paid"},
		{"rights", 403, js, `{"status":403}`, model.ClassPermanent, model.CauseForbidden, 0, "administrator"},
		{"blocked", 403, html, "<html>nginx</html>", model.ClassQuota, model.CauseQuota, 15 * time.Minute, "blocks"},
		{"blocked without a body", 403, html, "", model.ClassQuota, model.CauseQuota, 15 * time.Minute, ""},
		{"unknown address", 404, html, "", model.ClassPermanent, model.CauseNotFound, 0, ""},
		{"method", 405, js, "{}", model.ClassPermanent, model.CauseRequestRejected, 0, ""},
		{"switched off", 422, js, "{}", model.ClassPermanent, model.CauseRequestRejected, 0, "switched off"},
		{"rate", 429, html, "<html>", model.ClassQuota, model.CauseQuota, 0, "slow down"},
		{"rate with a wait", 429, js, `{"retry_after":7}`, model.ClassQuota, model.CauseQuota, 7 * time.Second, ""},
		{"server", 500, html, "", model.ClassTemporary, model.CauseRemoteFailure, 0, ""},
		{"gateway", 504, html, "", model.ClassTemporary, model.CauseRemoteFailure, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := classify(answerOf(tc.status, tc.kind, tc.body), now)
			if tc.class == "" {
				if e != nil {
					t.Fatal(e)
				}
				return
			}
			classOf(t, e, tc.class, tc.cause)
			if tc.wait > 0 && !e.RetryAt.Equal(now.Add(tc.wait)) {
				t.Errorf("retry at %v", e.RetryAt)
			}
			if !strings.Contains(e.Message, tc.message) {
				t.Errorf("message %q does not say %q", e.Message, tc.message)
			}
		})
	}
}

func TestClassifyEveryStatus(t *testing.T) {
	t.Parallel()
	for status := 100; status < 600; status++ {
		if e := classify(answerOf(status, "text/html", "secret-token +79990001122"), time.Now()); e != nil {
			if e.Class == "" || e.Cause == "" || strings.Contains(e.Error(), "secret-token") || strings.Contains(e.Error(), "9990001122") {
				t.Errorf("%d: %#v", status, e)
			}
		} else if status/100 != 2 {
			t.Errorf("%d is a success", status)
		}
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		b.account.Inject(sandbox.Fault{Status: http.StatusTooManyRequests, Times: 1})
		_, err := b.Check(t.Context())
		classOf(t, err, model.ClassQuota, model.CauseQuota)
		if got := b.limiter.PausedUntil().Sub(b.clock.Now()); got != want*time.Second {
			t.Errorf("pause %d is %v, want %v s", i, got, int(want))
		}
		_, err = b.Check(t.Context())
		classOf(t, err, model.ClassQuota, model.CauseQuota) // not even asked
		b.clock.Add(want * time.Second)
	}
	if got := b.account.Calls()["GET /account"]; got != 0 {
		t.Errorf("%d calls went through", got)
	}
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.account.Inject(sandbox.Fault{Status: http.StatusTooManyRequests, Times: 1})
	if _, err := b.Check(t.Context()); err == nil || b.limiter.PausedUntil().Sub(b.clock.Now()) != time.Second {
		t.Error("a success does not end the row of pauses")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	got, err := b.Check(t.Context())
	if want := fmt.Sprintf(`account %d "Образец", Europe/Moscow, RUB`, sandbox.AccountID); err != nil || got != want {
		t.Errorf("check: %q, %v", got, err)
	}
	b.obeys(t)
	foreign := newBench(t, nil, map[string]any{"token": nil, "account_id": "5", "oauth": map[string]any{"client_id": sandbox.ClientID, "client_secret": sandbox.ClientSecret}})
	foreign.tokens.Put(connectors.Token{Access: model.Secret(fmt.Sprint(foreign.account.Settings(foreign.server.URL)["token"]))})
	_, err = foreign.Check(t.Context())
	classOf(t, err, model.ClassPermanent, model.CauseForeignAccount)
}

// A blocked address stays silent for a quarter of an hour, in all workers.
func TestBlocked(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	b.account.Inject(sandbox.Fault{Status: http.StatusForbidden, Body: "<html>nginx</html>", Times: 1})
	for range 3 {
		_, err := b.Check(t.Context())
		classOf(t, err, model.ClassQuota, model.CauseQuota)
	}
	if got := b.limiter.PausedUntil().Sub(b.clock.Now()); got != 15*time.Minute {
		t.Errorf("paused for %v", got)
	}
}

// The limiter alone keeps the account's seven calls in any second.
func TestRateAllowsNoMoreThanTheAccount(t *testing.T) {
	t.Parallel()
	for rate := 1; rate <= maxRate; rate++ {
		c := receiver(t, fmt.Sprintf("token: t, rate: %d", rate))
		if burst := max(1, maxRate-c.cfg.Rate); c.cfg.Rate+burst-1 > maxRate {
			t.Errorf("rate %d with burst %d", rate, burst)
		}
	}
}

// Answers that are no answers are repeated, whatever they look like.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"<html>maintenance</html>", "", "[]", "null", `{"id":`} {
		b := newBench(t, nil, nil)
		b.account.Inject(sandbox.Fault{Status: 200, Body: body, Times: 1})
		_, err := b.Check(t.Context())
		classOf(t, err, model.ClassTemporary, model.CauseRemoteFailure)
	}
}
