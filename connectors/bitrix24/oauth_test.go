package bitrix24

import (
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors/bitrix24/sandbox"
	"github.com/svod-hub/svod/model"
)

const hookURL = "https://hub.example.ru/hooks/shop/b24/s3cret"

func oauthRig(t *testing.T) *rig {
	t.Helper()
	return newRig(t, rigOptions{
		sandbox: map[string]string{"auth": "oauth", "redirect_url": "https://hub.example.ru/oauth"}, hookURL: hookURL})
}

func authorise(t *testing.T, r *rig) {
	t.Helper()
	err := r.Exchange(t.Context(), url.Values{"code": {r.portal.NewCode()}, "state": {"s"}, "member_id": {sandbox.MemberID}, "server_domain": {"oauth.bitrix.info"}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAuthorise(t *testing.T) {
	t.Parallel()
	r := oauthRig(t)
	if _, err := r.Check(t.Context()); model.ClassOf(err) != model.ClassReauth {
		t.Errorf("before the authorisation: %v", err)
	}
	page, err := r.AuthorizeURL("n0nce")
	if err != nil || !strings.HasPrefix(page, r.server.URL+"/oauth/authorize/?") || !strings.Contains(page, "state=n0nce") {
		t.Fatalf("got %q, %v", page, err)
	}
	authorise(t, r)
	token, _ := r.tokens.Load(t.Context())
	if token.Extra[extraEndpoint] != r.server.URL+"/rest/" || token.Extra[extraMember] != sandbox.MemberID || !token.Expires.Equal(r.clock.Now().Add(time.Hour)) {
		t.Errorf("token of %v, expires %v", token.Extra, token.Expires)
	}
	if who, err := r.Check(t.Context()); err != nil || !strings.Contains(who, "user 1") {
		t.Errorf("got %q, %v", who, err)
	}
	// The application's events were bound, once.
	if n := r.portal.Commands("event.bind"); n != len(boundEvents) {
		t.Errorf("%d events bound", n)
	}
	if _, err := r.Catalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.portal.Commands("event.bind"); n != len(boundEvents) {
		t.Errorf("bound again: %d", n)
	}
	// A new secret in the address replaces the old handlers.
	r.deps.HookURL = strings.Replace(hookURL, "s3cret", "n3w", 1)
	if err := r.bindEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.portal.Commands("event.unbind"); n != len(boundEvents) {
		t.Errorf("%d old handlers taken away", n)
	}
	r.wantNoViolations(t)
}

func TestExchangeRefuses(t *testing.T) {
	t.Parallel()
	r := oauthRig(t)
	late := r.portal.NewCode()
	r.clock.Add(31 * time.Second)
	for name, tt := range map[string]struct {
		query url.Values
		cause model.Cause
	}{
		"late code":      {url.Values{"code": {late}}, model.CauseAuth},
		"no code":        {url.Values{}, model.CauseMissingRequired},
		"another portal": {url.Values{"code": {r.portal.NewCode()}, "member_id": {"other"}}, model.CauseForeignAccount},
	} {
		if err := r.Exchange(t.Context(), tt.query); model.CauseOf(err) != tt.cause {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// Without the override only the system's own servers get the secret.
	r.cfg.OAuth.OAuthServer = ""
	if err := r.Exchange(t.Context(), url.Values{"code": {"x"}, "server_domain": {"oauth.evil.example"}}); model.CauseOf(err) != model.CauseAddressForbidden {
		t.Errorf("got %v", err)
	}
	for named, want := range map[string]string{
		"": "https://oauth.bitrix.info", "oauth.bitrix24.tech": "https://oauth.bitrix24.tech", "https://oauth.bitrix24.tech/rest/": "https://oauth.bitrix24.tech",
	} {
		if got, err := r.authServer(named); err != nil || got != want {
			t.Errorf("%q: got %q, %v", named, got, err)
		}
	}
}

// Many workers that meet the same expired token refresh it once.
func TestRefreshOnce(t *testing.T) {
	t.Parallel()
	r := oauthRig(t)
	authorise(t, r)
	deal := r.portal.AddDeal(nil)
	r.clock.Add(61 * time.Minute)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := r.Fetch(t.Context(), refsTo(model.KindDeal, deal)); err != nil || len(got.Records) != 1 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	wg.Wait()
	if n := r.portal.Refreshes(); n != 2 { // the first pair and the new one
		t.Errorf("%d pairs issued, want 2", n)
	}
	r.wantNoViolations(t)
}

func TestRefreshRefused(t *testing.T) {
	t.Parallel()
	for code, class := range map[string]model.Class{
		"invalid_grant": model.ClassReauth, "wrong_client": model.ClassReauth, "PAYMENT_REQUIRED": model.ClassQuota,
	} {
		r := oauthRig(t)
		authorise(t, r)
		r.portal.ExpireTokens()
		r.portal.RefuseRefresh(code)
		before, _ := r.tokens.Load(t.Context())
		_, err := r.Check(t.Context())
		if model.ClassOf(err) != class {
			t.Errorf("%s: got %v", code, err)
		}
		after, _ := r.tokens.Load(t.Context())
		if after.Refresh != before.Refresh {
			t.Errorf("%s: the stored pair changed", code)
		}
		for _, secret := range []string{before.Refresh.Reveal(), before.Access.Reveal(), sandbox.ClientSecret} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows a secret", code)
			}
		}
		r.portal.RefuseRefresh("")
		if _, err := r.Check(t.Context()); err != nil {
			t.Errorf("%s, healed: %v", code, err)
		}
	}
}
