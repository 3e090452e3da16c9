package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// measurement is what a counter knows of the Measurement Protocol (§13).
type measurement struct {
	enabled bool
	tokens  []string
	events  map[string]*Event // by key
	order   []string
	dropped map[string]int // by reason
}

func newMeasurement(tokens []string) measurement {
	return measurement{
		enabled: len(tokens) > 0, tokens: slices.Clone(tokens), events: map[string]*Event{}, dropped: map[string]int{},
	}
}

// Event is a page view or event that was taken.
type Event struct {
	At       time.Time `json:"at"`
	ClientID string    `json:"client_id"`
	Type     string    `json:"type"` // pageview or event
	Goal     string    `json:"goal,omitempty"`
	URL      string    `json:"url,omitempty"`
	Value    string    `json:"value,omitempty"`
	Currency string    `json:"currency,omitempty"`
	Params   string    `json:"params,omitempty"`
	Purchase string    `json:"purchase,omitempty"` // ti
	Times    int       `json:"times"`              // how often it was sent
}

// Collected lists the server events of a counter in the order of their first
// coming.
func (s *Sandbox) Collected(counter string) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Event
	if c := s.counters[counter]; c != nil {
		for _, key := range c.measuring.order {
			out = append(out, *c.measuring.events[key])
		}
	}
	return out
}

// Dropped counts the server events that were answered 200 and thrown away, by
// reason. Those that name no known counter are counted in every counter.
func (s *Sandbox) Dropped(counter string) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	if c := s.counters[counter]; c != nil {
		for why, n := range c.measuring.dropped {
			out[why] = n
		}
	}
	return out
}

// The reasons for which an event is dropped.
const (
	DropNoToken   = "ms is missing or wrong"
	DropDisabled  = "the Measurement Protocol is switched off"
	DropNoVisit   = "no visit of this visitor in the last 12 hours"
	DropTooOld    = "et is older than 12 hours"
	DropFuture    = "et lies in the future"
	DropIncorrect = "a parameter is missing or wrong"
)

// eventWindow is how old an event and its visit may be (§13).
const eventWindow = 12 * time.Hour

// serveCollect answers 200 whatever comes (§13): that proves nothing.
func (s *Sandbox) serveCollect(w http.ResponseWriter, r *http.Request) {
	fault := s.takeFault(r)
	if fault != nil && s.faultBefore(w, r, fault) {
		return
	}
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		posted, parseErr := url.ParseQuery(string(body))
		if err != nil || parseErr != nil {
			s.violated("the body of /collect is not URL-encoded")
		}
		for key, values := range posted {
			form[key] = append(form[key], values...)
		}
	}
	s.collect(form)
	if fault != nil {
		s.reply(w, fault, "OK")
		return
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<!-- OK -->")
}

func (s *Sandbox) collect(form url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[form.Get("tid")]
	if c == nil {
		s.violate("a server event names no known counter")
		for _, each := range s.counters {
			each.measuring.dropped[DropIncorrect]++
		}
		return
	}
	now := s.Now()
	event, why := s.readEvent(c, form, now)
	if why != "" {
		c.measuring.dropped[why]++
		return
	}
	if event.Type == "pageview" {
		c.visit("ClientId", event.ClientID, event.At)
	}
	key := strings.Join([]string{event.ClientID, event.Type, event.Goal, event.URL, strconv.FormatInt(event.At.Unix(), 10), event.Purchase}, "\x00")
	if kept := c.measuring.events[key]; kept != nil {
		kept.Times++
		return
	}
	event.Times = 1
	c.measuring.events[key] = event
	c.measuring.order = append(c.measuring.order, key)
	if goal := c.goalOf(event.Goal); goal != nil {
		goal.reaches[c.dateOf(event.At)]++
	}
}

// readEvent checks the parameters; what is wrong with them is a violation as well
// as a drop. The caller holds s.mu.
func (s *Sandbox) readEvent(c *counterState, form url.Values, now time.Time) (*Event, string) {
	e := &Event{
		At: now, ClientID: form.Get("cid"), Type: form.Get("t"), Goal: form.Get("ea"), URL: form.Get("dl"),
		Value: form.Get("ev"), Currency: form.Get("cu"), Params: form.Get("params"), Purchase: form.Get("ti"),
	}
	if !c.measuring.enabled {
		return nil, DropDisabled
	}
	if !slices.Contains(c.measuring.tokens, form.Get("ms")) {
		s.violate("a server event has no valid ms")
		return nil, DropNoToken
	}
	if wrong := e.wrong(form); wrong != "" {
		s.violate("a server event is dropped: %s", wrong)
		return nil, DropIncorrect
	}
	if et := form.Get("et"); et != "" {
		seconds, _ := strconv.ParseInt(et, 10, 64)
		e.At = time.Unix(seconds, 0).UTC()
		switch {
		case e.At.Before(now.Add(-eventWindow)):
			s.violate("a server event is older than 12 hours")
			return nil, DropTooOld
		case e.At.After(now):
			s.violate("a server event lies in the future")
			return nil, DropFuture
		}
	}
	if e.Type == "event" && !s.visiting(c, e) {
		return nil, DropNoVisit
	}
	return e, ""
}

