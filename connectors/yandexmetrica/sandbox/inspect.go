package sandbox

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
