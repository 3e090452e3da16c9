package amocrm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// Send implements connectors.Uploader. Making a lead twice is worse than making
// it late, and the system has no key against that (amocrm §4.3), so each upload
// has at most one request that makes leads, and everything before it can be
// repeated: leads that are there already are found by the field of id_field, and
// contacts by phone and e-mail.
//
// Without id_field a row that comes again makes a second lead; only an upload
// whose outcome is unknown is looked for, by the leads' names.
func (c *Connector) Send(ctx context.Context, u connectors.Upload, body connectors.Body) (connectors.Outcome, error) {
	// Other connections of the same account must not make the same contact.
	release, err := c.deps.Limiter.Acquire(ctx, c.limiterKey()+":create", 1)
	if err != nil {
		return connectors.Outcome{}, err
	}
	defer release()
	s := sending{c: c, upload: u, out: connectors.Outcome{State: connectors.UploadAccepted, Created: map[string]string{}}}
	if err := s.read(body); err != nil {
		return connectors.Outcome{}, err
	}
	for _, work := range []func(context.Context) error{s.findLeads, s.update, s.findContacts, s.makeContacts, s.create} {
		if err := work(ctx); err != nil {
			return connectors.Outcome{}, err
		}
		if s.out.State == connectors.UploadRejected {
			return connectors.Outcome{State: connectors.UploadRejected, Reasons: s.out.Reasons}, nil
		}
	}
	return s.outcome()
}

// sending is one upload on its way.
type sending struct {
	c      *Connector
	upload connectors.Upload
	field  string // id of the field with our ids; "" when there is none
	lines  []uploadLine
	fresh  []int // lines without a lead
	people map[int]int64
	out    connectors.Outcome
	counts struct {
		Created  int `json:"created"`
		Existing int `json:"existing"`
		Updated  int `json:"updated"`
		Merged   int `json:"merged"`
		Linked   int `json:"linked_contacts"`
	}
}

func (s *sending) read(body connectors.Body) error {
	in := json.NewDecoder(io.NewSectionReader(body, 0, body.Size()))
	for {
		var line uploadLine
		err := in.Decode(&line)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return model.Errorf(model.ClassPermanent, model.CauseInternal, "the encoded upload is not readable: %w", err)
		}
		s.lines = append(s.lines, line)
	}
}

// findLeads looks which rows have a lead already.
func (s *sending) findLeads(ctx context.Context) error {
	s.people = map[int]int64{}
	id, err := s.c.idField(ctx, s.upload)
	if err != nil {
		return err
	}
	s.field = id
	var keys []string
	for _, line := range s.lines {
		keys = append(keys, line.Key)
	}
	known := map[string]string{}
	if id != "" && len(keys) > 0 {
		if known, err = s.c.leadsByKey(ctx, id, keys); err != nil {
			return err
		}
	}
	for i, line := range s.lines {
		if lead, ok := known[line.Key]; ok {
			s.out.Created[line.Key] = lead
			s.counts.Existing++
		} else {
			s.fresh = append(s.fresh, i)
		}
	}
	return nil
}

// update brings changes to leads that are there. Repeating it changes nothing.
func (s *sending) update(ctx context.Context) error {
	if s.upload.Mode != modeSave || s.counts.Existing == 0 {
		return nil
	}
	var bodies []map[string]any
	var lines []int
	for i, line := range s.lines {
		lead, ok := s.out.Created[line.Key]
		if !ok {
			continue
		}
		id, err := idOf("lead", lead)
		if err != nil {
			return err
		}
		b := line.Lead.members(len(bodies))
		b["id"] = id
		delete(b, "_embedded")
		if len(line.Lead.Tags) > 0 {
			b["tags_to_add"] = tagList(line.Lead.Tags) // _embedded.tags would replace them (amocrm §6.2)
		}
		bodies, lines = append(bodies, b), append(lines, i)
	}
	refused, _, err := s.write(ctx, http.MethodPatch, "/leads", bodies, false)
	for i, line := range lines {
		if reason, ok := refused[i]; ok {
			s.refuse(line, reason)
			delete(s.out.Created, s.lines[line].Key)
		}
	}
	s.counts.Updated = len(bodies) - len(refused)
	return err
}

