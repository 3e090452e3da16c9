package yandexmetrica

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// renewAfter is Yandex's own advice: long-lived tokens every three months
// (yandex-metrica §2.3).
const renewAfter = 90 * 24 * time.Hour

const issuedAt = "issued_at"

// token gives the token to use. refused is one that was answered with 401: it is
// not given again unless another worker has stored a newer one meanwhile.
func (c *Connector) token(ctx context.Context, refused model.Secret) (model.Secret, error) {
	if c.OAuth == nil {
		return c.Token, nil
	}
	if c.tokens == nil {
		return "", model.Errorf(model.ClassReauth, model.CauseAuth, "no place to keep tokens of connection %s", c.connection)
	}
	stored, err := c.tokens.Load(ctx)
	if err != nil {
		return "", err
	}
	if usable(stored, refused) && !c.old(stored) {
		return stored.Access, nil
	}
	renewed, err := c.tokens.Renew(ctx, func(ctx context.Context, now connectors.Token) (connectors.Token, error) {
		if usable(now, refused) && !c.old(now) {
			return now, nil
		}
		return c.renew(ctx, now)
	})
	if err != nil {
		// A token that is merely due for renewal still works.
		if usable(stored, refused) && model.ClassOf(err) != model.ClassReauth && (stored.Expires.IsZero() || c.now().Before(stored.Expires)) {
			return stored.Access, nil
		}
		return "", err
	}
	return renewed.Access, nil
}

func usable(t connectors.Token, refused model.Secret) bool {
	return t.Access != "" && t.Access != refused
}

// old reports whether a token should be renewed: at a quarter of its life at the
// latest, as access and refresh token die together.
func (c *Connector) old(t connectors.Token) bool {
	if t.Expires.IsZero() || t.Refresh == "" {
		return false
	}
	now := c.now()
	issued, err := time.Parse(time.RFC3339, t.Extra[issuedAt])
	if err != nil {
		return now.After(t.Expires.Add(-renewAfter))
	}
	due := issued.Add(renewAfter)
	if half := issued.Add(t.Expires.Sub(issued) / 2); half.Before(due) {
		due = half
	}
	return now.After(due)
}

func (c *Connector) renew(ctx context.Context, stored connectors.Token) (connectors.Token, error) {
	refresh := stored.Refresh
	if refresh == "" {
		refresh = c.OAuth.RefreshToken
	}
	if refresh == "" {
		return connectors.Token{}, model.Errorf(model.ClassReauth, model.CauseAuth,
			"connection %s has no Yandex authorisation; open its page in the console and press connect", c.connection)
	}
	return c.ask(ctx, "renew the token", refresh, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refresh.Reveal()},
	})
}

// ask calls the token address.
func (c *Connector) ask(ctx context.Context, what string, kept model.Secret, form url.Values) (connectors.Token, error) {
	form.Set("client_id", c.OAuth.ClientID)
	form.Set("client_secret", c.OAuth.ClientSecret.Reveal())
	resp, err := c.http.Do(ctx, outbound.Request{
		Method:  http.MethodPost,
		URL:     c.OAuthURL + "/token",
		Header:  http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}},
		Body:    strings.NewReader(form.Encode()),
		Timeout: answerTimeout,
	})
	if err != nil {
		return connectors.Token{}, model.Errorf(model.ClassTemporary, model.CauseNetwork, "%s: %w", what, err)
	}
	resp.Body = without(resp.Body, kept, c.OAuth.ClientSecret, model.Secret(form.Get("code")))
	if resp.Status != http.StatusOK {
		return connectors.Token{}, oauthError(resp, what)
	}
	var got struct {
		Access    string      `json:"access_token"`
		Refresh   string      `json:"refresh_token"`
		ExpiresIn json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(resp.Body, &got); err != nil || got.Access == "" {
		return connectors.Token{}, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "%s: Yandex's answer holds no token", what)
	}
	now := c.now().UTC()
	t := connectors.Token{
		Access:  model.Secret(got.Access),
		Refresh: model.Secret(got.Refresh),
		Extra:   map[string]string{issuedAt: now.Format(time.RFC3339)},
	}
	if t.Refresh == "" {
		t.Refresh = kept
	}
	if n, err := got.ExpiresIn.Int64(); err == nil && n > 0 {
		t.Expires = now.Add(time.Duration(n) * time.Second)
	}
	return t, nil
}

// oauthError classifies by the code alone: the description may quote what was
// sent.
func oauthError(resp outbound.Response, what string) *model.Error {
	var got struct {
		Code string `json:"error"`
	}
	_ = json.Unmarshal(resp.Body, &got)
	if resp.Status >= 500 || resp.Status == http.StatusTooManyRequests {
		return model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "%s: Yandex OAuth answered %d", what, resp.Status)
	}
	return model.Errorf(model.ClassReauth, model.CauseAuth,
		"%s: Yandex OAuth answered %d %s; connect the account again and check client_id and client_secret", what, resp.Status, redact(got.Code))
}

// AuthorizeURL implements connectors.Authorizer.
func (c *Connector) AuthorizeURL(state string) (string, error) {
	if c.OAuth == nil {
		return "", model.Errorf(model.ClassPermanent, model.CauseAuth, "connection %s has a pasted token; there is nothing to authorise", c.connection)
	}
	q := url.Values{"response_type": {"code"}, "client_id": {c.OAuth.ClientID}, "state": {state}}
	if to := c.redirectURI(); to != "" {
		q.Set("redirect_uri", to)
	}
	return c.OAuthURL + "/authorize?" + q.Encode(), nil
}

func (c *Connector) redirectURI() string {
	if c.OAuth.RedirectURI != "" {
		return c.OAuth.RedirectURI
	}
	return c.returnTo
}

// Exchange implements connectors.Authorizer.
func (c *Connector) Exchange(ctx context.Context, query url.Values) error {
	if c.OAuth == nil || c.tokens == nil {
		return model.Errorf(model.ClassPermanent, model.CauseAuth, "connection %s does not use OAuth", c.connection)
	}
	if refused := query.Get("error"); refused != "" {
		return model.Errorf(model.ClassReauth, model.CauseAuth, "Yandex did not authorise: %s; try again and press allow", redact(refused))
	}
	code := query.Get("code")
	if code == "" {
		return model.Errorf(model.ClassReauth, model.CauseAuth, "Yandex sent the browser back without a code; try again")
	}
	_, err := c.tokens.Renew(ctx, func(ctx context.Context, _ connectors.Token) (connectors.Token, error) {
		return c.ask(ctx, "exchange the code", "", url.Values{"grant_type": {"authorization_code"}, "code": {code}})
	})
	return err
}
