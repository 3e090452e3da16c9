// Package sandbox is a strict fake of a Bitrix24 portal: its REST interface in
// both method families, its authorization server and its events. It behaves as
// the protocol's section 12 asks, and remembers what callers did against the
// protocol.
//
// A test or the demo changes the portal through Add, Update, Delete and their
// sisters; the portal then posts events to the hook address as the real one
// would: once, in any order, with the auth keys of its kind of sender.
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

// What a new portal is known by.
const (
	Secret           = "sandbox0secret00" // code of the inbound webhook
	ApplicationToken = "sandboxapplicationtoken000000001"
	MemberID         = "0123456789abcdef0123456789abcdef"
	ClientID         = "local.sandbox.00000001"
	ClientSecret     = "sandboxclientsecret0000000000000000000000000000001"
)

// Portal is one fake portal. It is made by New; all its methods may be used
// concurrently.
type Portal struct {
	now    func() time.Time
	log    *zap.Logger
	zone   *time.Location // of the server
	app    bool           // connected as an application, not by a webhook
	cost   float64        // operating seconds that one call is charged
	scale  float64        // of the rate limit; 0: no limit
	https  bool           // refuse plain HTTP
	rights []string       // scopes of the webhook or application

	events events

	mu         sync.Mutex
	rand       *rand.Rand
	tables     map[string]*table
	history    map[string][]step
	statuses   []status
	pipelines  []pipeline
	users      []user
	origins    map[string]int // kind, ORIGINATOR_ID and ORIGIN_ID → times created
	lastField  int
	lastMulti  int
	host       string // where the portal lives; "": anywhere
	redirected map[string]bool
	level      float64 // of the leaky bucket
	leaked     time.Time
	operating  map[string]*baskets
	calls      map[string]int // HTTP calls by method
	inner      map[string]int // commands by method, those in batches too
	faults     []*Fault
	oauth      oauth
	bound      []binding
	ghosts     map[string]bool // ids named only by forged events
	wrong      []string
}

// New makes a portal with its default pipelines and statuses and no data.
//
// Options: "auth" is webhook (default) or oauth; "limit_scale" multiplies the
// rate limit ("0" switches it off; default 1); "operating_cost" is the operating
// time of one command in seconds (default 0.02); "require_https" is true or
// false (default); "redirect_url" is where the authorization page sends the
// browser.
func New(o connectors.SandboxOptions) (*Portal, error) {
	p := &Portal{
		now: o.Now, log: o.Log, zone: time.FixedZone("", 3*3600), cost: 0.02, scale: 1,
		rights: []string{"crm", "user"},
		rand:   rand.New(rand.NewPCG(o.Seed, 24)),
		tables: map[string]*table{}, history: map[string][]step{}, origins: map[string]int{},
		redirected: map[string]bool{}, operating: map[string]*baskets{}, calls: map[string]int{},
		inner: map[string]int{}, ghosts: map[string]bool{},
		lastField: 100, lastMulti: 1000,
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = zap.NewNop()
	}
	for _, kind := range []string{Company, Contact, Deal, Lead} {
		p.tables[kind] = &table{schema: newSchema(kind), byID: map[int]*entity{}}
	}
	p.statuses, p.pipelines, p.users = defaultStatuses(), defaultPipelines(), defaultUsers()
	p.oauth.redirect = o.Options["redirect_url"]
	p.oauth.life = time.Hour
	p.events.prepare(p, o.HookURL)
	return p, p.configure(o.Options)
}

func (p *Portal) configure(options map[string]string) error {
	for key, value := range options {
		var err error
		switch key {
		case "auth":
			p.app = value == "oauth"
			if !p.app && value != "webhook" {
				err = fmt.Errorf("must be webhook or oauth")
			}
		case "limit_scale":
			p.scale, err = strconv.ParseFloat(value, 64)
		case "operating_cost":
			p.cost, err = strconv.ParseFloat(value, 64)
		case "require_https":
			p.https, err = strconv.ParseBool(value)
		case "redirect_url":
		default:
			err = fmt.Errorf("is not known")
		}
		if err != nil {
			return fmt.Errorf("option %s of the bitrix24 sandbox: %w", key, err)
		}
	}
	return nil
}

// Settings implements connectors.Sandbox.
func (p *Portal) Settings(base string) map[string]any {
	base = strings.TrimRight(base, "/")
	out := map[string]any{"application_token": ApplicationToken, "member_id": MemberID}
	if p.app {
		out["oauth"] = map[string]any{
			"client_id": ClientID, "client_secret": ClientSecret, "portal": base, "oauth_server": base}
		return out
	}
	out["url"] = base + "/rest/1/" + Secret + "/"
	return out
}

// Violations implements connectors.Sandbox.
func (p *Portal) Violations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.wrong)
}

// violate notes what a caller did wrong; the caller holds the lock. The list is
// bounded: the thousandth repetition tells nothing new.
func (p *Portal) violate(format string, args ...any) {
	if len(p.wrong) < 1000 {
		p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	}
}

// Calls counts the HTTP calls of a REST method ("" for all): a batch is one.
func (p *Portal) Calls(method string) int { return p.count(p.calls, method) }

// Commands counts how often a method was carried out, in batches too.
func (p *Portal) Commands(method string) int { return p.count(p.inner, method) }

func (p *Portal) count(in map[string]int, method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if method != "" {
		return in[strings.ToLower(method)]
	}
	sum := 0
	for _, n := range in {
		sum += n
	}
	return sum
}

// SetRights replaces the scopes that the webhook or application has.
func (p *Portal) SetRights(scopes ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rights = scopes
}

// Rename gives the portal a new host name: calls to any other are redirected
// (§2.4).
func (p *Portal) Rename(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.host = host
}

// ServeHTTP implements connectors.Sandbox.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/__fake/"):
		p.serveFake(w, r)
	case r.URL.Path == "/oauth/authorize/":
		p.serveAuthorize(w, r)
	case r.URL.Path == "/oauth/token/":
		p.serveToken(w, r)
	case strings.HasPrefix(r.URL.Path, "/rest/"):
		p.serveREST(w, r)
	default:
		p.mu.Lock()
		p.violate("%s to an address that there is not", r.Method)
		p.mu.Unlock()
		http.NotFound(w, r)
	}
}

// serveFake answers the sandbox's own pages.
func (p *Portal) serveFake(w http.ResponseWriter, r *http.Request) {
	sent, failed, _ := p.Events()
	p.mu.Lock()
	counts := map[string]int{}
	for kind, t := range p.tables {
		counts[kind] = len(t.ids)
	}
	state := map[string]any{
		"kind": "bitrix24", "entities": counts, "calls": p.calls, "commands": p.inner,
		"events_sent": sent, "events_failed": failed, "violations": append([]string{}, p.wrong...),
	}
	data, err := json.MarshalIndent(state, "", "  ")
	p.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if strings.TrimPrefix(r.URL.Path, "/__fake/") != "" && !strings.HasSuffix(r.URL.Path, "/state") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(data)
}

// date renders a moment as the server does: ISO 8601 with its offset.
func (p *Portal) date(t time.Time) string { return t.In(p.zone).Format("2006-01-02T15:04:05-07:00") }
