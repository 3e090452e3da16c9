package amocrm

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/svod-hub/svod/connectors"
	"github.com/svod-hub/svod/model"
)

// memoryUpload is what the last creating request was to make. It holds ids and
// hashes, no personal data.
const memoryUpload = "upload"

type rememberedUpload struct {
	ID    int64          `json:"id"`
	At    int64          `json:"at"`
	Field string         `json:"field,omitempty"`
	Rows  []rememberedAs `json:"rows"`
}

type rememberedAs struct {
	Key  string `json:"key"`
	Name string `json:"name"` // fingerprint of the lead's name
}

func (c *Connector) rememberUpload(ctx context.Context, s *sending) error {
	r := rememberedUpload{ID: s.upload.ID, At: c.deps.Now().Unix(), Field: s.field}
	for _, line := range s.fresh {
		r.Rows = append(r.Rows, rememberedAs{Key: s.lines[line].Key, Name: fingerprint(s.lines[line].Lead.Name)})
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return c.deps.Memory.Remember(ctx, memoryUpload, string(data))
}

// How long a request that was cut off may still be at work over there, and how
// long leads that we do not find among others are waited for.
const (
	stillWorking = time.Minute
	partlyFound  = 30 * time.Minute
)

// Settle implements connectors.Settler. A request makes all of its leads or none
// (amocrm §6.1). They are recognised by the field of id_field, else by their names
// among the leads made since.
func (c *Connector) Settle(ctx context.Context, u connectors.Upload) (connectors.Outcome, bool, error) {
	var out connectors.Outcome
	text, err := c.deps.Memory.Recall(ctx, memoryUpload)
	if err != nil {
		return out, false, err
	}
	var r rememberedUpload
	if text == "" || json.Unmarshal([]byte(text), &r) != nil || r.ID != u.ID {
		return out, false, nil // it did not come to the creating request
	}
	found, err := c.findRemembered(ctx, r)
	if err != nil {
		return out, false, err
	}
	age := c.deps.Now().Sub(time.Unix(r.At, 0))
	switch {
	case len(found) == len(r.Rows):
	case len(found) == 0 && age >= stillWorking:
		return out, false, nil
	case age < stillWorking || age < partlyFound && len(found) > 0:
		return out, false, model.Errorf(model.ClassTemporary, model.CauseInDoubt,
			"%d of %d leads of the upload are to be seen in amoCRM; it is asked again", len(found), len(r.Rows))
	}
	out = connectors.Outcome{State: connectors.UploadAccepted, Created: found, Accepted: u.Rows}
	for _, row := range r.Rows {
		if found[row.Key] == "" {
			out.Accepted--
			out.Refused = append(out.Refused, connectors.RowError{Key: row.Key, Err: model.Errorf(model.ClassPermanent, model.CauseInDoubt,
				"the lead is not to be found in amoCRM, although others of the same request are: look there before sending it again")})
		}
	}
	return out, true, nil
}

func (c *Connector) findRemembered(ctx context.Context, r rememberedUpload) (map[string]string, error) {
	if r.Field != "" {
		var keys []string
		for _, row := range r.Rows {
			keys = append(keys, row.Key)
		}
		return c.leadsByKey(ctx, r.Field, keys)
	}
	leads, _ := placeOf(model.KindDeal)
	found := map[string]string{}
	// Newest first, so that an account without filters is read back only so far.
	for page := 1; len(found) < len(r.Rows); page++ {
		from := r.At - 60 // their clock may be behind ours
		q := new(query).add("filter[created_at][from]", strconv.FormatInt(from, 10)).
			add("order[created_at]", "desc").add("limit", strconv.Itoa(pageSize)).add("page", strconv.Itoa(page))
		l, err := c.sureList(ctx, leads, func() *query { return q })
		if err != nil {
			return nil, err
		}
		older := false
		for i := range l.rows {
			e := &l.rows[i]
			if e.CreatedAt.Unix() < from {
				older = true
				continue
			}
			name := fingerprint(string(e.Name))
			for _, row := range r.Rows {
				if row.Name == name && found[row.Key] == "" {
					found[row.Key] = string(e.ID)
					break
				}
			}
		}
		if !l.next || older {
			break
		}
	}
	return found, nil
}

func (c *Connector) idField(ctx context.Context, u connectors.Upload) (string, error) {
	name := u.Options[optionIDField]
	if name == "" {
		return "", nil
	}
	leads, _ := placeOf(model.KindDeal)
	f, err := c.needField(ctx, leads, name, "the option "+optionIDField)
	if err != nil {
		return "", err
	}
	return string(f.ID), nil
}

// leadsByKey finds leads by our id in their field. Answers are compared: an
// account may ignore the filter, and a search matches parts (amocrm §5.2, §5.3).
func (c *Connector) leadsByKey(ctx context.Context, field string, keys []string) (map[string]string, error) {
	a, err := c.facts(ctx)
	if err != nil {
		return nil, err
	}
	leads, _ := placeOf(model.KindDeal)
	found := map[string]string{}
	note := func(rows []entity) {
		for i := range rows {
			for j := range rows[i].Fields {
				f := &rows[i].Fields[j]
				if string(f.ID) != field {
					continue
				}
				for _, value := range c.mapper(a).values(f) {
					if slices.Contains(keys, value) && found[value] == "" {
						found[value] = string(rows[i].ID)
					}
				}
			}
		}
	}
	if c.filters(a) {
		q := new(query).add("limit", strconv.Itoa(pageSize)).add("order[id]", "asc")
		for _, key := range keys {
			q.add("filter[custom_fields_values]["+field+"][]", key)
		}
		l, err := c.list(ctx, leads, q)
		if err != nil {
			return nil, err
		}
		note(l.rows)
		if !l.next {
			return found, nil
		}
	}
	for _, key := range keys {
		if found[key] != "" {
			continue
		}
		q := new(query).add("limit", strconv.Itoa(pageSize)).add("query", key)
		l, err := c.list(ctx, leads, q)
		if err != nil {
			return nil, err
		}
		note(l.rows)
	}
	return found, nil
}

// findContacts looks for the people of new leads, so that nobody is made twice:
// amoCRM does not keep phones unique (amocrm §6.4).
func (s *sending) findContacts(ctx context.Context) error {
	a, err := s.c.facts(ctx)
	if err != nil {
		return err
	}
	asked := map[string]int64{}
	for _, line := range s.fresh {
		for _, id := range identities(s.lines[line].Person) {
			contact, ok := asked[id]
			if !ok {
				if contact, err = s.c.contactBy(ctx, a, id); err != nil {
					return err
				}
				asked[id] = contact
			}
			if contact != 0 {
				s.people[line] = contact
				s.counts.Linked++
				break
			}
		}
	}
	return nil
}

func identities(p *personBody) []string {
	if p == nil {
		return nil
	}
	return append(slices.Clone(p.Phones), p.Emails...)
}

// contactBy finds the oldest contact with a phone or e-mail, or 0. A search
// matches parts of any field, so the answers are compared (amocrm §5.3).
func (c *Connector) contactBy(ctx context.Context, a account, id string) (int64, error) {
	contacts, _ := placeOf(model.KindContact)
	text := id
	if phone := digits(id); phone && len(id) > 10 {
		text = id[len(id)-10:]
	}
	q := contacts.query().add("query", text).add("limit", strconv.Itoa(pageSize)).add("order[id]", "asc")
	l, err := c.list(ctx, contacts, q)
	if err != nil {
		return 0, err
	}
	oldest := int64(0)
	m := c.mapper(a)
	for i := range l.rows {
		e := &l.rows[i]
		same := slices.Contains(m.phones(e), id) || slices.Contains(m.emails(e), id)
		if n := byNumber(e); same && !e.Deleted.Value && (oldest == 0 || n < oldest) {
			oldest = n
		}
	}
	return oldest, nil
}

// makeContacts makes the new people that several new leads share. In one request
// amoCRM does not notice that they are the same (amocrm §6.3); people of one lead
// are made along with it.
func (s *sending) makeContacts(ctx context.Context) error {
	owner := map[string]int{}
	shared := map[int][]int{}
	for _, line := range s.fresh {
		if _, known := s.people[line]; known {
			continue
		}
		first := -1
		for _, id := range identities(s.lines[line].Person) {
			if o, ok := owner[id]; ok && first < 0 {
				first = o
			}
		}
		if first >= 0 {
			shared[first] = append(shared[first], line)
		} else {
			first = line
		}
		for _, id := range identities(s.lines[line].Person) {
			if _, ok := owner[id]; !ok {
				owner[id] = first
			}
		}
	}
	for first, others := range shared {
		id, err := s.makeContact(ctx, s.lines[first].Person)
		if err != nil || s.out.State == connectors.UploadRejected {
			return err
		}
		for _, line := range append(others, first) {
			s.people[line] = id
		}
	}
	return nil
}

func (s *sending) makeContact(ctx context.Context, p *personBody) (int64, error) {
	_, body, err := s.write(ctx, http.MethodPost, "/contacts", []map[string]any{p.members()}, false)
	if err != nil || s.out.State == connectors.UploadRejected {
		return 0, err
	}
	if body == nil { // refused; divided, each lead gets the refusal of its own contact
		s.out.State, s.out.Reasons = connectors.UploadRejected, []string{"amoCRM refused the contact of several leads"}
		return 0, nil
	}
	var a answer
	if err := decode(body, &a); err != nil {
		return 0, err
	}
	made := eachOf[link](a.Embedded["contacts"])
	if len(made) != 1 || !digits(string(made[0].ID)) {
		return 0, model.Errorf(model.ClassTemporary, model.CauseRemoteFailure, "amoCRM's answer does not name the new contact; it is looked for again")
	}
	return idOf("contact", string(made[0].ID))
}
