// Package sandbox is a strict fake of Yandex Metrica, made from the list of what a
// strict fake must check (yandex-metrica §16): imports of CRM data, offline
// conversions, calls, chats, user parameters, expenses and server events, and
// reports. It keeps the final state of everything that was sent, so that a test
// compares what arrived and not only what was called, and lists what its callers
// did wrong.
package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
)

// Defaults of a sandbox that is told nothing.
const (
	DefaultCounter     = "12345678"
	DefaultToken       = "sandbox-token"
	DefaultLogin       = "shop-analyst"
	DefaultZone        = "Europe/Moscow"
	DefaultMeasurement = "sandbox-ms" // token of the Measurement Protocol
)

// Sandbox is the fake. Its clock is the one of its options, moved on by Advance;
// everything else may be changed while it runs.
type Sandbox struct {
	clock func() time.Time
	ahead atomic.Int64 // nanoseconds
	seed  uint64
	log   *zap.Logger

	mu         sync.Mutex
	rng        *rand.Rand
	rules      Rules
	tokens     map[string]*account
	refreshes  map[string]string // refresh token → login
	codes      map[string]string // authorisation code → login
	clients    map[string]string // OAuth client id → secret
	counters   map[string]*counterState
	faults     []*Fault
	violations []string
	second     window
	issued     int
}

type account struct {
	login    string
	scopes   []string
	running  int
	day      window
	lastUsed time.Time
	reports  reportWindow
}

// window counts requests of one second or day.
type window struct {
	start int64
	count int
}

func (w *window) hit(start int64) int {
	if w.start != start {
		w.start, w.count = start, 0
	}
	w.count++
	return w.count
}

// New makes a sandbox with one counter and one token. Options: counter, token,
// time_zone, and the rules that can be set by name (see options).
func New(opts connectors.SandboxOptions) (*Sandbox, error) {
	s := &Sandbox{
		clock: opts.Now, log: opts.Log, seed: opts.Seed,
		rng:    rand.New(rand.NewPCG(opts.Seed, 0x6d657472696b61)),
		rules:  DefaultRules(),
		tokens: map[string]*account{}, refreshes: map[string]string{}, codes: map[string]string{},
		clients: map[string]string{"sandbox-app": "sandbox-app-secret"}, counters: map[string]*counterState{},
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	first := map[string]string{"counter": DefaultCounter, "token": DefaultToken, "time_zone": DefaultZone}
	for key, value := range opts.Options {
		if _, ok := first[key]; ok {
			first[key] = cmp.Or(value, first[key])
		} else if err := s.rules.set(key, value); err != nil {
			return nil, err
		}
	}
	if err := s.AddCounter(Counter{
		ID: first["counter"], Name: "Песочница", Site: "shop.example", Owner: DefaultLogin, Zone: first["time_zone"],
		Measurement: []string{DefaultMeasurement},
	}); err != nil {
		return nil, err
	}
	s.AddToken(first["token"], DefaultLogin, "metrika:read", "metrika:write")
	return s, nil
}

// Now is the sandbox's time.
func (s *Sandbox) Now() time.Time { return s.clock().Add(time.Duration(s.ahead.Load())) }

// Advance moves the sandbox's clock on: uploads come further, quotas are released.
func (s *Sandbox) Advance(d time.Duration) { s.ahead.Add(int64(d)) }

// AddToken makes a token of a login with its scopes.
func (s *Sandbox) AddToken(token, login string, scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[token] = &account{login: login, scopes: scopes}
}

// RevokeToken makes a token unknown.
func (s *Sandbox) RevokeToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
}

// Settings implements connectors.Sandbox.
func (s *Sandbox) Settings(base string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := map[string]any{"url": base, "oauth_url": base, "collect_url": base + "/collect"}
	for id, c := range s.counters {
		if settings["counter"] != nil && id > settings["counter"].(string) {
			continue
		}
		settings["counter"] = id
		delete(settings, "ms")
		if len(c.measuring.tokens) > 0 {
			settings["ms"] = c.measuring.tokens[0]
		}
	}
	for token := range s.tokens {
		if settings["token"] == nil || token < settings["token"].(string) {
			settings["token"] = token
		}
	}
	return settings
}

// Violations implements connectors.Sandbox.
func (s *Sandbox) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

const maxViolations = 1000

// violate notes what a caller did wrong. The caller holds s.mu.
func (s *Sandbox) violate(format string, args ...any) {
	if len(s.violations) < maxViolations {
		s.violations = append(s.violations, fmt.Sprintf(format, args...))
	}
}

func (s *Sandbox) violated(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violate(format, args...)
}

