package bitrix24

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
	"github.com/svod-hub/svod/outbound"
)

// What is kept with a token pair.
const (
	extraEndpoint = "client_endpoint"
	extraMember   = "member_id"
	extraServer   = "server_endpoint"
)

// authServers are the only hosts that are ever given the application's secret
// (§3.2); the setting oauth_server replaces them.
var authServers = []string{"oauth.bitrix.info", "oauth.bitrix24.tech"}

const tokenTime = 20 * time.Second

// AuthorizeURL implements connectors.Authorizer (§3.1).
func (c *Connector) AuthorizeURL(state string) (string, error) {
	switch {
	case c.cfg.OAuth == nil:
		return "", model.Errorf(model.ClassPermanent, model.CauseRequestRejected, "the connection uses an inbound webhook and needs no authorisation")
	case c.cfg.OAuth.Portal == "":
		return "", model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "oauth.portal is empty: give the portal's address, such as https://example.bitrix24.ru")
	}
	q := url.Values{"client_id": {c.cfg.OAuth.ClientID}, "state": {state}}
	return c.cfg.OAuth.Portal + "/oauth/authorize/?" + q.Encode(), nil
}

// Exchange implements connectors.Authorizer. The code lives 30 seconds (§3.1).
func (c *Connector) Exchange(ctx context.Context, query url.Values) error {
	if c.cfg.OAuth == nil {
		return model.Errorf(model.ClassPermanent, model.CauseRequestRejected, "the connection uses an inbound webhook and needs no authorisation")
	}
	if want := c.cfg.MemberID; want != "" && query.Get("member_id") != "" && query.Get("member_id") != want {
		return model.Errorf(model.ClassPermanent, model.CauseForeignAccount, "access was granted by another portal than the connection's: its member_id differs")
	}
	code := query.Get("code")
	if code == "" {
		return model.Errorf(model.ClassPermanent, model.CauseMissingRequired, "the browser came back without a code: start the authorisation again")
	}
	server, err := c.authServer(query.Get("server_domain"))
	if err != nil {
		return err
	}
	_, err = c.deps.Tokens.Renew(ctx, func(ctx context.Context, _ connectors.Token) (connectors.Token, error) {
		return c.token(ctx, server, url.Values{"grant_type": {"authorization_code"}, "code": {code}})
	})
	if err != nil {
		return err
	}
	// Events are bound anew with every list of reference data; a failure here is
	// not worth a second consent.
	if err := c.bindEvents(ctx); err != nil {
		c.deps.Log.Warn("event handlers not bound yet", logError(err))
	}
	return nil
}

// authServer chooses the authorization server for a named host.
func (c *Connector) authServer(named string) (string, error) {
	if c.cfg.OAuth.OAuthServer != "" {
		return c.cfg.OAuth.OAuthServer, nil
	}
	host := named
	if u, err := url.Parse(named); err == nil && u.Host != "" {
		host = u.Host
	}
	host = cmp.Or(strings.ToLower(host), authServers[0])
	if !slices.Contains(authServers, host) {
		return "", model.Errorf(model.ClassPermanent, model.CauseAddressForbidden, "the portal names an unknown authorization server; only %s are trusted", strings.Join(authServers, " and "))
	}
	return "https://" + host, nil
}

// refresh gets a new pair after expired_token, alone among all workers; if
// somebody was faster, theirs is used (§3.3).
func (c *Connector) refresh(ctx context.Context, stale model.Secret) (model.Secret, error) {
	t, err := c.deps.Tokens.Renew(ctx, func(ctx context.Context, now connectors.Token) (connectors.Token, error) {
		if now.Access != stale {
			return now, nil
		}
		server, err := c.authServer(now.Extra[extraServer])
		if err != nil {
			return now, err
		}
		fresh, err := c.token(ctx, server, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {now.Refresh.Reveal()}})
		if err != nil {
			return now, err
		}
		return fresh, nil
	})
	return t.Access, err
}

