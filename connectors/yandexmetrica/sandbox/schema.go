package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"unicode/utf8"
)

// orderStatus is one registered status (§5.6).
type orderStatus struct {
	ID        string   `json:"id"`
	Humanized string   `json:"humanized"`
	Type      string   `json:"type"`
	Goals     []string `json:"goal_action_ids"`
	Source    string   `json:"order_status_source"`
}

// attribute is one custom attribute (§5.7).
type attribute struct {
	Name        string `json:"name"`
	TypeName    string `json:"type_name"`
	Multivalued bool   `json:"multivalued"`
	Humanized   string `json:"humanized"`
	TypeGroup   string `json:"type_group"`
}

var attributeForms = map[string]form{"text": anyText, "numeric": numeric, "date": dateForm, "datetime": datetime, "email": mails}

func customRule(list []attribute, name string) (attributeRule, bool) {
	for _, a := range list {
		if a.Name != name {
			continue
		}
		f := attributeForms[a.TypeName]
		if a.Multivalued {
			f = anyText
		}
		return attributeRule{name: name, form: f}, true
	}
	return attributeRule{}, false
}

const maxHumanized = 4096

func (s *Sandbox) getStatuses(w http.ResponseWriter, c *counterState, fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := c.statuses
	if list == nil {
		list = []orderStatus{}
	}
	s.reply(w, fault, map[string]any{"order_statuses": list})
}

func (s *Sandbox) postStatuses(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	var body struct {
		Statuses []struct {
			ID        *string         `json:"id"`
			Humanized string          `json:"humanized"`
			Type      string          `json:"type"`
			Goals     json.RawMessage `json:"goal_action_ids"`
		} `json:"order_statuses"`
	}
	if !s.decode(w, r, &body) {
		return
	}
	if len(body.Statuses) == 0 {
		s.reject(w, "order_statuses is empty")
		return
	}
	var table []orderStatus
	for _, st := range body.Statuses {
		var ids []string
		if len(st.Goals) > 0 && json.Unmarshal(st.Goals, &ids) != nil {
			s.reject(w, "goal_action_ids is not an array of strings")
			return
		}
		unique := slices.Compact(slices.Sorted(slices.Values(ids)))
		switch {
		case st.ID == nil || !wordLike(*st.ID):
			s.reject(w, "an id does not match its pattern")
			return
		case !slices.Contains([]string{"IN_PROGRESS", "PAID", "CANCELLED", "SPAM", "OTHER"}, st.Type):
			s.reject(w, "a type is none of the five")
			return
		case utf8.RuneCountInString(st.Humanized) > maxHumanized:
			s.reject(w, "humanized is too long")
			return
		case len(ids) > 10 || len(unique) != len(ids):
			s.reject(w, "goal_action_ids holds more than 10 values or repeats one")
			return
		case slices.ContainsFunc(table, func(o orderStatus) bool { return o.ID == *st.ID }):
			s.reject(w, "an id is repeated")
			return
		}
		if ids == nil {
			ids = []string{}
		}
		table = append(table, orderStatus{ID: *st.ID, Humanized: st.Humanized, Type: st.Type, Goals: ids, Source: "API"})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rules.MergeStatuses {
		for _, old := range c.statuses {
			if !slices.ContainsFunc(table, func(o orderStatus) bool { return o.ID == old.ID }) {
				table = append(table, old)
			}
		}
	}
	c.statuses = table
	s.reply(w, fault, map[string]any{"success": true})
}

// entity finds the kind that entity_type names.
func (s *Sandbox) entity(w http.ResponseWriter, r *http.Request) (string, bool) {
	switch entity := r.URL.Query().Get("entity_type"); entity {
	case "CONTACT", "COMPANY", "ORDER", "SIMPLE_ORDER":
		return entity, true
	case "":
		refuse(w, http.StatusBadRequest, "missing_parameter", "entity_type is missing")
	default:
		refuse(w, http.StatusBadRequest, "invalid_parameter", "entity_type is none of the four")
	}
	s.violated("entity_type of schema/attributes is missing or wrong")
	return "", false
}

func systemAttributes(entity string) []attribute {
	out := []attribute{}
	for _, k := range []*kind{contactsKind, ordersKind, simpleKind} {
		if k.entity != entity {
			continue
		}
		for _, a := range k.attributes {
			out = append(out, attribute{Name: a.name, TypeName: "text", TypeGroup: "PREDEFINED"})
		}
	}
	return out
}

func (s *Sandbox) getAttributes(w http.ResponseWriter, r *http.Request, c *counterState) {
	entity, ok := s.entity(w, r)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	custom := c.attributes[entity]
	if custom == nil {
		custom = []attribute{}
	}
	answer(w, http.StatusOK, map[string]any{"system_attributes": systemAttributes(entity), "custom_attributes": custom})
}

func (s *Sandbox) postAttributes(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	entity, ok := s.entity(w, r)
	if !ok {
		return
	}
	var body struct {
		Attributes []struct {
			Name        string `json:"name"`
			TypeName    string `json:"type_name"`
			Multivalued *bool  `json:"multivalued"`
			Humanized   string `json:"humanized"`
		} `json:"attributes"`
	}
	if !s.decode(w, r, &body) {
		return
	}
	system := systemAttributes(entity)
	var made []attribute
	for _, a := range body.Attributes {
		_, knownType := attributeForms[a.TypeName]
		switch {
		case !wordLike(a.Name):
			s.reject(w, "a name does not match its pattern")
			return
		case slices.ContainsFunc(system, func(o attribute) bool { return o.Name == a.Name }):
			s.reject(w, "a name is one of the system's")
			return
		case a.Multivalued == nil || !knownType:
			s.reject(w, "multivalued is missing, or type_name is not known")
			return
		case utf8.RuneCountInString(a.Humanized) > maxHumanized:
			s.reject(w, "humanized is too long")
			return
		}
		made = append(made, attribute{Name: a.Name, TypeName: a.TypeName, Multivalued: *a.Multivalued, Humanized: a.Humanized, TypeGroup: "PREDEFINED"})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range made {
		c.attributes[entity] = slices.DeleteFunc(c.attributes[entity], func(o attribute) bool { return o.Name == a.Name })
		c.attributes[entity] = append(c.attributes[entity], a)
	}
	s.reply(w, fault, map[string]any{"success": true})
}

const maxProducts = 160_000

func (s *Sandbox) postProducts(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	var body struct {
		Attributes *[]json.RawMessage `json:"attributes"`
		Items      []struct {
			Name      string `json:"name"`
			Humanized string `json:"humanized"`
		} `json:"items"`
	}
	if !s.decode(w, r, &body) {
		return
	}
	if body.Attributes == nil || len(*body.Attributes) > maxProducts || len(body.Items) > maxProducts {
		s.reject(w, "attributes is missing, or a list is too long")
		return
	}
	for _, item := range body.Items {
		if !wordLike(item.Name) || utf8.RuneCountInString(item.Humanized) > maxHumanized {
			s.reject(w, "an item does not match its pattern")
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range body.Items {
		c.products[item.Name] = item.Humanized
	}
	s.reply(w, fault, map[string]any{"success": true})
}

func (s *Sandbox) decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, 64<<20)).Decode(into); err != nil {
		s.violated("a body of %s is not the JSON that is expected", r.URL.Path)
		refuse(w, http.StatusBadRequest, "invalid_json", "the body is not the JSON that is expected")
		return false
	}
	return true
}

func (s *Sandbox) reject(w http.ResponseWriter, why string) {
	s.violated("a request was refused with invalid_parameter: %s", why)
	refuse(w, http.StatusBadRequest, "invalid_parameter", why)
}
