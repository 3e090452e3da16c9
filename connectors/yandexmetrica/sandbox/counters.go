package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Counter is a counter to begin with.
type Counter struct {
	ID    string
	Name  string // may be empty: real counters without a name exist
	Site  string
	Owner string // login; has the permission own
	Zone  string // IANA
	// Guests are logins with the permission edit or view.
	Guests map[string]string
	// Goals are identifiers of JavaScript goals.
	Goals []string
}

// counterState is a counter and all that was uploaded to it.
type counterState struct {
	Counter
	zone       *time.Location
	created    time.Time
	tables     map[string]*table
	statuses   []orderStatus
	attributes map[string][]attribute // by entity type
	products   map[string]string
	perClient  map[string]int // orders
	uploads    []*Upload
	inFlight   map[string]int
	poison     map[string]bool
}

// AddCounter makes a counter, or replaces it with an empty one.
func (s *Sandbox) AddCounter(c Counter) error {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("counter %s: %w", c.ID, err)
	}
	if _, err := strconv.ParseInt(c.ID, 10, 64); err != nil {
		return fmt.Errorf("counter %q: not a number", c.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters[c.ID] = &counterState{
		Counter: c, zone: zone, created: s.now(),
		tables: map[string]*table{
			contactsKind.name: newTable(contactsKind), ordersKind.name: newTable(ordersKind), simpleKind.name: newTable(simpleKind),
		},
		attributes: map[string][]attribute{}, products: map[string]string{}, perClient: map[string]int{},
		inFlight: map[string]int{}, poison: map[string]bool{},
	}
	return nil
}

// SetZone moves a counter to another time zone.
func (s *Sandbox) SetZone(counter, zone string) error {
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.counters[counter]
	if !ok {
		return fmt.Errorf("no counter %s", counter)
	}
	c.Zone, c.zone = zone, loc
	return nil
}

// permission of a login, "" when it has none.
func (c *counterState) permission(login string) string {
	if c.Owner == login {
		return "own"
	}
	return c.Guests[login]
}

// counterFor checks scope and permission (§16.1).
func (s *Sandbox) counterFor(w http.ResponseWriter, user *account, id string, write bool) (*counterState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[id]
	scopes := []string{"metrika:write", "metrika:offline_data"}
	if !write {
		scopes = append(scopes, "metrika:read")
	}
	granted := slices.ContainsFunc(user.scopes, func(scope string) bool { return slices.Contains(scopes, scope) })
	permission := ""
	if c != nil {
		permission = c.permission(user.login)
	}
	if !granted || permission == "" || write && permission == "view" {
		refuse(w, http.StatusForbidden, "access_denied", "Access is denied")
		return nil, false
	}
	return c, true
}

func (s *Sandbox) serveManagement(w http.ResponseWriter, r *http.Request, user *account, path []string) {
	switch {
	case r.Method == http.MethodGet && len(path) == 1 && path[0] == "counters":
		s.listCounters(w, r, user)
	case len(path) >= 2 && path[0] == "counter":
		c, ok := s.counterFor(w, user, path[1], r.Method != http.MethodGet)
		if !ok {
			return
		}
		switch {
		case r.Method == http.MethodGet && len(path) == 2:
			s.mu.Lock()
			defer s.mu.Unlock()
			answer(w, http.StatusOK, map[string]any{"counter": c.shown(user.login)})
		case r.Method == http.MethodGet && len(path) == 3 && path[2] == "goals":
			s.listGoals(w, c)
		case r.Method == http.MethodPost && len(path) == 3 && path[2] == "goals":
			s.addGoal(w, r, c)
		default:
			refuse(w, http.StatusNotFound, "not_found", "there is no such address")
		}
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
	}
}

// shown is the counter as the API gives it (§4.1), with numbers for booleans.
func (c *counterState) shown(login string) map[string]any {
	id, _ := strconv.ParseInt(c.ID, 10, 64)
	_, offset := c.created.In(c.zone).Zone()
	shown := map[string]any{
		"id": id, "status": "Active", "owner_login": c.Owner, "type": "simple", "favorite": 0, "hide_address": 0,
		"permission": c.permission(login), "create_time": c.created.Format(time.RFC3339),
		"time_zone_name": c.Zone, "time_zone_offset": offset / 60,
		"site": c.Site, "site2": map[string]any{"site": c.Site, "domain": c.Site}, "gdpr_agreement_accepted": 1,
	}
	if c.Name != "" {
		shown["name"] = c.Name
	}
	return shown
}

func (s *Sandbox) listCounters(w http.ResponseWriter, r *http.Request, user *account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var mine []*counterState
	for _, c := range s.counters {
		if c.permission(user.login) != "" {
			mine = append(mine, c)
		}
	}
	slices.SortFunc(mine, func(a, b *counterState) int { return cmp.Or(len(a.ID)-len(b.ID), strings.Compare(a.ID, b.ID)) })
	perPage, offset := whole(r, "per_page", 1000), whole(r, "offset", 1)
	if perPage < 1 || offset < 1 {
		refuse(w, http.StatusBadRequest, "invalid_parameter", "per_page and offset begin at 1")
		return
	}
	shown := []map[string]any{}
	for i := offset - 1; i < len(mine) && len(shown) < perPage; i++ {
		shown = append(shown, mine[i].shown(user.login))
	}
	answer(w, http.StatusOK, map[string]any{"rows": len(mine), "counters": shown})
}

func whole(r *http.Request, key string, otherwise int) int {
	text := r.URL.Query().Get(key)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

func (s *Sandbox) listGoals(w http.ResponseWriter, c *counterState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	goals := []map[string]any{}
	for i, id := range c.Goals {
		goals = append(goals, goal(i, id))
	}
	answer(w, http.StatusOK, map[string]any{"goals": goals})
}

func goal(i int, id string) map[string]any {
	return map[string]any{
		"id": 334420 + i, "name": id, "type": "action",
		"conditions": []map[string]string{{"type": "exact", "url": id}},
	}
}

func (s *Sandbox) addGoal(w http.ResponseWriter, r *http.Request, c *counterState) {
	var asked struct {
		Goal struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Conditions []struct{ Type, URL string }
		} `json:"goal"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_json", "the body is not JSON")
		return
	}
	g := asked.Goal
	if g.Name == "" || len(g.Name) > 255 || g.Type != "action" || len(g.Conditions) != 1 || g.Conditions[0].URL == "" {
		refuse(w, http.StatusBadRequest, "invalid_parameter", "this sandbox makes goals of type action with one condition")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.Conditions[0].Type != "exact" {
		s.violate("goal %.50q has a condition %.20q; offline data needs exact", g.Name, g.Conditions[0].Type)
	}
	c.Goals = append(c.Goals, g.Conditions[0].URL)
	answer(w, http.StatusOK, map[string]any{"goal": goal(len(c.Goals)-1, g.Conditions[0].URL)})
}
