// Package sandbox is a strict fake of CallKeeper and CallTracking: the list of
// calls of ckct.ru and the hooks of both services. It behaves as the protocol's
// section 6 asks, and remembers what callers did against the protocol.
//
// A test or the demo makes calls with Add, or with Begin and Finish; the fake
// then sends hooks as the real one would: once in each way that is allowed to
// it, in either order, and never again after a failure.
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

// Key is the key of the list of calls.
const Key = "s4ndb0xs4ndb0x16"

// The services that a call may belong to.
const (
	Callback = "callback"
	Tracking = "calltracking"
	Imported = "import"
)

// PageSize is what a page of the list holds (§3.1).
const PageSize = 1000

// Call is one call as it happens.
type Call struct {
	Service  string // Tracking when empty
	Client   string
	Manager  string
	Number   string // the substituted one, of tracking calls
	Started  time.Time
	Duration int // of the talk, in seconds
	// First and Second are the codes of the two legs; 200/200 when both are 0.
	First, Second int
	Unique        bool
	Target        bool
	Tags          []string
	Record        string
	ClientID      string // of Metrica
	GAClientID    string
	Roistat       string
	Source        string // utm_source and its sisters
	Medium        string
	Campaign      string
	Content       string
	Term          string
	City          string
	Page          string
	Tool          string // event source of call-backs
}

// Service is the fake. It is made by New; all its methods may be used
// concurrently.
type Service struct {
	now      func() time.Time
	log      *zap.Logger
	pageSize int
	newFirst bool
	get      bool // hooks of tracking calls go by GET
	sends    map[string]bool

	hooks sender

	mu       sync.Mutex
	rand     *rand.Rand
	calls    []*call // in the order of their making
	byID     map[string]*call
	requests int
	faults   []*Fault
	wrong    []string
}

// call is a Call with what the service adds.
type call struct {
	Call
	number    int
	universal string
	live      bool
	results   []hookResult
}

type hookResult struct {
	Event   string `json:"hookEventName"`
	Address string `json:"hookAddress"`
	Method  string `json:"hookMethod"`
	Status  int    `json:"hookResponseStatus"`
}

// New makes a service without calls.
//
// Options: "page_size" (default 1000); "order" of the list is asc (default) or
// desc; "hooks" is both (default), callback, tracking or none; "tracking_method"
// is GET (default) or POST.
func New(o connectors.SandboxOptions) (*Service, error) {
	s := &Service{
		now: o.Now, log: o.Log, pageSize: PageSize, get: true,
		rand: rand.New(rand.NewPCG(o.Seed, 3)), byID: map[string]*call{},
		sends: map[string]bool{Callback: true, Tracking: true},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.hooks.prepare(s, o.HookURL)
	return s, s.configure(o.Options)
}

func (s *Service) configure(options map[string]string) error {
	for key, value := range options {
		good := true
		switch key {
		case "page_size":
			n, err := strconv.Atoi(value)
			s.pageSize, good = n, err == nil && n > 0
		case "order":
			s.newFirst, good = value == "desc", value == "asc" || value == "desc"
		case "hooks":
			s.sends[Callback] = value == "both" || value == Callback
			s.sends[Tracking] = value == "both" || value == "tracking"
			good = slices.Contains([]string{"both", Callback, "tracking", "none"}, value)
		case "tracking_method":
			s.get, good = value == http.MethodGet, value == http.MethodGet || value == http.MethodPost
		default:
			return fmt.Errorf("option %s of the callkeeper sandbox is not known", key)
		}
		if !good {
			return fmt.Errorf("option %s of the callkeeper sandbox cannot be %q", key, value)
		}
	}
	return nil
}

// Settings implements connectors.Sandbox.
func (s *Service) Settings(base string) map[string]any {
	return map[string]any{"url": strings.TrimRight(base, "/"), "key": Key}
}

// Violations implements connectors.Sandbox.
func (s *Service) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wrong)
}

// violate notes what a caller did wrong; the caller holds the lock.
func (s *Service) violate(format string, args ...any) {
	if len(s.wrong) < 1000 {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	}
}

// Requests counts the requests to the list.
func (s *Service) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Len counts the calls.
func (s *Service) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// Add makes a call that is over; its hooks are sent. It returns universalId.
func (s *Service) Add(c Call) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.begin(c)
	s.announce(made, true)
	return made.universal
}

// Begin makes a call that goes on.
func (s *Service) Begin(c Call) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.begin(c)
	made.live = true
	s.announce(made, false)
	return made.universal
}

func (s *Service) begin(c Call) *call {
	if c.Service == "" {
		c.Service = Tracking
	}
	if c.Started.IsZero() {
		c.Started = s.now()
	}
	if c.First == 0 && c.Second == 0 {
		c.First, c.Second = 200, 200
	}
	made := &call{Call: c, number: 10_000_000 + len(s.calls)}
	made.universal = "2342342343" + strconv.Itoa(made.number)[1:]
	s.calls = append(s.calls, made)
	s.byID[made.universal] = made
	return made
}

// Finish ends a call that goes on.
func (s *Service) Finish(id string, duration int) {
	s.change(id, func(c *call) {
		c.live, c.Duration = false, duration
		s.announceEnd(c)
	})
}

// Tag gives a call tags by hand, long after its hooks.
func (s *Service) Tag(id string, tags ...string) {
	s.change(id, func(c *call) { c.Tags = slices.Clone(tags) })
}

// Attach gives a call its recording, which is ready some time after the call.
func (s *Service) Attach(id, address string) {
	s.change(id, func(c *call) { c.Record = address })
}

// CallID is the id that the hooks of a call-back carry.
func (s *Service) CallID(id string) (out string) {
	s.change(id, func(c *call) { out = strconv.Itoa(c.number) })
	return out
}

func (s *Service) change(id string, fn func(*call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.byID[id]; c != nil {
		fn(c)
	}
}

// ServeHTTP implements connectors.Sandbox.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/__fake/"):
		s.serveFake(w, r)
	case r.URL.Path == "/api/" || r.URL.Path == "/api/index.php":
		s.serveList(w, r)
	default:
		s.mu.Lock()
		s.violate("%s to an address that there is not", r.Method)
		s.mu.Unlock()
		http.NotFound(w, r)
	}
}

// serveFake answers the sandbox's own pages: its state, and
// POST /__fake/traffic?callbacks=5&calls=5&changes=3&history=10, which lets a
// person make calls.
func (s *Service) serveFake(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, "/__fake/") {
	case "", "state":
		s.serveState(w)
	case "traffic":
		s.serveTraffic(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Service) serveTraffic(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "traffic is made by POST", http.StatusMethodNotAllowed)
		return
	}
	var l Load
	for name, n := range map[string]*int{"history": &l.History, "callbacks": &l.Callbacks, "calls": &l.Calls, "changes": &l.Changes} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		var err error
		if *n, err = strconv.Atoi(text); err != nil || *n < 0 || *n > 10_000 {
			http.Error(w, name+" is to be a number from 0 to 10000", http.StatusBadRequest)
			return
		}
	}
	if err := s.Traffic(r.Context(), l); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	s.serveState(w)
}

func (s *Service) serveState(w http.ResponseWriter) {
	sent, failed, _ := s.Hooks()
	s.mu.Lock()
	counts := map[string]int{}
	for _, c := range s.calls {
		counts[c.Service]++
	}
	data, err := json.MarshalIndent(map[string]any{
		"kind": "callkeeper", "calls": counts, "requests": s.requests,
		"hooks_sent": sent, "hooks_failed": failed, "violations": append([]string{}, s.wrong...),
	}, "", "  ")
	s.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(data)
}