func (c *Connector) token(ctx context.Context, server string, q url.Values) (connectors.Token, error) {
	q.Set("client_id", c.cfg.OAuth.ClientID)
	q.Set("client_secret", c.cfg.OAuth.ClientSecret.Reveal())
	resp, err := c.do(ctx, outbound.Request{
		Method: http.MethodGet, URL: server + "/oauth/token/?" + q.Encode(), Timeout: tokenTime,
		Header: http.Header{"Accept": {"application/json"}},
	})
	if err != nil {
		return connectors.Token{}, err
	}
	if f, bad := readFault(resp); bad {
		return connectors.Token{}, f.classify("ask for a token", c.deps.Now())
	}
	var a struct {
		Access   string         `json:"access_token"`
		Refresh  string         `json:"refresh_token"`
		In       loosejson.Int  `json:"expires_in"`
		At       loosejson.Time `json:"expires"`
		Endpoint string         `json:"client_endpoint"`
		Server   string         `json:"server_endpoint"`
		Member   loosejson.Text `json:"member_id"`
	}
	if err := loosejson.Unmarshal(resp.Body, &a); err != nil || a.Access == "" || a.Refresh == "" || a.Endpoint == "" {
		return connectors.Token{}, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "ask for a token: the answer has no token pair")
	}
	if want := c.cfg.MemberID; want != "" && a.Member.String() != want {
		return connectors.Token{}, model.Errorf(model.ClassPermanent, model.CauseForeignAccount, "the tokens belong to another portal: their member_id is not the connection's")
	}
	expires := a.At.Time
	if expires.IsZero() && a.In.Set {
		expires = c.deps.Now().Add(time.Duration(a.In.Value) * time.Second)
	}
	return connectors.Token{
		Access: model.Secret(a.Access), Refresh: model.Secret(a.Refresh), Expires: expires,
		// The portal is client_endpoint; "domain" is the authorization server (§3.1).
		Extra: map[string]string{extraEndpoint: strings.TrimRight(a.Endpoint, "/") + "/", extraMember: a.Member.String(), extraServer: a.Server},
	}, nil
}

// boundEvents are those that an application asks for (§4.5).
var boundEvents = []string{
	"ONCRMCOMPANYADD", "ONCRMCOMPANYDELETE", "ONCRMCOMPANYUPDATE",
	"ONCRMCONTACTADD", "ONCRMCONTACTDELETE", "ONCRMCONTACTUPDATE",
	"ONCRMDEALADD", "ONCRMDEALDELETE", "ONCRMDEALMOVETOCATEGORY", "ONCRMDEALUPDATE",
	"ONCRMLEADADD", "ONCRMLEADDELETE", "ONCRMLEADUPDATE",
}

// bindEvents makes the portal send its events here and nowhere else of ours:
// what is missing is bound, handlers at our old addresses are taken away (§4.7).
func (c *Connector) bindEvents(ctx context.Context) error {
	if c.cfg.OAuth == nil || c.deps.HookURL == "" {
		return nil
	}
	out, err := c.call(ctx, "event.get", map[string]any{}, reading)
	if err != nil {
		return err
	}
	var bound loosejson.List[struct {
		Event   string `json:"event"`
		Handler string `json:"handler"`
	}]
	if err := loosejson.Unmarshal(out.Result, &bound); err != nil {
		return err
	}
	have := map[string]bool{}
	var commands []command
	for _, b := range bound {
		event := strings.ToUpper(b.Event)
		switch {
		case b.Handler == c.deps.HookURL:
			have[event] = true
		case sameConnection(b.Handler, c.deps.HookURL):
			commands = append(commands, command{method: "event.unbind", query: fields("event", event, "handler", b.Handler)})
		}
	}
	for _, event := range boundEvents {
		if !have[event] {
			commands = append(commands, command{method: "event.bind", query: fields("event", event, "handler", c.deps.HookURL)})
		}
	}
	for part := range slices.Chunk(commands, maxBatch) {
		replies, _, err := c.batch(ctx, part, reading)
		if err != nil {
			return err
		}
		for i, r := range replies {
			if r.fault != nil {
				return r.fault.classify(part[i].method, c.deps.Now())
			}
		}
	}
	return nil
}

// sameConnection reports whether two hook addresses differ in nothing but their
// last part, the secret, or their host.
func sameConnection(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	if errA != nil || errB != nil {
		return false
	}
	cut := func(path string) string { return path[:strings.LastIndex(path, "/")+1] }
	return cut(ua.Path) == cut(ub.Path) && strings.HasPrefix(ua.Path, "/hooks/")
}
