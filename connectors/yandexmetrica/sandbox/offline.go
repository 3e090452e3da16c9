package sandbox

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is a conversion, call, chat or expense as the sandbox keeps it.
type Row struct {
	Key       string            `json:"key"`              // what tells rows apart
	Values    map[string]string `json:"values,omitempty"` // of its last coming; none when only keys are kept
	Times     int               `json:"times"`            // how often it was sent: more than once is a double
	Upload    int64             `json:"upload"`           // the last one
	Known     bool              `json:"visitor_known"`
	Linked    bool              `json:"linked"`
	GoalFound bool              `json:"goal_found"`
	Static    bool              `json:"static,omitempty"`
	Direct    bool              `json:"direct_duplicate,omitempty"` // expenses that Metrica imports by itself (§10)
}

// Conversions lists the offline conversions of a counter by key.
func (s *Sandbox) Conversions(counter string) []Row { return s.Rows(counter, "conversions", 0) }

// Calls lists the calls of a counter by key.
func (s *Sandbox) Calls(counter string) []Row { return s.Rows(counter, "calls", 0) }

// Chats lists the chats of a counter by key.
func (s *Sandbox) Chats(counter string) []Row { return s.Rows(counter, "chats", 0) }

// Rows lists the rows of a kind by key; limit 0 means all.
func (s *Sandbox) Rows(counter, kind string, limit int) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.rowTable(counter, kind)
	if t == nil {
		return nil
	}
	keys := slices.Sorted(maps.Keys(t.rows))
	if limit > 0 && len(keys) > limit {
		keys = keys[:limit]
	}
	var out []Row
	for _, key := range keys {
		out = append(out, t.shown(key))
	}
	return out
}

// RowCount says how many different rows of a kind there are.
func (s *Sandbox) RowCount(counter, kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.rowTable(counter, kind); t != nil {
		return len(t.rows)
	}
	return 0
}

func (t *rowTable) shown(key string) Row {
	kept := t.rows[key]
	row := Row{
		Key: key, Times: int(kept.times), Upload: kept.upload,
		Known: kept.marks&visitorKnown != 0, Linked: kept.marks&rowLinked != 0, GoalFound: kept.marks&goalFound != 0,
		Static: kept.marks&staticCall != 0, Direct: kept.marks&directDuplicate != 0,
	}
	if kept.packed != "" {
		row.Values = t.sheet.unpack(kept.packed).shown()
	}
	return row
}

