package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ManagedUpload is an upload of the management interface: conversions, calls,
// chats, user parameters, expenses.
type ManagedUpload struct {
	ID           int64     `json:"id"`
	At           time.Time `json:"at"`
	Kind         string    `json:"kind"` // conversions, calls, chats, user_params, expenses
	Type         string    `json:"type"` // BASIC, CALLS, CHATS; update, delete_keys; EXPENSES, REMOVES
	IDType       string    `json:"client_id_type,omitempty"`
	Provider     string    `json:"provider,omitempty"`
	Comment      string    `json:"comment"`
	Columns      []string  `json:"columns"`
	Source       int       `json:"source_quantity"`
	Lines        int       `json:"line_quantity"`
	GoalNotFound int       `json:"goal_not_found_quantity"`
	UserNotFound int       `json:"user_not_found_quantity"`
	Linked       int       `json:"linked_quantity"`
	Matched      int       `json:"matched"` // rows whose visitor is known
	Static       int       `json:"static_calls_quantity"`
	Repeated     int       `json:"repeated"` // rows that were sent before, in this upload or another
	Confirms     int       `json:"confirms"` // of user parameters
	Status       string    `json:"status"`

	confirmed time.Time
	visible   time.Time // stands in the lists from then on
	spoiled   bool      // ends badly by a fault
	lists     []string  // in which it stands
	pending   []param
}

// The lists of uploads.
const (
	offlineList  = "offline_conversions/uploadings"
	callsList    = "offline_conversions/calls_uploadings"
	paramsList   = "user_params/uploadings"
	expensesList = "expense/uploadings"
)

// ManagedUploads lists the uploads of a kind in the order in which they came; an
// empty kind means all.
func (s *Sandbox) ManagedUploads(counter, kind string) []ManagedUpload {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []ManagedUpload
	if c := s.counters[counter]; c != nil {
		for _, up := range c.managed {
			if kind == "" || up.Kind == kind {
				shown := *up
				shown.Status, shown.pending = s.statusOf(up), nil
				out = append(out, shown)
			}
		}
	}
	return out
}

// register numbers an upload and looks at its comment. The caller holds s.mu.
func (s *Sandbox) register(c *counterState, up *ManagedUpload, fault *Fault) {
	s.issued++
	up.ID, up.At = int64(10_000_000+s.issued), s.Now()
	up.visible = up.At.Add(s.rules.ListLag)
	if fault != nil {
		up.spoiled = fault.Name == FaultFailed
		if fault.Name != FaultSlow {
			up.visible = up.visible.Add(fault.Delay)
		}
	}
	if up.Comment != "" && slices.ContainsFunc(c.managed, func(o *ManagedUpload) bool {
		// A removal and what replaces it are one work of the sender.
		return o.Comment == up.Comment && (o.Kind != "expenses" || up.Kind != "expenses" || o.Type == up.Type)
	}) {
		s.violate("a second upload (%s) has a comment that was used before: the same was sent twice", up.Kind)
	}
	c.managed = append(c.managed, up)
}

// comment checks the query's comment (§16.17).
func (s *Sandbox) comment(r *http.Request) (string, error) {
	text := r.URL.Query().Get("comment")
	proper := utf8.RuneCountInString(text) <= 255 && utf8.ValidString(text)
	for _, c := range text {
		proper = proper && (c == ' ' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || unicode.Is(unicode.Cyrillic, c))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case proper || s.rules.Comment == "take":
	case s.rules.Comment == "refuse":
		return "", badRequest{"invalid_parameter", "comment is longer than 255 or holds more than letters, digits and spaces"}
	default:
		s.violate("a comment is longer than 255 or holds more than letters, digits and spaces")
	}
	return text, nil
}

// knownParameters notes the others.
func (s *Sandbox) knownParameters(r *http.Request, names ...string) {
	for key := range r.URL.Query() {
		if key != "ulogin" && !slices.Contains(names, key) {
			s.violated("the parameter %.40q of %s is not known", key, r.URL.Path)
		}
	}
}

