package amocrm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// renewBefore is how long before its end a token is renewed (amocrm §2.2).
const renewBefore = 10 * time.Minute

// Members of connectors.Token.Extra. A refusal is stored with the token, so that
// no worker asks again until a person has acted; it holds only for the settings
// that it was met with.
const (
	extraCode     = "code"     // fingerprint of the code that the pair came from
	extraPrevious = "previous" // fingerprint of the refresh token before this one
	extraRefused  = "refused"  // fingerprint of the settings that were refused
)

// token gives a token that is good as far as we know.
func (c *Connector) token(ctx context.Context) (connectors.Token, error) {
	now := c.deps.Now()
	if c.cfg.OAuth == nil {
		until := readClaims(c.cfg.Token.Reveal()).Expires
		if !until.IsZero() && !now.Before(until) {
			return connectors.Token{}, model.Errorf(model.ClassReauth, model.CauseAuth,
				"the long-lived token ended on %s: make a new one in the integration and put it into the configuration", until.Format(time.DateOnly))
		}
		return connectors.Token{Access: c.cfg.Token, Expires: until}, nil
	}
	t, err := c.deps.Tokens.Load(ctx)
	if err != nil {
		return t, err
	}
	if t.Access == "" || c.refused(t) {
		if c.cfg.OAuth.Code == "" || t.Extra[extraCode] == fingerprint(c.cfg.OAuth.Code.Reveal()) {
			return t, needsPerson(t)
		}
		return c.takeCode(ctx)
	}
	if t.Expires.IsZero() || t.Expires.Sub(now) > renewBefore {
		return t, nil
	}
	base, err := c.base(ctx)
	if err != nil {
		return t, err
	}
	fresh, err := c.renew(ctx, base, t)
	if err != nil && model.ClassOf(err) != model.ClassReauth && now.Before(t.Expires) {
		c.deps.Log.Warn("token not renewed ahead of time, the old one is used", logError(err))
		return t, nil
	}
	return fresh, err
}

func needsPerson(t connectors.Token) error {
	if t.Access == "" && t.Extra[extraRefused] == "" {
		return model.Errorf(model.ClassReauth, model.CauseAuth, "the amoCRM account is not connected yet: open the connection in the console and connect it")
	}
	return model.Errorf(model.ClassReauth, model.CauseAuth,
		"amoCRM refused to renew the authorisation (it was revoked, or not used for three months): connect the account again in the console")
}

func (c *Connector) refused(t connectors.Token) bool {
	return t.Extra[extraRefused] != "" && t.Extra[extraRefused] == c.settingsMark()
}

func (c *Connector) settingsMark() string {
	return fingerprint(c.cfg.OAuth.ClientID + "\n" + c.cfg.OAuth.ClientSecret.Reveal())
}

func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// takeCode trades the code of the configuration for a pair, once.
func (c *Connector) takeCode(ctx context.Context) (connectors.Token, error) {
	code := c.cfg.OAuth.Code.Reveal()
	t, err := c.deps.Tokens.Renew(ctx, func(ctx context.Context, cur connectors.Token) (connectors.Token, error) {
		if cur.Extra[extraCode] == fingerprint(code) || cur.Access != "" && !c.refused(cur) {
			return cur, nil
		}
		base, err := c.base(ctx)
		if err != nil {
			return cur, err
		}
		return c.grant(ctx, base, cur, map[string]string{"grant_type": "authorization_code", "code": code}, fingerprint(code))
	})
	if err == nil && (t.Access == "" || c.refused(t)) {
		return t, model.Errorf(model.ClassReauth, model.CauseAuth,
			"amoCRM refused the code in oauth.code (it lives 20 minutes and is used once): take a new one, or connect the account in the console")
	}
	return t, err
}

