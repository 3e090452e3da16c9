package amocrm

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/svod-hub/svod/identity"
	"github.com/svod-hub/svod/loosejson"
	"github.com/svod-hub/svod/model"
)

// Statuses of every pipeline (amocrm §3.4).
const (
	statusWon  = "142"
	statusLost = "143"
)

// entity is a lead, a contact or a company as the API writes it (amocrm §5.2,
// §5.3). Members that only some have stay empty in the others.
type entity struct {
	ID          loosejson.Text    `json:"id"`
	Name        loosejson.Text    `json:"name"`
	FirstName   loosejson.Text    `json:"first_name"`
	LastName    loosejson.Text    `json:"last_name"`
	Price       loosejson.Decimal `json:"price"`
	ExactPrice  loosejson.Decimal `json:"price_with_minor_units"`
	Responsible loosejson.Text    `json:"responsible_user_id"`
	StatusID    loosejson.Text    `json:"status_id"`
	PipelineID  loosejson.Text    `json:"pipeline_id"`
	CreatedAt   loosejson.Time    `json:"created_at"`
	UpdatedAt   loosejson.Time    `json:"updated_at"`
	ClosedAt    loosejson.Time    `json:"closed_at"`
	Deleted     loosejson.Bool    `json:"is_deleted"`
	LossReason  loosejson.Text    `json:"loss_reason_id"`
	SourceID    loosejson.Text    `json:"source_id"`
	CreatedBy   loosejson.Text    `json:"created_by"`
	UpdatedBy   loosejson.Text    `json:"updated_by"`
	GroupID     loosejson.Text    `json:"group_id"`
	Score       loosejson.Text    `json:"score"`

	RawFields   json.RawMessage `json:"custom_fields_values"`
	RawEmbedded json.RawMessage `json:"_embedded"`

	Fields   []fieldValues     `json:"-"`
	Embedded map[string][]link `json:"-"`
}

// link is anything that _embedded lists.
type link struct {
	ID   loosejson.Text `json:"id"`
	Name loosejson.Text `json:"name"`
	Main loosejson.Bool `json:"is_main"`
}

type fieldValues struct {
	ID     loosejson.Text                  `json:"field_id"`
	Name   loosejson.Text                  `json:"field_name"`
	Code   loosejson.Text                  `json:"field_code"`
	Type   loosejson.Text                  `json:"field_type"`
	Values loosejson.List[json.RawMessage] `json:"values"`
}

// mapper turns the API's objects into records. It is pure.
type mapper struct {
	connection string
	account    account
	tracking   map[string]string
	readAt     time.Time
}

// readEntity decodes one object. An odd field or link does not cost the record.
func readEntity(data []byte) (entity, error) {
	var e entity
	if err := loosejson.Unmarshal(data, &e); err != nil {
		return e, err
	}
	if !digits(string(e.ID)) {
		return e, model.Errorf(model.ClassPermanent, model.CauseBadPayload, "an object without an id")
	}
	e.Fields = eachOf[fieldValues](e.RawFields)
	var embedded loosejson.Map[json.RawMessage]
	if len(e.RawEmbedded) > 0 && json.Unmarshal(e.RawEmbedded, &embedded) == nil {
		e.Embedded = make(map[string][]link, len(embedded))
		for name, member := range embedded {
			e.Embedded[name] = eachOf[link](member)
		}
	}
	return e, nil
}

// eachOf reads a list and leaves out what is not of the type. An object stands
// for a list of one, as loss_reason comes as [] or {…} (amocrm §5.2).
func eachOf[V any](data json.RawMessage) []V {
	var raw loosejson.List[json.RawMessage]
	if len(data) == 0 {
		return nil
	}
	if json.Unmarshal(data, &raw) != nil {
		raw = loosejson.List[json.RawMessage]{data}
	}
	out := make([]V, 0, len(raw))
	for _, one := range raw {
		var v V
		if json.Unmarshal(one, &v) == nil {
			out = append(out, v)
		}
	}
	return out
}