// ServeHTTP implements http.Handler.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/__fake/"):
		s.serveInspection(w, r)
	case r.URL.Path == "/token":
		s.serveToken(w, r)
	case r.URL.Path == "/authorize":
		s.serveAuthorize(w, r)
	case r.URL.Path == "/collect":
		s.serveCollect(w, r)
	case slices.ContainsFunc([]string{"/cdp/api/v1/", "/management/v1/", "/stat/v1/"}, func(p string) bool { return strings.HasPrefix(r.URL.Path, p) }):
		s.serveAPI(w, r)
	default:
		s.violated("%s to %.60q, an address that there is not", r.Method, r.URL.Path)
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
	}
}

func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request) {
	fault := s.takeFault(r)
	if fault != nil && s.faultBefore(w, r, fault) {
		return
	}
	user, ok := s.admit(w, r)
	if !ok {
		return
	}
	defer s.leave(user)
	if r.Header.Get("Content-Encoding") != "" {
		s.violated("a request body is compressed; no document allows it")
	}
	segments := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch segments[0] {
	case "management":
		s.serveManagement(w, r, user, segments[2:], fault)
		return
	case "stat":
		s.serveStat(w, r, user, segments[2:], fault)
		return
	}
	// cdp/api/v1/counter/{id}/rest
	if len(segments) < 6 || segments[3] != "counter" {
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
		return
	}
	c, ok := s.counterFor(w, user, segments[4], r.Method != http.MethodGet, "metrika:offline_data")
	if !ok {
		return
	}
	s.serveCDP(w, r, c, strings.Join(segments[5:], "/"), fault)
}

func (s *Sandbox) serveCDP(w http.ResponseWriter, r *http.Request, c *counterState, rest string, fault *Fault) {
	switch r.Method + " " + rest {
	case "POST data/contacts/csv":
		s.upload(w, r, c, contactsKind, fault)
	case "POST data/orders/csv":
		s.upload(w, r, c, ordersKind, fault)
	case "POST data/simple_orders":
		s.upload(w, r, c, simpleKind, fault)
	case "POST data/contacts/json":
		s.uploadJSON(w, r, c, contactsKind, fault)
	case "POST data/orders/json":
		s.uploadJSON(w, r, c, ordersKind, fault)
	case "GET last_uploadings":
		s.lastUploadings(w, r, c, fault)
	case "GET schema/order_statuses":
		s.getStatuses(w, c, fault)
	case "POST schema/order_statuses":
		s.postStatuses(w, r, c, fault)
	case "GET schema/attributes":
		s.getAttributes(w, r, c)
	case "POST schema/attributes":
		s.postAttributes(w, r, c, fault)
	case "POST schema/products":
		s.postProducts(w, r, c, fault)
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
	}
}

// admit checks the token and the quotas (§16.1, §16.5).
func (s *Sandbox) admit(w http.ResponseWriter, r *http.Request) (*account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range []string{"oauth_token", "access_token", "token"} {
		// Revoking a token of the Measurement Protocol names it there (§13).
		if r.URL.Query().Has(key) && !(key == "token" && strings.HasSuffix(r.URL.Path, "/measurement/delete")) {
			s.violate("a token stands in the query of %s", r.URL.Path)
			refuse(w, http.StatusUnauthorized, "unauthorized", "tokens in the query are not accepted")
			return nil, false
		}
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	user := s.tokens[token]
	if scheme != "OAuth" || user == nil {
		if scheme != "OAuth" {
			s.violate("Authorization of %s has the scheme %.20q; only OAuth is accepted", r.URL.Path, scheme)
		}
		refuse(w, http.StatusUnauthorized, "unauthorized", "no valid token")
		return nil, false
	}
	now := s.Now()
	user.lastUsed = now
	quota := ""
	switch {
	case user.running >= s.rules.Parallel:
		quota = "quota_parallel_requests"
	case s.second.hit(now.Unix()) > s.rules.PerSecond:
		quota = "quota_requests_by_ip"
	case user.day.hit(now.Unix()/86400) > s.rules.PerDay:
		quota = "quota_requests_by_uid"
	}
	if quota != "" {
		s.violate("quota exceeded: %s", quota)
		refuse(w, s.rules.QuotaStatus, quota, "quota exceeded")
		return nil, false
	}
	user.running++
	return user, true
}

func (s *Sandbox) leave(user *account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user.running--
}

// refuse answers an error in Metrica's form (§3.1).
func refuse(w http.ResponseWriter, status int, kind, message string) {
	type one struct {
		Type    string `json:"error_type"`
		Message string `json:"message"`
	}
	answer(w, status, struct {
		Errors  []one  `json:"errors"`
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{[]one{{kind, message}}, status, message})
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}
