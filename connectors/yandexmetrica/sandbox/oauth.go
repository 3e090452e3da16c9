package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
)

// AddApplication makes an OAuth application known.
func (s *Sandbox) AddApplication(id, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = secret
}

// AddRefreshToken makes a refresh token of a login known.
func (s *Sandbox) AddRefreshToken(token, login string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshes[token] = login
}

const tokenLife = 31536000 // seconds (§2.3)

// serveAuthorize agrees at once and sends the browser back with a code.
func (s *Sandbox) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	to, err := url.Parse(q.Get("redirect_uri"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.clients[q.Get("client_id")]; !ok || q.Get("response_type") != "code" || err != nil {
		http.Error(w, "unauthorized_client", http.StatusBadRequest)
		return
	}
	s.issued++
	code := fmt.Sprintf("code-%d-%08x", s.issued, s.rng.Uint32())
	s.codes[code] = DefaultLogin
	if to.Host == "" {
		_, _ = fmt.Fprintln(w, code)
		return
	}
	back := to.Query()
	back.Set("code", code)
	back.Set("state", q.Get("state"))
	to.RawQuery = back.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

// serveToken is POST /token (§2.3).
func (s *Sandbox) serveToken(w http.ResponseWriter, r *http.Request) {
	if f := s.takeFault(r); f != nil && s.faultBefore(w, r, f) {
		return
	}
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		oauthError(w, "invalid_request")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, secret = user, password
	}
	if s.clients[id] == "" || s.clients[id] != secret {
		oauthError(w, "invalid_client")
		return
	}
	login := ""
	switch r.PostForm.Get("grant_type") {
	case "refresh_token":
		token := r.PostForm.Get("refresh_token")
		if login = s.refreshes[token]; login == "" {
			oauthError(w, "invalid_grant")
			return
		}
		delete(s.refreshes, token) // a new one comes with each renewal
	case "authorization_code":
		code := r.PostForm.Get("code")
		if login = s.codes[code]; login == "" {
			oauthError(w, "bad_verification_code")
			return
		}
		delete(s.codes, code)
	default:
		oauthError(w, "unsupported_grant_type")
		return
	}
	s.issued++
	access, refresh := fmt.Sprintf("access-%d-%08x", s.issued, s.rng.Uint32()), fmt.Sprintf("refresh-%d-%08x", s.issued, s.rng.Uint32())
	s.tokens[access] = &account{login: login, scopes: []string{"metrika:read", "metrika:write"}}
	s.refreshes[refresh] = login
	answer(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "bearer", "expires_in": tokenLife, "refresh_token": refresh,
	})
}

func oauthError(w http.ResponseWriter, code string) {
	answer(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": "refused"})
}
