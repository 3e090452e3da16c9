package sandbox

import (
	"cmp"
	"fmt"
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
	// Measurement are tokens of the Measurement Protocol, which is switched on when
	// there are any.
	Measurement []string
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

	day       window
	goals     []*Goal
	managed   []*ManagedUpload
	sheets    map[string]*rowTable // conversions, calls, chats, expenses
	params    map[string]map[string]string
	visitors  map[string][]int64 // visits by identifier, ascending
	expected  bool               // visitors were registered: the others are unknown
	measuring measurement
	traffic   map[string]Traffic // by date
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
	made := &counterState{
		Counter: c, zone: zone, created: s.Now(),
		tables: map[string]*table{
			contactsKind.name: newTable(contactsKind), ordersKind.name: newTable(ordersKind), simpleKind.name: newTable(simpleKind),
		},
		attributes: map[string][]attribute{}, products: map[string]string{}, perClient: map[string]int{},
		inFlight: map[string]int{}, poison: map[string]bool{},
		sheets: map[string]*rowTable{}, params: map[string]map[string]string{}, visitors: map[string][]int64{}, traffic: map[string]Traffic{},
		measuring: newMeasurement(c.Measurement),
	}
	for _, sh := range []*sheet{conversionsSheet(), callsSheet(), chatsSheet(), expensesSheet()} {
		made.sheets[sh.name] = &rowTable{sheet: sh, rows: map[string]storedRow{}}
	}
	for _, id := range c.Goals {
		made.newGoal(eventGoal(id))
	}
	s.counters[c.ID] = made
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

// counterFor checks scope and permission (§16.1). area is the narrow scope that
// is enough besides metrika:write (§2.2).
func (s *Sandbox) counterFor(w http.ResponseWriter, user *account, id string, write bool, area string) (*counterState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[id]
	scopes := []string{"metrika:write", area}
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
	if c.day.hit(s.Now().Unix()/86400) > s.rules.PerCounter {
		s.violate("quota exceeded: quota_requests_by_counter_id")
		refuse(w, s.rules.QuotaStatus, "quota_requests_by_counter_id", "quota exceeded")
		return nil, false
	}
	return c, true
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
