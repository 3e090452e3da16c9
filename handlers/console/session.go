package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/credentials"
	"github.com/svod-hub/svod/store"
)

// sessionAge is how long a sign-in lasts.
const sessionAge = 12 * time.Hour

// maxPassword bounds what is hashed.
const maxPassword = 256

func (c *Console) cookieName(name string) string {
	if c.secure {
		return "__Secure-svod_" + name
	}
	return "svod_" + name
}

func (c *Console) setCookie(r *request, name, value string, age time.Duration) {
	cookie := &http.Cookie{
		Name: c.cookieName(name), Value: value, Path: "/console",
		HttpOnly: true, Secure: c.secure, SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds()),
	}
	if age <= 0 {
		cookie.MaxAge = -1
	}
	r.SetCookie(cookie)
}

func (c *Console) cookie(r *request, name string) string {
	cookie, err := r.Cookie(c.cookieName(name))
	if err != nil {
		return ""
	}
	return cookie.Value
}

// currentSession finds the session of the request's cookie, or
// store.ErrNotFound.
func (c *Console) currentSession(r *request) (store.Session, error) {
	id := c.cookie(r, "session")
	if id == "" {
		return store.Session{}, store.ErrNotFound
	}
	ctx := r.Request().Context()
	session, err := c.opts.Store.Session(ctx, hashID(id))
	if err != nil {
		return store.Session{}, err
	}
	if !c.opts.Now().Before(session.ExpiresAt) {
		return store.Session{}, errors.Join(store.ErrNotFound, c.opts.Store.DeleteSession(ctx, session.IDHash))
	}
	return session, nil
}

type signInData struct {
	Next  string
	Name  string
	CSRF  string
	Error string // key of the catalogue
}

// signInPage shows the form. Its token lives in a cookie of its own, because
// there is no session yet.
func (c *Console) signInPage(r *request) error {
	if _, err := c.currentSession(r); err == nil {
		return r.Redirect(http.StatusSeeOther, localPath(r.QueryParam("next")))
	}
	return c.showSignIn(r, http.StatusOK, signInData{Next: localPath(r.QueryParam("next"))})
}

func (c *Console) showSignIn(r *request, status int, data signInData) error {
	data.CSRF = c.cookie(r, "sign_in")
	if len(data.CSRF) != len(randomText()) {
		data.CSRF = randomText()
	}
	c.setCookie(r, "sign_in", data.CSRF, time.Hour)
	return r.render(status, "sign-in", "sign_in.title", data)
}

func (c *Console) signIn(r *request) error {
	name, password := strings.TrimSpace(r.FormValue("name")), r.FormValue("password")
	data := signInData{Next: localPath(r.FormValue("next")), Name: name}
	if !equal(r.FormValue("csrf"), c.cookie(r, "sign_in")) {
		data.Error = "sign_in.expired"
		return c.showSignIn(r, http.StatusForbidden, data)
	}
	if wait := c.signIns.take(r.remoteNetwork(), name); wait > 0 {
		r.Response().Header().Set("Retry-After", seconds(wait))
		data.Error = "sign_in.too_many"
		return c.showSignIn(r, http.StatusTooManyRequests, data)
	}
	good, err := c.passwordMatches(r, name, password)
	if err != nil {
		return err
	}
	if !good {
		data.Error = "sign_in.wrong"
		r.session.User = auditName(name)
		r.note("sign_in_refused", "")
		return c.showSignIn(r, http.StatusUnauthorized, data)
	}
	c.signIns.forget(name)
	return c.startSession(r, name, data.Next)
}

func (c *Console) passwordMatches(r *request, name, password string) (bool, error) {
	ctx := r.Request().Context()
	hash, err := c.opts.Store.UserHash(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	release, err := c.signIns.slot(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	// An unknown name has an empty hash, which takes as long and never matches.
	return len(password) <= maxPassword && credentials.CheckPassword(hash, password), nil
}

func (c *Console) startSession(r *request, name, next string) error {
	ctx := r.Request().Context()
	// A session that the browser still had is over: its id must not live on.
	if old := c.cookie(r, "session"); old != "" {
		if err := c.opts.Store.DeleteSession(ctx, hashID(old)); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	id := randomText()
	session := store.Session{
		IDHash: hashID(id), User: name, ExpiresAt: c.opts.Now().Add(sessionAge).UTC(), CSRF: randomText(),
	}
	if err := c.opts.Store.SaveSession(ctx, session); err != nil {
		return err
	}
	c.setCookie(r, "session", id, sessionAge)
	c.setCookie(r, "sign_in", "", 0)
	r.session = session
	r.note("sign_in", "")
	return r.Redirect(http.StatusSeeOther, next)
}

func (c *Console) signOut(r *request) error {
	if err := c.opts.Store.DeleteSession(r.Request().Context(), r.session.IDHash); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	c.setCookie(r, "session", "", 0)
	r.note("sign_out", "")
	return r.Redirect(http.StatusSeeOther, "/console/sign-in")
}

// auditName keeps a name that somebody typed short: it may be a password that
// went into the wrong field, or anything else.
func auditName(name string) string {
	if len(name) <= 2 {
		return "?"
	}
	runes := []rune(name)
	return string(runes[:min(2, len(runes))]) + "…"
}

func randomText() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func hashID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// equal compares two tokens in constant time; empty ones never match.
func equal(a, b string) bool {
	return a != "" && b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