// renew replaces a token that was found wanting, alone among all workers: the
// refresh token dies with its first use (amocrm §2.2).
func (c *Connector) renew(ctx context.Context, base string, stale connectors.Token) (connectors.Token, error) {
	if c.cfg.OAuth == nil {
		// A long-lived token cannot be renewed, but its account may have moved.
		header := http.Header{"Authorization": {"Bearer " + stale.Access.Reveal()}}
		if c.movedTo(ctx, base, header, stale.Access) != base {
			return stale, nil
		}
		return stale, model.Errorf(model.ClassReauth, model.CauseAuth,
			"amoCRM does not accept the long-lived token (it was revoked, or ended): make a new one in the integration and put it into the configuration")
	}
	t, err := c.deps.Tokens.Renew(ctx, func(ctx context.Context, cur connectors.Token) (connectors.Token, error) {
		if cur.Access != stale.Access || cur.Refresh == "" || c.refused(cur) {
			return cur, nil
		}
		return c.refresh(ctx, base, cur)
	})
	if err != nil {
		return t, err
	}
	if t.Access == "" || t.Refresh == "" || c.refused(t) {
		return t, needsPerson(t)
	}
	return t, nil
}

func (c *Connector) refresh(ctx context.Context, base string, cur connectors.Token) (connectors.Token, error) {
	members := map[string]string{"grant_type": "refresh_token", "refresh_token": cur.Refresh.Reveal()}
	t, err := c.grant(ctx, base, cur, members, cur.Extra[extraCode])
	if err != nil || !c.refused(t) {
		return t, err
	}
	header := http.Header{"X-Refresh-Token": {cur.Refresh.Reveal()}}
	if to := c.movedTo(ctx, base, header, cur.Access); to != base {
		return c.grant(ctx, to, cur, members, cur.Extra[extraCode])
	}
	return t, nil
}

// grant asks for a pair. A refusal is a result, not an error: it must be stored.
// A failure of the network leaves open whether the old token is used up; it is
// tried once more with the same one and no further (amocrm §2.2).
func (c *Connector) grant(ctx context.Context, base string, cur connectors.Token, members map[string]string, code string) (connectors.Token, error) {
	// The answer must not be lost because the caller has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*requestTime+5*time.Second)
	defer cancel()
	body := maps.Clone(members)
	body["client_id"] = c.cfg.OAuth.ClientID
	body["client_secret"] = c.cfg.OAuth.ClientSecret.Reveal()
	body["redirect_uri"] = c.redirectURI()
	data, err := json.Marshal(body)
	if err != nil {
		return cur, err
	}
	var resp outbound.Response
	for range 2 {
		if err = c.wait(ctx); err != nil {
			return cur, err
		}
		resp, err = c.deps.HTTP.Do(ctx, outbound.Request{
			Method: http.MethodPost, URL: base + "/oauth2/access_token", Timeout: requestTime,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: bytes.NewReader(data),
		})
		if err == nil && resp.Status < 500 {
			break
		}
	}
	if err != nil {
		return cur, model.Errorf(model.ClassTemporary, model.CauseNetwork, "amoCRM's authorisation server does not answer: %w", err)
	}
	switch resp.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound:
		refused := cur
		refused.Extra = map[string]string{}
		maps.Copy(refused.Extra, cur.Extra)
		refused.Extra[extraRefused] = c.settingsMark()
		refused.Extra[extraCode] = code
		return refused, nil
	}
	if err := c.judge(ctx, request{}, resp); err != nil {
		return cur, err
	}
	return c.readGrant(resp, cur, code)
}

func (c *Connector) readGrant(resp outbound.Response, cur connectors.Token, code string) (connectors.Token, error) {
	var answer struct {
		Access  string        `json:"access_token"`
		Refresh string        `json:"refresh_token"`
		Expires loosejson.Int `json:"expires_in"`
	}
	if err := decode(resp.Body, &answer); err != nil {
		return cur, err
	}
	if answer.Access == "" || answer.Refresh == "" {
		return cur, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "amoCRM's authorisation server answered without tokens")
	}
	t := connectors.Token{Access: model.Secret(answer.Access), Refresh: model.Secret(answer.Refresh), Extra: map[string]string{extraCode: code}}
	if cur.Refresh != "" {
		t.Extra[extraPrevious] = fingerprint(cur.Refresh.Reveal())
	}
	if answer.Expires.Value > 0 {
		t.Expires = c.deps.Now().Add(time.Duration(answer.Expires.Value) * time.Second)
	}
	return t, nil
}

func (c *Connector) redirectURI() string {
	if c.cfg.OAuth.RedirectURI != "" {
		return c.cfg.OAuth.RedirectURI
	}
	return c.deps.OAuthURL
}