// record maps an object of the kind.
func (m *mapper) record(kind model.Kind, e *entity) model.Record {
	switch kind {
	case model.KindCompany:
		return m.company(e)
	case model.KindContact:
		return m.contact(e)
	}
	return m.deal(e)
}

func (m *mapper) base(kind model.Kind, e *entity) model.Base {
	b := model.Base{
		Kind: kind, Connection: m.connection, ID: string(e.ID),
		CreatedAt: e.CreatedAt.Time, UpdatedAt: e.UpdatedAt.Time, ReadAt: m.readAt, Deleted: e.Deleted.Value,
		Fields: model.Fields{},
	}
	b.EmployeeID = orNone(e.Responsible)
	if main := mainOf(e.Embedded["companies"]); kind != model.KindCompany {
		b.CompanyID = main
	}
	for _, tag := range e.Embedded["tags"] {
		if tag.Name != "" {
			b.Tags = append(b.Tags, string(tag.Name))
		}
	}
	if source := e.Embedded["source"]; len(source) > 0 {
		b.Source = string(source[0].Name)
	}
	for name, value := range map[string]loosejson.Text{
		"created_by": e.CreatedBy, "group_id": loosejson.Text(orNone(e.GroupID)), "loss_reason_id": e.LossReason,
		"score": e.Score, "source_id": e.SourceID, "updated_by": e.UpdatedBy,
	} {
		if value != "" {
			b.Fields[name] = string(value)
		}
	}
	if reasons := e.Embedded["loss_reason"]; len(reasons) > 0 && reasons[0].Name != "" {
		b.Fields["loss_reason"] = string(reasons[0].Name)
	}
	m.fields(&b, e)
	return b
}

// fields fills Fields and what is found by meaning: tracking.
func (m *mapper) fields(b *model.Base, e *entity) {
	for i := range e.Fields {
		f := &e.Fields[i]
		values := m.values(f)
		if len(values) == 0 {
			continue
		}
		key := string(f.ID)
		if key == "" {
			key = string(f.Code)
		}
		if len(values) == 1 {
			b.Fields[key] = values[0]
		} else {
			b.Fields[key] = values
		}
		m.track(&b.Tracking, f, values[0])
	}
}