// create makes the missing leads with one request (amocrm §6.3).
func (s *sending) create(ctx context.Context) error {
	if len(s.fresh) == 0 {
		return nil
	}
	bodies := make([]map[string]any, len(s.fresh))
	for i, line := range s.fresh {
		bodies[i] = s.lines[line].Lead.members(i)
		embedded, _ := bodies[i]["_embedded"].(map[string]any)
		if person := s.person(line); person != nil {
			embedded["contacts"] = []map[string]any{person}
		}
		bodies[i]["_embedded"] = embedded
	}
	if err := s.c.rememberUpload(ctx, s); err != nil {
		return err
	}
	refused, answer, err := s.write(ctx, http.MethodPost, "/leads/complex", bodies, true)
	for i, reason := range refused {
		s.refuse(s.fresh[i], reason)
	}
	if err != nil || answer == nil {
		return err
	}
	return s.made(answer, refused)
}

// person is the contact of a new lead: a known one, or a new one.
func (s *sending) person(line int) map[string]any {
	if id, ok := s.people[line]; ok {
		return map[string]any{"id": id}
	}
	p := s.lines[line].Person
	if p == nil {
		return nil
	}
	return p.members()
}

// made reads the ids of new leads. They are there in any case; when the answer
// does not tell which is which, they are looked for.
func (s *sending) made(body []byte, refused map[int]string) error {
	type lead struct {
		ID        loosejson.Text                 `json:"id"`
		RequestID loosejson.List[loosejson.Text] `json:"request_id"`
		Merged    loosejson.Bool                 `json:"merged"`
	}
	var raw json.RawMessage = body
	var wrapped struct {
		Embedded struct {
			Leads json.RawMessage `json:"leads"`
		} `json:"_embedded"`
	}
	if json.Unmarshal(body, &wrapped) == nil && wrapped.Embedded.Leads != nil {
		raw = wrapped.Embedded.Leads
	}
	var list loosejson.List[json.RawMessage]
	if json.Unmarshal(raw, &list) != nil {
		return model.Errorf(model.ClassUnknown, model.CauseInDoubt, "amoCRM took the leads, but its answer does not say so readably")
	}
	var order []int
	for i := range s.fresh {
		if _, no := refused[i]; !no {
			order = append(order, i)
		}
	}
	for n, one := range list {
		var l lead
		if json.Unmarshal(one, &l) != nil {
			var text struct {
				ID        loosejson.Text `json:"id"`
				RequestID loosejson.Text `json:"request_id"`
				Merged    loosejson.Bool `json:"merged"`
			}
			if json.Unmarshal(one, &text) != nil {
				continue
			}
			l = lead{ID: text.ID, RequestID: loosejson.List[loosejson.Text]{text.RequestID}, Merged: text.Merged}
		}
		at := -1
		for _, id := range l.RequestID {
			if i, err := strconv.Atoi(string(id)); err == nil && i >= 0 && i < len(s.fresh) {
				at = i
			}
		}
		if at < 0 && len(list) == len(order) {
			at = order[n]
		}
		if at < 0 || l.ID == "" {
			continue
		}
		s.out.Created[s.lines[s.fresh[at]].Key] = string(l.ID)
		s.counts.Created++
		if l.Merged.Value {
			s.counts.Merged++
		}
	}
	if s.counts.Created < len(order) {
		return model.Errorf(model.ClassUnknown, model.CauseInDoubt, "amoCRM's answer names %d of %d new leads", s.counts.Created, len(order))
	}
	return nil
}

