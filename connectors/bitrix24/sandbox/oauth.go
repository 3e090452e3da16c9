package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const codeLife = 30 * time.Second

// oauth is the authorization server's memory; the portal's lock guards it.
type oauth struct {
	redirect string
	life     time.Duration
	count    int
	codes    map[string]time.Time // until when
	access   map[string]time.Time
	refresh  map[string]bool // true: not used yet
	lastLeft func(now time.Time) time.Duration
	host     string // announced in server_endpoint
	refused  string // error to answer every refresh with
}

// SetTokenLife changes how long access tokens live.
func (p *Portal) SetTokenLife(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.oauth.life = d
}

// RefuseRefresh makes every refresh answer the error ("" heals): invalid_grant,
// PAYMENT_REQUIRED…
func (p *Portal) RefuseRefresh(code string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.oauth.refused = code
}

// ExpireTokens makes every access token expired now.
func (p *Portal) ExpireTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for token := range p.oauth.access {
		p.oauth.access[token] = p.now()
	}
	p.oauth.lastLeft = nil
}

// Refreshes counts how many token pairs were issued.
func (p *Portal) Refreshes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.oauth.count
}

func (o *oauth) verify(token string, now time.Time) *restError {
	until, ok := o.access[token]
	switch {
	case !ok:
		return fail(401, "NO_AUTH_FOUND", "Wrong authorization data")
	case !now.Before(until):
		return fail(401, "expired_token", "The access token provided has expired.")
	}
	return nil
}

// NewCode makes an authorization code, as the portal's page does after consent.
func (p *Portal) NewCode() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := p.word("code")
	if p.oauth.codes == nil {
		p.oauth.codes = map[string]time.Time{}
	}
	p.oauth.codes[code] = p.now().Add(codeLife)
	return code
}

func (p *Portal) word(prefix string) string {
	return fmt.Sprintf("%s%016x%016x", prefix, p.rand.Uint64(), p.rand.Uint64())
}

// serveAuthorize consents at once and sends the browser back (§3.1).
func (p *Portal) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	target, err := url.Parse(p.oauth.redirect)
	if q.Get("client_id") != ClientID || p.oauth.redirect == "" || err != nil {
		// The real portal shows a page of its own: the redirect address gets nothing.
		http.Error(w, "The application is not known to this portal.", http.StatusBadRequest)
		return
	}
	if q.Get("state") == "" {
		p.mu.Lock()
		p.violate("asked for authorization without a state")
		p.mu.Unlock()
	}
	back := target.Query()
	for key, value := range map[string]string{
		"code": p.NewCode(), "state": q.Get("state"), "domain": r.Host, "member_id": MemberID, "scope": "crm,user", "server_domain": r.Host,
	} {
		back.Set(key, value)
	}
	target.RawQuery = back.Encode()
	http.Redirect(w, r, target.String(), http.StatusFound)
}

func (p *Portal) serveToken(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, now := r.URL.Query(), p.now()
	bad := func(status int, code string) {
		writeJSON(w, status, map[string]any{"error": code, "error_description": "The request was refused."})
	}
	if r.Method != http.MethodGet {
		p.violate("asked for tokens with %s", r.Method)
	}
	if q.Get("client_id") != ClientID || q.Get("client_secret") != ClientSecret {
		bad(http.StatusUnauthorized, "invalid_client")
		return
	}
	switch q.Get("grant_type") {
	case "authorization_code":
		until, ok := p.oauth.codes[q.Get("code")]
		delete(p.oauth.codes, q.Get("code"))
		if !ok || now.After(until) {
			bad(http.StatusBadRequest, "invalid_grant")
			return
		}
	case "refresh_token":
		token := q.Get("refresh_token")
		if p.oauth.refused != "" {
			bad(http.StatusBadRequest, p.oauth.refused)
			return
		}
		fresh, known := p.oauth.refresh[token]
		if known && !fresh {
			p.violate("used a refresh token twice")
		}
		if !fresh {
			bad(http.StatusBadRequest, "invalid_grant")
			return
		}
		if p.oauth.host != r.Host {
			p.violate("refreshed tokens at another host than server_endpoint")
		}
		if p.oauth.lastLeft != nil && p.oauth.lastLeft(now) > p.oauth.life/2 {
			p.violate("refreshed tokens long before they expired")
		}
		p.oauth.refresh[token] = false
	default:
		bad(http.StatusBadRequest, "invalid_request")
		return
	}
	writeJSON(w, http.StatusOK, p.issue(r, now))
}

func (p *Portal) issue(r *http.Request, now time.Time) map[string]any {
	o := &p.oauth
	if o.access == nil {
		o.access, o.refresh = map[string]time.Time{}, map[string]bool{}
	}
	access, refresh := p.word("access"), p.word("refresh")
	until := now.Add(o.life)
	o.access[access], o.refresh[refresh] = until, true
	o.lastLeft = func(now time.Time) time.Duration { return until.Sub(now) }
	o.count++
	o.host = r.Host
	scheme := "http"
	if r.TLS != nil || p.https {
		scheme = "https"
	}
	portal := p.host
	if portal == "" {
		portal = r.Host
	}
	return map[string]any{
		"access_token": access, "refresh_token": refresh, "expires_in": int(o.life.Seconds()),
		"client_endpoint": scheme + "://" + portal + "/rest/", "server_endpoint": scheme + "://" + r.Host + "/rest/",
		"domain": "oauth.bitrix.info", "member_id": MemberID, "scope": "crm,user", "status": "L",
	}
}
