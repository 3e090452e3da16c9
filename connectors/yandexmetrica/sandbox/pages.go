package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	pagesPath    = "/__fake/"
	inspectLimit = 1000
)

// serveInspection shows the state as JSON and lets it be changed. The counter is
// named by ?counter= where there are several; lists end after the first thousand
// unless ?limit= says otherwise. See pages and changes for what there is.
func (s *Sandbox) serveInspection(w http.ResponseWriter, r *http.Request) {
	counter := r.URL.Query().Get("counter")
	if counter == "" {
		counter = s.firstCounter()
	}
	page := strings.TrimPrefix(r.URL.Path, pagesPath)
	switch r.Method {
	case http.MethodGet:
		if show, ok := s.pages()[page]; ok {
			show(w, r, counter)
			return
		}
	case http.MethodPost:
		if change, ok := s.changes()[page]; ok {
			body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			if err == nil {
				err = change(body, counter)
			}
			if err != nil {
				refuse(w, http.StatusBadRequest, "invalid_json", err.Error())
				return
			}
			answer(w, http.StatusOK, map[string]any{"success": true})
			return
		}
	}
	refuse(w, http.StatusNotFound, "not_found", "there is no such page")
}

type page func(w http.ResponseWriter, r *http.Request, counter string)

// pages are those that show.
func (s *Sandbox) pages() map[string]page {
	shown := func(get func(counter string) any) page {
		return func(w http.ResponseWriter, _ *http.Request, counter string) { answer(w, http.StatusOK, get(counter)) }
	}
	all := map[string]page{
		"":           shown(func(string) any { return s.summary() }),
		"violations": shown(func(string) any { return map[string]any{"violations": list(s.Violations())} }),
		"uploads":    shown(func(c string) any { return map[string]any{"uploads": list(s.Uploads(c))} }),
		"management": shown(func(c string) any { return map[string]any{"uploads": list(s.ManagedUploads(c, ""))} }),
		"statuses":   shown(func(c string) any { return map[string]any{"order_statuses": s.Statuses(c)} }),
		"goals":      shown(func(c string) any { return map[string]any{"goals": list(s.Goals(c))} }),
		"user_params": shown(func(c string) any {
			params := s.UserParams(c)
			return map[string]any{"count": len(params), "user_params": params}
		}),
		"events": shown(func(c string) any {
			return map[string]any{"events": list(s.Collected(c)), "dropped": s.Dropped(c)}
		}),
		"faults": shown(func(string) any { return map[string]any{"faults": list(s.Faults()), "names": faultNames()} }),
		"clock":  shown(func(string) any { return map[string]any{"now": s.Now().UTC()} }),
		"rules":  shown(func(string) any { return s.rulesByName() }),
	}
	for _, kind := range []string{contactsKind.name, ordersKind.name, simpleKind.name} {
		all[kind] = s.entitiesPage(kind)
	}
	for _, kind := range []string{"conversions", "calls", "chats", "expenses"} {
		all[kind] = func(w http.ResponseWriter, r *http.Request, counter string) {
			answer(w, http.StatusOK, map[string]any{
				"count": s.RowCount(counter, kind), kind: list(s.Rows(counter, kind, whole(r, "limit", inspectLimit))),
				"sent_again": list(s.SentAgain(counter, kind)),
			})
		}
	}
	return all
}

// list makes JSON's [] of what is empty.
func list[T any](of []T) []T {
	if of == nil {
		return []T{}
	}
	return of
}

func (s *Sandbox) entitiesPage(kind string) page {
	return func(w http.ResponseWriter, r *http.Request, counter string) {
		if id := r.URL.Query().Get("id"); id != "" {
			entity, ok := s.Entity(counter, kind, id)
			if !ok {
				refuse(w, http.StatusNotFound, "not_found", "there is no such entity")
				return
			}
			answer(w, http.StatusOK, entity)
			return
		}
		answer(w, http.StatusOK, map[string]any{
			"count": s.Count(counter, kind), kind: s.Entities(counter, kind, whole(r, "limit", inspectLimit)), "without_id": s.Loose(counter),
		})
	}
}