// write sends an array. One bad element makes amoCRM refuse all (amocrm §6.1), so
// named ones are taken out and the rest goes again; when none is named, the hub
// divides the upload.
func (s *sending) write(ctx context.Context, method, path string, bodies []map[string]any, creates bool) (refused map[int]string, answer []byte, err error) {
	refused = map[int]string{}
	for len(refused) < len(bodies) {
		var left []map[string]any
		for i, b := range bodies {
			if _, no := refused[i]; !no {
				left = append(left, b)
			}
		}
		data, err := json.Marshal(left)
		if err != nil {
			return refused, nil, err
		}
		resp, err := s.c.do(ctx, request{method: method, path: path, body: data, creates: creates})
		if err == nil {
			return refused, resp.Body, nil
		}
		if resp.Status != http.StatusBadRequest {
			return refused, nil, repeatable(err, creates)
		}
		before := len(refused)
		for id, reason := range refusals(resp.Body) {
			if i, err := strconv.Atoi(id); err == nil && i >= 0 && i < len(bodies) {
				refused[i] = reason
			}
		}
		if len(refused) == before {
			s.out.State, s.out.Reasons = connectors.UploadRejected, []string{err.Error()}
			return refused, nil, nil
		}
	}
	return refused, nil, nil
}

// repeatable makes the unknown outcome of a request that may be repeated a plain
// failure.
func repeatable(err error, creates bool) error {
	if e := new(model.Error); !creates && errors.As(err, &e) && e.Class == model.ClassUnknown {
		again := *e
		again.Class = model.ClassTemporary
		return &again
	}
	return err
}

func (s *sending) refuse(line int, reason string) {
	s.out.Refused = append(s.out.Refused, connectors.RowError{Key: s.lines[line].Key,
		Err: model.Errorf(model.ClassPermanent, model.CauseRefusedByRemote, "amoCRM refused the lead: %s", reason)})
}

func (s *sending) outcome() (connectors.Outcome, error) {
	details, err := json.Marshal(s.counts)
	if err != nil {
		return connectors.Outcome{}, err
	}
	s.out.Details, s.out.Accepted = details, len(s.lines)-len(s.out.Refused)
	return s.out, nil
}

// members writes a lead for the API. Its place in the request goes along, because
// an answer names elements by it (amocrm §4.3).
func (b *leadBody) members(place int) map[string]any {
	m := map[string]any{"request_id": strconv.Itoa(place)}
	embedded := map[string]any{}
	if b.Name != "" {
		m["name"] = b.Name
	}
	if b.Price != "" {
		m["price"] = b.Price
	}
	for name, id := range map[string]int64{"pipeline_id": b.PipelineID, "responsible_user_id": b.Responsible, "status_id": b.StatusID} {
		if id != 0 {
			m[name] = id
		}
	}
	if len(b.Fields) > 0 {
		m["custom_fields_values"] = b.Fields
	}
	if len(b.Tags) > 0 {
		embedded["tags"] = tagList(b.Tags)
	}
	m["_embedded"] = embedded
	return m
}

func tagList(tags []string) []map[string]string {
	out := make([]map[string]string, len(tags))
	for i, tag := range tags {
		out[i] = map[string]string{"name": tag}
	}
	return out
}

func (p *personBody) members() map[string]any {
	m := map[string]any{}
	if p.LastName != "" {
		m["first_name"], m["last_name"] = p.Name, p.LastName
	} else {
		m["name"] = p.Name
	}
	fields := p.Fields
	for code, values := range map[string][]string{"EMAIL": p.Emails, "PHONE": p.Phones} {
		if len(values) == 0 {
			continue
		}
		f := fieldBody{Code: code}
		for _, v := range values {
			if code == "PHONE" {
				v = "+" + v
			}
			f.Values = append(f.Values, valueBody{Value: v, Enum: "WORK"})
		}
		fields = append(fields, f)
	}
	if len(fields) > 0 {
		m["custom_fields_values"] = fields
	}
	return m
}
