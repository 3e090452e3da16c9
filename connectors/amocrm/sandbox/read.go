package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// route serves the API.
func (a *Account) route(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/oauth2/access_token":
		a.serveToken(w, r)
		return
	case "/oauth2/account/subdomain", "/oauth2/account/current/subdomain":
		a.serveDomain(w, r)
		return
	}
	body, err := readBody(w, r)
	a.mu.Lock()
	rp := a.serve(w, r, body, err)
	a.mu.Unlock()
	rp.write(w)
}

func (a *Account) serve(w http.ResponseWriter, r *http.Request, body []byte, err error) reply {
	path, ok := strings.CutPrefix(r.URL.Path, "/api/v4/")
	a.calls[r.Method+" /"+numbers.ReplaceAllString(path, "/{id}")]++
	if a.old[r.Host] {
		return problem(http.StatusNotFound, "Not Found", "Account not found")
	}
	if rp, ok := a.passGate(w); !ok {
		return rp
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		a.violate("a call without a bearer token")
	}
	if !a.authorised(r) {
		return problem(http.StatusUnauthorized, "Unauthorized", "Неверный логин или пароль")
	}
	if r.Header.Get("User-Agent") == "" || strings.HasPrefix(r.Header.Get("User-Agent"), "Go-http-client") {
		a.violate("no User-Agent of one's own")
	}
	if !ok {
		a.violate("%s to an address that there is not", r.Method)
	}
	if !ok || err != nil {
		return problem(http.StatusNotFound, "Not Found", "")
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if r.Method == http.MethodGet {
		return a.read(parts, r.URL.Query())
	}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		a.violate("a write without Content-Type: application/json")
	}
	return a.write(r.Method, parts, body)
}

var numbers = regexp.MustCompile(`/[0-9]+`)

func (a *Account) read(parts []string, q url.Values) reply {
	t := a.tables[parts[0]]
	switch path := strings.Join(parts, "/"); {
	case path == "account":
		return a.readAccount()
	case path == "users":
		return a.page(q, "users", 250, a.renderUsers())
	case path == "leads/pipelines":
		return a.page(q, "pipelines", 250, a.renderPipelines())
	case path == "events":
		return a.readEvents(q)
	case path == "webhooks":
		return a.readHooks(q)
	case t != nil && len(parts) == 1:
		return a.readList(t, q)
	case t != nil && len(parts) == 2 && parts[1] == "custom_fields":
		return a.page(q, "custom_fields", 250, t.renderFields())
	case t != nil && len(parts) == 2:
		id, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil {
			return problem(http.StatusNotFound, "Not Found", "")
		}
		e := t.rows[id]
		if e == nil || e.Deleted || e.hidden {
			return none()
		}
		return reply{status: http.StatusOK, body: a.render(t, e, q)}
	}
	return problem(http.StatusNotFound, "Not Found", "")
}

func (a *Account) readAccount() reply {
	name, _, _ := strings.Cut(a.host, ".")
	return reply{status: http.StatusOK, body: map[string]any{
		"id": AccountID, "name": "Образец", "subdomain": name, "current_user_id": UserAdmin, "country": "RU",
		"currency": "RUB", "currency_symbol": "₽", "customers_mode": "disabled", "is_unsorted_on": a.options["unsorted"] != "off",
		"is_loss_reason_enabled": true, "is_api_filter_enabled": a.options["filter"] != "off", "some_future_field": map[string]any{},
		"_embedded": map[string]any{"datetime_settings": map[string]any{"timezone": "Europe/Moscow", "timezone_offset": "+03:00"}},
	}}
}

// readList reads leads, contacts or companies.
func (a *Account) readList(t *table, q url.Values) reply {
	f, err := parseFilter(q)
	if err != nil {
		a.violate("GET /%s: %s", t.kind, err)
		return problem(http.StatusBadRequest, "Bad Request", "Request validation failed")
	}
	if a.options["filter"] == "off" {
		f = filter{query: f.query} // silently (§9.14)
	}
	deleted := slices.Contains(strings.Split(q.Get("with"), ","), "only_deleted")
	candidates := t.order
	if len(f.ids) > 0 {
		candidates = nil
		for id := range f.ids {
			if t.rows[id] != nil {
				candidates = append(candidates, id)
			}
		}
		slices.Sort(candidates)
	}
	var rows []*Entity
	for _, id := range candidates {
		if e := t.rows[id]; e.Deleted == deleted && !e.hidden && f.matches(e) {
			rows = append(rows, e)
		}
	}
	if err := order(rows, q); err != nil {
		a.violate("GET /%s: %s", t.kind, err)
	}
	return paged(q, t.kind, 250, len(rows), a, func(i int) any { return a.render(t, rows[i], q) })
}

