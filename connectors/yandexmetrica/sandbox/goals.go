package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Goal is a goal of a counter (§4.2).
type Goal struct {
	ID         int64           `json:"id"`
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Conditions []GoalCondition `json:"conditions,omitempty"`
	Source     string          `json:"goal_source,omitempty"` // user or auto
	Price      json.Number     `json:"default_price,omitempty"`
	Depth      int             `json:"depth,omitempty"`
	Duration   int             `json:"duration,omitempty"`
	Flag       string          `json:"flag,omitempty"`
	Favorite   int             `json:"is_favorite"`
	Status     string          `json:"status,omitempty"` // Active or Deleted

	reaches map[string]int64 // by date in the counter's zone
	set     map[string]int64 // by SetReaches
}

// GoalCondition is one condition of a goal.
type GoalCondition struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

const firstGoal = 334420

// target reports whether offline data may name the goal: a JavaScript event with
// one exact condition (§4.2).
func (g *Goal) target() (string, bool) {
	if g.Status == "Deleted" || g.Type != "action" || len(g.Conditions) != 1 || g.Conditions[0].Type != "exact" {
		return "", false
	}
	return g.Conditions[0].URL, true
}

func (c *counterState) newGoal(g Goal) *Goal {
	if g.ID == 0 {
		g.ID = int64(firstGoal + len(c.goals))
	}
	if g.Status == "" {
		g.Status = "Active"
	}
	if g.Source == "" {
		g.Source = "user"
	}
	g.reaches, g.set = map[string]int64{}, map[string]int64{}
	c.goals = append(c.goals, &g)
	return &g
}

// eventGoal is the JavaScript goal of an identifier.
func eventGoal(identifier string) Goal {
	return Goal{Name: identifier, Type: "action", Conditions: []GoalCondition{{Type: "exact", URL: identifier}}}
}

// goalOf finds the goal that rows with this target reach, or nil.
func (c *counterState) goalOf(target string) *Goal {
	for _, g := range c.goals {
		if id, ok := g.target(); ok && id == target {
			return g
		}
	}
	return nil
}

// autoGoal is a goal that Metrica makes by itself on the first upload of a kind.
// Its type is not documented (§19).
func (c *counterState) autoGoal(kind, name string) *Goal {
	for _, g := range c.goals {
		if g.Source == "auto" && g.Type == kind && g.Status != "Deleted" {
			return g
		}
	}
	return c.newGoal(Goal{Name: name, Type: kind, Source: "auto"})
}

// AddGoal plants a goal; the identifier of a JavaScript goal is its condition's
// URL. It gives the goal's id.
func (s *Sandbox) AddGoal(counter string, g Goal) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counters[counter]
	if c == nil {
		return 0, fmt.Errorf("no counter %s", counter)
	}
	return c.newGoal(g).ID, nil
}

// AddTargets plants JavaScript goals by their identifiers.
func (s *Sandbox) AddTargets(counter string, identifiers ...string) error {
	for _, id := range identifiers {
		if _, err := s.AddGoal(counter, eventGoal(id)); err != nil {
			return err
		}
	}
	return nil
}

// Goals lists the goals of a counter, the deleted ones too.
func (s *Sandbox) Goals(counter string) []Goal {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Goal
	if c := s.counters[counter]; c != nil {
		for _, g := range c.goals {
			out = append(out, *g)
		}
	}
	return out
}

// SetReaches says how often a goal was reached on a date (yyyy-MM-dd, in the
// counter's zone), instead of what was uploaded.
func (s *Sandbox) SetReaches(counter string, goal int64, date string, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.counters[counter]; c != nil {
		for _, g := range c.goals {
			if g.ID == goal {
				g.set[date] = n
				return nil
			}
		}
	}
	return fmt.Errorf("counter %s has no goal %d", counter, goal)
}

func (s *Sandbox) serveGoals(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	if r.Method == http.MethodPost {
		s.putGoal(w, r, c, nil, fault)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	deleted := r.URL.Query().Get("useDeleted") == "true"
	goals := []Goal{}
	for _, g := range c.goals {
		if deleted || g.Status != "Deleted" {
			goals = append(goals, *g)
		}
	}
	s.reply(w, fault, map[string]any{"goals": goals})
}

// serveGoal is GET, PUT and DELETE of one goal.
func (s *Sandbox) serveGoal(w http.ResponseWriter, r *http.Request, c *counterState, id string, fault *Fault) {
	s.mu.Lock()
	i := slices.IndexFunc(c.goals, func(g *Goal) bool { return strconv.FormatInt(g.ID, 10) == id })
	if i < 0 {
		s.mu.Unlock()
		refuse(w, http.StatusNotFound, "not_found", "there is no such goal")
		return
	}
	goal := c.goals[i]
	switch r.Method {
	case http.MethodPut:
		s.mu.Unlock()
		s.putGoal(w, r, c, goal, fault)
		return
	case http.MethodGet:
		s.reply(w, fault, map[string]any{"goal": *goal})
	case http.MethodDelete:
		goal.Status = "Deleted"
		s.reply(w, fault, map[string]any{"success": true})
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such address")
	}
	s.mu.Unlock()
}

// goalTypes are those that can be made; automatic ones may have others.
func goalTypes() []string {
	return []string{"action", "url", "number", "step", "phone", "email", "payment_system", "messenger", "file", "search", "social", "visit_duration"}
}

// checkGoal says what is wrong with a goal that is to be stored.
func checkGoal(g Goal) string {
	switch {
	case g.Name == "" || utf8.RuneCountInString(g.Name) > 255:
		return "the name of a goal is empty or longer than 255"
	case !slices.Contains(goalTypes(), g.Type):
		return "the type of a goal is not known"
	case (g.Type == "action" || g.Type == "url") && len(g.Conditions) == 0:
		return "the goal has no condition"
	}
	for _, cond := range g.Conditions {
		if !slices.Contains([]string{"exact", "contain", "start", "regexp"}, cond.Type) || cond.URL == "" {
			return "a condition of the goal is empty or of no known type"
		}
	}
	return ""
}

// putGoal makes a goal, or changes old.
func (s *Sandbox) putGoal(w http.ResponseWriter, r *http.Request, c *counterState, old *Goal, fault *Fault) {
	var asked struct {
		Goal Goal `json:"goal"`
	}
	if !s.decode(w, r, &asked) {
		return
	}
	g := asked.Goal
	if why := checkGoal(g); why != "" {
		s.reject(w, why)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old == nil && len(c.goals) >= s.rules.MaxGoals {
		s.violate("counter %s would have more than %d goals", c.ID, s.rules.MaxGoals)
		refuse(w, http.StatusBadRequest, "limit_exceeded", "the counter has too many goals")
		return
	}
	if g.Type == "action" && g.Conditions[0].Type != "exact" {
		s.violate("goal %.50q has a condition %.20q; offline data needs exact", g.Name, g.Conditions[0].Type)
	}
	g.Status = "Active"
	if id, ok := g.target(); ok {
		if same := c.goalOf(id); same != nil && same != old {
			s.violate("a second goal of the identifier %.80q is made", id)
			if s.rules.SameGoal == "conflict" {
				refuse(w, http.StatusConflict, "conflict", "there is such a goal")
				return
			}
		}
	}
	if old != nil {
		g.ID, g.Source, g.reaches, g.set = old.ID, old.Source, old.reaches, old.set
		*old = g
	} else {
		g.ID, g.Source = 0, ""
		old = c.newGoal(g)
	}
	s.reply(w, fault, map[string]any{"goal": *old})
}
