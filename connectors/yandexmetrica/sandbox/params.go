package sandbox

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// param is one value of one visitor.
type param struct{ id, key, value string }

// UserParams gives the applied parameters of a counter's visitors by identifier.
func (s *Sandbox) UserParams(counter string) map[string]map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]map[string]string{}
	if c := s.counters[counter]; c != nil {
		for id, params := range c.params {
			out[id] = maps.Clone(params)
		}
	}
	return out
}

// uploadParams takes a file of user parameters, which waits for its confirmation
// (§9).
func (s *Sandbox) uploadParams(w http.ResponseWriter, r *http.Request, c *counterState, fault *Fault) {
	defer s.begin(c, "user_params")()
	s.knownParameters(r, "action", "content_id_type", "comment")
	up, err := s.readParams(r, c)
	if err != nil {
		s.refuseUpload(w, err)
		return
	}
	s.mu.Lock()
	if fault != nil && fault.Name == FaultFewer && len(up.pending) > 0 {
		up.pending = up.pending[:len(up.pending)-1]
		up.Lines--
	}
	if !s.rules.ParamsComment {
		up.Comment = ""
	}
	s.register(c, up, fault)
	shown := s.managedShown(up)
	s.mu.Unlock()
	s.reply(w, fault, map[string]any{"uploading": shown})
}

func (s *Sandbox) readParams(r *http.Request, c *counterState) (*ManagedUpload, error) {
	action := r.URL.Query().Get("action")
	if action == "" {
		return nil, badRequest{"missing_parameter", "action is missing"}
	}
	if action != "update" && action != "delete_keys" {
		return nil, badRequest{"invalid_parameter", "action is neither update nor delete_keys"}
	}
	comment, err := s.comment(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	facts := s.facts(c)
	s.mu.Unlock()
	up := &ManagedUpload{Kind: "user_params", Type: action, Comment: comment, lists: []string{paramsList}}
	err = s.readMultipart(r, func(body io.Reader) error { return up.readParams(body, facts) })
	if err != nil {
		return nil, err
	}
	if asked := r.URL.Query().Get("content_id_type"); asked != "" && !strings.EqualFold(asked, up.IDType) {
		return nil, badRequest{"invalid_parameter", "content_id_type contradicts the first column"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	users := map[string]bool{}
	for _, p := range up.pending {
		if users[p.id] {
			continue
		}
		users[p.id] = true
		if _, known := c.visitors[p.id]; known || !c.expected && s.rules.Visitors == "auto" {
			up.Matched++
			up.Linked++
		} else {
			up.UserNotFound++
		}
	}
	return up, nil
}

// readParams takes both layouts that are reported (§9): Key and Value columns, or
// a column for each parameter.
func (up *ManagedUpload) readParams(file io.Reader, facts known) error {
	reader := csv.NewReader(file)
	reader.ReuseRecord = true
	header, err := reader.Read()
	if err != nil {
		return badRequest{"invalid_uploading", "the file has no header"}
	}
	header = slices.Clone(header)
	name := map[string]string{"userid": "UserId", "clientid": "ClientId"}[strings.ToLower(header[0])]
	if name == "" || len(header) < 2 {
		return badRequest{"invalid_uploading", "the first column is neither UserId nor ClientId, or it is alone"}
	}
	up.Columns, up.IDType = header, idType([]string{name})
	long := strings.EqualFold(header[1], "Key")
	if long && up.Type == "update" && (len(header) != 3 || !strings.EqualFold(header[2], "Value")) {
		return badRequest{"invalid_uploading", "behind Key there is no Value"}
	}
	seen := map[param]bool{}
	for {
		record, err := reader.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				return badRequest{"invalid_uploading", fmt.Sprintf("line %d: %v", parse.Line, parse.Err)}
			}
			return badRequest{"invalid_parameter", "the body breaks off"}
		}
		if up.Source++; up.Source > facts.maxRows {
			return badRequest{"limit_exceeded", "the file has too many rows"}
		}
		why := paramRow(record, name, facts)
		if why == "" && long {
			key := param{id: record[0], key: record[1]}
			if seen[key] {
				why = "a key of a visitor is repeated"
			}
			seen[key] = true
		}
		if why != "" {
			if facts.dropBad {
				continue
			}
			return badRequest{"invalid_uploading", fmt.Sprintf("line %d: %s", up.Source, why)}
		}
		up.Lines++
		up.take(record, header, name, long)
	}
}

func paramRow(record []string, name string, facts known) string {
	for _, value := range record {
		if !utf8.ValidString(value) {
			return "a cell is not UTF-8"
		}
		if facts.poison[value] {
			return "a value is not acceptable"
		}
	}
	if record[0] == "" || name == "ClientId" && !isClientID(record[0]) {
		return name + " is empty or not a number"
	}
	return ""
}

func (up *ManagedUpload) take(record, header []string, name string, long bool) {
	id := name + "=" + record[0]
	if long {
		value := ""
		if len(record) > 2 {
			value = record[2]
		}
		up.pending = append(up.pending, param{id, record[1], value})
		return
	}
	for i, value := range record[1:] {
		if value != "" || up.Type == "delete_keys" {
			up.pending = append(up.pending, param{id, header[i+1], value})
		}
	}
}

// confirmParams applies an upload. The body may be its object or empty (§9).
func (s *Sandbox) confirmParams(w http.ResponseWriter, r *http.Request, c *counterState, id string, fault *Fault) {
	var body struct {
		Uploading struct {
			ID json.Number `json:"id"`
		} `json:"uploading"`
	}
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body)
	if err != nil && err != io.EOF {
		refuse(w, http.StatusBadRequest, "invalid_json", "the body is not the JSON that is expected")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	up := c.managedByID(paramsList, id)
	if up == nil {
		refuse(w, http.StatusNotFound, "not_found", "there is no such upload")
		return
	}
	if body.Uploading.ID != "" && body.Uploading.ID.String() != strconv.FormatInt(up.ID, 10) {
		s.violate("the body of a confirmation names another upload")
		refuse(w, http.StatusBadRequest, "invalid_parameter", "the body names another upload")
		return
	}
	if up.Confirms++; up.Confirms == 1 {
		up.confirmed = s.Now()
		c.applyParams(up)
	}
	if s.rules.ConfirmAnswer == "success" {
		s.reply(w, fault, map[string]any{"success": true})
		return
	}
	s.reply(w, fault, map[string]any{"uploading": s.managedShown(up)})
}

func (c *counterState) applyParams(up *ManagedUpload) {
	for _, p := range up.pending {
		stored := c.params[p.id]
		if stored == nil {
			stored = map[string]string{}
			c.params[p.id] = stored
		}
		if up.Type == "delete_keys" {
			delete(stored, p.key)
			continue
		}
		if before, again := stored[p.key]; again && before == p.value {
			up.Repeated++
		}
		stored[p.key] = p.value
	}
	up.pending = nil
}

// editParams changes the comment.
func (s *Sandbox) editParams(w http.ResponseWriter, r *http.Request, c *counterState, id string, fault *Fault) {
	var body struct {
		Uploading struct {
			Comment string `json:"comment"`
		} `json:"uploading"`
	}
	if !s.decode(w, r, &body) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	up := c.managedByID(paramsList, id)
	if up == nil {
		refuse(w, http.StatusNotFound, "not_found", "there is no such upload")
		return
	}
	up.Comment = body.Uploading.Comment
	s.reply(w, fault, map[string]any{"uploading": s.managedShown(up)})
}
