package yandexmetrica

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/yandexmetrica/sandbox"
	"github.com/svod-hub/svod/model"
)

const oauthApp = "oauth: {client_id: sandbox-app, client_secret: sandbox-app-secret"

// From the authorisation page to a call, and through renewals.
func TestAuthorization(t *testing.T) {
	t.Parallel()
	b := newBench(t, oauthApp+"}")
	if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassReauth {
		t.Fatalf("without any authorisation: %v", err)
	}
	page, err := b.AuthorizeURL("state 1")
	if err != nil || !strings.HasPrefix(page, b.base+"/authorize?") || !strings.Contains(page, "state=state+1") || !strings.Contains(page, url.QueryEscape("http://hub.example/oauth")) {
		t.Fatalf("%s %v", page, err)
	}
	b.sandbox.AddRefreshToken("first", sandbox.DefaultLogin)
	for name, query := range map[string]url.Values{
		"refused":  {"error": {"access_denied"}},
		"no code":  {},
		"old code": {"code": {"stale"}},
	} {
		if err := b.Exchange(t.Context(), query); model.ClassOf(err) != model.ClassReauth {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Exchange(t.Context(), url.Values{"code": {authorizationCode(t, b, page)}}); err != nil {
		t.Fatal(err)
	}
	first := b.tokens.token
	if first.Access == "" || first.Refresh == "" || first.Expires != testStart.Add(365*24*time.Hour) {
		t.Fatalf("stored %+v", first)
	}
	check := func() {
		t.Helper()
		if _, err := b.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check()
	if b.tokens.token.Access != first.Access {
		t.Error("renewed too early")
	}
	b.clock.advance(91 * 24 * time.Hour)
	check()
	second := b.tokens.token
	if second.Access == first.Access || second.Refresh == first.Refresh {
		t.Error("not renewed after three months")
	}
	b.sandbox.RevokeToken(second.Access.Reveal())
	check()
	if b.tokens.token.Access == second.Access {
		t.Error("not renewed after 401")
	}
}

// authorizationCode plays the browser that is shown the code.
func authorizationCode(t *testing.T, b *bench, page string) string {
	t.Helper()
	u, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Del("redirect_uri")
	code := strings.TrimSpace(get(t, b, "/authorize?"+q.Encode()))
	if !strings.HasPrefix(code, "code-") {
		t.Fatalf("code %q", code)
	}
	return code
}

func TestRenewalFails(t *testing.T) {
	t.Parallel()
	old := connectors.Token{Access: testToken, Refresh: "gone", Expires: testStart.Add(24 * time.Hour), Extra: map[string]string{issuedAt: testStart.Add(-300 * 24 * time.Hour).Format(time.RFC3339)}}
	b := newBench(t, oauthApp+"}")
	b.tokens.token = old
	b.sandbox.Inject(sandbox.Fault{Name: sandbox.Fault503, Path: "/token"})
	if _, err := b.Check(t.Context()); err != nil {
		t.Errorf("a token that still works is not used while Yandex OAuth fails: %v", err)
	}
	if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassReauth {
		t.Errorf("a refused refresh token: %v", err)
	} else if strings.Contains(err.Error(), "gone") || strings.Contains(err.Error(), "app-secret") {
		t.Errorf("the error tells a secret: %v", err)
	}
	withStart := newBench(t, oauthApp+", refresh_token: begin}")
	withStart.sandbox.AddRefreshToken("begin", sandbox.DefaultLogin)
	if _, err := withStart.Check(t.Context()); err != nil {
		t.Errorf("the refresh token of the settings: %v", err)
	}
}
