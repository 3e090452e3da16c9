package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// gate keeps the account's rate (§9.6).
type gate struct {
	rate         int
	recent       []time.Time
	refused      int // in a row
	blockedUntil time.Time
}

// The account is blocked after so many calls that came although it was limited.
const (
	patience = 20
	blocked  = 15 * time.Minute
)

func (a *Account) passGate(w http.ResponseWriter) (reply, bool) {
	g, now := &a.gate, a.now()
	if now.Before(g.blockedUntil) {
		a.violate("a call while the address was blocked")
		return reply{status: http.StatusForbidden, kind: "text/html", body: "<html><head><title>403 Forbidden</title></head><body>nginx</body></html>"}, false
	}
	for len(g.recent) > 0 && now.Sub(g.recent[0]) >= time.Second {
		g.recent = g.recent[1:]
	}
	if len(g.recent) >= g.rate {
		g.refused++
		a.violate("more than %d calls within a second", g.rate)
		if g.refused > patience {
			g.blockedUntil, g.refused = now.Add(blocked), 0
		}
		return reply{status: http.StatusTooManyRequests, kind: "text/html", body: "<html><body>Too many requests</body></html>"}, false
	}
	g.recent, g.refused = append(g.recent, now), 0
	return reply{}, true
}

// auth is the OAuth server (§9.5).
type auth struct {
	life       time.Duration
	serial     int
	access     map[string]time.Time // token → end
	refresh    string
	dead       map[string]bool
	codes      map[string]time.Time
	fixed      string
	refreshing int
}

func (u *auth) begin(a *Account) {
	u.life = 24 * time.Hour
	u.access, u.dead, u.codes = map[string]time.Time{}, map[string]bool{}, map[string]time.Time{}
}

// SetTokenLife changes how long new access tokens live.
func (a *Account) SetTokenLife(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.auth.life = d
}

// Expire ends all access tokens now.
func (a *Account) Expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.auth.access)
}

// Revoke switches the integration off.
func (a *Account) Revoke() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.auth.access)
	a.auth.refresh = ""
}

// Disconnect switches the integration off and gives the query of the notice that
// amoCRM would send by GET.
func (a *Account) Disconnect() string {
	a.Revoke()
	account := itoa(AccountID)
	mac := hmac.New(sha256.New, []byte(ClientSecret))
	mac.Write([]byte(ClientID + "|" + account))
	return url.Values{"account_id": {account}, "client_uuid": {ClientID}, "signature": {hex.EncodeToString(mac.Sum(nil))}}.Encode()
}

// Code makes an authorisation code, as if a user had consented.
func (a *Account) Code() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.auth.code(a)
}

func (u *auth) code(a *Account) string {
	u.serial++
	code := fmt.Sprintf("def502%026d", u.serial)
	u.codes[code] = a.now().Add(20 * time.Minute)
	return code
}

// jwt looks like amoCRM's tokens; nobody verifies its signature.
func (u *auth) jwt(a *Account, life time.Duration) string {
	u.serial++
	part := func(v any) string {
		data, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(data)
	}
	now := a.now()
	token := part(map[string]any{"typ": "JWT", "alg": "RS256"}) + "." + part(map[string]any{
		"aud": ClientID, "jti": fmt.Sprintf("%032d", u.serial), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
		"sub": itoa(UserAdmin), "account_id": AccountID, "base_domain": "amocrm.ru", "api_domain": a.host, "scopes": []string{"crm"},
	}) + "." + part("signature")
	u.access[token] = now.Add(life)
	return token
}

func (u *auth) longLived(a *Account) string {
	if u.fixed == "" {
		u.fixed = u.jwt(a, 365*24*time.Hour)
	}
	return u.fixed
}

func (a *Account) redirectURI() string {
	if v := a.options["redirect_uri"]; v != "" {
		return v
	}
	return RedirectURI
}

func (a *Account) authorised(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	until, known := a.auth.access[token]
	return ok && known && a.now().Before(until)
}

// serveToken is /oauth2/access_token.
func (a *Account) serveToken(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	bad := r.Method != http.MethodPost || json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&in) != nil
	a.mu.Lock()
	a.calls["oauth "+in["grant_type"]]++
	a.auth.refreshing++
	if a.auth.refreshing > 1 && in["grant_type"] == "refresh_token" {
		a.violate("two refreshes at the same time")
	}
	rp := a.grant(in, bad)
	a.mu.Unlock()
	rp.write(w)
	a.mu.Lock()
	a.auth.refreshing--
	a.mu.Unlock()
}

func (a *Account) grant(in map[string]string, bad bool) reply {
	u := &a.auth
	refused := func(hint string) reply {
		return reply{status: http.StatusUnauthorized, body: map[string]any{
			"hint": hint, "title": "Некорректный запрос", "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
			"status": 401, "detail": "В запросе отсутствует ряд параметров или параметры невалидны",
		}}
	}
	switch {
	case bad:
		a.violate("oauth: a request that is no JSON by POST")
		return problem(http.StatusBadRequest, "Bad Request", "bad request")
	case in["client_id"] != ClientID || in["client_secret"] != ClientSecret:
		a.violate("oauth: wrong client")
		return refused("Client authentication failed")
	case in["redirect_uri"] != a.redirectURI():
		a.violate("oauth: redirect_uri %q is not the registered one", in["redirect_uri"])
		return problem(http.StatusBadRequest, "Bad Request", "redirect_uri")
	}
	switch in["grant_type"] {
	case "authorization_code":
		until, ok := u.codes[in["code"]]
		delete(u.codes, in["code"])
		if !ok || !a.now().Before(until) {
			return refused("Authorization code has expired")
		}
	case "refresh_token":
		if in["refresh_token"] == "" || in["refresh_token"] != u.refresh {
			if u.dead[in["refresh_token"]] {
				a.calls["oauth refresh token used again"]++
			}
			return refused("Token has been revoked")
		}
		u.dead[u.refresh] = true
	default:
		a.violate("oauth: unknown grant_type %q", in["grant_type"])
		return problem(http.StatusBadRequest, "Bad Request", "grant_type")
	}
	u.serial++
	u.refresh = fmt.Sprintf("def50200%040d", u.serial)
	return reply{status: http.StatusOK, kind: "application/json", body: map[string]any{
		"token_type": "Bearer", "expires_in": int(u.life / time.Second), "server_time": a.now().Unix(),
		"access_token": u.jwt(a, u.life), "refresh_token": u.refresh,
	}}
}

// Rename moves the account to another host (§9.15). The resolver's host, which
// stands in tokens, goes on answering.
func (a *Account) Rename(host string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.old[a.host] = true
	delete(a.old, host)
	a.host = host
}

// serveDomain is the resolver of renamed accounts.
func (a *Account) serveDomain(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.calls["resolver"]++
	token := r.Header.Get("X-Refresh-Token")
	ok := token != "" && (token == a.auth.refresh || a.auth.dead[token]) || a.authorised(r)
	host, _, _ := strings.Cut(a.host, ".")
	body := map[string]any{"id": AccountID, "subdomain": host, "domain": a.host}
	a.mu.Unlock()
	if !ok {
		problem(http.StatusUnauthorized, "Unauthorized", "").write(w)
		return
	}
	reply{status: http.StatusOK, body: body}.write(w)
}