// wrong names the first parameter that is missing or wrong.
func (e *Event) wrong(form url.Values) string {
	et := cmp.Or(form.Get("et"), "1")
	seconds, err := strconv.ParseInt(et, 10, 64)
	switch {
	case !isClientID(e.ClientID):
		return "cid"
	case e.Type != "pageview" && e.Type != "event":
		return "t"
	case e.Type == "event" && e.Goal == "" && form.Get("pa") == "":
		return "ea"
	case e.Type == "pageview" && (e.URL == "" || form.Get("dt") == ""):
		return "dl or dt"
	case e.URL != "" && !isWebAddress(e.URL):
		return "dl"
	case err != nil || !allDigits(et) || seconds <= 0 || seconds >= lastSecond:
		return "et"
	case e.Value != "" && !isAmount(e.Value):
		return "ev"
	case e.Params != "" && !json.Valid([]byte(e.Params)):
		return "params"
	case form.Get("pa") != "" && !slices.Contains([]string{"detail", "add", "remove", "purchase"}, form.Get("pa")):
		return "pa"
	}
	return ""
}

// visiting: the event falls into a visit that did not end 12 hours ago.
func (s *Sandbox) visiting(c *counterState, e *Event) bool {
	if !c.expected && s.rules.Visitors == "auto" {
		return true
	}
	visits := c.visitors["ClientId="+e.ClientID]
	i, _ := slices.BinarySearch(visits, e.At.Unix()+1)
	return i > 0 && visits[i-1] >= e.At.Add(-eventWindow).Unix()
}

// shownWith adds the members that field asks for.
func (c *counterState) shownWith(login, field string) map[string]any {
	shown := c.shown(login)
	for name := range strings.SplitSeq(field, ",") {
		switch name {
		case "goals":
			goals := []Goal{}
			for _, g := range c.goals {
				if g.Status != "Deleted" {
					goals = append(goals, *g)
				}
			}
			shown["goals"] = goals
		case "counter_flags":
			shown["counter_flags"] = map[string]any{"measurement_enabled": c.measuring.enabled}
		case "measurement_tokens":
			tokens := c.measuring.tokens
			if tokens == nil {
				tokens = []string{}
			}
			shown["measurement_tokens"] = tokens
		}
	}
	return shown
}

// switchMeasurement is PUT of a counter with its flags.
func (s *Sandbox) switchMeasurement(w http.ResponseWriter, r *http.Request, user *account, c *counterState, fault *Fault) {
	var body struct {
		Counter struct {
			Flags struct {
				Enabled *bool `json:"measurement_enabled"`
			} `json:"counter_flags"`
		} `json:"counter"`
	}
	if !s.decode(w, r, &body) {
		return
	}
	if body.Counter.Flags.Enabled == nil {
		s.reject(w, "this sandbox changes counter_flags.measurement_enabled only")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.measuring.enabled = *body.Counter.Flags.Enabled
	s.reply(w, fault, map[string]any{"counter": c.shownWith(user.login, "counter_flags")})
}

const maxTokens = 5

func (s *Sandbox) newToken(w http.ResponseWriter, c *counterState, fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(c.measuring.tokens) >= maxTokens {
		refuse(w, http.StatusBadRequest, "invalid_parameter", fmt.Sprintf("the counter has %d tokens", maxTokens))
		return
	}
	token := s.nextID()
	c.measuring.tokens = append(c.measuring.tokens, token)
	if s.rules.BareToken {
		s.reply(w, fault, token)
		return
	}
	s.reply(w, fault, map[string]any{"response": token})
}

func (s *Sandbox) deleteToken(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := r.URL.Query().Get("token")
	if !slices.Contains(c.measuring.tokens, token) {
		refuse(w, http.StatusBadRequest, "invalid_parameter", "there is no such token")
		return
	}
	c.measuring.tokens = slices.DeleteFunc(c.measuring.tokens, func(t string) bool { return t == token })
	s.reply(w, fault, map[string]any{"success": true})
}