// changes are the pages that take a POST of JSON.
func (s *Sandbox) changes() map[string]func(body []byte, counter string) error {
	return map[string]func([]byte, string) error{
		"faults": func(body []byte, _ string) error {
			var f Fault
			if json.Unmarshal(body, &f) != nil || f.Name == "" {
				return fmt.Errorf(`give {"name":"503","path":"","times":1}`)
			}
			if !f.known() {
				return fmt.Errorf("there is no fault %.40q; GET %sfaults lists them", f.Name, pagesPath)
			}
			s.Inject(f)
			return nil
		},
		"faults/clear": func([]byte, string) error { s.ClearFaults(); return nil },
		"clock": func(body []byte, _ string) error {
			var asked struct {
				Advance string `json:"advance"`
			}
			if json.Unmarshal(body, &asked) != nil {
				return fmt.Errorf(`give {"advance":"90m"}`)
			}
			d, err := time.ParseDuration(asked.Advance)
			if err != nil || d < 0 {
				return fmt.Errorf("advance %.40q is not a duration such as 90m", asked.Advance)
			}
			s.Advance(d)
			return nil
		},
		"rules":    func(body []byte, _ string) error { return s.changeRules(body) },
		"visitors": s.changeVisitors,
		"goals": func(body []byte, counter string) error {
			var g Goal
			if json.Unmarshal(body, &g) != nil {
				return fmt.Errorf(`give {"name":"n","type":"action","conditions":[{"type":"exact","url":"identifier"}]}`)
			}
			if why := checkGoal(g); why != "" {
				return fmt.Errorf("%s", why)
			}
			_, err := s.AddGoal(counter, g)
			return err
		},
		"traffic": func(body []byte, counter string) error {
			var asked struct {
				Date string `json:"date"`
				Traffic
			}
			if json.Unmarshal(body, &asked) != nil || !isDate(asked.Date, true) {
				return fmt.Errorf(`give {"date":"2026-11-21","visitors":1,"visits":2,"page_views":3}`)
			}
			s.SetTraffic(counter, asked.Date, asked.Traffic)
			return nil
		},
		"reaches": func(body []byte, counter string) error {
			var asked struct {
				Goal    int64  `json:"goal"`
				Date    string `json:"date"`
				Reaches int64  `json:"reaches"`
			}
			if json.Unmarshal(body, &asked) != nil || !isDate(asked.Date, true) {
				return fmt.Errorf(`give {"goal":334420,"date":"2026-11-21","reaches":1}`)
			}
			return s.SetReaches(counter, asked.Goal, asked.Date, asked.Reaches)
		},
		"reset": func([]byte, string) error { return s.Reset() },
	}
}

func (s *Sandbox) changeRules(body []byte) error {
	var asked map[string]string
	if json.Unmarshal(body, &asked) != nil {
		return fmt.Errorf(`give {"status_step":"10s"}; GET %srules lists the names`, pagesPath)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.rules
	for name, value := range asked {
		if err := changed.set(name, value); err != nil {
			return err
		}
	}
	s.rules = changed
	return nil
}

func (s *Sandbox) rulesByName() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules.byName()
}

func (s *Sandbox) changeVisitors(body []byte, counter string) error {
	var asked struct {
		Identifier string    `json:"identifier"`
		Value      string    `json:"value"`
		Visit      time.Time `json:"visit"`
	}
	if json.Unmarshal(body, &asked) != nil || asked.Value == "" || asked.Visit.IsZero() {
		return fmt.Errorf(`give {"identifier":"ClientId","value":"123","visit":"2026-11-21T10:00:00Z"}`)
	}
	if asked.Identifier == "" {
		asked.Identifier = "ClientId"
	}
	if !slices.Contains(identifiers(), asked.Identifier) {
		return fmt.Errorf("identifier %.40q is none of %s", asked.Identifier, strings.Join(identifiers(), ", "))
	}
	s.AddVisit(counter, asked.Identifier, asked.Value, asked.Visit)
	return nil
}

// Reset empties all counters and forgets faults and violations. Tokens, rules and
// the clock stay.
func (s *Sandbox) Reset() error {
	s.mu.Lock()
	var counters []Counter
	for _, c := range s.counters {
		counters = append(counters, c.Counter)
	}
	s.faults, s.violations = nil, nil
	s.mu.Unlock()
	for _, c := range counters {
		if err := s.AddCounter(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sandbox) firstCounter() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := slices.Sorted(maps.Keys(s.counters))
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

func (s *Sandbox) summary() map[string]any {
	names := slices.Sorted(maps.Keys(s.pages()))
	s.mu.Lock()
	defer s.mu.Unlock()
	counters := map[string]any{}
	for id, c := range s.counters {
		counts := map[string]int{
			"uploads": len(c.uploads), "management": len(c.managed), "statuses": len(c.statuses), "goals": len(c.goals),
			"user_params": len(c.params), "events": len(c.measuring.events),
		}
		for name, t := range c.tables {
			counts[name] = len(t.byID) + len(t.loose)
		}
		for name, t := range c.sheets {
			counts[name] = len(t.rows)
		}
		counters[id] = counts
	}
	return map[string]any{
		"counters": counters, "violations": len(s.violations), "now": s.Now().UTC(), "pages": names[1:],
	}
}
