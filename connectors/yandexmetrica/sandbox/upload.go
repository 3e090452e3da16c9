package sandbox

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Upload is one upload as last_uploadings tells of it, and what the sandbox knows
// besides.
type Upload struct {
	ID       string    `json:"uploading_id"`
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Format   string    `json:"format"`
	Mode     string    `json:"merge_mode"`
	Status   string    `json:"api_validation_status"`
	Elements int       `json:"elements_count"`
	Rows     int       `json:"rows"`
	Columns  []string  `json:"columns"`
	Errors   []string  `json:"api_validation_errors"`

	visible time.Time // stands in the list from then on
}

// batch is an upload as it was read: nothing of it is stored before all of it is
// found right.
type batch struct {
	kind    *kind
	mode    string
	format  string
	columns []string
	rows    []incoming
	errors  []string
	empty   int // cells without a value under UPDATE and APPEND
}

type incoming struct {
	id    string
	cells []cell
}

const maxErrors = 20

func (b *batch) fault(format string, args ...any) {
	if len(b.errors) < maxErrors {
		b.errors = append(b.errors, fmt.Sprintf(format, args...))
	}
}

// badRequest is a mistake of the request, as against one of the content (§16.13).
type badRequest struct{ kind, why string }

func (b badRequest) Error() string { return b.why }

// upload takes a CSV file.
func (s *Sandbox) upload(w http.ResponseWriter, r *http.Request, c *counterState, k *kind, fault *Fault) {
	defer s.begin(c, k.name)()
	mode, comma, mapping, err := s.uploadQuery(r, k)
	if err == nil && r.ContentLength < 0 {
		s.violated("an upload has no Content-Length; chunked transfer is untested with this server")
	}
	var b *batch
	if err == nil {
		b = &batch{kind: k, mode: mode, format: "CSV"}
		err = s.readMultipart(r, func(file io.Reader) error {
			return s.readCSV(file, comma, mapping, c, b)
		})
	}
	s.conclude(w, c, b, err, fault)
}

// begin notes that an upload of a kind is in flight; two of them have no defined
// order (§14.5).
func (s *Sandbox) begin(c *counterState, kind string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.inFlight[kind]++
	if c.inFlight[kind] > 1 {
		s.violate("two uploads of %s are in flight for counter %s", kind, c.ID)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.inFlight[kind]--
	}
}

func (s *Sandbox) conclude(w http.ResponseWriter, c *counterState, b *batch, err error, fault *Fault) {
	if err != nil {
		s.refuseUpload(w, err)
		return
	}
	up := s.store(c, b, fault)
	s.mu.Lock()
	shown := s.shown(up, c)
	s.mu.Unlock()
	s.reply(w, fault, map[string]any{"uploading": shown})
}

// refuseUpload answers a mistake of the request; nothing was stored.
func (s *Sandbox) refuseUpload(w http.ResponseWriter, err error) {
	var bad badRequest
	if errors.As(err, &bad) {
		s.violated("a request was refused with %s: %s", bad.kind, bad.why)
		refuse(w, http.StatusBadRequest, bad.kind, bad.why)
		return
	}
	refuse(w, http.StatusBadRequest, "invalid_uploading", "the file cannot be read")
}

var mappingPair = regexp.MustCompile(`^"([^"]+)":"([^"]+)"$`)

// uploadQuery checks the parameters (§16.2).
func (s *Sandbox) uploadQuery(r *http.Request, k *kind) (mode string, comma rune, mapping map[string]string, err error) {
	q := r.URL.Query()
	for key := range q {
		if !slices.Contains([]string{"merge_mode", "delimiter_type", "columns_mapping", "ulogin"}, key) {
			s.violated("the parameter %.40q of uploads of %s is not known", key, k.name)
		}
	}
	switch mode = q.Get("merge_mode"); mode {
	case "":
		return "", 0, nil, badRequest{"missing_parameter", "merge_mode is missing"}
	case "SAVE", "UPDATE", "APPEND":
	default:
		return "", 0, nil, badRequest{"invalid_parameter", "merge_mode is none of SAVE, UPDATE, APPEND"}
	}
	switch q.Get("delimiter_type") {
	case "", "COMMA":
		comma = ','
	case "SEMICOLON":
		comma = ';'
	default:
		return "", 0, nil, badRequest{"invalid_parameter", "delimiter_type is neither COMMA nor SEMICOLON"}
	}
	if !q.Has("columns_mapping") {
		return mode, comma, nil, nil
	}
	if k == simpleKind {
		s.violated("columns_mapping is not available for simple orders")
		return mode, comma, nil, nil
	}
	mapping = map[string]string{}
	for _, pair := range splitPairs(q.Get("columns_mapping")) {
		m := mappingPair.FindStringSubmatch(pair)
		if m == nil {
			return "", 0, nil, badRequest{"invalid_parameter", "columns_mapping does not match the pattern of its pairs"}
		}
		mapping[m[2]] = m[1]
	}
	return mode, comma, mapping, nil
}