func order(rows []*Entity, q url.Values) error {
	for name, key := range map[string]func(*Entity) int64{
		"id": func(e *Entity) int64 { return e.ID }, "created_at": func(e *Entity) int64 { return e.CreatedAt },
		"updated_at": func(e *Entity) int64 { return e.UpdatedAt },
	} {
		switch q.Get("order[" + name + "]") {
		case "":
		case "asc":
			slices.SortStableFunc(rows, func(x, y *Entity) int { return compare(key(x), key(y)) })
		case "desc":
			slices.SortStableFunc(rows, func(x, y *Entity) int { return compare(key(y), key(x)) })
		default:
			return fmt.Errorf("order[%s] is neither asc nor desc", name)
		}
	}
	return nil
}

func compare(x, y int64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// filter is what a list is narrowed by.
type filter struct {
	ids      map[int64]bool
	from, to map[string]int64
	fields   map[int64][]string
	query    string
}

var (
	rangeFilter = regexp.MustCompile(`^filter\[(created_at|updated_at|closed_at)\]\[(from|to)\]$`)
	fieldFilter = regexp.MustCompile(`^filter\[custom_fields_values\]\[(\d+)\]\[\d*\]$`)
	idFilter    = regexp.MustCompile(`^filter\[id\](\[\d*\])?$`)
)

func parseFilter(q url.Values) (filter, error) {
	f := filter{ids: map[int64]bool{}, from: map[string]int64{}, to: map[string]int64{}, fields: map[int64][]string{}, query: q.Get("query")}
	for name, values := range q {
		switch {
		case idFilter.MatchString(name):
			for _, v := range values {
				id, err := strconv.ParseInt(v, 10, 64)
				if err != nil {
					return f, fmt.Errorf("filter[id]: a value is not a number")
				}
				f.ids[id] = true
			}
			if len(f.ids) > 250 {
				return f, fmt.Errorf("filter[id]: more than 250")
			}
		case rangeFilter.MatchString(name):
			at, err := strconv.ParseInt(values[0], 10, 64)
			if err != nil {
				return f, fmt.Errorf("%s is not a number", name)
			}
			m := rangeFilter.FindStringSubmatch(name)
			if m[2] == "from" {
				f.from[m[1]] = at
			} else {
				f.to[m[1]] = at
			}
		case fieldFilter.MatchString(name):
			id, _ := strconv.ParseInt(fieldFilter.FindStringSubmatch(name)[1], 10, 64)
			f.fields[id] = append(f.fields[id], values...)
		case strings.HasPrefix(name, "filter["):
			return f, fmt.Errorf("unknown filter %s", name)
		}
	}
	return f, nil
}

func (f *filter) matches(e *Entity) bool {
	for name, at := range map[string]int64{"closed_at": e.ClosedAt, "created_at": e.CreatedAt, "updated_at": e.UpdatedAt} {
		if from, ok := f.from[name]; ok && at < from {
			return false
		}
		if to, ok := f.to[name]; ok && at > to {
			return false
		}
	}
	for id, wanted := range f.fields {
		if !slices.ContainsFunc(e.Fields[id], func(v string) bool { return slices.Contains(wanted, v) }) {
			return false
		}
	}
	return f.query == "" || found(e, f.query)
}

// found is the system's search: parts of the name and of any field.
func found(e *Entity, text string) bool {
	if strings.Contains(strings.ToLower(e.Name), strings.ToLower(text)) {
		return true
	}
	for _, values := range e.Fields {
		for _, v := range values {
			if strings.Contains(strings.ToLower(v), strings.ToLower(text)) || len(text) >= 6 && strings.Contains(onlyDigits(v), text) {
				return true
			}
		}
	}
	return false
}

// page pages a whole list.
func (a *Account) page(q url.Values, name string, most int, rows []any) reply {
	return paged(q, name, most, len(rows), a, func(i int) any { return rows[i] })
}

// paged makes one page (§9.7). The lock is held.
func paged(q url.Values, name string, most, total int, a *Account, row func(int) any) reply {
	limit, page := 50, 1
	for key, into := range map[string]*int{"limit": &limit, "page": &page} {
		if text := q.Get(key); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				a.violate("GET /%s: %s is %q", name, key, text)
				return problem(http.StatusBadRequest, "Bad Request", key)
			}
			*into = n
		}
	}
	if limit > most {
		a.violate("GET /%s: limit %d is over %d", name, limit, most)
		return problem(http.StatusBadRequest, "Bad Request", "limit")
	}
	first := (page - 1) * limit
	if first >= total {
		return none()
	}
	end := min(total, first+limit)
	rows := make([]any, 0, end-first)
	for i := first; i < end; i++ {
		rows = append(rows, row(i))
	}
	self := fmt.Sprintf("%s://%s/api/v4/%s?page=", a.scheme, a.host, name)
	links := map[string]any{"self": map[string]any{"href": self + strconv.Itoa(page)}}
	if end < total {
		links["next"] = map[string]any{"href": self + strconv.Itoa(page+1)}
	}
	return reply{status: http.StatusOK, body: map[string]any{"_page": page, "_links": links, "_embedded": map[string]any{name: rows}}}
}