// statusOf moves on with the clock (§16.18). The caller holds s.mu.
func (s *Sandbox) statusOf(up *ManagedUpload) string {
	passed := func(since time.Time) int {
		if s.rules.StatusStep <= 0 {
			return 100
		}
		return int(s.Now().Sub(since) / s.rules.StatusStep)
	}
	switch up.Kind {
	case "expenses":
		return []string{"UPLOADED", "IN_PROGRESS", "PROCESSED"}[min(passed(up.At), 2)]
	case "user_params":
		switch {
		case up.Confirms == 0:
			return "uploaded"
		case passed(up.confirmed) < 2:
			return "is_processed"
		case up.failed():
			return "linkage_failure"
		}
		return "processed"
	}
	final := "PROCESSED"
	if up.failed() {
		final = "LINKAGE_FAILURE"
	}
	return []string{"PREPARED", "UPLOADED", "EXPORTED", "MATCHED", final}[min(passed(up.At), 4)]
}

// failed: not one identifier matched (§6.3), as with a file of static calls (§7).
func (up *ManagedUpload) failed() bool {
	return up.spoiled || up.Matched == 0 && up.Type != "delete_keys"
}

// managedShown is an upload as Metrica tells of it (§6.3, §7, §9, §10). The caller
// holds s.mu.
func (s *Sandbox) managedShown(up *ManagedUpload) map[string]any {
	status := s.statusOf(up)
	shown := map[string]any{
		"id": up.ID, "create_time": up.At.UTC().Format(time.RFC3339), "comment": up.Comment, "status": status,
	}
	late := slices.Contains([]string{"MATCHED", "PROCESSED", "LINKAGE_FAILURE", "processed", "linkage_failure"}, status)
	known := func(n int) int {
		if late {
			return n
		}
		return 0
	}
	switch up.Kind {
	case "expenses":
		shown["source_quantity"], shown["provider"], shown["type"] = up.Source, up.Provider, up.Type
		return shown
	case "user_params":
		shown["line_quantity"], shown["action"], shown["content_id_type"] = up.Lines, up.Type, strings.ToLower(up.IDType)
		if late {
			shown["linked_quantity"] = up.Linked
		}
		return shown
	}
	shown["source_quantity"], shown["line_quantity"] = up.Source, up.Lines
	shown["type"], shown["client_id_type"] = up.Type, up.IDType
	if up.Kind == "calls" {
		shown["static_calls_quantity"], shown["dynamic_calls_quantity"] = up.Static, up.Lines-up.Static
	}
	if !s.rules.HideQuantities {
		shown["goal_not_found_quantity"], shown["user_not_found_quantity"] = known(up.GoalNotFound), known(up.UserNotFound)
		shown["linked_quantity"] = known(up.Linked)
	}
	return shown
}

const maxList = 10_000

// listManaged lists uploads from a 0-based offset.
func (s *Sandbox) listManaged(w http.ResponseWriter, r *http.Request, c *counterState, list string, fault *Fault) {
	s.knownParameters(r, "limit", "offset")
	s.mu.Lock()
	defer s.mu.Unlock()
	limit, offset := whole(r, "limit", 100), whole(r, "offset", 0)
	if limit < 1 || limit > maxList || offset < 0 {
		refuse(w, http.StatusBadRequest, "invalid_parameter", "limit is outside 1 to 10000, or offset below 0")
		return
	}
	now, shown := s.Now(), []map[string]any{}
	all := slices.Clone(c.managed)
	if s.rules.ListOrder == "newest" {
		slices.Reverse(all)
	}
	for _, up := range all {
		if !slices.Contains(up.lists, list) || up.visible.After(now) {
			continue
		}
		if offset > 0 {
			offset--
			continue
		}
		if len(shown) == limit {
			break
		}
		shown = append(shown, s.managedShown(up))
	}
	s.reply(w, fault, map[string]any{"uploadings": shown})
}

// managedByID finds an upload of a list. The caller holds s.mu.
func (c *counterState) managedByID(list, id string) *ManagedUpload {
	for _, up := range c.managed {
		if strconv.FormatInt(up.ID, 10) == id && slices.Contains(up.lists, list) {
			return up
		}
	}
	return nil
}

func (s *Sandbox) getManaged(w http.ResponseWriter, c *counterState, list, id string, fault *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := c.managedByID(list, id)
	if up == nil {
		refuse(w, http.StatusNotFound, "not_found", "there is no such upload")
		return
	}
	s.reply(w, fault, map[string]any{"uploading": s.managedShown(up)})
}