// splitPairs cuts at commas outside of quotes.
func splitPairs(s string) []string {
	var out []string
	quoted, start := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			out, start = append(out, s[start:i]), i+1
		}
	}
	return append(out, s[start:])
}

// readMultipart takes exactly one part named file with a file name (§16.3).
func (s *Sandbox) readMultipart(r *http.Request, read func(io.Reader) error) error {
	s.mu.Lock()
	maxBytes := s.rules.MaxBytes
	s.mu.Unlock()
	if r.ContentLength > maxBytes {
		return badRequest{"limit_exceeded", "the file is too large"}
	}
	typ, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || typ != "multipart/form-data" || params["boundary"] == "" {
		return badRequest{"invalid_parameter", "Content-Type is not multipart/form-data with a boundary"}
	}
	parts := multipart.NewReader(io.LimitReader(r.Body, maxBytes), params["boundary"])
	part, err := parts.NextRawPart()
	if err != nil {
		return badRequest{"invalid_parameter", "the body has no part"}
	}
	if part.FormName() != "file" || part.FileName() == "" {
		return badRequest{"invalid_parameter", "the part is not a file named file"}
	}
	if t, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); t != "text/csv" {
		return badRequest{"invalid_parameter", "the part's Content-Type is not text/csv"}
	}
	if err := read(part); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, part); err != nil {
		return badRequest{"invalid_parameter", "the body breaks off"}
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		return badRequest{"invalid_parameter", "the body has more than one part, or no end"}
	}
	return nil
}

// csvColumn is where the cells of a column go.
type csvColumn struct {
	rule    attributeRule
	number  uint16
	ignored bool
}

// readCSV checks and keeps a file. Mistakes of the content are noted in b, those
// of the request are returned.
func (s *Sandbox) readCSV(file io.Reader, comma rune, mapping map[string]string, c *counterState, b *batch) error {
	s.mu.Lock()
	maxRows, facts := s.rules.MaxRows, s.facts(c)
	s.mu.Unlock()
	reader := csv.NewReader(file)
	reader.Comma, reader.ReuseRecord = comma, true
	header, err := reader.Read()
	if err != nil {
		b.fault("the file has no header")
		return nil
	}
	columns, err := s.columns(slices.Clone(header), mapping, c, b)
	if err != nil || len(b.errors) > 0 {
		return err
	}
	for row := 1; ; row++ {
		record, err := reader.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			var parse *csv.ParseError
			if !errors.As(err, &parse) {
				return badRequest{"invalid_parameter", "the body breaks off"}
			}
			b.fault("line %d: %v", parse.Line, parse.Err)
			return nil
		}
		if row > maxRows {
			return badRequest{"limit_exceeded", "the file has too many rows"}
		}
		b.take(row, columns, record, facts)
	}
}

// facts copies what cells are checked against. The caller holds s.mu.
func (s *Sandbox) facts(c *counterState) known {
	k := known{statuses: map[string]bool{}, goals: map[string]bool{}, company: s.rules.Company,
		now: s.Now().Unix(), maxRows: s.rules.MaxRows, dropBad: s.rules.BadRows == "drop", keepAll: s.rules.Keep == "all", poison: maps.Clone(c.poison),
	}
	for _, st := range c.statuses {
		k.statuses[st.ID] = true
	}
	for _, g := range c.goals {
		if g.Status != "Deleted" && g.Type == "action" && len(g.Conditions) > 0 {
			k.goals[g.Conditions[0].URL] = true
		}
	}
	return k
}