// SentAgain lists the keys of the rows of a kind that came more than once.
func (s *Sandbox) SentAgain(counter, kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	if t := s.rowTable(counter, kind); t != nil {
		for key, kept := range t.rows {
			if kept.times > 1 {
				out = append(out, key)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (s *Sandbox) rowTable(counter, kind string) *rowTable {
	c := s.counters[counter]
	if c == nil {
		return nil
	}
	return c.sheets[kind]
}

// AddVisitor registers a visitor by ClientID with a visit; more calls add visits.
// From the first one on, all others are unknown.
func (s *Sandbox) AddVisitor(counter, clientID string, visit time.Time) {
	s.AddVisit(counter, "ClientId", clientID, visit)
}

// AddVisit registers a visit by any identifier: ClientId, UserId, Yclid or
// PurchaseId.
func (s *Sandbox) AddVisit(counter, identifier, value string, visit time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.counters[counter]; c != nil {
		c.expected = true
		c.visit(identifier, value, visit)
	}
}

func (c *counterState) visit(identifier, value string, at time.Time) {
	key := identifier + "=" + value
	visits := c.visitors[key]
	i, _ := slices.BinarySearch(visits, at.Unix())
	c.visitors[key] = slices.Insert(visits, i, at.Unix())
}

// linkWindow is how long after a visit its conversions may be processed (§6.2).
const linkWindow = 21 * 24 * 3600

// match finds the visitor of a row and whether the row can be linked to a visit:
// one before it and processed within 21 days. The caller holds s.mu.
func (s *Sandbox) match(c *counterState, row sheetValues, at, now int64) marks {
	if !c.expected && s.rules.Visitors == "auto" {
		if at < now-linkWindow {
			return visitorKnown
		}
		return visitorKnown | rowLinked
	}
	var found marks
	for _, name := range identifiers() {
		visits, ok := c.visitors[name+"="+row.get(name)]
		if !ok {
			continue
		}
		found |= visitorKnown
		before, _ := slices.BinarySearch(visits, at+1)
		if before > 0 && visits[before-1] >= now-linkWindow {
			found |= rowLinked
		}
	}
	return found
}

// uploadOffline chooses by the type (§6.1, §8).
func (s *Sandbox) uploadOffline(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	switch r.URL.Query().Get("type") {
	case "", "BASIC":
		s.uploadSheet(w, r, c, conversionsSheet(), []string{offlineList}, fault)
	case "CALLS":
		s.uploadSheet(w, r, c, callsSheet(), []string{offlineList, callsList}, fault)
	case "CHATS":
		s.uploadSheet(w, r, c, chatsSheet(), []string{offlineList}, fault)
	default:
		s.reject(w, "type is none of BASIC, CALLS, CHATS")
	}
}

// uploadSheet takes a file of conversions, calls or chats.
func (s *Sandbox) uploadSheet(w http.ResponseWriter, r *http.Request, c *counterState, sh *sheet, lists []string, fault *Fault) {
	defer s.begin(c, sh.name)()
	s.knownParameters(r, "comment", "type", "client_id_type", "new_goal_name")
	up := &ManagedUpload{Kind: sh.name, Type: map[string]string{"conversions": "BASIC", "calls": "CALLS", "chats": "CHATS"}[sh.name], lists: lists}
	now := s.Now().Unix()
	targets := map[string]string{}
	file, err := s.takeSheet(r, c, sh, up, func(row sheetValues, kept *readRow) {
		target := row.get("Target")
		if _, ok := targets[target]; !ok {
			targets[strings.Clone(target)] = strings.Clone(target)
		}
		kept.target = targets[target] // so that rows do not hold on to the file's text
		s.weigh(c, row, kept, now)
	})
	if err == nil {
		err = s.checkTargets(c, file)
	}
	if err != nil {
		s.refuseUpload(w, err)
		return
	}
	s.mu.Lock()
	s.storeRows(c, sh, up, file, fault, r.URL.Query().Get("new_goal_name"))
	shown := s.managedShown(up)
	list := sh.name == "chats" && !s.rules.OneChat
	s.mu.Unlock()
	if list {
		s.reply(w, fault, map[string]any{"uploadings": []any{shown}})
		return
	}
	s.reply(w, fault, map[string]any{"uploading": shown})
}

// takeSheet reads the request of an upload without storing anything.
func (s *Sandbox) takeSheet(r *http.Request, c *counterState, sh *sheet, up *ManagedUpload, take func(sheetValues, *readRow)) (*sheetFile, error) {
	comment, err := s.comment(r)
	if err != nil {
		return nil, err
	}
	if r.ContentLength < 0 {
		s.violated("an upload has no Content-Length; chunked transfer is untested with this server")
	}
	s.mu.Lock()
	facts := s.facts(c)
	s.mu.Unlock()
	file := &sheetFile{}
	if err := s.readMultipart(r, func(body io.Reader) error { return s.readSheet(body, sh, facts, file, take) }); err != nil {
		return nil, err
	}
	up.Comment, up.Columns, up.Source = comment, file.columns, file.source
	up.IDType = idType(file.columns)
	if file.nulled > 0 {
		s.violated("%d currencies of an upload of %s are not supported: the sums are lost", file.nulled, sh.name)
	}
	if file.badURLs > 0 {
		s.violated("%d addresses of an upload of %s are not http addresses", file.badURLs, sh.name)
	}
	return file, nil
}

// idType tells the first identifier among the columns, in the words of
// client_id_type.
func idType(columns []string) string {
	for _, name := range columns {
		switch name {
		case "ClientId", "ClientID":
			return "CLIENT_ID"
		case "UserId", "UserID":
			return "USER_ID"
		case "Yclid":
			return "YCLID"
		case "PurchaseId", "PurchaseID":
			return "PURCHASE_ID"
		}
	}
	return ""
}

// weigh finds out what will become of a row.
func (s *Sandbox) weigh(c *counterState, row sheetValues, kept *readRow, now int64) {
	kept.at, _ = strconv.ParseInt(row.get("DateTime"), 10, 64)
	if row.get("StaticCall") == "1" {
		kept.marks |= staticCall
		return // never linked (§7)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept.marks |= s.match(c, row, kept.at, now)
}

// checkTargets looks for the goals of conversions (§16.14).
func (s *Sandbox) checkTargets(c *counterState, file *sheetFile) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := map[string]bool{}
	for i := range file.rows {
		row := &file.rows[i]
		if row.target == "" {
			row.marks |= goalFound
			continue
		}
		found, asked := known[row.target]
		if !asked {
			found = c.goalOf(row.target) != nil
			known[row.target] = found
			if !found {
				s.violate("the counter has no JavaScript goal with the exact identifier %.80q", row.target)
			}
		}
		switch {
		case found:
			row.marks |= goalFound
		case s.rules.UnknownGoal == "refuse":
			return badRequest{"invalid_uploading", "a Target is not the identifier of a goal"}
		default:
			row.marks &^= rowLinked
		}
	}
	return nil
}

// storeRows makes an upload of the file. The caller holds s.mu.
func (s *Sandbox) storeRows(c *counterState, sh *sheet, up *ManagedUpload, file *sheetFile, fault *Fault, goalName string) {
	if fault != nil && fault.Name == FaultFewer && len(file.rows) > 0 {
		file.rows = file.rows[:len(file.rows)-1]
	}
	s.register(c, up, fault)
	up.Lines = len(file.rows)
	var auto *Goal
	switch sh.name {
	case "calls":
		auto = c.autoGoal("call", cmp.Or(goalName, "Звонок"))
	case "chats":
		auto = c.autoGoal("chat", "Чат")
	}
	// As with CRM data (§16.10), so that a sender that repeats rows is found out.
	s.rng.Shuffle(len(file.rows), func(i, j int) { file.rows[i], file.rows[j] = file.rows[j], file.rows[i] })
	t, within := c.sheets[sh.name], 0
	for i := range file.rows {
		row := &file.rows[i]
		up.count(row.marks)
		kept, existed := t.rows[row.key]
		if existed {
			up.Repeated++
			if kept.upload == up.ID {
				within++
			}
		} else if row.marks&rowLinked != 0 {
			goal := auto
			if goal == nil {
				goal = c.goalOf(row.target)
			}
			if goal != nil {
				goal.reaches[c.dateOf(time.Unix(row.at, 0))]++
			}
		}
		t.rows[row.key] = storedRow{packed: row.packed, upload: up.ID, times: kept.times + 1, marks: row.marks}
	}
	if within > 0 {
		s.violate("%d rows of an upload of %s repeat another row of it", within, sh.name)
	}
}

func (up *ManagedUpload) count(m marks) {
	if m&goalFound == 0 {
		up.GoalNotFound++
	}
	switch {
	case m&staticCall != 0:
		up.Static++
	case m&visitorKnown != 0:
		up.Matched++
	default:
		up.UserNotFound++
	}
	if m&rowLinked != 0 {
		up.Linked++
	}
}

// dateOf is the date of a moment in the counter's zone.
func (c *counterState) dateOf(at time.Time) string { return at.In(c.zone).Format(time.DateOnly) }