// values reads a field's values as text (amocrm §7.1).
func (m *mapper) values(f *fieldValues) []string {
	var out []string
	for _, raw := range f.Values {
		var v struct {
			Value loosejson.Text `json:"value"`
		}
		if json.Unmarshal(raw, &v) != nil {
			var bare loosejson.Text // old answers hold the value itself
			if json.Unmarshal(raw, &bare) != nil {
				continue
			}
			v.Value = bare
		}
		if text := m.text(string(f.Type), string(v.Value)); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// text writes days in the account's zone, where their midnight was taken
// (amocrm §7.3). What is no time stays as it is.
func (m *mapper) text(kind, value string) string {
	layout := ""
	switch kind {
	case "birthday", "date":
		layout = time.DateOnly
	case "date_time":
		layout = time.RFC3339
	default:
		return value
	}
	at, err := loosejson.ParseTime(value, m.account.Zone)
	if err != nil || at.IsZero() {
		return value
	}
	return at.In(m.account.Zone).Format(layout)
}

func (m *mapper) deal(e *entity) *model.Deal {
	d := &model.Deal{
		Base: m.base(model.KindDeal, e), Title: string(e.Name), Currency: m.account.Currency,
		PipelineID: string(e.PipelineID), StatusID: string(e.StatusID), ClosedAt: e.ClosedAt.Time,
		Amount: price(e),
	}
	d.ContactID = mainOf(e.Embedded["contacts"])
	if e.Price.Raw != "" {
		d.Fields["price"] = e.Price.Raw
	}
	return d
}

// price prefers the exact amount that newer answers carry, if it is the same
// amount: its unit is not documented (amocrm §5.2).
func price(e *entity) model.Decimal {
	whole, exact := e.Price.Decimal, e.ExactPrice.Decimal
	if !exact.Set || !whole.Set {
		return whole
	}
	if exact.Sub(whole.Decimal).Abs().LessThan(one) {
		return exact
	}
	return whole
}

func (m *mapper) contact(e *entity) *model.Contact {
	c := &model.Contact{
		Base: m.base(model.KindContact, e), Name: string(e.Name),
		FirstName: string(e.FirstName), LastName: string(e.LastName),
		Phones: m.phones(e), Emails: m.emails(e),
	}
	for i := range e.Fields {
		if f := &e.Fields[i]; f.Type == "birthday" && c.BirthDate == "" {
			if values := m.values(f); len(values) > 0 {
				c.BirthDate, _ = model.ParseDate(values[0])
			}
		}
	}
	if c.ClientID != "" {
		c.ClientIDs = []string{c.ClientID}
	}
	if c.UserID != "" {
		c.UserIDs = []string{c.UserID}
	}
	return c
}

func (m *mapper) company(e *entity) *model.Company {
	c := &model.Company{Base: m.base(model.KindCompany, e), Name: string(e.Name), Phones: m.phones(e), Emails: m.emails(e)}
	c.ContactID = mainOf(e.Embedded["contacts"])
	c.TaxID = taxID(e)
	return c
}

// taxID is the number in the field of legal entities, or in one that is named so.
func taxID(e *entity) string {
	for i := range e.Fields {
		f := &e.Fields[i]
		for _, raw := range f.Values {
			var v struct {
				Value json.RawMessage `json:"value"`
			}
			if json.Unmarshal(raw, &v) != nil {
				continue
			}
			var legal struct {
				VAT loosejson.Text `json:"vat_id"`
			}
			if f.Type == "legal_entity" && json.Unmarshal(v.Value, &legal) == nil && legal.VAT != "" {
				return string(legal.VAT)
			}
			var text loosejson.Text
			named := strings.EqualFold(string(f.Code), "INN") || strings.EqualFold(string(f.Name), "ИНН")
			if named && json.Unmarshal(v.Value, &text) == nil && text != "" {
				return string(text)
			}
		}
	}
	return ""
}

func (m *mapper) phones(e *entity) []string {
	return identity.Phones(m.coded(e, "PHONE"), m.account.Region)
}

func (m *mapper) emails(e *entity) []string { return identity.Emails(m.coded(e, "EMAIL")) }

func (m *mapper) coded(e *entity, code string) []string {
	var out []string
	for i := range e.Fields {
		if f := &e.Fields[i]; strings.EqualFold(string(f.Code), code) {
			out = append(out, m.values(f)...)
		}
	}
	return out
}

// mainOf is the main one of linked things, or the first.
func mainOf(links []link) string {
	for _, l := range links {
		if l.Main.Value {
			return string(l.ID)
		}
	}
	if len(links) > 0 {
		return string(links[0].ID)
	}
	return ""
}

func orNone(id loosejson.Text) string {
	if id == "0" {
		return ""
	}
	return string(id)
}

func semantics(status string) string {
	switch status {
	case statusWon:
		return model.SemanticsWon
	case statusLost:
		return model.SemanticsLost
	}
	return model.SemanticsOpen
}

// stageChange maps an event of the history (amocrm §5.5).
func (m *mapper) stageChange(e *event) *model.StageChange {
	after, before := e.After.status(), e.Before.status()
	s := &model.StageChange{
		Base: model.Base{
			Kind: model.KindStageChange, Connection: m.connection, ID: string(e.ID),
			CreatedAt: e.CreatedAt.Time, UpdatedAt: e.CreatedAt.Time, ReadAt: m.readAt,
		},
		PipelineID: string(after.PipelineID), StatusID: string(after.ID), Semantics: semantics(string(after.ID)),
	}
	s.DealID, s.EmployeeID = strconv.FormatInt(e.EntityID.Value, 10), orNone(e.CreatedBy)
	if before.ID != "" {
		s.Fields = model.Fields{"previous_status_id": string(before.ID), "previous_pipeline_id": string(before.PipelineID)}
	}
	return s
}
