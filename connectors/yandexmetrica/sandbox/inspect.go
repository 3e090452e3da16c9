package sandbox

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
)

// Entities lists the final state of one kind (contacts, orders, simple_orders) by
// id; limit 0 means all.
func (s *Sandbox) Entities(counter, kind string, limit int) map[string]map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]map[string]string{}
	t := s.table(counter, kind)
	if t == nil {
		return out
	}
	for id, cells := range t.byID {
		if limit > 0 && len(out) >= limit {
			break
		}
		out[id] = t.shown(cells)
	}
	return out
}

// Entity gives one contact or order.
func (s *Sandbox) Entity(counter, kind, id string) (map[string]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table(counter, kind)
	if t == nil {
		return nil, false
	}
	cells, ok := t.byID[id]
	if !ok {
		return nil, false
	}
	return t.shown(cells), true
}

// Count says how many there are of a kind.
func (s *Sandbox) Count(counter, kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table(counter, kind)
	if t == nil {
		return 0
	}
	return len(t.byID) + len(t.loose)
}

// Loose lists simple orders that came without an id.
func (s *Sandbox) Loose(counter string) []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.table(counter, simpleKind.name)
	if t == nil {
		return nil
	}
	var out []map[string]string
	for _, cells := range t.loose {
		out = append(out, t.shown(cells))
	}
	return out
}

// Uploads lists a counter's uploads in the order in which they came.
func (s *Sandbox) Uploads(counter string) []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Upload
	if c := s.counters[counter]; c != nil {
		for _, up := range c.uploads {
			out = append(out, *up)
		}
	}
	return out
}

// Statuses gives the types of the registered statuses by id.
func (s *Sandbox) Statuses(counter string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	if c := s.counters[counter]; c != nil {
		for _, st := range c.statuses {
			out[st.ID] = st.Type
		}
	}
	return out
}

func (s *Sandbox) table(counter, kind string) *table {
	c := s.counters[counter]
	if c == nil {
		return nil
	}
	return c.tables[kind]
}

const inspectLimit = 1000

// serveInspection shows the state as JSON and takes faults:
//
//	GET  /__fake/                        what there is
//	GET  /__fake/contacts?id=            also orders and simple_orders; without id the first thousand
//	GET  /__fake/uploads, /__fake/statuses, /__fake/violations
//	POST /__fake/faults                  {"name":"503","path":"orders","times":2}
//
// The counter is named by ?counter= where there are several.
func (s *Sandbox) serveInspection(w http.ResponseWriter, r *http.Request) {
	counter := r.URL.Query().Get("counter")
	if counter == "" {
		counter = s.firstCounter()
	}
	switch page := r.URL.Path[len("/__fake/"):]; {
	case page == "":
		answer(w, http.StatusOK, s.summary())
	case page == "violations":
		violations := s.Violations()
		if violations == nil {
			violations = []string{}
		}
		answer(w, http.StatusOK, map[string]any{"violations": violations})
	case page == "uploads":
		uploads := s.Uploads(counter)
		if uploads == nil {
			uploads = []Upload{}
		}
		answer(w, http.StatusOK, map[string]any{"uploads": uploads})
	case page == "statuses":
		answer(w, http.StatusOK, map[string]any{"order_statuses": s.Statuses(counter)})
	case page == "faults" && r.Method == http.MethodPost:
		var f Fault
		if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&f); err != nil || f.Name == "" {
			refuse(w, http.StatusBadRequest, "invalid_json", `give {"name":"503","path":"","times":1}`)
			return
		}
		s.Inject(f)
		answer(w, http.StatusOK, map[string]any{"success": true})
	case slices.Contains([]string{contactsKind.name, ordersKind.name, simpleKind.name}, page):
		if id := r.URL.Query().Get("id"); id != "" {
			entity, ok := s.Entity(counter, page, id)
			if !ok {
				refuse(w, http.StatusNotFound, "not_found", "there is no such entity")
				return
			}
			answer(w, http.StatusOK, entity)
			return
		}
		answer(w, http.StatusOK, map[string]any{
			"count": s.Count(counter, page), page: s.Entities(counter, page, inspectLimit), "without_id": s.Loose(counter),
		})
	default:
		refuse(w, http.StatusNotFound, "not_found", "there is no such page")
	}
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
	s.mu.Lock()
	defer s.mu.Unlock()
	counters := map[string]any{}
	for id, c := range s.counters {
		counts := map[string]int{"uploads": len(c.uploads), "statuses": len(c.statuses)}
		for name, t := range c.tables {
			counts[name] = len(t.byID) + len(t.loose)
		}
		counters[id] = counts
	}
	return map[string]any{
		"counters": counters, "violations": len(s.violations),
		"pages": []string{"contacts", "orders", "simple_orders", "uploads", "statuses", "violations", "faults"},
	}
}