// readEvents reads the history; lists in filters come with commas or as arrays.
func (a *Account) readEvents(q url.Values) reply {
	kinds, from, to := map[string]bool{}, int64(0), int64(1)<<62
	for name, values := range q {
		switch {
		case name == "filter[type]" || strings.HasPrefix(name, "filter[type]["):
			for _, v := range values {
				for one := range strings.SplitSeq(v, ",") {
					kinds[one] = true
				}
			}
		case name == "filter[created_at]":
			first, last, ok := strings.Cut(values[0], ",")
			from, _ = strconv.ParseInt(first, 10, 64)
			if ok {
				to, _ = strconv.ParseInt(last, 10, 64)
			}
		case name == "filter[created_at][from]":
			from, _ = strconv.ParseInt(values[0], 10, 64)
		case name == "filter[created_at][to]":
			to, _ = strconv.ParseInt(values[0], 10, 64)
		case strings.HasPrefix(name, "filter["):
			a.violate("GET /events: unknown filter %s", name)
		}
	}
	var rows []*event
	for i := len(a.events) - 1; i >= 0; i-- { // newest first
		e := &a.events[i]
		if (len(kinds) == 0 || kinds[e.kind]) && e.at >= from && e.at <= to {
			rows = append(rows, e)
		}
	}
	return paged(q, "events", 100, len(rows), a, func(i int) any {
		e := rows[i]
		return map[string]any{
			"id": e.id, "type": e.kind, "entity_id": e.entityID, "entity_type": e.entity, "created_by": UserAdmin,
			"created_at": e.at, "value_after": e.after, "value_before": e.before, "account_id": AccountID,
			"_embedded": map[string]any{"entity": map[string]any{"id": e.entityID}},
		}
	})
}

// render writes an entity as the API does: null for no fields, [] for empty maps,
// members that nobody has heard of (§9.13).
func (a *Account) render(t *table, e *Entity, q url.Values) map[string]any {
	with := strings.Split(q.Get("with"), ",")
	var fields any
	if list := t.renderValues(e); len(list) > 0 {
		fields = list
	}
	tags := []any{}
	for i, tag := range e.Tags {
		tags = append(tags, map[string]any{"id": 5000 + i, "name": tag, "color": nil})
	}
	embedded := map[string]any{"tags": tags}
	m := map[string]any{
		"id": e.ID, "name": e.Name, "responsible_user_id": e.Responsible, "group_id": 0, "created_by": e.CreatedBy,
		"updated_by": UserAdmin, "created_at": e.CreatedAt, "updated_at": e.UpdatedAt, "closest_task_at": nil,
		"is_deleted": e.Deleted, "custom_fields_values": fields, "account_id": AccountID, "_embedded": embedded,
		"some_future_field": "ignore_me",
	}
	if t.kind != Companies {
		embedded["companies"] = []any{}
		if e.CompanyID != 0 {
			embedded["companies"] = []any{map[string]any{"id": e.CompanyID}}
		}
	}
	switch t.kind {
	case Contacts:
		m["first_name"], m["last_name"] = e.FirstName, e.LastName
	case Leads:
		price := e.Price
		if price == "" {
			price = "0"
		}
		m["price"], m["status_id"], m["pipeline_id"] = json.Number(price), e.StatusID, e.PipelineID
		m["loss_reason_id"], m["score"], m["labor_cost"], m["closed_at"] = nil, nil, nil, nil
		if e.ClosedAt != 0 {
			m["closed_at"] = e.ClosedAt
		}
		if slices.Contains(with, "loss_reason") {
			embedded["loss_reason"] = []any{}
		}
		if slices.Contains(with, "contacts") {
			contacts := []any{}
			for i, id := range e.ContactIDs {
				contacts = append(contacts, map[string]any{"id": id, "is_main": i == 0})
			}
			embedded["contacts"] = contacts
		}
	}
	return m
}