// columns reads the header (§16.6).
func (s *Sandbox) columns(header []string, mapping map[string]string, c *counterState, b *batch) ([]csvColumn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range mapping {
		if !slices.Contains(header, name) {
			return nil, badRequest{"invalid_parameter", fmt.Sprintf("columns_mapping names the column %.80q, which the file does not have", name)}
		}
	}
	t := c.tables[b.kind.name]
	seen := map[string]bool{}
	columns := make([]csvColumn, len(header))
	for i, name := range header {
		if mapped, ok := mapping[name]; ok {
			name = mapped
		} else if len(mapping) > 0 {
			columns[i].ignored = true
			s.violate("the column %.80q is not in columns_mapping", name)
			continue
		}
		if seen[name] {
			b.fault("the header repeats %.80q", name)
		}
		seen[name] = true
		rule, ok := b.kind.rule(name)
		if !ok {
			rule, ok = customRule(c.attributes[b.kind.entity], name)
		}
		switch {
		case ok:
			columns[i] = csvColumn{rule: rule, number: t.column(name)}
			b.columns = append(b.columns, name)
		case b.kind.extras:
			columns[i].ignored = true
			s.violate("simple orders have no column %.80q", name)
		default:
			b.fault("the attribute %.80q is not known", name)
		}
	}
	for _, rule := range b.kind.attributes {
		if rule.required && !seen[rule.name] {
			b.fault("the column %s is missing", rule.name)
		}
	}
	return columns, nil
}

// take checks one row and keeps it.
func (b *batch) take(row int, columns []csvColumn, record []string, facts known) {
	in := incoming{}
	if facts.keepAll {
		in.cells = make([]cell, 0, len(record))
	}
	identified := b.kind != simpleKind
	for i, value := range record {
		col := columns[i]
		if col.ignored {
			continue
		}
		if !utf8.ValidString(value) {
			b.fault("line %d: %s is not UTF-8", row, col.rule.name)
			return
		}
		if value == "" {
			if col.rule.required {
				b.fault("line %d: %s is empty", row, col.rule.name)
				return
			}
			if b.mode != "SAVE" {
				b.empty++
			}
		} else if why := facts.check(col.rule.form, value); why != "" {
			b.fault("line %d: %s %s", row, col.rule.name, why)
			return
		} else {
			switch col.rule.form {
			case clientIDs, mails, phones, hashes:
				identified = true
			}
		}
		if !facts.keepAll {
			if !keptOfKeys(col.rule.name) {
				continue
			}
			value = strings.Clone(value) // or the whole line stays in memory
		}
		if col.rule.name == b.kind.key {
			in.id = value
		}
		if value != "" || b.mode != "SAVE" {
			in.cells = append(in.cells, cell{col.number, value})
		}
	}
	if !identified {
		b.fault("line %d: no identifier of the client", row)
		return
	}
	b.rows = append(b.rows, in)
}

// keptOfKeys: what stays of a contact or order when only keys are kept.
func keptOfKeys(name string) bool {
	switch name {
	case "uniq_id", "id", "client_uniq_id", "client_type", "order_status":
		return true
	}
	return false
}

// uploadJSON takes the JSON forms of contacts and orders.
func (s *Sandbox) uploadJSON(w http.ResponseWriter, r *http.Request, c *counterState, k *kind, fault *Fault) {
	defer s.begin(c, k.name)()
	mode, _, _, err := s.uploadQuery(r, k)
	b := &batch{kind: k, mode: mode, format: "JSON"}
	if err == nil {
		err = s.readJSON(r, c, b)
	}
	s.conclude(w, c, b, err, fault)
}

func (s *Sandbox) readJSON(r *http.Request, c *counterState, b *batch) error {
	typ, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if typ != "application/json" && typ != "application/x-yametrika+json" {
		return badRequest{"invalid_parameter", "Content-Type is not JSON"}
	}
	var body map[string][]map[string]any
	decoder := json.NewDecoder(io.LimitReader(r.Body, 100<<20))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err != nil {
		return badRequest{"invalid_json", "the body is not an object of arrays of objects"}
	}
	elements := body[b.kind.name]
	if len(elements) == 0 {
		return badRequest{"invalid_parameter", "the body has no " + b.kind.name}
	}
	s.mu.Lock()
	facts := s.facts(c)
	s.mu.Unlock()
	facts.json = true
	for i, element := range elements {
		header, record := make([]string, 0, len(element)), make([]string, 0, len(element))
		for name, value := range element {
			header, record = append(header, name), append(record, flat(value))
		}
		columns, err := s.columns(header, nil, c, b)
		if err != nil {
			return err
		}
		if len(b.errors) > 0 {
			return nil
		}
		b.columns = nil
		b.take(i+1, columns, record, facts)
	}
	return nil
}

// flat writes a JSON value as the CSV cell of the same meaning.
func flat(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, one := range v {
			parts[i] = flat(one)
		}
		return strings.Join(parts, ",")
	case map[string]any:
		if id, ok := v["goal_action_id"].(string); ok {
			if price, priced := v["price"]; priced {
				return id + ":" + flat(price)
			}
			return id
		}
		var parts []string
		for name, quantity := range v {
			parts = append(parts, name+":"+flat(quantity))
		}
		slices.Sort(parts)
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}
