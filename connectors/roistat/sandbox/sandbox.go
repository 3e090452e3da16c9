// Package sandbox is the strict fake of Roistat's side of the "own CRM"
// protocol: it reads our orders and clients as Roistat does, pushes leads, and
// reports everything that Roistat would have stumbled over or deleted
// (roistat §10).
package sandbox

import (
	"cmp"
	"context"
	"crypto/md5" // the protocol's choice, roistat §2.2
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svod-hub/svod/connectors"
)

// window is how far back an exchange reaches (roistat §2.4).
const window = 31 * 24 * time.Hour

// Sandbox plays one Roistat project.
type Sandbox struct {
	now      func() time.Time
	user     string
	password string
	post     bool // the send method of step 2
	limit    string
	hook     string
	http     *http.Client

	mu         sync.Mutex
	orders     map[string]Order // what Roistat would know
	leads      []*pushed
	violations []string
}

var _ connectors.Sandbox = (*Sandbox)(nil)

// Report is what one exchange brought.
type Report struct {
	Statuses int `json:"statuses"`
	Orders   int `json:"orders"`
	Clients  int `json:"clients"`
	Pages    int `json:"pages"`
	New      int `json:"new"`
	Changed  int `json:"changed"`
	// Lost are orders that Roistat deleted because the answer lacked them.
	Lost []string `json:"lost,omitempty"`
	// Refused says why the hub did not answer; nothing was changed then.
	Refused string `json:"refused,omitempty"`
	// Repeated leads, and those still without an answer.
	Repeated int `json:"repeated"`
	Waiting  int `json:"waiting"`
}

// New makes a sandbox. Options: user and password (both may be empty), method
// (GET or POST), limit (the wished-for page size; "none" sends none).
func New(o connectors.SandboxOptions) (*Sandbox, error) {
	s := &Sandbox{
		now: o.Now, hook: o.HookURL, orders: map[string]Order{},
		user: o.Options["user"], password: o.Options["password"],
		limit: cmp.Or(o.Options["limit"], "1000"),
		http:  &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	if s.now == nil {
		s.now = time.Now
	}
	switch method := cmp.Or(o.Options["method"], http.MethodGet); method {
	case http.MethodGet:
	case http.MethodPost:
		s.post = true
	default:
		return nil, fmt.Errorf("method: %q is neither GET nor POST", method)
	}
	return s, nil
}

// Run makes one exchange with the hub's pull address: statuses, orders, clients,
// the deletion rule, and leads that were not acknowledged. The error is about
// reaching the hub; what the hub did wrong is in Violations.
func (s *Sandbox) Run(ctx context.Context, base string) (Report, error) {
	return s.RunSince(ctx, base, s.now().Add(-window))
}

// RunSince is Run with a date of one's own.
func (s *Sandbox) RunSince(ctx context.Context, base string, since time.Time) (Report, error) {
	var report Report
	promised := s.acknowledged()
	scheme, err := s.scheme(ctx, base, &report)
	if err != nil || report.Refused != "" {
		return report, err
	}
	report.Statuses = len(scheme)
	orders, err := s.readOrders(ctx, base, since, &report)
	if err != nil || report.Refused != "" {
		return report, err
	}
	clients, err := s.readClients(ctx, base, since, &report)
	if err != nil || report.Refused != "" {
		return report, err
	}
	report.Orders, report.Clients = len(orders), len(clients)
	if err := s.checkLinks(ctx, base, since, scheme, orders, clients); err != nil {
		return report, err
	}
	s.checkPromised(promised, orders, since)
	s.apply(orders, since, &report)
	return report, s.repeat(ctx, base, &report)
}

// apply keeps the answer and deletes what it lacks inside the window, as Roistat
// does.
func (s *Sandbox) apply(orders map[string]Order, since time.Time, report *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, known := range s.orders {
		if _, ok := orders[id]; !ok && (known.Created >= since.Unix() || known.Updated >= since.Unix()) {
			report.Lost = append(report.Lost, id)
			delete(s.orders, id)
		}
	}
	slices.Sort(report.Lost)
	for id, o := range orders {
		switch known, ok := s.orders[id]; {
		case !ok:
			report.New++
		case known != o:
			report.Changed++
		}
		s.orders[id] = o
	}
}

// Orders gives what Roistat knows.
func (s *Sandbox) Orders() map[string]Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]Order, len(s.orders))
	for id, o := range s.orders {
		all[id] = o
	}
	return all
}

// token proves that we know user and password (roistat §2.2).
func (s *Sandbox) token() string {
	sum := md5.Sum([]byte(s.user + s.password))
	return hex.EncodeToString(sum[:])
}

func (s *Sandbox) violate(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text := fmt.Sprintf(format, args...); len(s.violations) < 1000 && !slices.Contains(s.violations, text) {
		s.violations = append(s.violations, text)
	}
}

// ServeHTTP lets a person start an exchange, POST /__fake/run, and push a lead,
// POST /__fake/lead, with the hub's address in the parameter url.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := cmp.Or(r.URL.Query().Get("url"), s.hook)
	var answer any
	var err error
	switch {
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/__fake/run"):
		answer, err = s.Run(r.Context(), base)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/__fake/lead"):
		answer, err = s.PushLead(r.Context(), base, SampleLead(s.now()))
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/__fake/orders"):
		answer = s.Orders()
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/__fake/violations"):
		answer = s.Violations()
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the reader has gone when this fails
}

// Settings are the keys of svod.yaml that make a hub answer this sandbox.
func (s *Sandbox) Settings(string) map[string]any {
	return map[string]any{"user": s.user, "password": s.password}
}

// Violations lists what the hub did against the protocol.
func (s *Sandbox) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}
