package amocrm

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/connectors/amocrm/sandbox"
	"github.com/svod-hub/svod/model"
)

func oauthBench(t *testing.T) *bench {
	t.Helper()
	return newBench(t, map[string]string{"auth": "oauth"}, nil)
}

// connected has traded the code of its settings for a pair.
func connected(t *testing.T) *bench {
	t.Helper()
	b := oauthBench(t)
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCodeOfTheSettingsIsUsedOnce(t *testing.T) {
	t.Parallel()
	b := connected(t)
	if got := b.account.Calls()["oauth authorization_code"]; got != 1 {
		t.Errorf("%d exchanges", got)
	}
	b.account.Revoke()
	for range 3 {
		_, err := b.Check(t.Context())
		classOf(t, err, model.ClassReauth, model.CauseAuth)
	}
	calls := b.account.Calls()
	if calls["oauth authorization_code"] != 1 || calls["oauth refresh_token"] != 1 {
		t.Errorf("asked again without a person: %v", calls)
	}
	b.obeys(t)
}

func TestCodeThatIsTooOld(t *testing.T) {
	t.Parallel()
	b := oauthBench(t)
	b.clock.Add(21 * time.Minute)
	for range 2 {
		_, err := b.Check(t.Context())
		classOf(t, err, model.ClassReauth, model.CauseAuth)
	}
	if got := b.account.Calls()["oauth authorization_code"]; got != 1 {
		t.Errorf("%d exchanges", got)
	}
}

func TestRefreshBeforeTheEnd(t *testing.T) {
	t.Parallel()
	b := connected(t)
	b.clock.Add(24*time.Hour - 5*time.Minute)
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.account.Calls()["oauth refresh_token"]; got != 1 {
		t.Errorf("%d refreshes", got)
	}
	if b.tokens.Token().Extra[extraPrevious] == "" {
		t.Error("no trace of the previous pair")
	}
	b.obeys(t)
}

// Fifty workers meet the same dead token: one refresh (§9.5).
func TestParallelRefresh(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"auth": "oauth", "rate": "1000"}, nil) // the clock of this test stands nearly still
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.account.Expire()
	var group sync.WaitGroup
	errs := make(chan error, 50)
	for range 50 {
		group.Go(func() {
			_, err := b.Check(t.Context())
			errs <- err
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := b.account.Calls()["oauth refresh_token"]; got != 1 {
		t.Errorf("%d refreshes", got)
	}
	b.obeys(t)
}

func TestRefreshWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault sandbox.Fault
		class model.Class // "" means that it recovers
		asked int
	}{
		{"lost before it arrived", sandbox.Fault{Drop: true, Times: 1}, "", 1},
		{"server failed once", sandbox.Fault{Status: 502, Times: 1}, "", 1},
		{"answer lost: the token is used up", sandbox.Fault{Drop: true, Done: true, Times: 1}, model.ClassReauth, 2},
		{"server fails for long", sandbox.Fault{Status: 503}, model.ClassTemporary, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := connected(t)
			b.account.Expire()
			tc.fault.Path = "/oauth2/access_token"
			b.account.Inject(tc.fault)
			_, err := b.Check(t.Context())
			if tc.class == "" && err != nil || tc.class != "" && model.ClassOf(err) != tc.class {
				t.Errorf("error %v (%s), want %q", err, model.ClassOf(err), tc.class)
			}
			if got := b.account.Calls()["oauth refresh_token"]; got != tc.asked {
				t.Errorf("%d refreshes, want %d", got, tc.asked)
			}
			if tc.class == model.ClassReauth {
				b.account.Heal()
				if _, err := b.Check(t.Context()); model.ClassOf(err) != model.ClassReauth || b.account.Calls()["oauth refresh_token"] != tc.asked {
					t.Errorf("asked again after the refusal: %v", err)
				}
			}
		})
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://shop.amocrm.ru": "https://www.amocrm.ru/oauth?", "https://shop.kommo.com": "https://www.kommo.com/oauth?",
		"http://127.0.0.1:1": "http://127.0.0.1:1/oauth?",
	} {
		c := receiver(t, "token: t")
		c.cfg.URL, c.cfg.Token, c.cfg.OAuth = base, "", &oauthSettings{ClientID: "a b"}
		got, err := c.AuthorizeURL("st&te")
		if err != nil || !strings.HasPrefix(got, want) || !strings.Contains(got, "client_id=a+b") || !strings.Contains(got, "state=st%26te") {
			t.Errorf("%s: %s, %v", base, got, err)
		}
	}
}

