// Package sandbox is a strict fake of one amoCRM account: its API, its OAuth
// server and its webhooks. It is made from §9 of the protocol's specification;
// that section's points are named as "§9.n". What a caller does against the
// protocol is answered as amoCRM would answer it and noted in Violations.
package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/svod-hub/svod/connectors"
)

// AccountID is the fake account's number.
const AccountID = 31612010

// What the fake OAuth integration is registered with.
const (
	ClientID     = "0f2a6c1e-7d43-4b6f-9f5e-2b1f3c4d5e6f"
	ClientSecret = "sandbox-client-secret"
	RedirectURI  = "http://127.0.0.1:8080/oauth"
)

// Account is a fake account. It is safe for concurrent use.
type Account struct {
	now     func() time.Time
	options map[string]string

	mu         sync.Mutex
	host       string // where the account lives; "" until it is known
	scheme     string
	old        map[string]bool // hosts it has left
	tables     map[string]*table
	pipelines  []Pipeline
	users      []User
	events     []event
	byKey      map[string]int64 // communication ids of leads made over the API
	unsorted   map[string]*unsorted
	lastID     int64
	calls      map[string]int
	violations []string
	gate       gate
	auth       auth
	hooks      hooks
	faults     []*Fault

	traffic sync.Mutex // one load at a time
	sample  sample
}

// New makes an account with two pipelines, fields and users, and without leads.
//
// Options: "auth" is token (default) or oauth; "filter" is on (default) or off
// and says whether lists can be filtered (§9.14); "rate" is the requests a second,
// by default 7; "hooks" is new (default) or 2016, the generation of webhook
// bodies; "price" is shown (default) or hidden in them; "unsorted" is on (default)
// or off; "time_scale" divides the waits between the tries of a webhook; "redirect_uri"
// is what the integration is registered with.
func New(opts connectors.SandboxOptions) (*Account, error) {
	a := &Account{
		now: opts.Now, options: opts.Options,
		old: map[string]bool{}, calls: map[string]int{}, byKey: map[string]int64{}, unsorted: map[string]*unsorted{},
		lastID: 4_000_000,
	}
	if a.now == nil {
		a.now = time.Now
	}
	for name, allowed := range map[string]string{
		"auth": "token oauth", "filter": "on off", "hooks": "new 2016", "price": "shown hidden", "unsorted": "on off",
	} {
		if v := opts.Options[name]; v != "" && !strings.Contains(" "+allowed+" ", " "+v+" ") {
			return nil, fmt.Errorf("option %s: %q is none of %s", name, v, allowed)
		}
	}
	a.gate.rate = 7
	if text := opts.Options["rate"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("option rate: %q is not a number of requests a second", text)
		}
		a.gate.rate = n
	}
	if err := a.hooks.configure(a, opts); err != nil {
		return nil, err
	}
	a.furnish()
	a.auth.begin(a)
	return a, nil
}

// Settings implements connectors.Sandbox.
func (a *Account) Settings(base string) map[string]any {
	u, err := url.Parse(base)
	if err != nil {
		return map[string]any{"url": base}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scheme, a.host = u.Scheme, u.Host
	out := map[string]any{
		"url":        strings.TrimRight(base, "/"),
		"account_id": strconv.Itoa(AccountID),
		"trusted_hosts": []string{
			u.Host, strings.Replace(u.Host, "127.0.0.1", "localhost", 1),
		},
	}
	if a.options["auth"] == "oauth" {
		out["oauth"] = map[string]any{
			"client_id": ClientID, "client_secret": ClientSecret, "redirect_uri": a.redirectURI(), "code": a.auth.code(a),
		}
		return out
	}
	out["token"] = a.auth.longLived(a)
	return out
}

// Violations implements connectors.Sandbox.
func (a *Account) Violations() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.violations...)
}

// Calls counts the requests by what they asked for: "GET /leads".
func (a *Account) Calls() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]int, len(a.calls))
	for name, n := range a.calls {
		out[name] = n
	}
	return out
}

// violate notes what a caller did wrong. The lock is held.
func (a *Account) violate(format string, args ...any) {
	if len(a.violations) < 1000 {
		a.violations = append(a.violations, fmt.Sprintf(format, args...))
	}
}

// Fault makes requests fail.
type Fault struct {
	Method string // "" means any
	Path   string // prefix of the path, such as /api/v4/leads; "" means any
	Skip   int    // requests that still go well
	Times  int    // how many then fail; 0 means all

	Status      int           // answered instead
	Body        string        //
	ContentType string        // defaults to text/html
	Delay       time.Duration // before the answer
	// Drop cuts the connection instead of answering; with Done the request is
	// carried out before that.
	Drop bool
	Done bool
}

// Inject adds a fault.
func (a *Account) Inject(f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = append(a.faults, &f)
}

// Heal removes all faults.
func (a *Account) Heal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults = nil
}

func (a *Account) takeFault(r *http.Request) *Fault {
	for i, f := range a.faults {
		if f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.Path, f.Path) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		taken := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				a.faults = append(a.faults[:i:i], a.faults[i+1:]...)
			}
		}
		return &taken
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/__fake/") {
		a.servePage(w, r)
		return
	}
	a.mu.Lock()
	f := a.takeFault(r)
	if a.host == "" {
		a.host, a.scheme = r.Host, "http"
	}
	a.mu.Unlock()
	if f == nil {
		a.route(w, r)
		return
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay): // a slow system is what is being played
		case <-r.Context().Done():
		}
	}
	if f.Done {
		a.route(&discard{header: http.Header{}}, r)
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	if f.Status == 0 {
		a.route(w, r)
		return
	}
	kind := f.ContentType
	if kind == "" {
		kind = "text/html"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(f.Body))
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// reply is an answer that is made under the lock and written outside of it.
type reply struct {
	status int
	kind   string // content type; defaults to application/hal+json
	body   any    // nil for none; a string is written as it is
}

func (rp reply) write(w http.ResponseWriter) {
	kind := rp.kind
	if kind == "" {
		kind = "application/hal+json"
	}
	if rp.status >= 400 && rp.kind == "" {
		kind = "application/problem+json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Request-Id", "sandbox")
	w.WriteHeader(rp.status)
	switch body := rp.body.(type) {
	case nil:
	case string:
		_, _ = w.Write([]byte(body))
	default:
		_ = json.NewEncoder(w).Encode(body)
	}
}

// none is how the system says "nothing" (§9.7).
func none() reply { return reply{status: http.StatusNoContent} }

func problem(status int, title, detail string) reply {
	return reply{status: status, body: map[string]any{
		"title": title, "type": "https://httpstatus.es/" + strconv.Itoa(status), "status": status, "detail": detail,
	}}
}

func (a *Account) servePage(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out any
	switch strings.TrimPrefix(r.URL.Path, "/__fake/") {
	case "":
		out = map[string]any{"account": AccountID, "calls": a.calls, "violations": a.violations, "hooks": a.hooks.report()}
	case "companies", "contacts", "leads":
		out = a.tables[strings.TrimPrefix(r.URL.Path, "/__fake/")].all()
	case "violations":
		out = a.violations
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(out)
}