// AuthorizeURL implements connectors.Authorizer.
func (c *Connector) AuthorizeURL(state string) (string, error) {
	if c.cfg.OAuth == nil {
		return "", model.Errorf(model.ClassPermanent, model.CauseRequestRejected,
			"this connection uses a long-lived token; give oauth settings instead to connect it here")
	}
	base, err := parseBase(c.cfg.URL)
	if err != nil {
		return "", err
	}
	page := base.Scheme + "://" + base.Host + "/oauth"
	for _, domain := range officialDomains {
		if strings.HasSuffix(strings.ToLower(base.Hostname()), "."+domain) {
			page = "https://www." + domain + "/oauth"
		}
	}
	q := url.Values{"client_id": {c.cfg.OAuth.ClientID}, "state": {state}, "mode": {"popup"}}
	return page + "?" + q.Encode(), nil
}

// Exchange implements connectors.Authorizer. The hub has checked the state.
func (c *Connector) Exchange(ctx context.Context, q url.Values) error {
	if c.cfg.OAuth == nil {
		return model.Errorf(model.ClassPermanent, model.CauseRequestRejected, "this connection uses a long-lived token")
	}
	code, referer := q.Get("code"), strings.ToLower(q.Get("referer"))
	if code == "" {
		return model.Errorf(model.ClassPermanent, model.CauseAuth, "amoCRM came back without a code: access was not granted")
	}
	if id := q.Get("client_id"); id != "" && id != c.cfg.OAuth.ClientID {
		return model.Errorf(model.ClassPermanent, model.CauseAuth, "the code is meant for another integration: check oauth.client_id")
	}
	base, err := c.base(ctx)
	if err != nil {
		return err
	}
	if referer != "" && base != c.scheme()+"://"+referer {
		// The address bar is the user's: our secret goes to known hosts only, and a
		// code of another account must not be taken for this one (amocrm §2.2).
		if !c.cfg.trusted(referer) {
			return model.Errorf(model.ClassPermanent, model.CauseAddressForbidden, "the host that amoCRM's answer names is not one of amoCRM's; list it in trusted_hosts if it is right")
		}
		if c.cfg.AccountID == "" {
			return model.Errorf(model.ClassPermanent, model.CauseForeignAccount,
				"another account was connected than url names: choose the right one, or correct url")
		}
		base = c.scheme() + "://" + referer
	}
	t, err := c.deps.Tokens.Renew(ctx, func(ctx context.Context, cur connectors.Token) (connectors.Token, error) {
		cur.Extra = nil
		t, err := c.grant(ctx, base, cur, map[string]string{"grant_type": "authorization_code", "code": code}, fingerprint(c.cfg.OAuth.Code.Reveal()))
		if err != nil || c.refused(t) {
			return cur, orRefused(err)
		}
		return t, c.checkOwner(ctx, base, t)
	})
	if err != nil {
		return err
	}
	if t.Access == "" {
		return orRefused(nil)
	}
	return c.rememberBase(ctx, base)
}

func orRefused(err error) error {
	if err != nil {
		return err
	}
	return model.Errorf(model.ClassReauth, model.CauseAuth,
		"amoCRM refused the code: it lives 20 minutes, is used once, and redirect_uri must be the registered one")
}

// checkOwner makes sure that a new pair is for the account of this connection.
func (c *Connector) checkOwner(ctx context.Context, base string, t connectors.Token) error {
	if c.cfg.AccountID == "" {
		return nil
	}
	resp, err := c.exchange(ctx, base, t, request{method: http.MethodGet, path: "/account"})
	if err != nil {
		return err
	}
	if err := c.judge(ctx, request{}, resp); err != nil {
		return err
	}
	var answer accountAnswer
	if err := decode(resp.Body, &answer); err != nil {
		return err
	}
	if string(answer.ID) != c.cfg.AccountID {
		return model.Errorf(model.ClassPermanent, model.CauseForeignAccount,
			"account %s was connected, but the connection is for account %s", answer.ID, c.cfg.AccountID)
	}
	return nil
}

// signed checks the signature of a disconnect hook: HMAC-SHA256 of
// "client|account" with the integration's secret (amocrm §2.4).
func (s *oauthSettings) signed(client, account, signature string) bool {
	mac := hmac.New(sha256.New, []byte(s.ClientSecret.Reveal()))
	mac.Write([]byte(client + "|" + account))
	given, err := hex.DecodeString(signature)
	return err == nil && client == s.ClientID && hmac.Equal(given, mac.Sum(nil))
}