func (t *table) renderValues(e *Entity) []any {
	var out []any
	for _, id := range t.sortedFields(e) {
		f, values := t.field(id), e.Fields[id]
		if f == nil || len(values) == 0 {
			continue
		}
		list := make([]any, 0, len(values))
		for _, text := range values {
			list = append(list, f.renderValue(text))
		}
		var code any
		if f.Code != "" {
			code = f.Code
		}
		out = append(out, map[string]any{
			"field_id": f.ID, "field_name": f.Name, "field_code": code, "field_type": f.Type, "values": list,
		})
	}
	return out
}

func (f *Field) renderValue(text string) map[string]any {
	switch f.Type {
	case "birthday", "date", "date_time":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return map[string]any{"value": n}
		}
	case "checkbox":
		return map[string]any{"value": text == "true"}
	case "legal_entity":
		return map[string]any{"value": map[string]any{"name": text, "vat_id": onlyDigits(text)}}
	case "multitext":
		return map[string]any{"value": text, "enum_id": f.Enums[0].ID, "enum_code": f.Enums[0].Code}
	case "multiselect", "radiobutton", "select":
		for _, e := range f.Enums {
			if e.Value == text {
				return map[string]any{"value": text, "enum_id": e.ID, "enum_code": nil}
			}
		}
	}
	return map[string]any{"value": text}
}

func (t *table) renderFields() []any {
	var out []any
	for i, f := range t.fields {
		var enums, code any
		if len(f.Enums) > 0 {
			list := []any{}
			for j, e := range f.Enums {
				list = append(list, map[string]any{"id": e.ID, "value": e.Value, "sort": j, "code": e.Code})
			}
			enums = list
		}
		if f.Code != "" {
			code = f.Code
		}
		out = append(out, map[string]any{
			"id": f.ID, "name": f.Name, "type": f.Type, "code": code, "sort": 500 + i, "entity_type": t.kind,
			"is_api_only": false, "group_id": nil, "enums": enums, "required_statuses": []any{},
		})
	}
	return out
}

func (a *Account) renderPipelines() []any {
	var out []any
	for i, p := range a.pipelines {
		statuses := []any{}
		add := func(id int64, name string, sort, kind int) {
			statuses = append(statuses, map[string]any{
				"id": id, "name": name, "sort": sort, "is_editable": kind == 0, "pipeline_id": p.ID, "color": "#99ccff", "type": kind, "account_id": AccountID,
			})
		}
		for j, s := range p.Statuses {
			kind := 0
			if s.Unsorted {
				kind = 1
			}
			add(s.ID, s.Name, 10*(j+1), kind)
		}
		add(StatusWon, "Успешно реализовано", 10000, 0)
		add(StatusLost, "Закрыто и не реализовано", 11000, 0)
		out = append(out, map[string]any{
			"id": p.ID, "name": p.Name, "sort": i + 1, "is_main": p.Main, "is_unsorted_on": true, "is_archive": false,
			"account_id": AccountID, "_embedded": map[string]any{"statuses": statuses},
		})
	}
	return out
}

func (a *Account) renderUsers() []any {
	var out []any
	for _, u := range a.users {
		out = append(out, map[string]any{
			"id": u.ID, "name": u.Name, "email": u.Email, "lang": "ru",
			"rights": map[string]any{"is_admin": u.ID == UserAdmin, "is_active": u.Active, "is_free": false},
		})
	}
	return out
}
