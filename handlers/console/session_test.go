package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/svod-hub/svod/handlers/console"
)

func TestNobodySeesAnythingWithoutSigningIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t, "en")
	for _, path := range []string{
		"/console/", "/console/audit", "/console/queues/", "/console/p/shop/", "/console/p/shop/journal",
		fmt.Sprintf("/console/p/shop/journal/%d", s.Done), "/console/p/shop/uploads", "/console/p/shop/deliveries",
		"/console/p/shop/records", "/console/p/shop/flows/orders", "/console/p/shop/connections/b24", "/console/nothing",
	} {
		got := b.get(path)
		if got.status != http.StatusSeeOther || !strings.HasPrefix(got.location, "/console/sign-in?next=") {
			t.Errorf("GET %s answered %d %q", path, got.status, got.location)
		}
	}
	for _, path := range []string{"/console/sign-out", "/console/p/shop/flows/orders/send", "/console/p/shop/journal/replay", "/console/queues/api/queues"} {
		if got := b.do(http.MethodPost, path, url.Values{"csrf": {"x"}}); got.status != http.StatusUnauthorized {
			t.Errorf("POST %s answered %d", path, got.status)
		}
	}
	if calls := s.actions.Calls(); len(calls) > 0 {
		t.Errorf("something was done: %v", calls)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t, "en")
	for name, word := range map[string]string{operator: "wrong", "nobody": password, "": "", operator + "x": password} {
		got := b.tryToSignIn(name, word)
		if got.status != http.StatusUnauthorized {
			t.Errorf("%q with %q answered %d", name, word, got.status)
		}
		contains(t, got.body, "The name or the password is wrong")
		lacks(t, got.body, `value="wrong"`)
	}
	got := b.tryToSignIn(operator, password)
	cookie := got.header.Get("Set-Cookie")
	for _, want := range []string{"svod_session=", "HttpOnly", "SameSite=Lax", "Path=/console"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("%q is not in the cookie %q", want, cookie)
		}
	}
	contains(t, b.page("/console/"), "Магазин", "Sign out")
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	if got := b.post("/console/", "/console/sign-out", nil); got.location != "/console/sign-in" {
		t.Errorf("sign-out answered %d %q", got.status, got.location)
	}
	if got := b.get("/console/"); got.status != http.StatusSeeOther {
		t.Errorf("after the sign-out the overview answered %d", got.status)
	}
	b = s.signedIn(t, "en")
	s.clock.Forward(13 * time.Hour)
	if got := b.get("/console/"); got.status != http.StatusSeeOther {
		t.Errorf("after 13 hours the overview answered %d", got.status)
	}
}

func TestSignInChangesTheSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t, "en")
	address, err := url.Parse(s.server.URL + "/console/")
	if err != nil {
		t.Fatal(err)
	}
	b.client.Jar.SetCookies(address, []*http.Cookie{{Name: "svod_session", Value: "planted", Path: "/console"}})
	b.tryToSignIn(operator, password)
	for _, cookie := range b.client.Jar.Cookies(address) {
		if cookie.Name == "svod_session" && cookie.Value == "planted" {
			t.Error("the session id that was there before is still used")
		}
	}
}

func TestCookiesAreSecureOnHTTPS(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *console.Options) { o.PublicURL = "https://hub.example.ru" })
	got := s.browser(t, "en").get("/console/sign-in")
	if cookie := got.header.Get("Set-Cookie"); !strings.Contains(cookie, "; Secure") || !strings.HasPrefix(cookie, "__Secure-") {
		t.Errorf("the cookie is %q", cookie)
	}
}

func TestPostsNeedTheToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	other := s.signedIn(t, "en")
	paths := []string{
		"/console/sign-out", "/console/p/shop/connections/roistat/release", "/console/p/shop/deliveries/resend",
		"/console/p/shop/flows/orders/send", "/console/p/shop/flows/orders/send-all", "/console/p/shop/flows/orders/statuses",
		"/console/p/shop/journal/replay",
	}
	for _, path := range paths {
		for name, token := range map[string]string{"none": "", "wrong": "x", "another session's": tokenOf(t, other.page("/console/"))} {
			if got := b.do(http.MethodPost, path, url.Values{"csrf": {token}, "confirmed": {"1"}, "id": {"1"}}); got.status != http.StatusForbidden {
				t.Errorf("POST %s with token %s answered %d", path, name, got.status)
			}
		}
	}
	token := tokenOf(t, b.page("/console/"))
	b.header.Set("Sec-Fetch-Site", "cross-site")
	for _, path := range append(paths, "/console/queues/api/queues", "/console/sign-in") {
		if got := b.do(http.MethodPost, path, url.Values{"csrf": {token}}); got.status != http.StatusForbidden {
			t.Errorf("POST %s from another site answered %d", path, got.status)
		}
	}
	if calls := s.actions.Calls(); len(calls) > 0 {
		t.Errorf("something was done: %v", calls)
	}
}

func TestSignInNeedsItsToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	got := s.browser(t, "en").do(http.MethodPost, "/console/sign-in", url.Values{"name": {operator}, "password": {password}, "csrf": {"x"}})
	if got.status != http.StatusForbidden || strings.Contains(got.header.Get("Set-Cookie"), "svod_session=") {
		t.Errorf("answered %d with %q", got.status, got.header["Set-Cookie"])
	}
}

func TestGuessingPasswordsIsSlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser(t, "en")
	for range 20 {
		if got := b.tryToSignIn("somebody", "guess"); got.status != http.StatusUnauthorized {
			t.Fatalf("answered %d", got.status)
		}
	}
	got := b.tryToSignIn(operator, password)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("attempt 21 from one address answered %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	s.clock.Forward(16 * time.Minute)
	if got := b.tryToSignIn(operator, password); got.status != http.StatusSeeOther {
		t.Errorf("after the window the right password answered %d", got.status)
	}
}

func TestNextStaysInsideTheConsole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for next, want := range map[string]string{
		"/console/p/shop/journal?state=refused": "/console/p/shop/journal?state=refused",
		"https://evil.example/console/":         "/console/",
		"//evil.example/console/":               "/console/",
		"/console/../admin":                     "/console/",
		"/console//evil.example":                "/console/",
		"/\\evil.example":                       "/console/",
		"javascript:alert(1)":                   "/console/",
		"":                                      "/console/",
	} {
		b := s.browser(t, "en")
		got := b.post("/console/sign-in", "/console/sign-in", url.Values{"name": {operator}, "password": {password}, "next": {next}})
		if got.location != want {
			t.Errorf("next %q led to %q, want %q", next, got.location, want)
		}
		if got := b.get("/console/language/en?back=" + url.QueryEscape(next)); got.location != want {
			t.Errorf("back %q led to %q, want %q", next, got.location, want)
		}
	}
}

func TestLargeFormsAreRefused(t *testing.T) {
	t.Parallel()
	b := newSite(t).signedIn(t, "en")
	got := b.post("/console/", "/console/p/shop/journal/replay", url.Values{"text": {strings.Repeat("x", 100<<10)}})
	if got.status != http.StatusBadRequest {
		t.Errorf("answered %d", got.status)
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	for _, path := range []string{"/console/", "/console/p/shop/journal", "/console/nothing"} {
		h := b.get(path).header
		policy := h.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "same-origin"} {
			if h.Get(name) != want {
				t.Errorf("%s has %s: %q", path, name, h.Get(name))
			}
		}
	}
}

func TestQueuesBehindTheSignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.signedIn(t, "en")
	got := b.get("/console/queues/")
	contains(t, got.body, "window.A=1")
	lacks(t, got.body, "fonts.example")
	policy := got.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "script-src 'self' 'sha256-") || strings.Contains(policy, "script-src 'self' 'unsafe") {
		t.Errorf("the policy is %q", policy)
	}
	if got := b.get("/console/queues/static/main.css"); !strings.HasPrefix(got.header.Get("Content-Type"), "text/css") {
		t.Errorf("the style sheet is %q", got.header.Get("Content-Type"))
	}
	if got := b.do(http.MethodPost, "/console/queues/api/queues", url.Values{}); got.status != http.StatusOK || got.body != `{"method":"POST"}` {
		t.Errorf("a post from the page itself answered %d %s", got.status, got.body)
	}
}