func TestExchange(t *testing.T) {
	t.Parallel()
	b := oauthBench(t)
	b.account.Revoke()
	host := strings.TrimPrefix(b.server.URL, "http://")
	query := func(changes ...string) url.Values {
		q := url.Values{"code": {b.account.Code()}, "referer": {host}, "client_id": {sandbox.ClientID}, "platform": {"1"}}
		for i := 0; i < len(changes); i += 2 {
			q.Set(changes[i], changes[i+1])
		}
		return q
	}
	classOf(t, b.Exchange(t.Context(), query("code", "")), model.ClassPermanent, model.CauseAuth)
	classOf(t, b.Exchange(t.Context(), query("client_id", "other")), model.ClassPermanent, model.CauseAuth)
	classOf(t, b.Exchange(t.Context(), query("referer", "evil.test")), model.ClassPermanent, model.CauseAddressForbidden)
	classOf(t, b.Exchange(t.Context(), query("code", "stale")), model.ClassReauth, model.CauseAuth)
	if b.tokens.Token().Access != "" {
		t.Fatal("a refused code left a token")
	}
	if err := b.Exchange(t.Context(), query()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	// After a refusal a person connects again.
	b.account.Revoke()
	_, err := b.Check(t.Context())
	classOf(t, err, model.ClassReauth, model.CauseAuth)
	if err := b.Exchange(t.Context(), query()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.obeys(t)
}

func TestExchangeOfAnotherAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t, map[string]string{"auth": "oauth"}, map[string]any{"account_id": "5"})
	err := b.Exchange(t.Context(), url.Values{"code": {b.account.Code()}, "referer": {strings.TrimPrefix(b.server.URL, "http://")}})
	classOf(t, err, model.ClassPermanent, model.CauseForeignAccount)
	if b.tokens.Token().Access != "" {
		t.Error("the other account's token was stored")
	}
}

// The account gets another name; the connection follows it (§9.15).
func TestRename(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"token", "oauth"} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, map[string]string{"auth": auth}, nil)
			if _, err := b.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			moved := strings.Replace(strings.TrimPrefix(b.server.URL, "http://"), "127.0.0.1", "localhost", 1)
			b.account.Rename(moved)
			for range 2 {
				if _, err := b.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.account.Calls()["resolver"]; got != 1 {
				t.Errorf("%d questions to the resolver", got)
			}
			if !strings.Contains(b.memory.Fact(memoryHost), moved) {
				t.Errorf("remembered %q", b.memory.Fact(memoryHost))
			}
			b.obeys(t)
		})
	}
}

func TestRenameToAStrangerIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	b.account.Inject(sandbox.Fault{Path: "/api/v4/account", Status: 404, Times: 2})
	b.account.Inject(sandbox.Fault{Path: "/oauth2/account", Status: 200, Body: `{"subdomain":"x","domain":"evil.test"}`, Times: 1})
	_, err := b.Check(t.Context())
	classOf(t, err, model.ClassPermanent, model.CauseNotFound)
	if b.memory.Fact(memoryHost) != "" {
		t.Error("a stranger's host was remembered")
	}
}

func TestLongLivedTokenRevoked(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil, nil)
	b.account.Revoke()
	_, err := b.Check(t.Context())
	classOf(t, err, model.ClassReauth, model.CauseAuth)
	b.clock.Add(400 * 24 * time.Hour)
	_, err = b.Check(t.Context())
	classOf(t, err, model.ClassReauth, model.CauseAuth)
	if got := b.account.Calls()["GET /account"]; got != 1 {
		t.Errorf("asked %d times with a token that is over", got)
	}
}

func TestErrorsTellNoSecrets(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 402, 403, 404, 422, 429, 500, 503} {
		b := connected(t)
		token := b.tokens.Token()
		echo := fmt.Sprintf(`{"hint":"%s","title":"%s","validation-errors":[{"request_id":"0","errors":[{"code":"%s","path":"x"}]}]}`,
			token.Refresh.Reveal(), sandbox.ClientSecret, token.Access.Reveal())
		b.account.Inject(sandbox.Fault{Status: status, Body: echo, ContentType: "application/json"})
		_, err := b.Check(t.Context())
		for _, secret := range []string{token.Access.Reveal(), token.Refresh.Reveal(), sandbox.ClientSecret} {
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

// The client switches the integration off: the notice is understood, and the next
// call asks for a person.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	b := connected(t)
	got, err := b.Receive(connectors.Delivery{Method: "GET", Query: b.account.Disconnect()})
	if err != nil || !strings.Contains(got.Note, "switched the integration off") {
		t.Errorf("%q, %v", got.Note, err)
	}
	_, err = b.Check(t.Context())
	classOf(t, err, model.ClassReauth, model.CauseAuth)
}
