package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const maxBody = 8 << 20

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method == http.MethodGet {
		return nil, nil
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

// object is an element of a write.
type object map[string]any

// elementError is one entry of validation-errors.
type elementError struct{ code, path string }

func (a *Account) write(method string, parts []string, body []byte) reply {
	path := strings.Join(parts, "/")
	switch {
	case path == "webhooks":
		return a.writeHook(method, body)
	case method == http.MethodDelete && len(parts) == 4 && parts[1] == "unsorted" && parts[3] == "decline":
		return a.decideUnsorted(parts[2], body, false)
	case method == http.MethodPost && len(parts) == 4 && parts[1] == "unsorted" && parts[3] == "accept":
		return a.decideUnsorted(parts[2], body, true)
	}
	var list []object
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	if err := in.Decode(&list); err != nil {
		a.violate("%s /%s: the body is no array of objects", method, path)
		return problem(http.StatusBadRequest, "Bad Request", "array expected")
	}
	most := 250
	if path == "leads/complex" {
		most = 50
	}
	if len(list) == 0 || len(list) > most {
		a.violate("%s /%s: %d elements, %d allowed", method, path, len(list), most)
		return problem(http.StatusBadRequest, "Bad Request", "too many elements")
	}
	if len(list) > 50 {
		a.violate("%s /%s: %d elements, more than the recommended 50", method, path, len(list))
	}
	switch {
	case method == http.MethodPost && path == "leads/complex":
		return a.addComplex(list)
	case method == http.MethodPost && (path == "leads/unsorted/forms" || path == "leads/unsorted/sip"):
		return a.addUnsorted(parts[2], list)
	case len(parts) == 1 && a.tables[path] != nil && (method == http.MethodPost || method == http.MethodPatch):
		return a.writeEach(method, a.tables[path], list)
	}
	return problem(http.StatusMethodNotAllowed, "Method Not Allowed", "")
}

// refuse answers with the errors of elements; one of them rejects all (§9.8).
func refuse(errs map[int][]elementError, list []object) reply {
	out := []any{}
	for i := range list {
		if len(errs[i]) == 0 {
			continue
		}
		var each []any
		for _, e := range errs[i] {
			each = append(each, map[string]any{"code": e.code, "path": e.path, "detail": "This value is not valid."})
		}
		out = append(out, map[string]any{"request_id": list[i].requestID(i), "errors": each})
	}
	return reply{status: http.StatusBadRequest, body: map[string]any{
		"validation-errors": out, "title": "Bad Request", "type": "https://httpstatus.es/400", "status": 400, "detail": "Request validation failed",
	}}
}

func (o object) requestID(place int) string {
	if id, ok := o["request_id"].(string); ok && id != "" {
		return id
	}
	return strconv.Itoa(place)
}

func (a *Account) writeEach(method string, t *table, list []object) reply {
	errs := map[int][]elementError{}
	for i, o := range list {
		if method == http.MethodPatch {
			id, ok := integer(o["id"])
			if !ok || t.rows[id] == nil || t.rows[id].Deleted {
				errs[i] = append(errs[i], elementError{"NotSupportedChoice", "id"})
			}
		}
		errs[i] = append(errs[i], a.check(t, o)...)
		if len(errs[i]) == 0 {
			delete(errs, i)
		}
	}
	if len(errs) > 0 {
		return refuse(errs, list)
	}
	var out []any
	for i, o := range list {
		id, _ := integer(o["id"])
		if method == http.MethodPost {
			id = a.addFromAPI(t, o)
		} else {
			a.change(t.kind, id, func(e *Entity) { a.apply(t, e, o) })
		}
		made := map[string]any{"id": id, "request_id": o.requestID(i)}
		if method == http.MethodPatch {
			made["updated_at"] = t.rows[id].UpdatedAt
		}
		out = append(out, made)
	}
	return reply{status: http.StatusOK, body: map[string]any{"_embedded": map[string]any{t.kind: out}}}
}

// addComplex is POST /leads/complex (§9.10).
func (a *Account) addComplex(list []object) reply {
	leads, contacts := a.tables[Leads], a.tables[Contacts]
	errs := map[int][]elementError{}
	for i, o := range list {
		found := a.check(leads, o)
		if n := len(embedded(o, "contacts")); n > 1 {
			found = append(found, elementError{"TooMany", "_embedded.contacts"})
			a.violate("POST /leads/complex: %d contacts in one lead", n)
		}
		for _, c := range embedded(o, "contacts") {
			if id, ok := integer(c["id"]); ok {
				if e := contacts.rows[id]; e == nil || e.Deleted {
					found = append(found, elementError{"NotSupportedChoice", "_embedded.contacts.0.id"})
				}
				continue
			}
			for _, e := range a.check(contacts, c) {
				found = append(found, elementError{e.code, "_embedded.contacts.0." + e.path})
			}
		}
		if len(found) > 0 {
			errs[i] = found
		}
	}
	if len(errs) > 0 {
		return refuse(errs, list)
	}
	var out []any
	for i, o := range list {
		var contactID any
		var ids []int64
		for _, c := range embedded(o, "contacts") {
			id, ok := integer(c["id"])
			if !ok {
				id = a.addFromAPI(contacts, c)
			}
			ids, contactID = append(ids, id), id
		}
		o["\x00contacts"] = ids
		out = append(out, map[string]any{
			"id": a.addFromAPI(leads, o), "contact_id": contactID, "company_id": nil,
			"request_id": []string{o.requestID(i)}, "merged": false,
		})
	}
	return reply{status: http.StatusOK, body: out}
}

func embedded(o object, name string) []object {
	m, _ := o["_embedded"].(map[string]any)
	list, _ := m[name].([]any)
	var out []object
	for _, one := range list {
		if m, ok := one.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// addFromAPI makes an entity and looks whether it is there already (§9.17).
func (a *Account) addFromAPI(t *table, o object) int64 {
	e := Entity{Fields: map[int64][]string{}}
	a.apply(t, &e, o)
	if ids, ok := o["\x00contacts"].([]int64); ok {
		e.ContactIDs = ids
	}
	if f := t.coded("PHONE"); f != nil && t.kind == Contacts {
		for _, phone := range e.Fields[f.ID] {
			for _, other := range t.byPhone[onlyDigits(phone)] {
				if !t.rows[other].Deleted {
					a.violate("a second contact with the phone of contact %d", other)
				}
			}
		}
	}
	id := a.add(t.kind, e, true)
	if t.kind == Leads {
		for _, key := range e.Fields[LeadSvodID] {
			if other, ok := a.byKey[key]; ok {
				a.violate("a second lead with the communication id of lead %d", other)
			}
			a.byKey[key] = id
		}
	}
	return id
}

// apply writes an element into an entity.
func (a *Account) apply(t *table, e *Entity, o object) {
	for name, into := range map[string]*string{"first_name": &e.FirstName, "last_name": &e.LastName, "name": &e.Name} {
		if v, ok := o[name].(string); ok {
			*into = v
		}
	}
	if e.Name == "" {
		e.Name = strings.TrimSpace(e.FirstName + " " + e.LastName)
	}
	for name, into := range map[string]*int64{
		"created_by": &e.CreatedBy, "pipeline_id": &e.PipelineID, "responsible_user_id": &e.Responsible, "status_id": &e.StatusID,
	} {
		if v, ok := integer(o[name]); ok {
			*into = v
		}
	}
	if v, ok := o["price"].(json.Number); ok {
		e.Price = v.String()
	}
	if m, ok := o["_embedded"].(map[string]any); ok && m["tags"] != nil { // replaces (§9.9)
		e.Tags = nil
		for _, tag := range embedded(o, "tags") {
			e.Tags = append(e.Tags, fmt.Sprint(tag["name"]))
		}
	}
	for _, tag := range objects(o["tags_to_add"]) {
		if name := fmt.Sprint(tag["name"]); !slices.Contains(e.Tags, name) {
			e.Tags = append(e.Tags, name)
		}
	}
	for _, v := range objects(o["custom_fields_values"]) {
		f := t.named(v)
		if f == nil {
			continue
		}
		delete(e.Fields, f.ID) // replaced as a whole
		for _, one := range objects(v["values"]) {
			e.Fields[f.ID] = append(e.Fields[f.ID], fmt.Sprint(one["value"]))
		}
	}
}

func objects(v any) []object {
	list, _ := v.([]any)
	var out []object
	for _, one := range list {
		if m, ok := one.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func (t *table) named(v object) *Field {
	if id, ok := integer(v["field_id"]); ok {
		return t.field(id)
	}
	code, _ := v["field_code"].(string)
	if code == "" {
		return nil
	}
	return t.coded(code)
}

func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

// check validates an element strictly (§9.8, §9.13).
func (a *Account) check(t *table, o object) []elementError {
	var out []elementError
	fail := func(code, path string) { out = append(out, elementError{code, path}) }
	for _, name := range []string{"closed_at", "created_at", "created_by", "loss_reason_id", "pipeline_id", "responsible_user_id", "status_id", "updated_by"} {
		if v, there := o[name]; there && v != nil {
			if _, ok := integer(v); !ok {
				fail("InvalidType", name)
			}
		}
	}
	for _, name := range []string{"first_name", "last_name", "name", "request_id"} {
		if v, there := o[name]; there {
			if _, ok := v.(string); !ok {
				fail("InvalidType", name)
			}
		}
	}
	if v, there := o["price"]; there {
		if _, ok := v.(json.Number); !ok {
			fail("InvalidType", "price")
		}
	}
	if t.kind == Leads {
		out = append(out, a.checkStage(o)...)
	}
	if id, ok := integer(o["responsible_user_id"]); ok && !slices.ContainsFunc(a.users, func(u User) bool { return u.ID == id }) {
		fail("NotSupportedChoice", "responsible_user_id")
	}
	fields := objects(o["custom_fields_values"])
	if len(fields) > 40 {
		fail("TooMany", "custom_fields_values")
	}
	for i, v := range fields {
		out = append(out, t.checkField(i, v)...)
	}
	return out
}

func (a *Account) checkStage(o object) []elementError {
	pipeline, named := integer(o["pipeline_id"])
	status, staged := integer(o["status_id"])
	var at *Pipeline
	for i := range a.pipelines {
		if p := &a.pipelines[i]; named && p.ID == pipeline || !named && p.Main {
			at = p
		}
	}
	switch {
	case at == nil:
		return []elementError{{"NotSupportedChoice", "pipeline_id"}}
	case staged && status != StatusWon && status != StatusLost &&
		!slices.ContainsFunc(at.Statuses, func(s Status) bool { return s.ID == status }):
		return []elementError{{"NotSupportedChoice", "status_id"}}
	}
	return nil
}

func (t *table) checkField(i int, v object) []elementError {
	path := "custom_fields_values." + strconv.Itoa(i)
	_, byID := v["field_id"]
	_, byCode := v["field_code"]
	switch f := t.named(v); {
	case !byID && !byCode:
		return []elementError{{"FieldMissing", path + ".field_id"}}
	case f == nil:
		return []elementError{{"NotSupportedChoice", path + ".field_id"}}
	case v["values"] == nil:
		return nil
	default:
		var out []elementError
		for j, one := range objects(v["values"]) {
			if code := f.checkValue(one["value"]); code != "" {
				out = append(out, elementError{code, path + ".values." + strconv.Itoa(j) + ".value"})
			}
		}
		if len(objects(v["values"])) == 0 {
			out = append(out, elementError{"InvalidType", path + ".values"})
		}
		return out
	}
}

func (f *Field) checkValue(v any) string {
	switch f.Type {
	case "checkbox":
		if _, ok := v.(bool); !ok {
			return "InvalidType"
		}
	case "birthday", "date", "date_time":
		if _, ok := integer(v); !ok {
			return "InvalidType"
		}
	case "multiselect", "radiobutton", "select":
		text, ok := v.(string)
		if !ok || !slices.ContainsFunc(f.Enums, func(e Enum) bool { return e.Value == text }) {
			return "NotSupportedChoice"
		}
	default:
		if _, ok := v.(string); !ok {
			return "InvalidType"
		}
	}
	return ""
}
