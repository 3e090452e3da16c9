// Package sandbox is a strict fake of Yandex Metrica's CRM data import, made from
// the list of what a strict fake must check (yandex-metrica §16). It keeps the
// final state of every contact and order, so that a test compares what arrived
// and not only what was called, and lists what its callers did wrong.
package sandbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/svod-hub/svod/connectors"
)

// Defaults of a sandbox that is told nothing.
const (
	DefaultCounter = "12345678"
	DefaultToken   = "sandbox-token"
	DefaultLogin   = "shop-analyst"
	DefaultZone    = "Europe/Moscow"
)

// Sandbox is the fake. Its clock is the one of its options; everything else may
// be changed while it runs.
type Sandbox struct {
	now func() time.Time
	log *zap.Logger

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

// Rules are the parts of the protocol that are limits or are not known for sure.
type Rules struct {
	QuotaStatus    int    // 429 or 420 (§3.2)
	Parallel       int    // requests of one token at a time
	PerSecond      int    // requests
	PerDay         int    // requests of one login
	MaxBytes       int64  // of one request
	MaxRows        int    // of one file
	OrdersPerUser  int    // orders of one client
	UnknownClient  string // "warn" or "fail": an order of a client that was never uploaded
	Company        bool   // client_type COMPANY is taken
	MergeStatuses  bool   // POST of statuses adds to the table instead of replacing it
	HideKinds      bool   // entity_subtype is left out
	ZonelessTimes  bool   // datetime is written without a zone, in the counter's
	OnlyOldOffsets bool   // datetime_offset is taken only as yyyy-MM-dd HH:mm:ss
}

// DefaultRules are the documented ones.
func DefaultRules() Rules {
	return Rules{
		QuotaStatus: http.StatusTooManyRequests, Parallel: 3, PerSecond: 30, PerDay: 5000,
		MaxBytes: 1 << 30, MaxRows: 1_000_000, OrdersPerUser: 100_000, UnknownClient: "warn", Company: true,
	}
}

type account struct {
	login    string
	scopes   []string
	running  int
	day      window
	lastUsed time.Time
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
// time_zone, quota_status (420 or 429), unknown_client (warn or fail).
func New(opts connectors.SandboxOptions) (*Sandbox, error) {
	s := &Sandbox{
		now: opts.Now, log: opts.Log,
		rng:    rand.New(rand.NewPCG(opts.Seed, 0x6d657472696b61)),
		rules:  DefaultRules(),
		tokens: map[string]*account{}, refreshes: map[string]string{}, codes: map[string]string{},
		clients: map[string]string{"sandbox-app": "sandbox-app-secret"}, counters: map[string]*counterState{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	option := func(key, otherwise string) string {
		if v := opts.Options[key]; v != "" {
			return v
		}
		return otherwise
	}
	switch status := option("quota_status", "429"); status {
	case "420", "429":
		s.rules.QuotaStatus, _ = strconv.Atoi(status)
	default:
		return nil, fmt.Errorf("quota_status %q is neither 420 nor 429", status)
	}
	s.rules.UnknownClient = option("unknown_client", "warn")
	if !slices.Contains([]string{"warn", "fail"}, s.rules.UnknownClient) {
		return nil, fmt.Errorf("unknown_client %q is neither warn nor fail", s.rules.UnknownClient)
	}
	if err := s.AddCounter(Counter{ID: option("counter", DefaultCounter), Name: "Песочница", Site: "shop.example", Owner: DefaultLogin, Zone: option("time_zone", DefaultZone)}); err != nil {
		return nil, err
	}
	s.AddToken(option("token", DefaultToken), DefaultLogin, "metrika:read", "metrika:write")
	return s, nil
}

// SetRules changes the rules; change works on the present ones.
func (s *Sandbox) SetRules(change func(*Rules)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.rules)
}

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
	settings := map[string]any{"url": base, "oauth_url": base}
	for id := range s.counters {
		if settings["counter"] == nil || id < settings["counter"].(string) {
			settings["counter"] = id
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
	case strings.HasPrefix(r.URL.Path, "/cdp/api/v1/"), strings.HasPrefix(r.URL.Path, "/management/v1/"):
		s.serveAPI(w, r)
	default:
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
	if segments[0] == "management" {
		s.serveManagement(w, r, user, segments[2:])
		return
	}
	// cdp/api/v1/counter/{id}/rest
	if len(segments) < 6 || segments[3] != "counter" {
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
		return
	}
	c, ok := s.counterFor(w, user, segments[4], r.Method != http.MethodGet)
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
		s.lastUploadings(w, r, c)
	case "GET schema/order_statuses":
		s.getStatuses(w, c)
	case "POST schema/order_statuses":
		s.postStatuses(w, r, c)
	case "GET schema/attributes":
		s.getAttributes(w, r, c)
	case "POST schema/attributes":
		s.postAttributes(w, r, c)
	case "POST schema/products":
		s.postProducts(w, r, c)
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
	}
}

// admit checks the token and the quotas (§16.1, §16.5).
func (s *Sandbox) admit(w http.ResponseWriter, r *http.Request) (*account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range []string{"oauth_token", "access_token", "token"} {
		if r.URL.Query().Has(key) {
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
	now := s.now()
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
